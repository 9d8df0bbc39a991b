"""Strictly monotone functions of one variable, and their inverses at a level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from symbolic.enclosures.rounding import TINY, UP
from symbolic.enclosures.values import Const, Value
from symbolic.node import Inputs, Node

__all__ = ["Monotone", "monotone", "threshold"]

Inverse = Callable[[arb], arb]
Argument = arb | float
"""A ball, or an infinity where a level is never reached: all values are on one side of it."""

BITS = 128
MOST_LEVELS = 1 << 16


@dataclass(frozen=True)
class Monotone:
    """A function of one variable with an open range; limits that are None are infinite.

    Attributes
    ----------
    inverse : callable
        On the range, in ball arithmetic.
    least, greatest : callable, optional
        The limits of the range.
    rising : bool
        Increasing, or else decreasing.
    positive : bool
        All this holds for positive arguments only.
    argument : int
        Which input of the node is the variable.
    """

    inverse: Inverse
    least: Callable[[], arb] | None = None
    greatest: Callable[[], arb] | None = None
    rising: bool = True
    positive: bool = False
    argument: int = 0

    def back(self, level: Argument) -> Argument | None:
        """The argument at a level; None where balls cannot tell."""
        if isinstance(level, float):
            return level if self.rising else -level
        for limit, beyond in ((self.least, -np.inf), (self.greatest, np.inf)):
            if limit is not None:
                end = limit()
                if (level <= end) if beyond < 0 else (level >= end):
                    return beyond if self.rising else -beyond
                if not ((level > end) if beyond < 0 else (level < end)):
                    return None
        found = self.inverse(level)
        return found if found.is_finite() else None


def _number(value: float) -> Callable[[], arb]:
    return lambda: arb(value)


ZERO, ONE, MINUS_ONE = _number(0), _number(1), _number(-1)


def _logit(t: arb) -> arb:
    return (t / (1 - t)).log()


def _softplus_inverse(t: arb) -> arb:
    return t + (-(-t).expm1()).log()


FUNCTIONS: dict[str, Monotone] = {
    "Asinh": Monotone(arb.sinh),
    "Atan": Monotone(arb.tan, lambda: -arb.pi() / 2, lambda: arb.pi() / 2),
    "Erf": Monotone(arb.erfinv, MINUS_ONE, ONE),
    "Exp": Monotone(arb.log, ZERO),
    "Log": Monotone(arb.exp, positive=True),
    "Reciprocal": Monotone(lambda t: 1 / t, ZERO, rising=False, positive=True),
    "Sigmoid": Monotone(_logit, ZERO, ONE),
    "Sinh": Monotone(arb.asinh),
    "Softplus": Monotone(_softplus_inverse, ZERO),
    "Softsign": Monotone(lambda t: t / (1 - abs(t)), MINUS_ONE, ONE),
    "Sqrt": Monotone(lambda t: t * t, ZERO, positive=True),
    "Tanh": Monotone(arb.atanh, MINUS_ONE, ONE),
}


def monotone(node: Node, inputs: Inputs) -> Monotone | None:
    """What a node does to each element of its one moving input, if that is strictly monotone.

    Parameters
    ----------
    node : Node
    inputs : sequence of Value
        Its inputs: which are constant, and what these are.
    """
    if node.op_type in FUNCTIONS:
        return FUNCTIONS[node.op_type]
    if node.op_type == "Neg":
        return Monotone(lambda t: -t, rising=False)
    if node.op_type in ("LeakyRelu", "Elu", "Celu", "Selu"):
        return _two_branches(node)
    return _affine(node, inputs)


def _two_branches(node: Node) -> Monotone | None:
    """Linear above zero, of another kind below."""
    alpha, gamma = arb(node.number("alpha")), arb(node.attributes.get("gamma", 1.0))
    if not (alpha > 0 and gamma > 0):
        return None
    kind = node.op_type
    scale = alpha if kind == "Celu" else arb(1)

    def inverse(t: arb) -> arb:
        t = t / gamma
        if t >= 0:
            return t
        if not t < 0:
            return arb("nan")
        return t / alpha if kind == "LeakyRelu" else scale * (t / alpha).log1p()

    return Monotone(inverse, None if kind == "LeakyRelu" else lambda: -alpha * gamma)


def _affine(node: Node, inputs: Inputs) -> Monotone | None:
    """A sum, difference, product or quotient with one number."""
    kind = node.op_type
    if kind not in ("Add", "Sub", "Mul", "Div") or len(inputs) != 2:
        return None
    moving = [k for k, value in enumerate(inputs) if not isinstance(value, Const)]
    if len(moving) != 1:
        return None
    at, number = moving[0], _ball(inputs[1 - moving[0]])
    if number is None or not number.is_finite():
        return None
    if kind == "Add":
        return Monotone(lambda t: t - number, argument=at)
    if kind == "Sub" and at == 0:
        return Monotone(lambda t: t + number)
    if kind == "Sub":
        return Monotone(lambda t: number - t, rising=False, argument=1)
    if not (number > 0 or number < 0) or (kind == "Div" and at == 1):
        return None
    inverse: Inverse = (lambda t: t / number) if kind == "Mul" else (lambda t: t * number)
    return Monotone(inverse, rising=bool(number > 0), argument=at)


def _ball(value: Value | None) -> arb | None:
    """A constant of one element."""
    if not isinstance(value, Const) or value.value.size != 1:
        return None
    return arb(float(value.value.item()), float(value.spread.item()))


def threshold(level: Const, functions: Sequence[Monotone]) -> Const | NDArray[np.bool_] | None:
    """Where functions, the last one first, reach given levels.

    Returns
    -------
    Const
        The arguments.
    ndarray of bool
        Instead, if none of the levels is ever reached: whether it is above all values of the argument.
    None
        If balls cannot tell, or some levels are reached and some are not.
    """
    pairs = np.stack([level.value.astype(np.float64), level.spread])
    distinct, back = np.unique(pairs.reshape(2, -1), axis=1, return_inverse=True)
    if not 0 < distinct.shape[1] <= MOST_LEVELS:
        return None
    before, ctx.prec = ctx.prec, BITS
    try:
        found = [_back(arb(*pair), functions) for pair in distinct.T.tolist()]
        if any(argument is None for argument in found):
            return None
        beyond = [argument for argument in found if isinstance(argument, float)]
        if beyond:
            above = np.array(beyond) > 0
            return above[back].reshape(level.shape) if len(beyond) == len(found) else None
        ends = np.array([_rounded(argument) for argument in found if isinstance(argument, arb)])
    finally:
        ctx.prec = before
    value, radius = (column[back].reshape(level.shape) for column in ends.T)
    return Const(value, radius if radius.any() else None) if np.isfinite(ends).all() else None


def _back(level: Argument | None, functions: Sequence[Monotone]) -> Argument | None:
    for function in functions:
        level = None if level is None else function.back(level)
    return level


def _rounded(ball: arb) -> tuple[float, float]:
    """A double, and how far at most the ball reaches from it."""
    centre = float(ball.mid())
    if not np.isfinite(centre):
        return centre, np.inf
    reach = abs(ball - arb(centre))
    return centre, 0.0 if reach == 0 else float(reach.upper()) * UP + TINY
