"""Integers and floats of every size as residues, against Python's integers and Fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from symbolic.pieces.residues import Primes, ScaledWeights, lowest_bit

FLOATS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5)
EXTREMES = [0.0, 2.0**-1074, -float(np.finfo(np.float64).max)]


@given(bits=st.integers(1, 3000), data=st.data())
def test_signs_and_integers(bits: int, data: st.DataObject) -> None:
    """Of so many bits, small ones, and neighbours of the greatest."""
    largest = (1 << bits) - 1
    sizes = st.one_of(
        st.integers(0, largest),
        st.integers(0, min(largest, 9)),
        st.integers(max(0, largest - 9), largest),
    )
    pairs = data.draw(st.lists(st.tuples(st.sampled_from((-1, 1)), sizes), min_size=1))
    values = [sign * size for sign, size in pairs]
    primes = Primes.beyond(bits)
    residues = primes.of(np.array(values, dtype=object))
    assert primes.integers(residues).tolist() == values
    assert primes.signs(residues).tolist() == [(v > 0) - (v < 0) for v in values]


def test_shapes() -> None:
    primes = Primes.beyond(200)
    values = np.array([[3**90, -(5**70), 0], [1, -1, 7**60]], dtype=object)
    assert (primes.integers(primes.of(values)) == values).all()
    assert primes.integers(primes.of(values[:0])).shape == (0, 3)


@given(FLOATS)
def test_lowest_bit(values: list[float]) -> None:
    found = lowest_bit(np.array(values))
    exact = [Fraction(v) for v in values]
    assert all((v * 2**found).denominator == 1 for v in exact)
    assert found == 0 or any((v * 2 ** (found - 1)).denominator != 1 for v in exact)


def test_lowest_bit_of_powers() -> None:
    for k in range(-1074, 1024):
        assert lowest_bit(np.array([2.0**k, -(2.0**k), 0.0])) == max(0, -k)


@given(FLOATS)
def test_weights(values: list[float]) -> None:
    array = np.array([*values, *EXTREMES])
    shift = lowest_bit(array)
    weights = ScaledWeights.of(array, shift)
    for p in Primes(3).all:
        assert weights.modulo(p).tolist() == [int(Fraction(v) * 2**shift) % p for v in array.tolist()]
