"""Strictly monotone functions of one real number, solved for their argument in ball arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, fmpq

from verifier.check.operators.registry import Node

__all__ = ["Inverse", "inverse_of"]


@dataclass(frozen=True)
class Inverse:
    """f(u) = tau solved for u. The range of f is open: (low, high), None standing for infinity."""

    of: Callable[[arb], arb]
    low: Callable[[], arb] | None = None
    high: Callable[[], arb] | None = None
    falling: bool = False
    above_zero: bool = False  # monotone, and defined at all, for positive arguments only
    smooth: bool = True  # else piecewise linear: no reason to peel by itself
    argument: int = 0

    def solve(self, tau: arb | float) -> arb | float | None:
        """u; +inf (-inf) if f(u) is below (above) tau, in the order of u, for all u; None if unclear."""
        if isinstance(tau, arb):
            low, high = (None if end is None else end() for end in (self.low, self.high))
            if low is not None and tau <= low:
                tau = -math.inf
            elif high is not None and tau >= high:
                tau = math.inf
            elif (low is None or tau > low) and (high is None or tau < high):
                u = self.of(tau)
                return u if u.is_finite() else None
            else:
                return None
        return -tau if self.falling else tau


def _integer(n: int) -> Callable[[], arb]:
    return lambda: arb(n)


def _half_turn(sign: int) -> Callable[[], arb]:
    return lambda: sign * arb.pi() / 2


FUNCTIONS = {
    "Exp": Inverse(lambda t: t.log(), _integer(0)),
    "Log": Inverse(lambda t: t.exp(), above_zero=True),
    "Sqrt": Inverse(lambda t: t**2, _integer(0), above_zero=True),
    "Reciprocal": Inverse(lambda t: 1 / t, _integer(0), falling=True, above_zero=True),
    "Sigmoid": Inverse(lambda t: (t / (1 - t)).log(), _integer(0), _integer(1)),
    "Tanh": Inverse(lambda t: ((1 + t) / (1 - t)).log() / 2, _integer(-1), _integer(1)),
    "Softplus": Inverse(lambda t: t + (-(-t).expm1()).log(), _integer(0)),
    "Softsign": Inverse(lambda t: t / (1 - abs(t)), _integer(-1), _integer(1)),
    "Erf": Inverse(lambda t: t.erfinv(), _integer(-1), _integer(1)),
    "Atan": Inverse(lambda t: t.tan(), _half_turn(-1), _half_turn(1)),
    "Sinh": Inverse(lambda t: t.asinh()),
    "Asinh": Inverse(lambda t: t.sinh()),
}


def inverse_of(node: Node, number: Callable[[str], Fraction | None]) -> Inverse | None:
    """The inverse of what a node does to each element, None if it is not one strictly monotone function.

    `number` gives the constants of one element.
    """
    if node.op in FUNCTIONS:
        return FUNCTIONS[node.op]
    if node.op == "Neg":
        return Inverse(lambda t: -t, falling=True, smooth=False)
    if node.op == "LeakyRelu":
        alpha = arb(node.get("alpha"))
        return Inverse(_joined(lambda t: t / alpha), smooth=False) if alpha > 0 else None
    if node.op in ("Elu", "Celu", "Selu"):
        return _exponential_unit(node)
    if node.op in ("Add", "Sub", "Mul", "Div") and len(node.inputs) == 2:
        return _with_number(node.op, *(number(name) for name in node.inputs))
    return None


def _joined(below: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """The identity from zero on, and `below` under it."""
    return lambda t: t if t >= 0 else below(t) if t < 0 else arb("nan")


def _exponential_unit(node: Node) -> Inverse | None:
    """g*t above zero, g*alpha*(exp(t/s) - 1) below; s is alpha for Celu."""
    alpha, g = arb(node.get("alpha")), arb(node.get("gamma", 1.0))
    if not (alpha > 0 and g > 0):
        return None
    s = alpha if node.op == "Celu" else arb(1)
    unit = _joined(lambda t: s * (1 + t / alpha).log())
    return Inverse(lambda t: unit(t / g), lambda: -g * alpha)


def _with_number(op: str, a: Fraction | None, b: Fraction | None) -> Inverse | None:
    """y + b, y - b, a - y, y * b, y / b and the like."""
    if (a is None) == (b is None):
        return None
    at, value = (1, a) if b is None else (0, b)
    number = arb(fmpq(value.numerator, value.denominator))  # type: ignore[union-attr]
    if op == "Add":
        return Inverse(lambda t: t - number, smooth=False, argument=at)
    if op == "Sub" and at == 0:
        return Inverse(lambda t: t + number, smooth=False)
    if op == "Sub":
        return Inverse(lambda t: number - t, falling=True, smooth=False, argument=1)
    if value == 0 or op == "Div" and at == 1:
        return None
    falling = bool(value < 0)  # type: ignore[operator]
    of = (lambda t: t / number) if op == "Mul" else (lambda t: t * number)
    return Inverse(of, falling=falling, smooth=False, argument=at)
