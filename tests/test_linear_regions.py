"""Linear regions of lines and rectangles, against theorems: tent maps, and arrangements of lines."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from pathlib import Path

import networkx
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import sureline as sl

F = Fraction


def dense(layers: list[tuple[list[list[float]], list[float]]], last_relu: bool = False) -> onnx.ModelProto:
    """Gemm and Relu in turn, in doubles."""
    nodes, stored, at = [], [], "x"
    for k, (w, b) in enumerate(layers):
        stored += [
            numpy_helper.from_array(np.array(w, np.float64), f"w{k}"),
            numpy_helper.from_array(np.array(b, np.float64), f"b{k}"),
        ]
        nodes.append(helper.make_node("Gemm", [at, f"w{k}", f"b{k}"], [f"h{k}"]))
        at = f"h{k}"
        if k < len(layers) - 1 or last_relu:
            nodes.append(helper.make_node("Relu", [at], [f"r{k}"]))
            at = f"r{k}"
    shapes = [[1, len(layers[0][0])], [1, len(layers[-1][1])]]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, shapes[0])],
        [helper.make_tensor_value_info(at, TensorProto.DOUBLE, shapes[1])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tents(depth: int) -> onnx.ModelProto:
    """The tent map of [0, 1] so many times: 2**depth pieces of the same length (Telgarsky, 2015)."""
    first = ([[1.0, 1.0]], [0.0, -0.5])
    between = ([[2.0, 2.0], [-4.0, -4.0]], [0.0, -0.5])
    last = ([[2.0], [-4.0]], [0.0])
    return dense([first, *[between] * (depth - 1), last])


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_tent_maps(depth: int) -> None:
    model = tents(depth)
    found = sl.linear_regions(model, [[0]], [[1]], 0, 1)
    n = 2**depth
    assert found.ends == [F(k, n) for k in range(1, n)]
    for k, region in enumerate(found):
        (a,), (b,) = region.exact(found.outputs[0])
        assert b == (n if k % 2 == 0 else -n)
        assert a + b * F(k, n) == (0 if k % 2 == 0 else 1)
    assert str(found).startswith(f"{n} linear regions")


def test_the_whole_line_and_its_parts() -> None:
    model = tents(3)
    whole = sl.linear_regions(model, [[0]], [[1]])
    assert (whole[0].lo, whole[-1].hi) == (-np.inf, np.inf)
    assert whole.ends == sorted(set(whole.ends))
    for lo, hi in ((None, F(1, 3)), (F(1, 3), None), (F(1, 8), F(5, 8)), ("-1/7", "0.3")):
        part = sl.linear_regions(model, [[0]], [[1]], lo, hi)
        low = -np.inf if lo is None else F(lo)
        high = np.inf if hi is None else F(hi)
        assert part.ends == [e for e in whole.ends if low < e < high]
        assert (part[0].lo, part[-1].hi) == (low, high)
    backwards = sl.linear_regions(model, [[0]], [[-1]])
    assert backwards.ends == [-e for e in reversed(whole.ends)]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_values_are_those_of_the_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(1, 7, 4)]
    layers = [
        ((rng.integers(-16, 17, (a, b)) / 8).tolist(), (rng.integers(-16, 17, b) / 8).tolist())
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]
    model = dense(layers)
    a, b = (rng.integers(-16, 17, (1, sizes[0])) / 8 for _ in range(2))
    found = sl.linear_regions(model, a, b)
    run = ReferenceEvaluator(model)
    for region in found:
        lo = region.lo if region.lo > -np.inf else min(region.hi, 0) - 1
        hi = region.hi if region.hi < np.inf else max(region.lo, 0) + 1
        first, second = region.affine(found.outputs[0])
        for share in (0.0, 0.3, 1.0):
            z = float(lo) + share * (float(hi) - float(lo))
            np.testing.assert_allclose(first + second * z, run.run(None, {"x": a + b * z})[0], atol=1e-8)
    for left, right in zip(found, found.regions[1:], strict=False):
        assert left.hi == right.lo and left.right == right.left
        changed = [k for k in left.pattern if not np.array_equal(left.pattern[k], right.pattern[k])]
        assert changed and left.right is not None and str(left.right.layer) == changed[0].split()[0]


@pytest.mark.parametrize("seed", range(4))
def test_an_arrangement_of_lines(seed: int) -> None:
    """n lines that meet in general position make 1 + n + (meeting points) regions of a convex set."""
    rng = np.random.default_rng(seed)
    w, c = rng.integers(-9, 10, (2, 7)), rng.integers(-5, 6, 7)
    w[0] += w[0] == 0
    model = dense([(w.tolist(), (c / 8).tolist())], last_relu=True)
    found = sl.linear_regions_2d(model, [[0, 0]], [[1, 0]], [[0, 1]])
    lines = {(F(int(a), 1), F(int(b), 1), F(int(k), 8)) for (a, b), k in zip(w.T, c, strict=True)}
    lines = {tuple(v / line[0] for v in line) for line in lines}
    crossing = [line for line in lines if min(_at_corners(line)) < 0 < max(_at_corners(line))]
    points: dict[tuple[F, F], set[tuple[F, ...]]] = {}
    for p, q in combinations(crossing, 2):
        det = p[0] * q[1] - q[0] * p[1]
        if det:
            s, t = (p[1] * q[2] - q[1] * p[2]) / det, (q[0] * p[2] - p[0] * q[2]) / det
            if abs(s) < 1 and abs(t) < 1:
                points.setdefault((s, t), set()).update((p, q))
    assert len(found) == 1 + len(crossing) + sum(len(meet) - 1 for meet in points.values())
    assert sum(region.area for region in found.regions) == 4
    assert networkx.is_connected(found.neighbours)


def _at_corners(line: tuple[F, ...]) -> list[F]:
    return [line[0] * s + line[1] * t + line[2] for s in (-1, 1) for t in (-1, 1)]


def test_a_plane_through_a_deep_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sizes = [3, 6, 6, 2]
    layers = [
        ((rng.integers(-16, 17, (a, b)) / 8).tolist(), (rng.integers(-16, 17, b) / 8).tolist())
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]
    model = dense(layers)
    origin, u, v = (rng.integers(-8, 9, (1, 3)) / 8 for _ in range(3))
    found = sl.linear_regions_2d(model, origin, u, v, ("-1/3", 1), (0, F(3, 2)))
    assert sum(region.area for region in found.regions) == F(4, 3) * F(3, 2)
    run = ReferenceEvaluator(model)
    for region in found.regions:
        s, t = (sum(p[k] for p in region.vertices) / len(region.vertices) for k in (0, 1))
        x = origin + float(s) * u + float(t) * v
        rows = zip(*region.exact(found.outputs[0]), strict=True)
        np.testing.assert_allclose(
            [[float(a + b * s + c * t) for a, b, c in rows]], run.run(None, {"x": x})[0]
        )
    for first, second, data in found.neighbours.edges(data=True):
        patterns = [found.regions[k].piece.branches for k in (first, second)]
        k, unit = data["binding"].layer, data["binding"].unit
        assert patterns[0][k][unit] != patterns[1][k][unit]
    import matplotlib

    matplotlib.use("Agg")
    found.plot().figure.savefig(tmp_path / "plane.png")
    assert (tmp_path / "plane.png").stat().st_size > 1000


def test_what_is_refused() -> None:
    model = tents(2)
    with pytest.raises(sl.InputError, match="lo is 1, not less than hi"):
        sl.linear_regions(model, [[0]], [[1]], 1, 1)
    with pytest.raises(sl.InputError, match="shape"):
        sl.linear_regions(model, [[0]], [1])
    with pytest.raises(sl.InputError, match="rectangle is empty"):
        sl.linear_regions_2d(model, [[0]], [[1]], [[1]], (1, 0))
    smooth = onnx.ModelProto()
    smooth.CopyFrom(model)
    smooth.graph.node[1].op_type = "Sigmoid"
    with pytest.raises(sl.ModelError, match="Sigmoid"):
        sl.linear_regions(smooth, [[0]], [[1]])


@pytest.mark.parametrize("depth", [1, 2, 5, 10])
def test_swept_tent_maps(depth: int) -> None:
    """Dyadic ends, which float64 finds exactly."""
    found = sl.swept_regions(tents(depth), [[0]], [[1]], 0, 1)
    n = 2**depth
    assert found.ends == [k / n for k in range(1, n)]
    for k, region in enumerate(found):
        intercept, slope = (part.item() for part in region.affine("h" + str(depth)))
        assert slope == (n if k % 2 == 0 else -n) * 1.0
        assert intercept == (-k if k % 2 == 0 else k + 1)
    assert str(found) == f"{n} linear regions between 0 and 1, in float64"


def test_swept_regions_are_the_exact_ones() -> None:
    rng = np.random.default_rng(3)
    layers = [(rng.normal(size=(4, 16)).tolist(), rng.normal(size=16).tolist())]
    layers += [(rng.normal(size=(16, 16)).tolist(), rng.normal(size=16).tolist()) for _ in range(3)]
    model = dense(layers)
    a, b = rng.normal(size=(2, 1, 4))
    exact = sl.linear_regions(model, a, b, -8, 8)
    swept = sl.swept_regions(model, a, b, -8, 8)
    assert len(exact) == len(swept) > 20
    assert np.allclose([float(end) for end in exact.ends], swept.ends, atol=1e-12)
    for one, other in zip(exact, swept, strict=True):
        name = exact.outputs[0]
        for first, second in zip(one.affine(name), other.affine(name), strict=True):
            assert np.allclose(first, second, atol=1e-9)
        for key, branch in one.pattern.items():
            assert (branch == other.pattern[key]).all()


def test_swept_regions_refuse_in_a_sentence() -> None:
    with pytest.raises(sl.InputError, match="not less than hi"):
        sl.swept_regions(tents(1), [[0]], [[1]], 1, 1)
    with pytest.raises(sl.InputError, match="a has shape"):
        sl.swept_regions(tents(1), [[0]], [1], 0, 1)
    with pytest.raises(sl.InputError, match="reaches beyond"):
        sl.swept_regions(tents(1), [[0]], [[1]], -(10**11), 0)


REFUSED = {
    "unknown tensor": (lambda r, p: r[0].affine("nope"), "no tensor 'nope' that moves; its outputs are 'h2'"),
    "unknown tensor, exact": (lambda r, p: r[0].exact("nope"), "no tensor"),
    "unknown tensor, plane": (lambda r, p: p[0].affine("nope"), "no tensor"),
    "unknown tensor, drawn": (lambda r, p: r.plot("nope"), "no tensor"),
    "element": (lambda r, p: r.plot(elements=[7]), "'h2' has the elements 0 to 0"),
    "no element": (lambda r, p: r.plot(elements="a"), "has the elements"),
    "values": (lambda r, p: p.plot([1]), "give one number for each of 5 regions"),
    "side": (lambda r, p: sl.linear_regions_2d(tents(2), [[0]], [[1]], [[0]], s=3), "give two numbers"),
    "sides": (
        lambda r, p: sl.linear_regions_2d(tents(2), [[0]], [[1]], [[0]], s=(1, 2, 3)),
        "give two numbers",
    ),
    "one double": (
        lambda r, p: sl.swept_regions(tents(2), [[0]], [[1]], 1, 1 + F(1, 10**30)),
        "the same double",
    ),
    "infinite": (lambda r, p: sl.swept_regions(tents(2), [[0]], [[1]], None, 1), "reaches beyond"),
    "start": (lambda r, p: sl.linear_regions(tents(2), [[F(10**400)]], [[1]]), "beyond the range of doubles"),
    "slope": (lambda r, p: sl.swept_regions(tents(2), [[0]], [[F(10**400)]], 0, 1), "b is beyond the range"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_refusal_is_a_sentence(case: str) -> None:
    ask, match = REFUSED[case]
    line = sl.linear_regions(tents(2), [[0]], [[1]])
    plane = sl.linear_regions_2d(tents(2), [[0]], [[1]], [[F(1, 7)]], (0, 1), (0, 1))
    with pytest.raises(sl.SurelineError, match=match):
        ask(line, plane)


def test_infinite_and_single_regions_are_drawn() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    new = matplotlib.figure.Figure
    whole = sl.linear_regions(tents(1), [[0]], [[1]], -np.inf, np.inf)
    assert str(whole) == "3 linear regions between -inf and inf, with exact ends"
    assert whole.plot(ax=new().subplots()).get_xlim() == pytest.approx((-0.08, 0.58))
    one = sl.linear_regions(tents(1), [[0]], [[1]], 100, 101)
    assert str(one).startswith("1 linear region between 100 and 101")
    assert one.plot(ax=new().subplots()).get_xlim() == pytest.approx((99.95, 101.05))
