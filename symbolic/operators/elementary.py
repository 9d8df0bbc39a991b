"""Trigonometric and hyperbolic functions, their inverses, and erf: relaxed by their curvature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import special

from symbolic.enclosures.curves import Curve, Piece, relax
from symbolic.enclosures.rounding import UP, Array, U, sum_error
from symbolic.enclosures.values import Affine
from symbolic.operators.smooth import register

Function = Callable[[Array], Array]

RIGHT_ANGLE = 1.5707963267948966  # below pi / 2
ANGLE_HIGH = 6588397 * 2.0**-22  # pi / 2 in 23 bits: exact when multiplied by a number below 2**30
ANGLE_LOW = 7.549789954891882e-08  # pi / 2 - ANGLE_HIGH, within 2**-78
BELOW_PI = 3.1  # where sin is still far from 0, so that its error is a relative one


def bends_at_0(first: Literal["convex", "concave"], f: Function, df: Function, edge: float = np.inf) -> Curve:
    """A function on [-edge, edge] whose curvature changes its sign at 0."""
    second: Literal["convex", "concave"] = "concave" if first == "convex" else "convex"
    return Curve((Piece(0.0, first, f=f, df=df), Piece(edge, second, f=f, df=df)), start=-edge)


ERF = bends_at_0("convex", special.erf, lambda v: 2.0 / np.sqrt(np.pi) * np.exp(-v * v))
SINH = bends_at_0("concave", np.sinh, np.cosh)
COSH = Curve((Piece(np.inf, "convex", f=np.cosh, df=np.sinh),))
ASINH = bends_at_0("convex", np.arcsinh, lambda v: 1.0 / np.hypot(1.0, v))
ACOSH = Curve(
    (Piece(np.inf, "concave", f=np.arccosh, df=lambda v: 1.0 / (np.sqrt(v - 1.0) * np.sqrt(v + 1.0))),),
    start=1.0,
)
ATANH = bends_at_0("concave", np.arctanh, lambda v: 1.0 / ((1.0 - v) * (1.0 + v)), edge=1.0 - U)
ASIN = bends_at_0("concave", np.arcsin, lambda v: 1.0 / np.sqrt((1.0 - v) * (1.0 + v)), edge=1.0)
ACOS = bends_at_0("convex", np.arccos, lambda v: -1.0 / np.sqrt((1.0 - v) * (1.0 + v)), edge=1.0)
ATAN = bends_at_0("convex", np.arctan, lambda v: 1.0 / (1.0 + v * v))
TAN = bends_at_0("concave", np.tan, lambda v: 1.0 + np.tan(v) ** 2, edge=RIGHT_ANGLE)
# cos cancels next to the right angle
SIN = Curve(
    (
        Piece(0.0, "convex", f=np.sin, df=np.cos, slope_absolute=2.0**-46),
        Piece(BELOW_PI, "concave", f=np.sin, df=np.cos, slope_absolute=2.0**-46),
    ),
    start=-BELOW_PI,
)


def _turned(x: Affine, right_angles: Array) -> Affine:
    """x minus a whole number of right angles."""
    count = np.abs(right_angles)
    c1 = x.c - right_angles * ANGLE_HIGH
    c = c1 - right_angles * ANGLE_LOW
    # of pi / 2, of the product with its second part, and, where the first part's is not exact, of that
    error = count * 2.0**-76 + np.where(count < 2.0**30, 0.0, count * 2.0**-52)
    error = error + np.where(count == 0, 0.0, sum_error(c1, c))
    return Affine(c, x.d, (x.r + error) * UP)


def sine(x: Affine, lead: float = 0.0) -> Affine:
    """sin(x + lead pi), lead 0 or 1/2; [-1, 1] where the range is long, or too far out to be turned back."""
    with np.errstate(all="ignore"):
        half_turns = np.rint(x.c / np.pi + lead)
        u = _turned(x, 2.0 * (half_turns - lead))
        y = relax(u, SIN)
        sign = np.where(np.fmod(half_turns, 2.0) == 0, 1.0, -1.0)
        near = (np.abs(half_turns) < 2.0**50) & (np.abs(u.c) + u.half_width() < BELOW_PI) & (y.r < 1.0)
        known = np.isfinite(x.c) & np.isfinite(x.half_width())
        return Affine(
            np.where(near, y.c * sign, np.where(known, 0.0, np.nan)),
            np.where(near, y.d * sign, 0.0),
            np.where(near, y.r, np.where(known, 1.0, np.inf)),
        )


def tangent(x: Affine) -> Affine:
    """tan(x); undefined where the range may hold a pole."""
    with np.errstate(all="ignore"):
        return relax(_turned(x, 2.0 * np.rint(x.c / np.pi)), TAN)


register("Erf", lambda x: relax(x, ERF))
register("Sin", sine)
register("Cos", lambda x: sine(x, 0.5))
register("Tan", tangent)
register("Asin", lambda x: relax(x, ASIN))
register("Acos", lambda x: relax(x, ACOS))
register("Atan", lambda x: relax(x, ATAN))
register("Sinh", lambda x: relax(x, SINH))
register("Cosh", lambda x: relax(x, COSH))
register("Asinh", lambda x: relax(x, ASINH))
register("Acosh", lambda x: relax(x, ACOSH))
register("Atanh", lambda x: relax(x, ATANH))
