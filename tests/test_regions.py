"""Regions of input space against exact evaluation by the twin."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import twin
from line_problems import FAMILIES, Draw, Nodes, Problem, problem, worked_example
from onnx import TensorProto
from random_graphs import random_case
from region_checks import (
    LINE,
    Point,
    left_over,
    named,
    network_of,
    points_inside,
    random_point,
    start_of,
    values_at,
)

from symbolic.errors import InputError, ModelError
from symbolic.network import Network
from symbolic.pieces.line import RationalLine, line_piece


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("family", FAMILIES)
def test_inside_the_pattern_stays(family: str, seed: int) -> None:
    """What each label says holds at points inside, and is the row up to a positive factor."""
    case, rng = FAMILIES[family](400 + seed), np.random.default_rng(seed)
    x = start_of(case, seed)
    region = network_of(case).region(np.array(x, dtype=object).reshape(case.shape))
    inside = points_inside(region, x, rng)
    assert inside
    selected = case.program.outputs["y"].size
    factors: dict[int, Fraction] = {}
    for point in inside:
        values = values_at(case, point)
        assert list(values["y"].reshape(-1)[:selected]) == list(region.affine("y").at(point).reshape(-1))
        for k, (label, left) in enumerate(zip(region.labels, left_over(region, point), strict=True)):
            greater, less = named(values, label.greater), named(values, label.less)
            if greater is None or less is None:
                continue
            assert greater > less or (greater == less and not label.strict)
            assert label.strict == region.rows.strict[k]
            if greater > less:
                assert factors.setdefault(k, left / (greater - less)) == left / (greater - less) > 0
            else:
                assert left == 0
    assert factors or family == "jumping"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_affine_maps(family: str, seed: int) -> None:
    """Every tensor that moves, at points inside; and outside none of the maps is asked."""
    case, rng = FAMILIES[family](430 + seed), np.random.default_rng(seed)
    x = start_of(case, seed)
    region = network_of(case).region(np.array(x, dtype=object))
    maps = {name: region.affine(name) for name in region.program.tensors}
    for point in points_inside(region, x, rng, 3):
        values = values_at(case, point)
        for name, one in maps.items():
            if name in values:
                assert (one.at(point) == values[name]).all(), name
                dense = one.matrix @ np.array(point, dtype=object) + one.offset
                assert (dense == values[name].reshape(-1)).all()
                matrix, offset = one.floats
                assert matrix.shape == (values[name].size, len(x)) and offset.shape == (values[name].size,)


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int) -> None:
    """Every tensor of graphs of any operators, at a point just behind the one that was given."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, smooth=False)
    given = {name: np.asarray(value, dtype=np.float64) for name, value in case.point(Fraction(0)).items()}
    outputs = [item.name for item in case.model.graph.output]
    try:
        network = Network(case.model, given, list(given), outputs)
        program = network.program
    except ModelError:
        pytest.skip("not piecewise linear with rational constants")
    x = random_point(rng, program.n_inputs)
    region = network.region(_by_name(program.inputs, x), _by_name(program.inputs, [Fraction(1)] * len(x)))
    behind = [v + Fraction(1, 10**20) for v in x]
    assert region.contains(_by_name(program.inputs, behind))
    values = twin.evaluate(case.model, _by_name(program.inputs, behind))
    for name in [name for name in program.tensors if name in values]:
        exact = region.affine(name).at(behind).reshape(-1)
        assert [Fraction(v) for v in values[name].reshape(-1)] == [Fraction(v) for v in exact], name


def _by_name(inputs: Any, x: Point) -> dict[str, Any]:
    """A flat point as arrays."""
    found, start = {}, 0
    for name, ids in inputs.items():
        found[name] = np.array(x[start : start + ids.size], dtype=object).reshape(ids.shape)
        start += ids.size
    return found


def test_no_branches() -> None:
    """A linear network: the region is the whole space."""
    nodes: Nodes = [("Add", ["x", "one"], "y")]
    case = problem(nodes, {"one": 1.0}, (1, 2), ([0, 0], [1, 0]), TensorProto.FLOAT)
    region = network_of(case).region([3, 4])
    assert len(region.rows) == 0 and region.contains([10**9, 0]) and str(region).startswith("0 inequalities")
    assert region.A.shape == (0, 2) and region.affine("y").at([Fraction(3), Fraction(4)]).tolist() == [[4, 5]]
    smaller, reduction = region.reduced()
    assert region.check_reduction(smaller, reduction)


def pattern(case: Problem, x: Point) -> dict[tuple[str, tuple[int, ...]], bool]:
    """Signs of a dense network, by the twin."""
    values = values_at(case, x)
    signs = {}
    for op_type, tensor in (("Relu", "h"), ("Relu", "i"), ("Greater", "y")):
        for index in np.ndindex(values[tensor].shape):
            node = {"h": "r", "i": "s", "y": "y"}[tensor]
            signs[f"{op_type} {node}", index] = values[tensor][index] > 0
    return signs


@pytest.mark.parametrize("seed", [seed for seed in range(460, 480) if not Draw(seed).coarse])
def test_across_one_facet(seed: int) -> None:
    """Just behind the first row that a ray meets, the guard in its label changes, and nothing else."""
    case, rng = FAMILIES["dense"](seed), np.random.default_rng(seed)
    x = start_of(case, seed)
    region = network_of(case).region(np.array(x, dtype=object))
    before, left = pattern(case, x), left_over(region, x)
    for _ in range(6):
        direction = random_point(rng, len(x))
        moved = [a + b for a, b in zip(x, direction, strict=True)]
        falls = [a - b for a, b in zip(left, left_over(region, moved), strict=True)]
        hits = sorted((a / b, k) for k, (a, b) in enumerate(zip(left, falls, strict=True)) if b > 0)
        if not hits or (len(hits) > 1 and hits[0][0] == hits[1][0]):
            continue
        (t, k), later = hits[0], hits[1][0] if len(hits) > 1 else hits[0][0] + 1
        behind = t + (later - t) / 2**40
        after = pattern(case, [a + behind * b for a, b in zip(x, direction, strict=True)])
        label = region.labels[k]
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {(f"{label.op_type} {label.node}", label.element)}


def test_labels_and_text() -> None:
    region = network_of(worked_example()).region(np.array([[2.0, 0.25]]))
    assert [str(label) for label in region.labels] == [
        "Relu 'h' [0, 0]: hidden[0, 0] >= 0",
        "Relu 'h' [0, 1]: hidden[0, 1] >= 0",
        "Relu 'h' [0, 2]: 0 >= hidden[0, 2]",
        "Greater 'y' [0, 0]: score[0, 0] - 0.5 > 0",
        "Greater 'y' [0, 1]: 0 >= score[0, 1] - 0.5",
    ]
    assert [label.loser for label in region.labels][:3] == [1, 1, 0]
    assert [(r.columns, r.numbers, r.bound) for r in map(region.rows.__getitem__, range(5))] == [
        ((0,), (-1,), 0),
        ((1,), (-1,), 0),
        ((1,), (1,), 1),
        ((0,), (-2,), -1),
        ((1,), (2,), 1),
    ]
    text = str(region)
    assert text.startswith("5 inequalities in 2 numbers (3 of Relu 'h', 2 of Greater 'y')")
    assert "-2 x[0, 0] < -1" in text
    assert region.A.tolist() == [[-0.5, 0], [0, -0.5], [0, 0.5], [-0.5, 0], [0, 0.5]]
    assert region.c.tolist() == [0, 0, 0.5, -0.25, 0.25]


def test_open_and_closed_facets() -> None:
    region = network_of(worked_example()).region(np.array([[2.0, 0.25]]))
    half = Fraction(1, 2)
    assert region.contains([2, half]) and not region.contains([half, Fraction(1, 4)])
    assert region.contains([half + Fraction(1, 10**40), half])
    assert not region.contains([2, half + Fraction(1, 10**40)])


def test_max_pool_names_the_losers() -> None:
    case = FAMILIES["pooled"](3)
    x = start_of(case, 1)
    region = network_of(case).region(np.array(x, dtype=object))
    pooled = [label for label in region.labels if label.op_type == "MaxPool"]
    assert pooled
    values = values_at(case, x)
    for label in pooled:
        assert label.element is not None and label.loser is not None
        _, channel, row, column = label.element
        place = tuple(int(v) for v in label.less[2:-1].split(","))
        window = [(0, channel, 2 * row + i, 2 * column + j) for i in (0, 1) for j in (0, 1)]
        assert window[label.loser] == place
        assert named(values, label.greater) == values["p"][label.element]


# ---- ties -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [[1], [-1], None])
def test_at_a_kink(direction: list[int] | None) -> None:
    case = problem([("Relu", ["x"], "r"), ("Greater", ["r", "t"], "y")], {"t": 1.0}, (1, 1), LINE)
    region = network_of(case).region([[0]], direction)
    assert region.contains([0])
    if direction is not None:
        assert region.contains([Fraction(direction[0], 2)])
        assert not region.contains([Fraction(-direction[0], 2)])


@pytest.mark.parametrize("family", ["dense", "pooled", "normalised", "classified"])
def test_full_dimensional_where_everything_is_zero(family: str) -> None:
    """All units of a network without biases are undecided at the origin."""
    case = FAMILIES[family](1)
    n = len(case.line.start)
    direction = [Fraction(int(v)) for v in np.random.default_rng(5).integers(1, 10**6, size=n)]
    region = network_of(case).region(np.zeros(n), direction)
    behind = [v / 10**12 for v in direction]
    assert all(left > 0 for left in left_over(region, behind))


def test_a_direction_along_a_facet() -> None:
    nodes: Nodes = [("MatMul", ["x", "w"], "h"), ("Relu", ["h"], "r"), ("Greater", ["r", "t"], "y")]
    case = problem(nodes, {"w": [[1.0], [0.0]], "t": 1.0}, (1, 2), ([0, 0], [1, 1]))
    network = network_of(case)
    with pytest.raises(InputError, match="along a facet"):
        network.region([0, 0], [0, 1])
    assert len(network.region([0, 0]).rows) == 2


def test_steps_far_from_the_origin() -> None:
    """A staircase at 10**6: its branch is no small number."""
    nodes: Nodes = [
        ("Round", ["x"], "f"),
        ("Mul", ["f", "w"], "g"),
        ("Greater", ["g", "t"], "y"),
    ]
    case = problem(nodes, {"w": 1 / 64, "t": 15625.0}, (1, 1), LINE)
    region = network_of(case).region([[10**6]])
    assert [str(label).split(": ")[1] for label in region.labels] == [
        "x[0, 0] >= 999999.5",
        "1000000.5 >= x[0, 0]",
    ]
    assert region.contains([Fraction(2 * 10**6 + 1, 2)]) and region.contains([Fraction(2 * 10**6 - 1, 2)])
    assert not region.contains([Fraction(2 * 10**6 + 1, 2) + Fraction(1, 10**30)])
    assert region.affine("g").at([Fraction(10**6)])[0, 0] == 15625


# ---- along a line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_along_a_line(family: str) -> None:
    """The rows on a line end where the linear piece of the line ends."""
    case = FAMILIES[family](480)
    at = Fraction(1, 48)
    x, direction = case.line.at(at), case.line.direction
    region = network_of(case).region(np.array(x, dtype=object), np.array(direction, dtype=object))
    piece = line_piece(case.program, case.line, at)
    rows = region.along(RationalLine(case.line.start, direction))
    assert min((r.bound / r.slope for r in rows if r.slope > 0), default=float("inf")) == piece.hi
    assert max((r.bound / r.slope for r in rows if r.slope < 0), default=-float("inf")) == piece.lo
    if piece.right is not None:
        binding = [r.label for r in rows if r.slope > 0 and r.bound / r.slope == piece.hi]
        assert (piece.right.layer, piece.right.unit) in {(label.layer, label.unit) for label in binding}
