"""Arithmetic of two exact constants, which are floats: with the very error of its rounding, mostly none.

Exporters compute sizes in floating point (a length times a scale, rounded down): these must stay exact.
"""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.rounding import Array, U
from symbolic.enclosures.values import Const
from symbolic.node import Inputs
from symbolic.operators.steps import exact_product, moderate

__all__ = ["of_constants", "root_or_power"]

MOST_FACTORS = 64


def of_constants(op_type: str, values: Inputs) -> Const | None:
    """a + b, a - b, a b or a / b; None for other operators and other values."""
    operands = [v.value.astype(np.float64) for v in values if isinstance(v, Const) and v.radius is None]
    if len(operands) != 2 or len(values) != 2 or op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    a, b = operands
    if not (moderate(a).all() and moderate(b).all()) or op_type == "Div" and not b.all():
        return None
    if op_type in ("Add", "Sub"):
        value, error = _exact_sum(a, b if op_type == "Add" else -b)
    elif op_type == "Mul":
        value, error = exact_product(a, b)
    else:
        value = a / b
        product, rest = exact_product(value, b)
        error = np.where(a - product == rest, 0.0, value * (2 * U))
    return Const(np.asarray(value), np.abs(error) if np.any(error) else None)


def root_or_power(op_type: str, values: Inputs) -> Const | None:
    """The square root or a power of exact constants, if all of it is exact in float64; else None.

    Exporters write shifts as powers of two, and the side of a square as a root.
    """
    if op_type not in ("Sqrt", "Pow") or not all(isinstance(v, Const) and v.radius is None for v in values):
        return None
    operands = [v.value.astype(np.float64) for v in values if isinstance(v, Const)]
    base = operands[0]
    exponent = 0.5 if op_type == "Sqrt" else float(operands[1].item()) if operands[1].size == 1 else np.nan
    if not moderate(base).all() or (base < 0).any() or not base.size:
        return None
    if exponent == 0.5:
        root = np.sqrt(base)
        square, rest = exact_product(root, root)
        return Const(root) if moderate(root).all() and ((square == base) & (rest == 0)).all() else None
    if exponent not in range(1, MOST_FACTORS):
        return None
    found = base
    for _ in range(int(exponent) - 1):
        found, rest = exact_product(found, base)
        if rest.any() or not moderate(found).all():
            return None
    return Const(np.asarray(found))


def _exact_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """s + e = a + b exactly (Knuth)."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)
