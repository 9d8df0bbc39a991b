"""Small ReLU networks whose truncation sets are known exactly: slivers, holes, far tails.

Each reads two pixels and draws two. The first is f(x0 - x1), f piecewise linear with one hidden layer; the
second is always below the threshold 0. With variance 1/2 and x = (z/2, -z/2) the line of `BackMeanDiff` is
x(z) itself, and z is in standard deviations: the set is {z : f(z) > 0}. Its ends are worked out from the
stored weights in rational numbers, and p from them in ball arithmetic, without anything else of this package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["Constructed", "constructed"]

VARIANCE = "0.5"
BITS = 2000

End = Fraction | float
Unit = tuple[float, float, float]


@dataclass(frozen=True)
class Constructed:
    """f(z) = sum of out * relu(slope * z + shift), and where it is positive.

    Attributes
    ----------
    name : str
    units : tuple of (out, slope, shift)
    observed : float
    exact : tuple of (lo, hi)
        {z : f(z) > 0}; infinite ends are floats.
    """

    name: str
    units: tuple[Unit, ...]
    observed: float
    exact: tuple[tuple[End, End], ...]

    @property
    def x(self) -> Any:
        """The observed input."""
        return np.array([[self.observed / 2, -self.observed / 2]])

    def model(self) -> Any:
        """Gemm, Relu, Gemm in float64."""
        from onnx import TensorProto, helper, numpy_helper

        out, slope, shift = (np.array(column) for column in zip(*self.units, strict=True))
        stored = {
            "W1": np.stack([slope, -slope]), "b1": shift,
            "W2": np.stack([out, np.zeros_like(out)], axis=1), "b2": np.array([0.0, -1.0]),
        }  # fmt: skip
        nodes = [
            helper.make_node("Gemm", ["x", "W1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "W2", "b2"], ["y"]),
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 2]) for name in ("x", "y")]
        weights = [numpy_helper.from_array(value, name) for name, value in stored.items()]
        graph = helper.make_graph(nodes, "constructed", ends[:1], ends[1:], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def value(self, z: Fraction) -> Fraction:
        """f(z), exactly."""
        terms = [Fraction(o) * max(Fraction(0), Fraction(w) * z + Fraction(c)) for o, w, c in self.units]
        return sum(terms, Fraction(0))

    def p_value(self) -> float:
        """The equal-tailed p-value: a double next to the exact number."""
        from flint import arb, ctx

        saved, ctx.prec = ctx.prec, BITS
        try:
            at: End = Fraction(self.observed)
            left = _mass([(a, at if b > at else b) for a, b in self.exact if a < at])
            right = _mass([(at if a < at else a, b) for a, b in self.exact if b > at])
            smaller = left if left < right else right
            return float((2 * smaller / (left + right)).min(arb(1)))
        finally:
            ctx.prec = saved


def _mass(intervals: Sequence[tuple[End, End]]) -> Any:
    """Twice the normal mass, by differences of erfc on the side where it is small."""
    from flint import arb

    total = arb(0)
    for a, b in intervals:
        near, far = (a, b) if a + b > 0 else (-b, -a)  # where erfc is small
        total += _tail(near) - _tail(far)
    return total


def _tail(z: End) -> Any:
    from flint import arb, fmpq

    if isinstance(z, float):
        return arb(0 if z > 0 else 2)
    return (arb(fmpq(z.numerator, z.denominator)) / arb(2).sqrt()).erfc()


def _zigzag(first: float, turns: Sequence[float]) -> tuple[tuple[Unit, ...], list[Fraction]]:
    """Slope +1 through the root `first`, turning at each of `turns`; units and the exact roots."""
    units: list[Unit] = [(1.0, 1.0, -first), (-1.0, -1.0, first)]
    roots = [Fraction(first)]
    for number, turn in enumerate(turns):
        units.append((-2.0 if number % 2 == 0 else 2.0, 1.0, -turn))
        roots.append(2 * Fraction(turn) - roots[-1])
    return tuple(units), roots


def _positive(roots: Sequence[Fraction]) -> tuple[tuple[End, End], ...]:
    ends: list[End] = [*roots, math.inf] if len(roots) % 2 else list(roots)
    return tuple((ends[k], ends[k + 1]) for k in range(0, len(ends), 2))


def _sliver(width: float) -> Constructed:
    """A sliver in the middle with a large share of the mass; z lies in a tail of about as much."""
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    target = math.log(2 * width * 0.3867)  # twice the sliver's mass
    start = float(np.round(brentq(lambda z: float(log_ndtr(-z)) - target, 0, 20), 3))
    units, roots = _zigzag(0.25, [0.25 + width / 2, (0.25 + width + start) / 2])
    observed = float(roots[-1]) + 1 / 16
    return Constructed(f"sliver {width:.0e}", units, observed, _positive(roots))


def _hole(width: float) -> Constructed:
    """A hole in an ordinary interval, at its observed end: a fault of p as large as the hole."""
    units, roots = _zigzag(-1.0, [-0.375, 0.25 + width / 2, 1.125])
    return Constructed(f"hole {width:.0e}", units, 1.5, _positive(roots))


def _tail_case(start: float) -> Constructed:
    """A half-line far out."""
    units: tuple[Unit, ...] = ((1.0, 1.0, -start), (-1.0, -1.0, start))
    return Constructed(f"tail {start:g} sd", units, start + 1 / 16, ((Fraction(start), math.inf),))


def constructed(widths: Sequence[float]) -> tuple[Constructed, ...]:
    """Slivers and holes of these widths, and half-lines that begin at 8, 20 and 39 standard deviations."""
    made = [kind(width) for width in widths for kind in (_sliver, _hole)]
    return (*made, *(_tail_case(start) for start in (8.0, 20.0, 39.0)))
