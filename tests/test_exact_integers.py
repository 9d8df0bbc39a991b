"""Integers as residues: back again, signs, scales."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_problems import Nodes, problem
from onnx import numpy_helper

from symbolic.errors import ModelError
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import guards_of
from symbolic.pieces.line import line_piece
from symbolic.pieces.residues import LARGEST_PRIME, LONGEST_SUM, Primes, ScaledWeights, lowest_bit, modulo


def table(values: list[int]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@pytest.mark.parametrize("count", [2, 3, 7, 40, 255, 256, 300])
def test_back_again(count: int) -> None:
    """Up to a quarter of the product of the primes, with limbs of 24 and of 16 bits."""
    primes = Primes(count)
    top = primes.product // 4
    rng = np.random.default_rng(count)
    some = [int(v) * top // 2**40 for v in rng.integers(-(2**40), 2**40, size=50)]
    small = [v // top for v in [3 * top, -7 * top]]
    values = [0, 1, -1, top - 1, 1 - top, *some, *small, *primes.all[:2], -primes.all[0]]
    residues = primes.of(table(values))
    assert primes.integers(residues).tolist() == values
    assert primes.signs(residues).tolist() == [(v > 0) - (v < 0) for v in values]


@given(st.lists(st.tuples(*[st.integers(-(2**70), 2**70)] * 2), min_size=1, max_size=9))
def test_differences_need_no_reduction(pairs: list[tuple[int, int]]) -> None:
    """Residues from -p to p are as good."""
    primes = Primes.beyond(72)
    first, second = (primes.of(table([pair[k] for pair in pairs])) for k in (0, 1))
    expected = [a - b for a, b in pairs]
    assert primes.integers(first - second).tolist() == expected
    assert primes.signs(first - second).tolist() == [(v > 0) - (v < 0) for v in expected]


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from(Primes(9).all))
def test_modulo(x: int, p: int) -> None:
    assert modulo(np.array([float(x)]), p)[0] == x % p


def test_the_longest_sum_is_exact() -> None:
    """Beside what is there before, whatever the residues are."""
    assert LONGEST_SUM * (LARGEST_PRIME - 2) ** 2 + 2 * LARGEST_PRIME < 2**53


@given(st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=9))
def test_weights(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    shift = lowest_bit(array)
    whole = [Fraction(v) * 2**shift for v in values]
    assert all(v.denominator == 1 for v in whole)
    assert shift == 0 or any(v % 2 for v in whole)
    for p in Primes(3).all:
        assert ScaledWeights.of(array, shift).modulo(p).tolist() == [int(v) % p for v in whole]


def test_lowest_bit_of_the_extremes() -> None:
    assert lowest_bit(np.array([])) == lowest_bit(np.array([0.0, 8.0, 2.0**1000])) == 0
    assert lowest_bit(np.array([5e-324, 1.0])) == 1074
    assert lowest_bit(np.array([1 - 2.0**-53])) == 53


@pytest.mark.parametrize("n", [LONGEST_SUM - 1, LONGEST_SUM, LONGEST_SUM + 1, 3 * LONGEST_SUM + 5])
@pytest.mark.parametrize("dense", [True, False])
def test_long_sums(n: int, dense: bool) -> None:
    """Sums of many products of large residues, in one matrix and in compressed rows."""
    rng = np.random.default_rng(n)
    weights = rng.integers(-(2**24), 2**24, size=(n, 1)).astype(np.float32)
    x = [Fraction(int(v), 2**20) for v in rng.integers(-(2**40), 2**40, size=n)]
    total: Nodes = [("ReduceSum", ["p", "one"], "s", {"keepdims": 1})]
    nodes: Nodes = [("MatMul", ["x", "w"], "s")] if dense else [("Mul", ["x", "w"], "p"), *total]
    constants = {"w": weights if dense else weights.T, "t": 0.0}
    case = problem([*nodes, ("Greater", ["s", "t"], "y")], constants, (1, n), (x, [1] * n))
    if not dense:
        axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "one")
        case.model.graph.initializer.append(axes)
    ((value,), ((slope,),)) = ExactPiece(case.program, x, [[Fraction(1)] * n]).rationals(
        case.program.tensors["s"]
    )
    assert value == sum((Fraction(float(w)) * v for w, v in zip(weights[:, 0], x, strict=True)), Fraction(0))
    assert slope == sum(int(w) for w in weights[:, 0])


def test_too_many_bits() -> None:
    with pytest.raises(ModelError, match="bits"):
        Primes.beyond(10**6)


def test_layers_of_very_different_sizes() -> None:
    """Units of 2**100 and, layers later, of 2**-140: every guard keeps to the scale of its layer."""
    nodes: Nodes = [
        ("Mul", ["x", "large"], "h"),
        ("Relu", ["h"], "r"),
        ("Mul", ["r", "small"], "s"),
        ("Mul", ["s", "small"], "t"),
        ("Sub", ["t", "level"], "u"),
        ("Relu", ["u"], "v"),
        ("Greater", ["v", "level"], "y"),
    ]
    constants = {"large": 2.0**100, "small": 2.0**-120, "level": 2.0**-140}
    case = problem(nodes, constants, (1, 1), ([0], [1]))
    piece = line_piece(case.program, case.line, Fraction(1, 3))
    assert (piece.lo, piece.hi) == (0, 1)
    exact = ExactPiece(case.program, [Fraction(3, 2)], [[Fraction(1)]])
    whole, scale = exact.margins(guards_of(case.program, exact.branches))
    values = [Fraction(v, s) for v, s in zip(whole[0], scale, strict=True)]
    assert values == [Fraction(3, 2) * 2**100, Fraction(1, 2**141), Fraction(1, 2**141)]
    assert exact.branches[max(exact.branches)].tolist() == [0]
