"""Sobol attribution: published formulas, functions with known indices, the whole method done slowly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import convolutional, dense, model
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from scipy.stats import qmc, sobol_indices

import sureline as sl
from symbolic.explanations.graph import Graph
from symbolic.explanations.methods.sobol import DESIGNS
from symbolic.explanations.methods.sobol_estimators import ESTIMATORS

IMAGES = np.random.default_rng(15).normal(size=(4, 1, 6, 6))
Published = Callable[[np.ndarray, np.ndarray], float]


def jansen(a: np.ndarray, c: np.ndarray) -> float:
    return sum((y - z) ** 2 for y, z in zip(a, c, strict=True)) / (2 * len(a)) / a.var(ddof=1)


def homma(a: np.ndarray, c: np.ndarray) -> float:
    return (a.var(ddof=1) - (a @ c / len(a) - a.mean() ** 2)) / a.var(ddof=1)


def saltelli(a: np.ndarray, c: np.ndarray) -> float:
    return 1 - (a @ c / len(a) - a.mean() ** 2) / a.var(ddof=1)


def janon(a: np.ndarray, c: np.ndarray) -> float:
    """With 1/n throughout, as in the paper: with 1/(n - 1) under the squares it would follow a shift."""
    middle = np.mean((a + c) / 2)
    return 1 - (np.mean(a * c) - middle**2) / (np.mean((a**2 + c**2) / 2) - middle**2)


def glen(a: np.ndarray, c: np.ndarray) -> float:
    return 1 - np.corrcoef(a, c)[0, 1]


PUBLISHED: dict[str, Published] = {f.__name__: f for f in (jansen, homma, saltelli, janon, glen)}


def test_all_estimators_are_tested() -> None:
    assert PUBLISHED.keys() == ESTIMATORS.keys()


def estimated(name: str, a: np.ndarray, c: np.ndarray, normalised: bool = True) -> np.ndarray:
    """The graph of an estimator, evaluated at scores a, (n,), and c, (d, n)."""
    ports = [
        helper.make_tensor_value_info("a", TensorProto.DOUBLE, [1, len(a), 1]),
        helper.make_tensor_value_info("c", TensorProto.DOUBLE, [*c.shape, 1]),
    ]
    proto = helper.make_model(
        helper.make_graph([], "scores", ports, []), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    graph = Graph(proto)
    found = ESTIMATORS[name].index(graph.tensor("a"), graph.tensor("c"), normalised)
    graph.output(found, "index")
    run = ReferenceEvaluator(proto).run(None, {"a": a[None, :, None], "c": c[:, :, None]})[0]
    return np.asarray(run)[:, 0]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_estimators_are_as_published(name: str, shift: float) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=24) + shift
    c = np.stack([u * a + (1 - u) * (rng.normal(size=24) + shift) for u in (0, 0.3, 0.7, 1)])
    expected = [PUBLISHED[name](a, row) for row in c]
    np.testing.assert_allclose(estimated(name, a, c), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["jansen", "homma", "saltelli"])
def test_the_numerator_is_the_index_times_the_variance(name: str) -> None:
    rng = np.random.default_rng(2)
    a, c = rng.normal(size=16), rng.normal(size=(3, 16))
    expected = [PUBLISHED[name](a, row) * a.var(ddof=1) for row in c]
    np.testing.assert_allclose(estimated(name, a, c, False), expected, rtol=1e-10)


@pytest.mark.parametrize("name", PUBLISHED)
def test_where_nothing_varies_the_indices_are_zero(name: str) -> None:
    np.testing.assert_array_equal(estimated(name, np.full(8, 3.0), np.full((2, 8), 3.0)), [0, 0])


def ishigami(x: np.ndarray) -> np.ndarray:
    angles = np.pi * (2 * x - 1)
    one, two, three = np.moveaxis(angles, -1, 0)
    return np.sin(one) + 7 * np.sin(two) ** 2 + 0.1 * three**4 * np.sin(one)


def g_function(x: np.ndarray) -> np.ndarray:
    return np.prod((np.abs(4 * x - 2) + WEIGHTS) / (1 + WEIGHTS), axis=-1)


WEIGHTS = np.array([0.0, 1.0, 4.5, 9.0])
PARTS = 1 / (3 * (1 + WEIGHTS) ** 2)
"""Of the variance of the g-function."""
TOTALS = PARTS / (1 + PARTS) * np.prod(1 + PARTS) / (np.prod(1 + PARTS) - 1)
EIGHT = 0.1 * np.pi**4
ISHIGAMI = np.array([(1 + EIGHT / 5) ** 2 / 2 + 8 * EIGHT**2 / 225, 49 / 8, 8 * EIGHT**2 / 225])
"""Variances in which every variable takes part; the third only together with the first."""
KNOWN = {
    "ishigami": (ishigami, ISHIGAMI / (ISHIGAMI[0] + ISHIGAMI[1])),
    "g": (g_function, TOTALS),
}


def scores_of(f: Any, count: int, samples: int, design: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    method = sl.Sobol(samples=samples, design=design, scramble=True, seed=4)  # type: ignore[arg-type]
    a, b = np.split(method.drawn(count), 2, axis=1)
    again = [np.where(np.arange(count) == k, b, a) for k in range(count)]
    return f(a), f(b), np.stack([f(points) for points in again])


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("function", KNOWN)
@pytest.mark.parametrize("name", PUBLISHED)
def test_known_indices(name: str, function: str, design: str) -> None:
    f, totals = KNOWN[function]
    a, _, c = scores_of(f, len(totals), 2**13, design)
    np.testing.assert_allclose(estimated(name, a, c), totals, atol=0.04)


def test_indices_of_ishigami_are_the_published_ones() -> None:
    np.testing.assert_allclose(KNOWN["ishigami"][1], [0.5576, 0.4424, 0.2437], atol=1e-4)


def test_jansen_as_in_scipy() -> None:
    """scipy divides by the variance of f(A) and f(B) together, so the numerators are compared."""
    a, b, c = scores_of(ishigami, 3, 64, "sobol")
    theirs = sobol_indices(func={"f_A": a[None], "f_B": b[None], "f_AB": c[:, None]}, n=64)
    numerators = np.ravel(theirs.total_order) * np.concatenate([a, b]).var()
    np.testing.assert_allclose(estimated("jansen", a, c, False), numerators, rtol=1e-10)


# the whole method


def scores(net: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    view = onnx.ModelProto()
    view.CopyFrom(net)
    del view.graph.output[:]
    view.graph.output.append(onnx.ValueInfoProto(name="l"))
    return ReferenceEvaluator(view).run(None, {"x": x})[0]


def box_blurred(x: np.ndarray, size: int) -> np.ndarray:
    """Means over size x size pixels, the first size // 2 before the middle; mirrored at the edges."""
    before, after = size // 2, (size - 1) // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after)), mode="reflect")
    blurred = np.zeros(x.shape)
    for i, j in product(range(size), range(size)):
        blurred += padded[:, i : i + x.shape[1], j : j + x.shape[2]] / size**2
    return blurred


def naive(method: sl.Sobol, cells: int, rows: np.ndarray) -> np.ndarray:
    """Run by run; one index per cell, (rows, cells, cells)."""
    net, count = convolutional(dtype=np.float64), cells**2
    points = method.drawn(count)
    found = []
    for x in rows:
        chosen = int(scores(net, x[None])[0].argmax())

        def score(u: np.ndarray, x: np.ndarray = x, chosen: int = chosen) -> float:
            mask = np.kron(u.reshape(cells, cells), np.ones((6 // cells, 6 // cells)))
            if method.perturbation == "amplitude":
                moved = x * (mask - 0.5) * method.strength
            else:
                kept = box_blurred(x, method.blur) if method.perturbation == "blurring" else method.baseline
                moved = mask * x + (1 - mask) * kept
            return float(scores(net, moved[None])[0, chosen])

        a = np.array([score(p[:count]) for p in points])
        indices = []
        for k in range(count):
            redrawn = points[:, :count].copy()
            redrawn[:, k] = points[:, count + k]
            index = PUBLISHED[method.estimator](a, np.array([score(u) for u in redrawn]))
            indices.append(index if method.normalised else index * a.var(ddof=1))
        found.append(np.reshape(indices, (cells, cells)))
    return np.array(found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (2, {}),
        (3, {"normalised": False, "samples": 4}),
        (2, {"estimator": "homma", "design": "halton", "samples": 7}),
        (2, {"estimator": "janon", "design": "latin-hypercube", "seed": 5}),
        (2, {"estimator": "glen", "scramble": True}),
        (2, {"estimator": "saltelli", "baseline": 0.4, "normalised": False}),
        (2, {"perturbation": "blurring", "blur": 3}),
        (2, {"perturbation": "blurring", "blur": 4}),
        (2, {"perturbation": "amplitude", "strength": 1.7}),
    ],
)
def test_the_method_is_what_its_definition_says(cells: int, options: dict[str, Any], dtype: type) -> None:
    method = sl.Sobol(cells, **{"samples": 8, **options})
    _, found = sl.explain(convolutional(dtype=dtype), method)(IMAGES)
    assert found.dtype == dtype
    expected = naive(method, cells, IMAGES)
    full = np.kron(expected, np.ones((6 // cells, 6 // cells)))[:, None]
    tolerance = 1e-4 if dtype is np.float32 else 1e-10
    np.testing.assert_allclose(found, full, rtol=0, atol=tolerance * np.abs(full).max())


def test_a_smooth_map_interpolates_the_same_indices() -> None:
    plain, smooth = (
        sl.explain(convolutional(dtype=np.float64), sl.Sobol(3, samples=8, smooth=s))(IMAGES)[1]
        for s in (False, True)
    )
    node = helper.make_node(
        "Resize", ["x", "", "", "s"], ["y"], mode="cubic", coordinate_transformation_mode="half_pixel"
    )
    net = model([node], {"s": np.array([4, 1, 6, 6])}, [4, 1, 3, 3], [4, 1, 6, 6])
    run = InferenceSession(net.SerializeToString())
    resized = run.run(None, {"x": plain[..., ::2, ::2].astype(np.float32)})[0]
    np.testing.assert_allclose(smooth, resized, atol=1e-6)
    assert np.abs(smooth - plain).max() > 0.01


def test_designs_are_those_of_scipy() -> None:
    for name, made in (
        ("sobol", qmc.Sobol(6, scramble=False)),
        ("halton", qmc.Halton(6, scramble=False)),
        ("latin-hypercube", qmc.LatinHypercube(6, seed=np.random.default_rng(3))),
    ):
        drawn = sl.Sobol(samples=16, design=name, seed=3).drawn(3)  # type: ignore[arg-type]
        np.testing.assert_array_equal(drawn, made.random(16))
    plain, mixed, again = (
        sl.Sobol(samples=16, scramble=s, seed=k).drawn(3) for s, k in ((False, 0), (True, 0), (True, 1))
    )
    assert not np.array_equal(plain, mixed) and not np.array_equal(mixed, again)


def test_the_variance_does_not_change_the_order() -> None:
    for estimator in ("jansen", "homma", "saltelli"):
        whole, numerator = (
            sl.explain(
                convolutional(dtype=np.float64),
                sl.Sobol(3, samples=8, estimator=estimator, normalised=n),  # type: ignore[arg-type]
            )(IMAGES)[1]
            for n in (True, False)
        )
        ratio = whole / numerator
        assert np.ptp(ratio, axis=(1, 2, 3)).max() < 1e-9 * ratio.max()


def test_of_features() -> None:
    x = np.random.default_rng(0).normal(size=(3, 6))
    net = dense(dtype=np.float64)
    found = sl.explain(net, sl.Sobol(6, samples=64), 1)(x)[1]
    assert found.shape == (3, 6) and (found >= 0).all()
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in net.graph.initializer}
    points = sl.Sobol(6, samples=64).drawn(6)

    def score(inputs: np.ndarray) -> np.ndarray:
        return (np.maximum(inputs @ stored["a"] + stored["b"], 0) @ stored["c"] + stored["d"])[:, 1]

    for row, indices in zip(x, found, strict=True):
        a = score(points[:, :6] * row)
        for k in range(6):
            redrawn = np.where(np.arange(6) == k, points[:, 6:], points[:, :6])
            np.testing.assert_allclose(indices[k], jansen(a, score(redrawn * row)), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 33}, "power of 2"),
        ({"samples": 1}, "2 or larger"),
        ({"design": "grid"}, "one of sobol, halton, latin-hypercube"),
        ({"estimator": []}, "one of jansen"),
        ({"perturbation": "noise"}, "one of inpainting"),
        ({"estimator": "glen", "normalised": False}, "leave normalised on"),
        ({"estimator": "janon", "normalised": False}, "leave normalised on"),
        ({"blur": 0}, "blur is 0"),
        ({"strength": 0}, "strength is 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"samples": 1024, "regions": 6}, "take fewer regions or samples"),
        ({"smooth": True, "regions": np.arange(36).reshape(6, 6)}, "cells of a grid"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.OptionError, match=words):
        sl.explain(convolutional(), sl.Sobol(**{"samples": 4, **options}))
