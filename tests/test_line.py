"""The line and the noise, exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.line import line_of
from inference.noise import Noise
from symbolic.errors import NoHypothesisError, NoiseError

numbers = st.fractions(min_value=-4, max_value=4, max_denominator=50)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6),
    st.sampled_from(["scalar", "diagonal", "full"]),
)
def test_definitions_hold_exactly(pairs: list[tuple[Fraction, Fraction]], kind: str) -> None:
    x, eta = [p[0] for p in pairs], [p[1] for p in pairs]
    n = len(x)
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    full = root @ root.T + np.eye(n)
    full = (full + full.T) / 2
    var: object = {"scalar": Fraction(7, 10), "diagonal": rng.uniform(0.5, 2, size=n), "full": full}[kind]
    sigma = {
        "scalar": lambda: [[Fraction(7, 10) * (i == j) for j in range(n)] for i in range(n)],
        "diagonal": lambda: [
            [Fraction(float(np.asarray(var)[i])) * (i == j) for j in range(n)] for i in range(n)
        ],
        "full": lambda: [[Fraction(float(full[i, j])) for j in range(n)] for i in range(n)],
    }[kind]()
    noise = Noise.of(var, n)
    if not any(eta):
        with pytest.raises(NoHypothesisError):
            line_of(x, eta, noise)
        return
    line = line_of(x, eta, noise)
    moved = [sum(sigma[i][j] * eta[j] for j in range(n)) for i in range(n)]
    q = sum(e * m for e, m in zip(eta, moved, strict=True))
    assert line.variance == q and line.stat == sum(e * v for e, v in zip(eta, x, strict=True))
    # beta is scale times b = Sigma eta / q, and moving by t moves the statistic by scale t, and nothing else
    assert all(b == line.scale * m / q for b, m in zip(line.beta, moved, strict=True))
    assert sum(e * b for e, b in zip(eta, line.beta, strict=True)) == line.scale
    assert Fraction(1, 4) < line.scale**2 / q < 4


def test_contrasts_of_means_move_along_small_integers() -> None:
    eta = [Fraction(1, 3)] * 3 + [Fraction(-1, 5)] * 5
    line = line_of([Fraction(0)] * 8, eta, Noise.of("0.1", 8))
    assert all(b.denominator & (b.denominator - 1) == 0 for b in line.beta)  # dyadic
    assert {b / line.beta[-1] for b in line.beta} == {1, Fraction(-5, 3)}


def test_halves_are_independent() -> None:
    x = [Fraction(k) for k in range(4)]
    eta = [Fraction(1), Fraction(0), Fraction(-1), Fraction(0)]
    one = line_of(x, eta, Noise.of([2.0, 3.0], 4, halves=True))
    joint = line_of(x, eta, Noise.of(np.diag([2.0, 3.0, 2.0, 3.0]), 4, halves=True))
    assert one.variance == joint.variance == 4 and one.beta == joint.beta


def test_a_decimal_string_is_exact_and_a_float_is_binary() -> None:
    assert Noise.of("0.1", 3).value == Fraction(1, 10)
    assert Noise.of(0.1, 3).value == Fraction(0.1) != Fraction(1, 10)


@pytest.mark.parametrize(
    "var, words",
    [
        (0, "positive"),
        (-1.0, "positive"),
        ([1.0, 0.0, 2.0], "positive"),
        ([[2.0, 1.0, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 1.0]], "symmetric"),
        ([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "definite"),
        ([1.0, 2.0], "shape"),
        (np.eye(4), "shape"),
    ],
)
def test_what_is_no_covariance_is_refused(var: object, words: str) -> None:
    with pytest.raises(NoiseError, match=words):
        Noise.of(var, 3)
