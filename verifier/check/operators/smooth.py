"""Smooth operators with attributes, powers, and the activations that jump."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb

from verifier.check.errors import NotHomogeneous, Undecided
from verifier.check.numbers.discrete import COMPARISONS, Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import relu, select
from verifier.check.numbers.smooth import smooth
from verifier.check.numbers.smooth_branches import Branch, Function, zero
from verifier.check.numbers.smooth_hills import GELUS, swish
from verifier.check.numbers.smooth_power import power
from verifier.check.operators.registry import Context, Node, Value, operator, whole_numbers

__all__: list[str] = []

MOST_EXPONENTS = 1 << 12


@functools.lru_cache(maxsize=64)
def _exponential_unit(scale: float, rate: float, gamma: float) -> Function:
    """scale*(exp(v/rate) - 1) below 0, gamma*v above."""
    a, b, g = arb(scale), arb(rate), arb(gamma)
    below = Branch(
        lambda v: a * (v / b).expm1(),
        lambda v: a / b * (v / b).exp(),
        1 if scale >= 0 else -1,
        lambda s: b * (s * b / a).log(),
    )
    return Function((below, Branch(lambda v: g * v, lambda v: g, 1, lambda s: s)), (zero,))


@operator("Elu", "Selu", "Celu", elementwise=True)
def _elu(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    alpha, gamma = float(node.get("alpha")), float(node.get("gamma", 1.0))
    if node.op == "Celu" and alpha == 0:
        raise node.refuse("alpha is 0")
    rate = alpha if node.op == "Celu" else 1.0
    return smooth(ctx.ar, _exponential_unit(gamma * alpha, rate, gamma), inputs[0])


@operator("Gelu", elementwise=True)
def _gelu(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    kind = bytes(node.get("approximate", b"none")).decode()
    if kind not in GELUS:
        raise node.refuse(f"there is no approximation {kind!r}")
    return smooth(ctx.ar, GELUS[kind], inputs[0])


@operator("Swish", elementwise=True)
def _swish(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    alpha = float(node.get("alpha"))
    if alpha == 0:
        return ctx.product(inputs[0], ctx.number(Fraction(1, 2)))
    return smooth(ctx.ar, swish(alpha), inputs[0])


@operator("ThresholdedRelu", elementwise=True)
def _thresholded(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """x where x > alpha, else 0."""
    v, edge = ctx.alike(inputs[0], ctx.number(node.get("alpha")))
    if node.get("alpha") == 0:
        return relu(ctx.ar, v)
    above = COMPARISONS["Greater"](ctx.ar, v, edge)
    return select(ctx.ar, above.lo, above.hi, v, _nothing(v))


@operator("Shrink", elementwise=True)
def _shrink(ctx: Context, node: Node, inputs: list[Any]) -> Form:
    """x + bias where x < -lambd, else x - bias where x > lambd, else 0."""
    ar, lambd, bias = ctx.ar, node.get("lambd"), node.get("bias")
    if isinstance(inputs[0], Discrete):
        raise node.refuse("what a bias of real numbers makes of integers is not clear")
    v, edge, shift = ctx.alike(inputs[0], ctx.number(lambd), ctx.number(bias))
    low, high = ar.negative(ar.add(v, edge)), ar.subtract(v, edge)
    if bias == lambd >= 0:  # continuous
        return ar.subtract(relu(ar, high), relu(ar, low))
    below, above = (COMPARISONS["Greater"](ar, part, _nothing(part)) for part in (low, high))
    out = select(ar, above.lo, above.hi, ar.subtract(v, shift), _nothing(v))
    return select(ar, below.lo, below.hi, ar.add(v, shift), out)


def _nothing(v: Form) -> Form:
    return v.each(np.zeros_like)


@operator("IsNaN", "IsInf", elementwise=True)
def _special(ctx: Context, node: Node, inputs: list[Any]) -> Discrete:
    """Every form is a real number: what is none has been refused, or is undecided."""
    shape = inputs[0].c.shape if isinstance(inputs[0], Form) else inputs[0].lo.shape
    return Discrete(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64))


# --- powers ---


@operator("Pow", elementwise=True)
def _pow(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    base, exponent = inputs
    if isinstance(base, Discrete):
        return _integer_power(node, base, exponent)
    y = to_form(ctx.ar, exponent)
    if y.c.shape[-1] == 1 and not y.d.any() and not y.r.any():
        return _constant_exponents(ctx, node, base, y)
    return _any_power(ctx, base, y)


def _integer_power(node: Node, base: Discrete, exponent: Value) -> Discrete:
    a, b = (whole_numbers(node, v).astype(object) for v in (base, exponent))
    if (b < 0).any() or (b > 63).any():
        raise node.refuse("a power of integers is none, or too large")
    out = np.asarray(a**b, dtype=object)
    if (abs(out) > 1 << 52).any():
        raise node.refuse("a power of integers is too large")
    return Discrete.known(out.astype(np.int64))


def _constant_exponents(ctx: Context, node: Node, v: Form, y: Form) -> Form:
    ar, unit = ctx.ar, Fraction(2) ** y.e
    shape = np.broadcast_shapes(v.c.shape, y.c.shape)
    v = v.each(lambda a: np.broadcast_to(a, shape), limits=v.limits)
    powers = sorted(set(y.c.flat))
    if not 0 < len(powers) <= MOST_EXPONENTS:
        raise node.refuse(f"it has {len(powers)} different exponents")
    out = v
    for k in powers:
        here = np.broadcast_to(y.c == k, shape)
        out = select(ar, here, here, _to_the(ctx, _where(ctx, here, v), int(k) * unit), out)
    return out


def _where(ctx: Context, here: Array, v: Form) -> Form:
    """`v` there, and 1, of which every function is defined, elsewhere."""
    return v if here.all() else select(ctx.ar, here, here, v, ctx.number(1))


def _to_the(ctx: Context, v: Form, p: Fraction) -> Form:
    if v.degree:
        raise NotHomogeneous("Pow")
    if p == 1:
        return v
    return ctx.number(1) if p == 0 else smooth(ctx.ar, power(p), v)


def _any_power(ctx: Context, v: Form, y: Form) -> Form:
    """exp(y*log(v)); 0 where v is 0 and y > 0."""
    ar = ctx.ar
    nought = (v.c == 0) & (v.d == 0) & (v.r == 0)
    log = smooth(ar, "Log", _where(ctx, ~nought, v))
    out = smooth(ar, "Exp", ctx.product(y, log))
    if not nought.any():
        return out
    bad = nought & (ar.bounds(y)[0] <= 0)
    if bad.any():
        raise Undecided(np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(axis=0)).tolist())
    return select(ar, nought, nought, _nothing(out), out)
