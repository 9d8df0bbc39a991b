"""The smooth functions of the standard that have no attributes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from flint import arb, arb_series

from verifier.check.numbers.smooth_branches import REACH, Branch, Function, Series, odd, one, within, zero
from verifier.check.numbers.smooth_hills import MISH, logistic, sigmoid, sigmoid_slope, softplus
from verifier.check.numbers.smooth_waves import COS, SIN, TAN

__all__ = ["FUNCTIONS"]


def _logistic_root(s: arb) -> arb:
    """The v > 0 with sigmoid'(v) = s: u = exp(-v) solves s*(1 + u)**2 = u."""
    return -(((1 - 2 * s) - (1 - 4 * s).sqrt()) / (2 * s)).log()


def _above_0(a: arb, b: arb) -> bool:
    return bool(a > 0)


def _reciprocal(side: int) -> Branch:
    return Branch(lambda v: 1 / v, lambda v: -1 / (v * v), side, lambda s: side * (-1 / s).sqrt())


def _softsign(side: int) -> Branch:
    """v / (1 + |v|)."""
    return Branch(
        lambda v: v / (1 + side * v),
        lambda v: 1 / (1 + side * v) ** 2,
        -side,
        lambda s: side * (s.rsqrt() - 1),
    )


def _inside(a: arb, b: arb) -> bool:
    return bool(a > -1 and b < 1)


def _small(a: arb, b: arb) -> bool:
    return bool(a >= -REACH and b <= REACH)


def _erf_root(s: arb) -> arb:
    return (-(s * arb.pi().sqrt() / 2).log()).sqrt()


def _tanh_series(v: arb_series) -> arb_series:
    return 2 * logistic(2 * v) - 1


def _softplus_series(v: arb_series) -> arb_series:
    return (1 + v.exp()).log()


SERIES: dict[str, Series] = {
    "Exp": arb_series.exp,
    "Log": arb_series.log,
    "Sqrt": arb_series.sqrt,
    "Reciprocal": arb_series.inv,
    "Sigmoid": logistic,
    "Tanh": _tanh_series,
    "Softplus": _softplus_series,
    "Erf": arb_series.erf,
    "Atan": arb_series.atan,
}
FUNCTIONS = {
    "Exp": one(arb.exp, arb.exp, 1, arb.log, lambda a, b: bool(b <= REACH)),
    "Log": one(arb.log, lambda v: 1 / v, -1, lambda s: 1 / s, _above_0),
    "Sqrt": one(arb.sqrt, lambda v: v.rsqrt() / 2, -1, lambda s: 1 / (4 * s * s), lambda a, b: bool(a >= 0)),
    "Reciprocal": Function((_reciprocal(-1), _reciprocal(1)), (zero,), lambda a, b: bool(a > 0 or b < 0)),
    "Sigmoid": odd(sigmoid, sigmoid_slope, 1, _logistic_root),
    "Tanh": odd(arb.tanh, lambda v: 1 - v.tanh() ** 2, 1, lambda s: _logistic_root(s / 4) / 2),
    "Softplus": one(softplus, sigmoid, 1, lambda s: (s / (1 - s)).log()),
    "Softsign": Function((_softsign(-1), _softsign(1)), (zero,)),
    "Mish": MISH,
    "Erf": odd(arb.erf, lambda v: (-v * v).exp() * 2 / arb.pi().sqrt(), 1, _erf_root),
    "Sin": SIN,
    "Cos": COS,
    "Tan": TAN,
    "Asin": odd(
        arb.asin, lambda v: (1 - v * v).rsqrt(), -1, lambda s: (1 - 1 / (s * s)).sqrt(), within(-1, 1)
    ),
    "Acos": odd(
        arb.acos, lambda v: -(1 - v * v).rsqrt(), 1, lambda s: (1 - 1 / (s * s)).sqrt(), within(-1, 1)
    ),
    "Atan": odd(arb.atan, lambda v: 1 / (1 + v * v), 1, lambda s: (1 / s - 1).sqrt()),
    "Sinh": odd(arb.sinh, arb.cosh, -1, arb.acosh, _small),
    "Cosh": one(arb.cosh, arb.sinh, 1, arb.asinh, _small),
    "Asinh": odd(arb.asinh, lambda v: (1 + v * v).rsqrt(), 1, lambda s: (1 / (s * s) - 1).sqrt()),
    "Acosh": one(
        arb.acosh,
        lambda v: (v * v - 1).rsqrt(),
        -1,
        lambda s: (1 + 1 / (s * s)).sqrt(),
        lambda a, b: bool(a >= 1),
    ),
    "Atanh": odd(
        arb.atanh,
        lambda v: 1 / (1 - v * v),
        -1,
        lambda s: (1 - 1 / s).sqrt(),
        lambda a, b: bool(-1 < a and b < 1),
    ),
}
POWERS = {"Sqrt": Fraction(1, 2), "Reciprocal": Fraction(-1)}
FUNCTIONS |= {
    name: replace(FUNCTIONS[name], series=series, power=POWERS.get(name)) for name, series in SERIES.items()
}
