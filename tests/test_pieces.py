"""Networks as exact linear layers: every tensor has the twin's value, at any point and on whole pieces."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import twin
from enclosure_checks import network_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from pieces_checks import misfits, outcome_of, point_of, standard_tests
from random_graphs import Case, random_case, suite
from random_integers import grown
from random_ml import ml_case

from inference.ends import decided_gaps
from symbolic.errors import ModelError
from symbolic.network import Network
from symbolic.node import operators
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.line import LinePiece, RationalLine, line_piece
from symbolic.pieces.lowering import has_pieces
from symbolic.pieces.program import Program
from verifier.cells import Cell

COUNT = 900
CHUNKS = 12
IRRATIONAL = {"DFT", "STFT"}
"""Registered as exact, but with sines and cosines for coefficients."""
NEAR = Fraction(1, 2**300)


def program_of(case: Case) -> Program | None:
    """The layers of a network with every tensor as an output; None where there are none."""
    try:
        network = network_of(case)
        return network.program if network.exactness.rational else None
    except ModelError:
        return None


def piece_at(program: Program, case: Case, t: Fraction) -> ExactPiece | None:
    """The exact values at a point; None where they are not defined, or too large."""
    try:
        return ExactPiece(program, point_of(program, case.point(t)), [])
    except ModelError:
        return None


def points(rng: np.random.Generator) -> list[Fraction]:
    """The observed input, where many networks tie, small multiples, and anything."""
    anything = Fraction(int(rng.integers(-(2**30), 2**30)), int(rng.integers(1, 2**28)))
    return [Fraction(0), Fraction(int(rng.integers(-8, 9)), 4), anything]


def failure(case: Case, rng: np.random.Generator) -> tuple[int, str]:
    """At how many points the layers were evaluated, and where they are not the twin's."""
    program = program_of(case)
    count = 0
    for t in points(rng) if program is not None else []:
        piece = piece_at(program, case, t) if program is not None else None
        if program is None or piece is None:
            continue
        count += 1
        fault = next(misfits(program, piece, case.at(t)), "")
        if fault:
            return count, f"at {t}: {fault}"
    return count, ""


# ---- values


def test_random_networks() -> None:
    compared = 0
    for k in range(60):
        rng = np.random.default_rng([11, k])
        case = random_case(rng, smooth=False, wild=k % 3 == 1, restless=k % 3 == 2)
        count, fault = failure(case, rng)
        assert not fault, f"network {k} {fault}"
        compared += count
    assert compared >= 120


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CHUNKS))
def test_networks_of_all_operators(number: int) -> None:
    compared = 0
    for k, case in enumerate(suite(COUNT)):
        if k % CHUNKS == number:
            count, fault = failure(case, np.random.default_rng([12, k]))
            assert not fault, f"network {k} {fault}"
            compared += count
    assert compared >= 20  # about one network in four is piecewise linear


def test_random_integers() -> None:
    """Integers that may wrap around are held to their type."""
    compared = 0
    for k in range(60):
        _, model, observed, direction = grown(k)
        case = Case(model, "x", observed, direction, {}, False)
        count, fault = failure(case, np.random.default_rng([13, k]))
        assert not fault, f"network {k} {fault}"
        compared += count
    assert compared >= 60


def test_random_trees_and_scores() -> None:
    compared = 0
    for k in range(80):
        rng = np.random.default_rng([14, k])
        count, fault = failure(ml_case(rng), rng)
        assert not fault, f"network {k} {fault}"
        compared += count
    assert compared >= 60


@pytest.mark.parametrize("number", range(4))
def test_standard(number: int) -> None:
    """The node tests of the standard, those of integers behind casts."""
    passed = 0
    for test in standard_tests(most=200)[number::4]:
        outcome, fault = outcome_of(test)
        assert outcome != "wrong", f"{test.name}: {fault}"
        passed += outcome == "pass"
    assert passed >= 100


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_standard_large(number: int) -> None:
    small = {test.name for test in standard_tests(most=200)}
    for test in standard_tests(most=20_000)[number::4]:
        if test.name not in small:
            outcome, fault = outcome_of(test)
            assert outcome != "wrong", f"{test.name}: {fault}"


def test_every_exact_operator_has_layers() -> None:
    exact = {name for name, known in operators.items() if known.exact is not False}
    assert {name for name in exact if not has_pieces(name)} == IRRATIONAL


# ---- pieces of a line


def line_of(case: Case) -> RationalLine:
    start, direction = (
        tuple(Fraction(v) for v in twin.exact_array(a).reshape(-1)) for a in (case.observed, case.direction)
    )
    return RationalLine(start, direction)


def inside(piece: LinePiece, rng: np.random.Generator, count: int) -> list[Fraction]:
    """Random points of an open interval."""
    low = piece.lo if isinstance(piece.lo, Fraction) else min(piece.at, piece.at * 2) - 1000
    high = piece.hi if isinstance(piece.hi, Fraction) else max(piece.at, piece.at * 2) + 1000
    shares = [Fraction(int(rng.integers(1, 2**20)), 2**20) for _ in range(count)]
    return [low + (high - low) * share for share in shares]


def same(a: LinePiece, b: LinePiece) -> bool:
    return all(np.array_equal(a.branches[k], b.branches[k]) for k in a.branches)


def is_affine(program: Program, case: Case, piece: LinePiece, rng: np.random.Generator) -> str:
    """Where the twin's values inside a piece are not the piece's."""
    lines = {name: piece.values(name) for name in program.tensors}
    for z in inside(piece, rng, 2):
        exact = case.at(z)
        for name, (value, slope) in lines.items():
            if name not in exact or len(value) != exact[name].size:
                continue
            got = [v + s * z for v, s in zip(value, slope, strict=True)]
            for number, wanted in zip(got, exact[name].reshape(-1), strict=True):
                low, high = twin.bounds(wanted)
                if not low <= number <= high:
                    return f"{name} at {z}"
    return ""


def ends_are_sharp(program: Program, line: RationalLine, piece: LinePiece) -> str:
    """Whether other branches hold beyond both ends; a piece at a break point is the one to the right."""
    if isinstance(piece.hi, Fraction):
        right = line_piece(program, line, piece.hi)
        if right.lo != piece.hi or same(right, piece):
            return f"the right end {piece.hi}"
        before = line_piece(program, line, piece.hi - NEAR)
        if piece.hi - NEAR > piece.at and not (same(before, piece) and before.hi == piece.hi):
            return f"before the right end {piece.hi}"
    if isinstance(piece.lo, Fraction):
        left = line_piece(program, line, piece.lo - NEAR)
        if left.hi != piece.lo or same(left, piece):
            return f"the left end {piece.lo}"
        again = line_piece(program, line, piece.lo)
        if not same(again, piece) or (again.lo, again.hi) != (piece.lo, piece.hi):
            return f"at the left end {piece.lo}"
    return ""


def test_pieces_of_random_lines() -> None:
    walked = 0
    for k in range(40):
        rng = np.random.default_rng([15, k])
        case = random_case(rng, smooth=False)
        program, line = program_of(case), line_of(case)
        if program is None:
            continue
        for z in points(rng):
            try:
                piece = line_piece(program, line, z)
                fault = ends_are_sharp(program, line, piece)
                pieces = [piece]
                if isinstance(piece.hi, Fraction):
                    pieces.append(line_piece(program, line, piece.hi))
            except ModelError:  # an integer leaves its type
                continue
            assert not fault, f"network {k} from {z}: {fault}"
            for one in pieces:
                assert one.lo <= one.at < one.hi
                fault = is_affine(program, case, one, rng)
                assert not fault, f"network {k} from {z}: {fault}"
                walked += 1
    assert walked >= 100


@given(seed=st.integers(0, 2**32 - 1), z=st.fractions(-4, 4, max_denominator=2**12))
def test_values_of_a_piece(seed: int, z: Fraction) -> None:
    case = random_case(np.random.default_rng(seed), smooth=False, nodes=4)
    program = program_of(case)
    piece = None if program is None else piece_at(program, case, z)
    if program is not None and piece is not None:
        assert not list(misfits(program, piece, case.at(z)))


def test_gaps_remain_where_an_integer_leaves_its_type() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["k"], to=TensorProto.INT8),
        helper.make_node("Equal", ["k", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, [1])],
        [numpy_helper.from_array(np.array([126], dtype=np.int8), "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    program = Network(model, {"x": np.zeros(1, dtype=np.float32)}, "x", ["y"]).program
    line = RationalLine((Fraction(0),), (Fraction(1),))
    gaps = [Cell(Fraction(n), Fraction(n) + 2, "gap") for n in (125, 127)]
    found, _ = decided_gaps(gaps, program, line, {"y": [Fraction(1)]}, 10.0, False)
    assert [(c.lo, c.hi, c.verdict) for c in found] == [
        (125, 126, "outside"),
        (126, 127, "inside"),
        (127, 129, "gap"),
    ]
    with pytest.raises(ModelError, match="integers may leave what their type"):
        program.require_held()
