"""Small ReLU networks built so that floating point fails, with their exact truncation sets.

Each network reads two pixels and draws two. The first is f(x0 - x1), f piecewise linear with one hidden
layer, the second is always below the threshold 0. At variance 1/2 and x = (z/2, -z/2) the line of
`BackMeanDiff` is x(z) itself and z is in standard deviations: the truncation set is {z : f(z) > 0}. Its
ends are worked out here by hand from the stored weights, in `Fraction`, and p follows from them in ball
arithmetic; nothing here uses Sureline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx
    from flint import arb

VARIANCE = 0.5
THRESHOLD = 0.0

End = Fraction | float
Interval = tuple[End, End]
Unit = tuple[float, float, float]


@dataclass(frozen=True)
class HardCase:
    """f(z) = offset + sum of out * relu(slope * z + shift) over the units, and where it is positive.

    Attributes
    ----------
    name, text : str
        For the table; what is hard about it.
    units : tuple of (out, slope, shift)
        The hidden layer; all numbers are doubles.
    offset : float
        The output's bias.
    observed : float
        z_obs.
    exact : tuple of Interval
        {z : f(z) > 0}; infinite ends are floats.
    """

    name: str
    text: str
    units: tuple[Unit, ...]
    offset: float
    observed: float
    exact: tuple[Interval, ...]

    @property
    def x(self) -> np.ndarray:
        """The observed input."""
        return np.array([[self.observed / 2, -self.observed / 2]])

    def layers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Weights and bias of the hidden layer and of the output layer."""
        out, slope, shift = (np.array(column) for column in zip(*self.units, strict=True))
        last = np.stack([out, np.zeros_like(out)], axis=1)
        return np.stack([slope, -slope]), shift, last, np.array([self.offset, -1.0])

    def model(self) -> onnx.ModelProto:
        """The network as an ONNX file in float64: Gemm, Relu, Gemm."""
        from onnx import TensorProto, helper, numpy_helper

        nodes = [
            helper.make_node("Gemm", ["x", "W1", "b1"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "W2", "b2"], ["y"]),
        ]
        stored = zip(("W1", "b1", "W2", "b2"), self.layers(), strict=True)
        ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 2]) for name in ("x", "y")]
        weights = [numpy_helper.from_array(value, name) for name, value in stored]
        graph = helper.make_graph(nodes, self.name, ends[:1], ends[1:], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def value(self, z: Fraction) -> Fraction:
        """f(z), exactly."""
        terms = (Fraction(o) * max(Fraction(0), Fraction(w) * z + Fraction(c)) for o, w, c in self.units)
        return Fraction(self.offset) + sum(terms)

    def exact_p(self, digits: int = 30) -> str:
        """The equal-tailed p-value, as a decimal number with that many digits proved."""
        return exact_p(self.exact, Fraction(self.observed)).str(digits, radius=False)


def exact_p(intervals: Sequence[Interval], observed: Fraction, bits: int = 4000) -> arb:
    """2 min(F, 1 - F) of a standard normal number truncated to the intervals, as a narrow ball."""
    from flint import ctx

    with ctx.workprec(bits):
        left = mass([(a, min(b, observed)) for a, b in intervals if a < observed])
        right = mass([(max(a, observed), b) for a, b in intervals if b > observed])
        return 2 * left.min(right) / (left + right)


def mass(intervals: Sequence[Interval]) -> arb:
    """Twice the standard normal mass: differences of erfc, taken in the tail where it is small.

    Differences cancel: set enough bits (`ctx.workprec`) for the narrowest interval.
    """
    from flint import arb

    total = arb(0)
    for a, b in intervals:
        near, far = (a, b) if abs(a) < abs(b) or b == math.inf else (-b, -a)
        total += _tail(near) - _tail(far)
    return total


def _tail(z: End) -> arb:
    from flint import arb, fmpq

    if isinstance(z, float) and math.isinf(z):
        return arb(0 if z > 0 else 2)
    exact = Fraction(z)
    return (arb(fmpq(exact.numerator, exact.denominator)) / arb(2).sqrt()).erfc()


def zigzag(first: float, turns: Sequence[float], scale: float = 1.0) -> tuple[list[Unit], list[Fraction]]:
    """Slope +1 through the root `first`, turning at each of `turns`; units and the exact roots.

    Between two turns lies one root: the last one mirrored at the turn between them, r' = 2 m - r.
    """
    units = [(scale, 1.0, -first), (-scale, -1.0, first)]
    roots = [Fraction(first)]
    for number, turn in enumerate(turns):
        units.append((-2 * scale if number % 2 == 0 else 2 * scale, 1.0, -turn))
        roots.append(2 * Fraction(turn) - roots[-1])
    return units, roots


def positive(roots: Sequence[Fraction]) -> tuple[Interval, ...]:
    """Where a zigzag that rises through its first root is positive."""
    ends: list[End] = [*roots, math.inf] if len(roots) % 2 else list(roots)
    return tuple((ends[k], ends[k + 1]) for k in range(0, len(ends), 2))


def far_interval(width: float, main: float) -> HardCase:
    """A sliver in the middle of the law, far from the tail in which z was observed."""
    units, roots = zigzag(0.25, [0.25 + width / 2, (0.25 + width + main) / 2])
    return HardCase(
        f"interval {width:.0e}",
        f"an interval of width {width:.0e} at 1/4 with a third of the mass; z is in the other, ({main}, inf)",
        tuple(units), 0.0, float(roots[-1]) + 2.0**-12, positive(roots),
    )  # fmt: skip


def hole(width: float) -> HardCase:
    """A hole in an ordinary interval."""
    units, roots = zigzag(-1.0, [-0.375, 0.25 + width / 2, 1.125])
    text = f"an interval of ordinary width with a hole of width {width:.0e} at 1/4"
    return HardCase(f"hole {width:.0e}", text, tuple(units), 0.0, 1.5, positive(roots))


def slivers(hole_width: float, width: float) -> HardCase:
    """Two slivers, the left one twice as wide, with a hole between; z is at the left end of the right one."""
    ends = [0.25, 0.25 + 2 * width, 0.25 + 2 * width + hole_width, 0.25 + 3 * width + hole_width]
    units, roots = zigzag(ends[0], [(a + b) / 2 for a, b in zip(ends, ends[1:], strict=False)])
    return HardCase(
        f"slivers, hole {hole_width:.0e}",
        f"intervals of widths {2 * width:.0e} and {width:.0e}, a hole of width {hole_width:.0e} between them",
        tuple(units), 0.0, float(roots[2] + Fraction(width) / 100), positive(roots),
    )  # fmt: skip


def close_ends() -> HardCase:
    """f = max(p - q z, r z - s) with s q - p r = 1, so that the distance of p/q and s/r is 1/(q r)."""
    q, r = 316227767, 316227763
    s = pow(q, -1, r)
    p = (s * q - 1) // r
    units = [(1.0, -q, p), (-1.0, q, -p), (1.0, q + r, -(p + s))]
    return HardCase(
        "hole 1e-17", "two half-lines whose ends, both fractions, are 1e-17 apart",
        tuple((o, float(w), float(c)) for o, w, c in units), 0.0, 1.5,
        ((-math.inf, Fraction(p, q)), (Fraction(s, r), math.inf)),
    )  # fmt: skip


def needle(name: str, text: str, observed: float, turn: tuple[float, float], bend: float) -> HardCase:
    """f = 2^53 z - c - bend * relu(w z - d): up from just below z, down after the kink d/w just above it."""
    steep = 2.0**53
    start = steep * observed - observed
    w, d = turn
    units = ((1.0, steep, -start), (-1.0, -steep, start), (-bend, w, -d))
    low = Fraction(start) / Fraction(steep)
    high = (Fraction(bend) * Fraction(d) - Fraction(start)) / (Fraction(bend) * Fraction(w) - Fraction(steep))
    return HardCase(name, text, units, 0.0, observed, ((low, high),))


def kink() -> HardCase:
    """f = min(z + 1, 2 - z) above -3: an ordinary set, but two linear pieces meet at the observed value."""
    units = ((1.0, 1.0, 3.0), (-2.0, 1.0, -0.5))
    text = "the interval (-1, 2); the observed input lies on the boundary of two linear pieces"
    return HardCase("kink at z", text, units, -2.0, 0.5, ((Fraction(-1), Fraction(2)),))


def tail(side: int) -> HardCase:
    """An end at -side, z far in the other tail."""
    units = ((1.0, float(side), 1.0), (-1.0, -float(side), -1.0))
    exact: Interval = (Fraction(-1), math.inf) if side > 0 else (-math.inf, Fraction(1))
    where = "upper" if side > 0 else "lower"
    text = f"one half-line, observed at 8.4 standard deviations in the {where} tail"
    return HardCase(f"{where} tail", text, units, 0.0, side * 8.40625, (exact,))


def far_tail() -> HardCase:
    """The whole set beyond 39 standard deviations."""
    units = ((1.0, 1.0, -39.0), (-1.0, -1.0, 39.0))
    text = "a half-line that begins at 39 standard deviations"
    return HardCase("39 sd", text, units, 0.0, 39.0625, ((Fraction(39), math.inf),))


def faint() -> HardCase:
    """A tent whose output layer is scaled by 2^-51: the same selection everywhere."""
    units, roots = zigzag(1.0, [2.0], scale=2.0**-51)
    text = "the interval (1, 3), where a map of slope 4e-16 is positive"
    return HardCase("slope 4e-16", text, tuple(units), 0.0, 2.5, positive(roots))


def cases() -> tuple[HardCase, ...]:
    """All of them, in the order of the table."""
    return (
        far_interval(1e-9, 6.0),
        far_interval(5e-11, 6.5),
        hole(1e-8),
        hole(1e-12),
        slivers(1e-8, 1e-9),
        slivers(5e-11, 1e-12),
        close_ends(),
        needle("set 3e-16", "a truncation set of width 3.3e-16 around 1/2", 0.5, (2.0**53, 2.0**52 + 1), 2.0),
        needle(
            "set 1e-16", "a truncation set of width 1.1e-16 around 1/2", 0.5, (2.0**53 - 1, 2.0**52), 128.0
        ),
        needle(
            "set 1e-17",
            "a truncation set of width 1.0e-17 around 1/64",
            1 / 64,
            (2.0**53, 2.0**47 + 1 / 32),
            2.0,
        ),
        kink(),
        tail(1),
        tail(-1),
        far_tail(),
        faint(),
    )


def case_named(name: str) -> HardCase:
    """The case of that name."""
    return next(case for case in cases() if case.name == name)
