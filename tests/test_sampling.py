"""Reading between elements: weights against exact ones, grids that move, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import check_values
import numpy as np
import onnx
import pytest
import twin
from onnx import TensorProto, helper, numpy_helper
from twin.call import Call
from twin.sampling import Axis

from symbolic.bounds import enclose
from symbolic.enclosures.coordinates import Ambiguous, Sampler
from symbolic.errors import ModelError
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.operators.taps import Reader

MODES = [
    (mode, padding, align)
    for mode in ("nearest", "linear", "cubic")
    for padding in ("zeros", "border", "reflection")
    for align in (0, 1)
]


def points() -> np.ndarray:
    """Coordinates between elements, on them, half way, on the border and beyond."""
    rng = np.random.default_rng(0)
    grid = np.linspace(-2.5, 2.5, 41)
    return np.concatenate([grid, rng.normal(0, 1, 60), [1e-320, -1 + 2.0**-53, 37.25]]).astype(np.float64)


def exact_rows(mode: str, padding: str, align: int, size: int) -> list[dict[int, Fraction]]:
    """Weights by element, from the twin."""
    node = helper.make_node(
        "GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=align
    )
    axis = Axis(Call(node, [], 20), size)
    rows = []
    for point in points():
        row: dict[int, Fraction] = {}
        for k, weight in axis.taps(Fraction(float(point))):
            if k is not None:
                row[k] = row.get(k, Fraction(0)) + weight
        rows.append({k: w for k, w in row.items() if w})
    return rows


@pytest.mark.parametrize("mode, padding, align", [m for m in MODES if m[0] != "nearest"])
def test_weights_of_the_engine_enclose_the_exact_ones(mode: str, padding: str, align: int) -> None:
    how = Sampler(mode, padding, bool(align))
    for size in (1, 2, 5):
        exact = exact_rows(mode, padding, align, size)
        u, error = how.coordinates(points(), np.zeros_like(points()), size)
        taps = how.taps(u, error, size)
        for k, row in enumerate(exact):
            if mode == "cubic" and padding == "border":
                try:
                    how.row(how.exact(float(points()[k]), size), size)
                except Ambiguous:
                    continue
            found: dict[int, list[Fraction]] = {}
            for t, place in enumerate(taps.index[k].tolist()):
                pair = found.setdefault(place, [Fraction(0), Fraction(0)])
                pair[0] += Fraction(float(taps.weights.value[k, t]))
                pair[1] += Fraction(float(taps.weights.spread[k, t]))
            for place in {*row, *found}:
                weight, radius = found.get(place, (Fraction(0), Fraction(0)))
                assert abs(weight - row.get(place, Fraction(0))) <= radius < Fraction(1, 2**30)


@pytest.mark.parametrize("mode, padding, align", MODES)
def test_weights_of_the_checker_are_exact(mode: str, padding: str, align: int) -> None:
    unit = 1100
    numerators = np.array([int(Fraction(float(p)) * 2**unit) for p in points()], dtype=object)
    node: Any = type("Node", (), {"refuse": lambda self, why: InvalidCertificate(why)})()
    for size in (1, 2, 5):
        reader = Reader(node, size, mode.encode(), padding.encode(), not align)
        exact = exact_rows(mode, padding, align, size)
        for k, row in enumerate(exact):
            point = numerators[k : k + 1]
            try:
                taps = reader.read(*reader.coordinates(point, 0 * point, -unit))
            except InvalidCertificate:
                assert mode == "cubic" and padding == "border"
                continue
            assert not taps.error.any()
            found: dict[int, Fraction] = {}
            for place, weight in zip(taps.element[0].tolist(), taps.weight[0].tolist(), strict=True):
                if place >= 0 and weight:
                    found[place] = found.get(place, Fraction(0)) + weight * Fraction(2) ** taps.e
            assert {p: w for p, w in found.items() if w} == row


# --- grids that move ---


def transformer(mode: str, padding: str, align: int) -> onnx.ModelProto:
    """Six numbers that move an image of nine, in a spatial transformer."""
    nodes = [
        helper.make_node("Slice", ["x", "zero", "nine"], ["part"]),
        helper.make_node("Reshape", ["part", "square"], ["image"]),
        helper.make_node("Slice", ["x", "nine", "all"], ["rest"]),
        helper.make_node("Reshape", ["rest", "map"], ["theta"]),
        helper.make_node("AffineGrid", ["theta", "size"], ["grid"], align_corners=align),
        helper.make_node(
            "GridSample", ["image", "grid"], ["y"], mode=mode, padding_mode=padding, align_corners=align
        ),
        helper.make_node("Greater", ["y", "level"], ["selection"]),
    ]
    stored = {
        "zero": np.array([0]),
        "nine": np.array([9]),
        "all": np.array([15]),
        "square": np.array([1, 1, 3, 3]),
        "map": np.array([1, 2, 3]),
        "size": np.array([1, 1, 2, 4]),
        "level": np.array(0.1, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [15])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 4]),
            helper.make_tensor_value_info("selection", TensorProto.BOOL, [1, 1, 2, 4]),
        ],
        [numpy_helper.from_array(a, name) for name, a in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("mode, padding, align", [m for m in MODES if m[0] != "cubic"])
def test_moving_grids_contain(mode: str, padding: str, align: int) -> None:
    rng = np.random.default_rng(len(mode + padding) + align)
    model = transformer(mode, padding, align)
    x = np.concatenate([rng.normal(size=9), [1, 0, 0, 0, 1, 0]]).astype(np.float32)  # corners on elements
    direction = rng.normal(size=15).astype(np.float32)
    start, step = twin.exact_array(x), twin.exact_array(direction)
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.output[0]
    graph = check_values.graph_of(plain, {"x": x}, "x", direction)
    for width in (2.0**-20, 2.0**-6, 0.25):
        lo, hi = enclose(model, {"x": x}, {"x": direction}, 0, width)["y"]
        cell = (Fraction(0), Fraction(width))
        try:
            known = check_values.values_on(graph, [cell], 60)["y"]
        except Undecided:
            known = None
        for part in (Fraction(1, 7), Fraction(6, 7)):
            t = part * Fraction(width)
            exact = twin.evaluate(model, {"x": start + step * t})["y"]
            assert all(lo[i] <= exact[i] <= hi[i] for i in np.ndindex(exact.shape))
            if known is not None:
                assert not check_values.contradictions({"y": known}, {"y": exact}, 0, 2 * part - 1)
        if mode == "linear" and padding != "reflection":
            assert (hi - lo).max() < 40 * width + 1e-12


# --- what is refused ---


def region_model(name: str, **attributes: Any) -> onnx.ModelProto:
    inputs = {
        "RoiAlign": ["x", "rois", "images"],
        "MaxRoiPool": ["x", "numbered"],
        "GridSample": ["x", "grid"],
    }[name]
    stored = {
        "rois": np.array([[0, 0, 2, 2]], dtype=np.float32),
        "numbered": np.array([[5, 0, 0, 2, 2]], dtype=np.float32),
        "images": np.array([0]),
        "grid": np.array([1.25, 0, 0.5, 0.5], dtype=np.float32).reshape(1, 1, 2, 2),
    }
    nodes = [
        helper.make_node(name, inputs, ["y"], **attributes),
        helper.make_node("Greater", ["y", "y"], ["selection"]),
    ]
    graph = helper.make_graph(
        nodes,
        "region",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("selection", TensorProto.BOOL, [1, 1, None, None])],
        [numpy_helper.from_array(stored[n], n) for n in inputs[1:]],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize(
    "name, attributes, words",
    [
        ("RoiAlign", {"sampling_ratio": 2**30}, "more than"),
        ("RoiAlign", {"output_height": 2**30, "output_width": 2**30}, "large|more than"),
        ("RoiAlign", {"spatial_scale": 1e30}, "more than"),
        ("MaxRoiPool", {"pooled_shape": [1, 1]}, "no image"),
        ("GridSample", {"mode": "cubic", "padding_mode": "border"}, "different things"),
        ("GridSample", {"mode": "sharp"}, "mode"),
    ],
)
def test_refused_with_a_reason(name: str, attributes: dict[str, Any], words: str) -> None:
    model = region_model(name, **attributes)
    x = np.zeros((1, 1, 3, 3), dtype=np.float32)
    with pytest.raises(ModelError, match=words):
        enclose(model, {"x": x})
    with pytest.raises(InvalidCertificate, match=words):
        check_values.graph_of(model, {"x": x}, "x", np.ones((1, 1, 3, 3)))
