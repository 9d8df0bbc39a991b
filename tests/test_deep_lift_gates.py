"""DeepLIFT of x f(x): the secant of the whole, however an exporter writes it out."""

from __future__ import annotations

from collections.abc import Callable

import explained_nets
import numpy as np
import onnx
import pytest
from scipy.special import erf
from test_boxes import made

import sureline as sl

RNG = np.random.default_rng(11)
A, W = RNG.integers(-3, 4, size=(6, 6)).astype(float), RNG.normal(size=(6, 3))
A[1, :3] = -A[0, :3]  # so that (1, 1, 0, 0, 0, 0) moves the last three of six alone
WEIGHTS = {
    "a": A,
    "w": W,
    "root": np.sqrt(2.0).reshape(1),
    "one": np.ones(1),
    "half": np.full(1, 0.5),
    "three": np.full(1, 3.0),
    "inner": np.full(1, 0.044715),
    "outer": np.sqrt(2 / np.pi).reshape(1),
}
Function = Callable[[np.ndarray], np.ndarray]
SWISH = [made("Sigmoid", ["h"], "s"), made("Mul", ["h", "s"], "g")]
GATES: dict[str, tuple[list[onnx.NodeProto], Function]] = {
    "swish": (SWISH, lambda h: h / (1 + np.exp(-h))),
    "swish whose gate is used again": (
        [made("Sigmoid", ["h"], "s"), made("Mul", ["s", "h"], "p"), made("Add", ["p", "s"], "g")],
        lambda h: (h + 1) / (1 + np.exp(-h)),
    ),
    "gelu": (
        [
            made("Div", ["h", "root"], "u"),
            made("Erf", ["u"], "e"),
            made("Add", ["e", "one"], "v"),
            made("Mul", ["h", "v"], "q"),
            made("Mul", ["q", "half"], "g"),
        ],
        lambda h: h * (1 + erf(h / np.sqrt(2))) / 2,
    ),
    "gelu by tanh": (
        [
            made("Pow", ["h", "three"], "p"),
            made("Mul", ["inner", "p"], "u"),
            made("Add", ["h", "u"], "k"),
            made("Mul", ["outer", "k"], "z"),
            made("Tanh", ["z"], "t"),
            made("Add", ["t", "one"], "v"),
            made("Mul", ["v", "h"], "q"),
            made("Mul", ["q", "half"], "g"),
        ],
        lambda h: h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3))) / 2,
    ),
    "mish": (
        [made("Softplus", ["h"], "a1"), made("Tanh", ["a1"], "b1"), made("Mul", ["h", "b1"], "g")],
        lambda h: h * np.tanh(np.log1p(np.exp(h))),
    ),
}


def network(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    ends = [made("MatMul", ["x", "a"], "h"), *nodes, made("MatMul", ["g", "w"], "y")]
    return explained_nets.model(ends, WEIGHTS, ["N", 6], ["N", 3], np.float64)


@pytest.mark.parametrize("name", GATES)
def test_a_gate_of_itself_has_the_secant_of_the_whole(name: str) -> None:
    nodes, f = GATES[name]
    x, references = (RNG.integers(-9, 10, size=(n, 6)) / 8 for n in (4, 3))  # sums are exact
    x[0] = references[0]
    x[1] = references[0] + [1, 1, 0, 0, 0, 0]
    explained = sl.explain(network(nodes), sl.DeepShap(references), target=1)
    scores, found = explained(x)
    wanted = np.zeros_like(x)
    for r in references:
        h, k, step = x @ A, r @ A, 1e-5
        same = h == k  # there the gradient
        tangent = (f(h + step) - f(h - step)) / (2 * step)
        secant = np.where(same, tangent, (f(h) - f(k)) / np.where(same, 1, h - k))
        wanted += (secant * W[:, 1]) @ A.T * (x - r) / len(references)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
    rise = scores[:, 1] - explained(references)[0][:, 1].mean()  # of the same Erf: the runtime's has 7 digits
    np.testing.assert_allclose(found.sum(axis=1), rise, rtol=1e-10, atol=1e-12)


def test_a_gate_that_mixes_elements_is_shared_as_a_product() -> None:
    nodes = [made("MatMul", ["h", "a"], "m"), made("Sigmoid", ["m"], "s"), made("Mul", ["h", "s"], "g")]
    x, r = RNG.normal(size=(2, 6)), RNG.normal(size=6)
    _, found = sl.explain(network(nodes), sl.DeepLift(r), target=0)(x)
    h, k = x @ A, r @ A
    s, t = (1 / (1 + np.exp(-v @ A)) for v in (h, k))
    steep = (s - t) / ((h - k) @ A)
    inner = W[:, 0] * (s + t) / 2 + (W[:, 0] * (h + k) / 2 * steep) @ A.T
    np.testing.assert_allclose(found, inner @ A.T * (x - r), rtol=1e-9)
