"""v**p for a constant exponent p."""

from __future__ import annotations

import functools
from dataclasses import replace
from fractions import Fraction

from flint import arb, fmpq

from verifier.check.numbers.smooth_branches import Ball, Branch, Function, Series, everywhere, one, zero

__all__ = ["power"]

LARGEST = 64  # of the exponents that have tables


@functools.lru_cache(maxsize=256)
def power(p: Fraction) -> Function:
    """The function, p neither 0 nor 1: on all numbers, all but 0, all from 0 on, or all above 0."""
    f, slope, touch = _raised(p), _slope(p), _touch(p)
    right = Branch(f, slope, 1 if p > 1 or p < 0 else -1, touch)
    series, scaling = _series(p), p if p.denominator <= 2 else None
    if p.denominator > 1:
        defined = _not_negative if p > 0 else _positive
        return replace(one(f, slope, right.bend, touch, defined), series=series, power=scaling)
    even = p % 2 == 0
    left = Branch(f, slope, 1 if even else -1, lambda v: -touch(-v if even else v))
    return Function((left, right), (zero,), everywhere if p > 0 else _nonzero, series, scaling)


def _not_negative(a: arb, b: arb) -> bool:
    return bool(a >= 0)


def _positive(a: arb, b: arb) -> bool:
    return bool(a > 0)


def _nonzero(a: arb, b: arb) -> bool:
    return bool(a > 0 or b < 0)


def _raised(p: Fraction) -> Ball:
    if p.denominator == 1:
        return lambda v: v ** int(p)
    exponent = fmpq(p.numerator, p.denominator)
    return lambda v: arb(0) if p > 0 and v.is_zero() else v ** arb(exponent)


def _slope(p: Fraction) -> Ball:
    raised = _raised(p - 1)
    return lambda v: arb(fmpq(p.numerator, p.denominator)) * raised(v)


def _series(p: Fraction) -> Series | None:
    if abs(p) > LARGEST:
        return None
    if p.denominator == 1:
        return lambda v: v ** int(p) if p > 0 else v.inv() ** int(-p)
    return lambda v: (v.log() * arb(fmpq(p.numerator, p.denominator))).exp()


def _touch(p: Fraction) -> Ball:
    """The v > 0 with p*v**(p - 1) = s."""
    inverse = 1 / (p - 1)
    scale = fmpq(p.denominator, p.numerator)
    return lambda s: (s * arb(scale)) ** arb(fmpq(inverse.numerator, inverse.denominator))
