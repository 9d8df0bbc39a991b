"""The oracle itself: the twin against the ONNX standard's node tests and against ONNX Runtime."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import twin
from node_tests import NodeTest, node_tests

LARGE = 50_000
HALF_A_STEP = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # what an expected value loses where it is stored


def agree(test: NodeTest) -> None:
    """The twin's outputs lie within the test's tolerance of the expected ones."""
    values = twin.outputs_of(test.model, test.feeds)
    real = all(np.isfinite(a.astype(np.float64)).all() for a in test.feeds.values())
    for got, expected in zip(values, test.expected, strict=True):
        assert got.shape == expected.shape
        number, wanted = twin.to_float(got), expected.astype(np.float64)
        finite = np.isfinite(wanted)
        if not real:  # an infinite number has no meaning in the twin, a type that saturates makes it finite
            finite &= ~np.isnan(number)
        stored = HALF_A_STEP.get(expected.dtype.name, 0.0)
        np.testing.assert_allclose(
            number[finite], wanted[finite], rtol=test.rtol + stored, atol=max(test.atol, 1e-6)
        )
        assert np.isnan(number[~np.isfinite(wanted)]).all(), "no real number, so the twin must not name one"
        if expected.dtype.kind in "biu":
            kind = bool if expected.dtype.kind == "b" else int
            assert all(type(v) is kind for v in got.reshape(-1))


@pytest.mark.parametrize("test", [t for t in node_tests() if t.size <= LARGE], ids=lambda t: t.name)
def test_standard(test: NodeTest) -> None:
    agree(test)


@pytest.mark.slow
@pytest.mark.parametrize("test", [t for t in node_tests() if t.size > LARGE], ids=lambda t: t.name)
def test_standard_large(test: NodeTest) -> None:
    agree(test)


def test_every_operator_has_node_tests() -> None:
    """The standard tests each operator of the twin; the count guards against tests that vanish unseen."""
    seen = set().union(*(test.operators for test in node_tests()))
    assert set(twin.OPERATORS) == seen | {"MaxRoiPool", "GlobalLpPool"}  # which have none
    assert len(node_tests()) >= 540


# --- the twin's own arithmetic ---


def test_brackets_contain() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (
            Fraction(int(v)) / int(d)
            for v, d in zip(rng.integers(-99, 99, 2), rng.integers(1, 99, 2), strict=True)
        )
        for x in (a, twin.Bracket(a, a + Fraction(1, 7))):
            for y in (b, twin.Bracket(b - Fraction(1, 3), b)):
                for result, exact in ((x + y, a + b), (x - y, a - b), (x * y, a * b)):
                    lo, hi = twin.bounds(result)
                    assert lo <= exact <= hi


def test_functions_are_tight() -> None:
    from twin.exact import exponential, square_root

    for value in (Fraction(-30), Fraction(1, 3), Fraction(700)):
        lo, hi = twin.bounds(exponential(value))
        assert lo <= hi <= lo * (1 + Fraction(1, 2**290))
        lo, hi = twin.bounds(square_root(abs(value)))
        assert lo * lo <= abs(value) <= hi * hi <= lo * lo * (1 + Fraction(1, 2**290))
    assert twin.bounds(square_root(Fraction(9, 4))) == (Fraction(3, 2), Fraction(3, 2))


def test_unknown_spreads() -> None:
    from twin.exact import divide, equal, greater

    assert divide(Fraction(1), Fraction(0)) is twin.UNKNOWN
    assert twin.UNKNOWN * Fraction(0) is twin.UNKNOWN
    assert greater(twin.UNKNOWN, Fraction(0)) is twin.UNKNOWN
    overlapping = twin.Bracket(Fraction(0), Fraction(1))
    assert greater(overlapping, Fraction(1, 2)) is twin.UNKNOWN
    assert greater(overlapping, Fraction(1)) is False
    assert equal(overlapping, Fraction(2)) is False
