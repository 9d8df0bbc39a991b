"""Rules that look at signs, and normalisation that is passed: against the definitions, layer by layer."""

from __future__ import annotations

from typing import Any

import explained_nets
import numpy as np
import onnx
import pytest
from test_boxes import made

import sureline as sl

RNG = np.random.default_rng(5)
A, V, W = RNG.normal(size=(6, 6)), RNG.normal(size=(7, 3)), RNG.normal(size=(6, 3))
X = RNG.normal(size=(1, 6))


def z_plus(x: np.ndarray, w: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Positive contributions alone."""
    shares = np.maximum(x.reshape(-1, 1) * w, 0)
    total = shares.sum(axis=0)
    return np.asarray((shares / np.where(total == 0, 1, total)) @ r)


def network(nodes: list[onnx.NodeProto], last: np.ndarray) -> onnx.ModelProto:
    ends = [made("MatMul", ["x", "a"], "h"), *nodes, made("MatMul", ["q", "v"], "y")]
    weights = {"a": A, "v": last, "minus": np.full((1, 1), -1.0), "axes": np.array([1]), "s": np.ones(6)}
    return explained_nets.model(ends, weights, [1, 6], [1, 3], np.float64)


@pytest.mark.parametrize(
    ("nodes", "last", "inner"),
    [
        ([made("Relu", ["h"], "q")], W, lambda h: np.maximum(h, 0)),
        ([made("ThresholdedRelu", ["h"], "q", alpha=-5.0)], W, lambda h: np.where(h > -5, h, 0)),
        ([made("ThresholdedRelu", ["h"], "q", alpha=0.5)], W, lambda h: np.where(h > 0.5, h, 0)),
        (
            [made("Relu", ["h"], "r"), made("Concat", ["r", "minus"], "q", axis=1)],
            V,
            lambda h: np.append(np.maximum(h, 0), -1),
        ),
        ([made("Tanh", ["h"], "q")], W, np.tanh),
    ],
    ids=["relu", "low threshold", "high threshold", "negative constant", "both signs"],
)
def test_negative_values_give_what_they_contribute(
    nodes: list[onnx.NodeProto], last: np.ndarray, inner: Any
) -> None:
    found = sl.explain(network(nodes, last), sl.LrpZPlus(stabiliser=0.0), target=0)(X)[1]
    h = (X @ A).ravel()
    q = inner(h)
    r = np.array([(q @ last)[0], 0, 0])
    wanted = z_plus(X, A, z_plus(q, last, r)[:6])
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-9)


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization"])
def test_normalisation_passes_relevance_unchanged(kind: str) -> None:
    model = network([made(kind, ["h", "s"], "q")], W)
    if kind.startswith("RMS"):
        model.opset_import[0].version = 23
    found = sl.explain(model, sl.LrpZ(), target=0)(X)[1]
    h = (X @ A).ravel()
    centred = h - h.mean() if kind.startswith("Layer") else h
    q = centred / np.sqrt((centred**2).mean() + 1e-5)
    passed = q * W[:, 0]
    wanted = ((X.reshape(-1, 1) * A) / h) @ passed
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization"])
@pytest.mark.parametrize("batch", ["N", 1])
def test_normalisation_has_a_gradient(kind: str, batch: Any) -> None:
    """Against differences; with a free batch axis too, where its definition measures a shape."""
    nodes = [made(kind, ["x", "s"], "q"), made("MatMul", ["q", "v"], "y")]
    weights = {"v": W, "s": np.arange(1.0, 7.0)}
    opset = 23 if kind.startswith("RMS") else 18
    model = explained_nets.model(nodes, weights, [batch, 6], [batch, 3], np.float64, opset)

    def score(x: np.ndarray) -> float:
        centred = x - x.mean() if kind.startswith("Layer") else x
        q = centred / np.sqrt((centred**2).mean() + 1e-5) * weights["s"]
        return float(q @ W[:, 1])

    found = sl.explain(model, sl.Gradient(), target=1)(X)[1].ravel()
    x, step = X.ravel(), 1e-6
    wanted = [(score(x + step * e) - score(x - step * e)) / (2 * step) for e in np.eye(6)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
