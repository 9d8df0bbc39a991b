"""Smooth functions, by their formulas in python-flint's balls; and the activations made of pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
from flint import arb
from quicktions import Fraction

from .call import Call, operator
from .elementwise import ZERO
from .exact import BITS, UNKNOWN, Array, Bracket, Unknown, bounds, elementwise, exponential, float32, hull
from .reduction import softmax_node

LONGEST_EXPONENT = 100_000


def by_ball(function: Callable[[arb], arb], value: Any) -> Any:
    """The function of a number, 300 bits tight; UNKNOWN where it has no value."""
    if isinstance(value, Unknown):
        return UNKNOWN
    lo, hi = bounds(value)
    size = max(abs(lo), abs(hi))
    before = max(0, size.numerator.bit_length() - size.denominator.bit_length())
    if before > LONGEST_EXPONENT:
        return UNKNOWN
    with flint.ctx.workprec(BITS + 200 + before):
        ends = [arb(flint.fmpq(end.numerator, end.denominator)) for end in (lo, hi)]
        result = function(ends[0] if lo == hi else ends[0].union(ends[1]))
        return from_ball(result) if result.is_finite() else UNKNOWN


def from_ball(ball: arb) -> Any:
    """A ball as a bracket."""
    ends = []
    for end, up in ((ball.lower(), False), (ball.upper(), True)):
        mantissa, exponent = map(int, end.man_exp())
        if abs(exponent) > LONGEST_EXPONENT:
            if exponent > 0:
                return UNKNOWN
            # too small to be written down: outwards
            mantissa, exponent = int(mantissa > 0) if up else -int(mantissa < 0), -LONGEST_EXPONENT
        ends.append(Fraction(mantissa) * Fraction(2) ** exponent)
    return ends[0] if ends[0] == ends[1] else Bracket(*ends)


def _softplus(x: arb) -> arb:
    return x.exp().log1p() if x < 0 else x + (-x).exp().log1p()


def _sigmoid(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


FORMULAS: dict[str, Callable[[arb], arb]] = {
    "Log": arb.log,
    "Sqrt": arb.sqrt,
    "Tanh": arb.tanh,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1 + abs(x)),
    "Mish": lambda x: x * _softplus(x).tanh(),
    "Erf": arb.erf,
    "Sin": arb.sin,
    "Cos": arb.cos,
    "Tan": arb.tan,
    "Asin": arb.asin,
    "Acos": arb.acos,
    "Atan": arb.atan,
    "Sinh": arb.sinh,
    "Cosh": arb.cosh,
    "Asinh": arb.asinh,
    "Acosh": arb.acosh,
    "Atanh": arb.atanh,
}


@operator(*FORMULAS)
def formula(call: Call) -> list[Array]:
    return [elementwise(lambda x: by_ball(FORMULAS[call.node.op_type], x), call[0])]


@operator("Gelu")
def gelu(call: Call) -> list[Array]:
    def by_erf(x: arb) -> arb:
        return x / 2 * (1 + (x / arb(2).sqrt()).erf())

    def by_tanh(x: arb) -> arb:
        inside = (2 / arb.pi()).sqrt() * (x + x**3 * arb(flint.fmpq(44715, 1000000)))
        return x / 2 * (1 + inside.tanh())

    chosen = by_tanh if call.attribute("approximate", "none") == "tanh" else by_erf
    return [elementwise(lambda x: by_ball(chosen, x), call[0])]


@operator("Swish")
def swish(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", Fraction(1))
    rate = flint.fmpq(alpha.numerator, alpha.denominator)
    return [elementwise(lambda x: by_ball(lambda v: v * _sigmoid(rate * v), x), call[0])]


@operator("LogSoftmax")
def log_softmax(call: Call) -> list[Array]:
    return [elementwise(lambda x: by_ball(arb.log, x), softmax_node(call)[0])]


# --- below and above 0 ---


def _two_sided(x: Any, below: Callable[[Any], Any], above: Callable[[Any], Any]) -> Any:
    """Both functions are monotone and meet at 0."""
    if isinstance(x, Unknown):
        return UNKNOWN
    lo, hi = bounds(x)
    return below(x) if hi <= 0 else above(x) if lo >= 0 else hull([below(lo), ZERO, above(hi)])


@operator("Elu")
def elu(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", Fraction(1))
    return [
        elementwise(lambda x: _two_sided(x, lambda v: alpha * (exponential(v) - 1), lambda v: v), call[0])
    ]


@operator("Selu")
def selu(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", float32(1.67326319217681884765625))
    gamma = call.attribute("gamma", float32(1.05070102214813232421875))

    def scalar(x: Any) -> Any:
        return _two_sided(x, lambda v: gamma * (alpha * exponential(v) - alpha), lambda v: gamma * v)

    return [elementwise(scalar, call[0])]


@operator("Celu")
def celu(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", Fraction(1))

    def below(v: Any) -> Any:
        """max(0, v) = 0, and the minimum with 0 changes nothing, for either sign of alpha."""
        return alpha * (exponential(v * (1 / alpha)) - 1)

    return [elementwise(lambda x: _two_sided(x, below, lambda v: v), call[0])]


@operator("ThresholdedRelu")
def thresholded_relu(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", Fraction(1))

    def scalar(x: Any) -> Any:
        if isinstance(x, Unknown):
            return UNKNOWN
        lo, hi = bounds(x)
        return x if lo > alpha else ZERO if hi <= alpha else hull([ZERO, x])

    return [elementwise(scalar, call[0])]


@operator("Shrink")
def shrink(call: Call) -> list[Array]:
    lambd, bias = call.attribute("lambd", Fraction(1, 2)), call.attribute("bias", ZERO)

    def scalar(x: Any) -> Any:
        if isinstance(x, Unknown):
            return UNKNOWN
        lo, hi = bounds(x)
        if hi < -lambd:
            return x + bias
        if lo >= -lambd and lo > lambd:
            return x - bias
        if lo >= -lambd and hi <= lambd:
            return ZERO
        return hull([ZERO, x + bias, x - bias])

    return [elementwise(scalar, call[0])]


# --- powers ---

LARGEST_POWER = 64


def _power(x: Any, y: Any) -> Any:
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    lo, hi = bounds(y)
    if lo == hi and lo.denominator == 1:
        n = int(lo)
        if n == 0:
            return 1 if isinstance(x, int) else Fraction(1)
        if isinstance(x, int):
            return x**n if n > 0 else UNKNOWN
        if n < 0 and bounds(x)[0] <= 0 <= bounds(x)[1]:
            return UNKNOWN
        if isinstance(x, Fraction) and abs(n) <= LARGEST_POWER:
            return x**n
        return by_ball(lambda v: v**n, x)
    if isinstance(x, int):
        return UNKNOWN
    if x == 0 and lo > 0:
        return ZERO
    if bounds(x)[0] <= 0:
        return UNKNOWN
    return by_ball(arb.exp, by_ball(arb.log, x) * y)


@operator("Pow")
def power(call: Call) -> list[Array]:
    return [elementwise(_power, call[0], call[1])]
