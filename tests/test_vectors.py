"""Products of two moving matrices, norms and log-sum-exp against exact arithmetic, in engine and checker."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, fmpq

from symbolic.enclosures import convex
from symbolic.enclosures.linear import bilinear_map
from symbolic.enclosures.values import Affine
from verifier.check.numbers import vectors as check_vectors
from verifier.check.numbers.contractions import contract
from verifier.check.numbers.integers import EXACT, FAST, FINE, RATIONAL, Arithmetic, Form

SCALES = (1.0, 1e-3, 1e-9, 0.0)
PRECISIONS = (FAST, FINE, 128, EXACT)
TAUS = (Fraction(-1), Fraction(-3, 8), Fraction(0), Fraction(1))
Vector = list[arb]


def number(value: Any) -> Fraction:
    """A float, an integer or the checker's rational, exactly."""
    plain = getattr(value, "value", value)
    if isinstance(plain, fmpq):
        return Fraction(int(plain.p), int(plain.q))
    return Fraction(plain.item() if isinstance(plain, np.generic) else plain)


def ball(value: Fraction) -> arb:
    return arb(fmpq(value.numerator, value.denominator))


def affine(rng: np.random.Generator, shape: tuple[int, ...], scale: float, wild: bool) -> Affine:
    """Some segments first; wild numbers range over 180 decades, products of them underflow."""

    def numbers() -> np.ndarray:
        powers = 10.0 ** rng.integers(-170, 10, size=shape) if wild else 1.0
        return np.asarray(rng.normal(size=shape) * powers * (rng.random(shape) < 0.9))

    return Affine(numbers(), numbers() * scale, np.abs(numbers()) * scale / 8)


def form(rng: np.random.Generator, ar: Arithmetic, shape: tuple[int, ...], scale: float) -> Form:
    """Some cells last."""

    def whole(bits: float) -> np.ndarray:
        values = [int(v) for v in rng.normal(size=int(np.prod(shape))) * 2.0**bits]
        return np.array(values, dtype=object).reshape(shape)

    steps = 55 - 4 * int(-np.log10(scale)) if scale else 0
    return ar.form(whole(55), -50, d=whole(steps) * (scale > 0), r=abs(whole(steps - 4)) * (scale > 0))


def points(
    rng: np.random.Generator, parts: tuple[Any, Any, Any], tau: Fraction, unit: Fraction = Fraction(1)
) -> np.ndarray:
    """Values that the form allows at tau, at an end of every radius."""
    sides = rng.choice([-1, 1], size=parts[0].shape)
    out = np.empty(parts[0].shape, dtype=object)
    for index in np.ndindex(out.shape):
        c, d, r = (number(a[index]) for a in parts)
        out[index] = (c + d * tau + r * int(sides[index])) * unit
    return out


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_engine_products(scale: float, wild: bool) -> None:
    rng = np.random.default_rng(1)
    a, b = affine(rng, (2, 3, 5), scale, wild), affine(rng, (2, 5, 4), scale, wild)
    y = bilinear_map(a, b, np.matmul, 5)
    for tau in TAUS:
        exact = np.matmul(*(points(rng, (x.c, x.d, x.r), tau) for x in (a, b)))
        for index in np.ndindex(exact.shape):
            c, d, r = (number(v[index]) for v in (y.c, y.d, y.r))
            assert abs(exact[index] - c - d * tau) <= r
    if scale == 0 and not wild:
        assert y.r.max() < 1e-13


@pytest.mark.parametrize("precision", [*PRECISIONS, RATIONAL])
@pytest.mark.parametrize("scale", SCALES)
def test_checker_products(scale: float, precision: int | None) -> None:
    rng, ar = np.random.default_rng(2), Arithmetic(precision)
    a, b = form(rng, ar, (2, 3, 5, 2), scale), form(rng, ar, (2, 5, 4, 1), scale)
    y = contract(ar, a, b)
    for tau in TAUS:
        x, w = (points(rng, (f.c, f.d, f.r), tau, Fraction(2) ** f.e) for f in (a, b))
        exact = np.moveaxis(np.matmul(np.moveaxis(x, -1, 0), np.moveaxis(w, -1, 0)), 0, -1)
        for index in np.ndindex(exact.shape):
            c, d, r = (number(v[index]) * Fraction(2) ** y.e for v in (y.c, y.d, y.r))
            assert abs(exact[index] - c - d * tau) <= r
    if scale == 0:
        assert max(map(float, map(number, y.r.flat))) * 2.0**y.e < 1e-6


FUNCTIONS: dict[str, tuple[Callable[[Vector], arb], Any, Any]] = {
    **{
        f"norm {p}": (
            lambda v, p=p: sum((abs(x) ** p for x in v), arb(0)).root(p),
            lambda x, p=p: convex.norm(x, p, (1,)),
            lambda ar, v, p=p: check_vectors.norm(ar, v, p),
        )
        for p in (2, 3, 7)
    },
    "log sum exp": (
        lambda v: sum((x.exp() for x in v), arb(0)).log(),
        lambda x: convex.log_sum_exp(x, (1,)),
        check_vectors.log_sum_exp,
    ),
}


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("scale", (30.0, *SCALES))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_engine_functions(name: str, scale: float, wild: bool) -> None:
    exact, function, _ = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    x = affine(rng, (2, 5, 3), scale, wild)
    x.c[0] *= not wild  # through 0
    y = function(x)
    for tau in TAUS:
        values = points(rng, (x.c, x.d, x.r), tau)
        for k, column in np.ndindex(2, 3):
            with flint.ctx.workprec(2000 if wild else 300):
                wanted = exact([ball(v) for v in values[k, :, column]])
                c, d, r = (number(v[k, 0, column]) for v in (y.c, y.d, y.r))
                assert not abs(wanted - ball(c + d * tau)) > ball(r)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_checker_functions(name: str, scale: float, precision: int | None) -> None:
    exact, _, function = FUNCTIONS[name]
    rng, ar = np.random.default_rng(4), Arithmetic(precision)
    x = form(rng, ar, (5, 3, 2), scale)
    y = function(ar, x)
    for tau in TAUS:
        values = points(rng, (x.c, x.d, x.r), tau, Fraction(2) ** x.e)
        for column, cell in np.ndindex(3, 2):
            with flint.ctx.workprec(800):
                wanted = exact([ball(v) for v in values[:, column, cell]])
                c, d, r = (number(v[column, cell]) * Fraction(2) ** y.e for v in (y.c, y.d, y.r))
                assert not abs(wanted - ball(c + d * tau)) > ball(r)
    if scale == 0:
        assert max(map(int, y.r.flat)) * 2.0**y.e < 1e-12


def test_a_kink_costs_no_more_than_that_of_an_absolute_value() -> None:
    """The norm of a vector that passes 0 is within half of the best radius there is."""
    zero, one = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    for at in (0.0, 0.01, 0.3, 0.9):
        y = convex.norm(Affine(at * one, one, zero), 2, (1,))
        chord_gap = (1 - at * at) / 2  # of |tau + at| on [-1, 1]
        assert y.r[0, 0, 0] <= 1.51 * chord_gap + 1e-12
