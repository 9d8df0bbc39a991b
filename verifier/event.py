"""The event {selection = observed} on segments of the line, decided by float64 enclosures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.line import Line, Segment
from symbolic.enclosures.rounding import UP, Array
from symbolic.enclosures.values import Const, Range, Value
from symbolic.network import Network

__all__ = ["Event", "Outcome", "equal_parts", "split_ray"]

FLOORS = 8.0
"""An undecided margin is at the floor when its blur is within this factor of rounding, and its movement
within this factor of its blur."""
BLIND = 2.0**-16
"""Relative width from which on the middle of a segment without margins must be decidable."""
MOST_PARTS = 8
POINTS = 4
"""Between as many parts of a segment a graph is tried that is undefined somewhere on it."""
SLACK = 2.0**-44
"""Suggested split points keep this relative distance from the computed root."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one segment turned out to be.

    ``parts`` are (lo, hi, element) with element >= 0 certified outside by that element, -1 certified inside;
    ``rest`` are sub-segments that remain undecided; ``stuck`` ones are as narrow as float64 rounding lets
    them become; on ``undefined`` ones the graph has no value.
    """

    parts: tuple[tuple[float, float, int], ...]
    rest: tuple[Segment, ...] = ()
    stuck: tuple[Segment, ...] = ()
    undefined: tuple[Segment, ...] = ()


class Event:
    """Decides segments.

    Parameters
    ----------
    network : Network
        The graph; its outputs are the discrete tensors of the event.
    line : Line
        The line.
    observed : sequence of ndarray
        The value of each output that defines the event.
    settled : sequence of ndarray of bool, optional
        Elements already proved to have their observed value on the whole line.
    """

    def __init__(
        self,
        network: Network,
        line: Line,
        observed: Sequence[NDArray[Any]],
        settled: Sequence[NDArray[np.bool_]] | None = None,
    ) -> None:
        self.network = network
        self.line = line
        self.observed = np.concatenate([np.asarray(o).reshape(-1).astype(np.int64) for o in observed])
        self.sizes = [int(np.asarray(o).size) for o in observed]
        self.settled = np.zeros(self.observed.size, dtype=bool)
        if settled is not None:
            self.settled = np.concatenate([s.reshape(-1) for s in settled])
        self.evaluations = 0
        with np.errstate(invalid="ignore"):
            radius = np.nan_to_num(self._enclose([(0.0, 0.0)])[1][4][0])
        # how blurred a margin of each output is by rounding alone
        ends = np.cumsum(self.sizes)
        floors = [part.max(initial=0.0) for part in np.split(radius, ends[:-1])]
        self.floor = np.repeat(floors, self.sizes)

    def _enclose(self, segments: Sequence[Segment]) -> tuple[NDArray[np.bool_], tuple[NDArray[Any], ...]]:
        """Where anything may be undefined, and what `_flatten` makes of the outputs."""
        undefined = np.zeros(len(segments), dtype=bool)
        values = self.network.enclose(self.line, segments, undefined=undefined)
        return undefined, self._flatten([values[n] for n in self.network.outputs], len(segments))

    def locate(self, element: int) -> tuple[int, int]:
        """Output number and flat index of an element of the concatenated outputs."""
        for k, size in enumerate(self.sizes):
            if element < size:
                return k, element
            element -= size
        raise IndexError(element)

    def decide(self, segments: Sequence[Segment]) -> list[Outcome]:
        """Evaluate a batch of finite segments, or of rays of one side."""
        self.evaluations += len(segments)
        undefined, (lo, hi, c, d, r) = self._enclose(segments)
        differs = ((lo > self.observed) | (hi < self.observed)) & ~self.settled
        equal = ((lo == self.observed) & (hi == self.observed)) | self.settled
        sign = np.where(self.observed > 0, 1.0, -1.0)
        margin = np.where(self.settled, np.nan, c * sign)  # positive where the element is as observed
        slope = d * sign
        outcomes = []
        for k, (a, b) in enumerate(segments):
            if differs[k].any():
                clearness = np.where(
                    differs[k],
                    np.where(np.isnan(margin[k]), 0.0, -margin[k] - np.abs(slope[k]) - r[k]),
                    -np.inf,
                )
                outcomes.append(Outcome(((a, b, int(clearness.argmax())),)))
            elif equal[k].all():
                outcomes.append(Outcome(((a, b, -1),)))
            elif undefined[k]:
                outcomes.append(self._halved(a, b))
            else:
                outcomes.append(self._split(a, b, margin[k], slope[k], r[k], equal[k]))
        return outcomes

    def _decided_at(self, t: float) -> bool:
        """Whether the event is known at a point: otherwise rounding alone blurs it."""
        self.evaluations += 1
        _, (lo, hi, *_) = self._enclose([(t, t)])
        differs = ((lo > self.observed) | (hi < self.observed)) & ~self.settled
        return bool(differs.any() or ((lo == hi) | self.settled).all())

    def _halved(self, a: float, b: float) -> Outcome:
        """Halves of what is undefined somewhere, if it is not so at all of a few points."""
        if np.isinf(a) or np.isinf(b):
            return Outcome((), split_ray(a, b))
        points = [a * (1 - k / POINTS) + b * (k / POINTS) for k in range(1, POINTS)]
        if not all(a < t < b for t in points) or all(self._undefined_at(t) for t in points):
            return Outcome((), undefined=((a, b),))
        return Outcome((), equal_parts(a, b, 2))

    def _undefined_at(self, t: float) -> bool:
        self.evaluations += 1
        return bool(self._enclose([(t, t)])[0][0])

    def _flatten(self, values: list[Value], size: int) -> tuple[NDArray[Any], ...]:
        """Bounds and margins of all elements of all outputs, (K, N) each; NaN where there is no margin."""
        columns: list[list[NDArray[Any]]] = [[] for _ in range(5)]
        for value in values:
            shape = (size, int(np.prod(value.shape)))
            nothing = np.full(shape, np.nan)
            if isinstance(value, Const):
                same = np.broadcast_to(value.value.reshape(1, -1), shape).astype(np.int64)
                parts = [same, same, nothing, nothing, nothing]
            elif isinstance(value, Range):
                lo, hi = (
                    np.broadcast_to(v, (size, *value.shape)).reshape(shape).astype(np.int64)
                    for v in (value.lo, value.hi)
                )
                m = value.margin
                margins = [nothing] * 3 if m is None else [v.reshape(shape) for v in (m.c, m.d, m.r)]
                parts = [lo, hi, *margins]
            else:
                raise TypeError("the event needs discrete outputs")
            for column, part in zip(columns, parts, strict=True):
                column.append(part)
        return tuple(np.concatenate(column, axis=1) for column in columns)

    def _split(
        self, a: float, b: float, margin: Array, slope: Array, r: Array, equal: NDArray[np.bool_]
    ) -> Outcome:
        """Read certified parts and split points off the margins: negative where an element differs."""
        open_ = ~equal
        if np.isinf(a) or np.isinf(b):
            return Outcome((), split_ray(a, b))
        m = a / 2 + b / 2
        moved = np.abs(slope[open_])
        floor = FLOORS * self.floor[open_]
        hopeless = (r[open_] <= floor) & (moved <= FLOORS * r[open_])
        # what cannot be decided here does not matter where something else seems to differ
        hopeless &= not (margin[open_] < -floor).any()
        # without a margin (ArgMax) only a point tells whether halving can still help
        blind = np.isnan(margin[open_]).any() and b - a < BLIND * max(abs(a), abs(b))
        if hopeless.any() or blind and not self._decided_at(m) or not a < m < b:
            return Outcome((), (), ((a, b),))
        h = float(np.nextafter(max(b - m, m - a), np.inf))
        known = ~np.isnan(margin)
        parts: list[tuple[float, float, int]] = []
        left, right = a, b
        with np.errstate(all="ignore"):
            steep = known & (np.abs(slope) > 0) & np.isfinite(r) & np.isfinite(margin)
            # margin + r + slope tau < 0 certifies a difference: left of its root if the slope is positive
            root = np.where(steep, -(margin + r) / slope, np.nan)
            up, down = (
                np.where(steep & (slope > 0), root, -np.inf),
                np.where(steep & (slope < 0), root, np.inf),
            )
            i, j = int(up.argmax()), int(down.argmin())
            if up[i] > -1:
                e = _step(m, h, up[i], -1, a, b)
                if e > a and _certified(-1, margin[i], slope[i], r[i], (a, e), m, h):
                    parts.append((a, e, i))
                    left = e
            if down[j] < 1:
                e = _step(m, h, down[j], 1, a, b)
                if left < e < b and _certified(-1, margin[j], slope[j], r[j], (e, b), m, h):
                    parts.append((e, b, j))
                    right = e
            # every margin - r + slope tau > 0 certifies the observed selection
            inner = self._inner(margin, slope, r, equal, known)
            if inner is not None and not (open_ & ~known).any():
                start, end = inner
                e = left if start == -1.0 else max(left, _step(m, h, start, 1, a, b))
                f = right if end == 1.0 else min(right, _step(m, h, end, -1, a, b))
                if e < f and _certified(1, margin[open_], slope[open_], r[open_], (e, f), m, h):
                    parts.append((e, f, -1))
                    rest = tuple(s for s in ((left, e), (f, right)) if s[0] < s[1])
                    return Outcome(tuple(parts), rest)
        if right <= left:
            return Outcome(tuple(parts))
        if right - left < (b - a) / 2:
            return Outcome(tuple(parts), ((left, right),))
        return Outcome(tuple(parts), equal_parts(left, right, _parts_needed(margin, r, open_)))

    @staticmethod
    def _inner(
        margin: Array, slope: Array, r: Array, equal: NDArray[np.bool_], known: NDArray[np.bool_]
    ) -> tuple[float, float] | None:
        """The tau interval on which all undecided margins look positive."""
        take = known & ~equal
        g, s, low = margin[take], slope[take], margin[take] - r[take]
        if not g.size or np.isnan(low).any() or (low[s == 0] <= 0).any():
            return None
        root = -low / np.where(s == 0, 1.0, s)
        start = float(np.where(s > 0, root, -1.0).max(initial=-1.0))
        end = float(np.where(s < 0, root, 1.0).min(initial=1.0))
        return (start, end) if start < end else None


def _parts_needed(margin: Array, r: Array, open_: NDArray[np.bool_]) -> int:
    """Into how many parts to split.

    r shrinks between linearly and quadratically with the width, and has to come below the margin of one
    element that differs, or of all undecided ones.
    """
    with np.errstate(all="ignore"):
        excess = r / np.abs(margin)
        against = excess[margin < 0]
        ratio = against.min() if against.size else excess[open_].max(initial=0.0)
    return int(min(MOST_PARTS, max(2, np.ceil(ratio**0.35)))) if np.isfinite(ratio) else 2


def equal_parts(left: float, right: float, count: int) -> tuple[Segment, ...]:
    """Neighbouring segments; their ends are floats, so none may vanish."""
    marks = sorted({left, right, *(left + (right - left) * (k / count) for k in range(1, count))})
    marks = [m for m in marks if left <= m <= right]
    return tuple(zip(marks, marks[1:], strict=False))


def _step(m: float, h: float, tau: float, towards: int, a: float, b: float) -> float:
    """The point at tau, moved a little to the side ``towards``, within [a, b]."""
    return min(max(m + h * (tau + towards * SLACK), a), b)


def _certified(sign: int, margin: Any, slope: Any, r: Any, ends: Segment, m: float, h: float) -> bool:
    """Whether sign * (margin + slope tau) > r between two points of the segment, rounding included.

    The bound is linear in tau, so the two ends decide. tau = (e - m) / h is computed within 2**-51 relative.
    """
    ok = True
    for e in ends:
        tau = (e - m) / h
        moved = slope * tau
        err = (np.abs(margin) + np.abs(moved) + r) * 2.0**-48 + 2.0**-1060
        ok = ok and bool(np.all(sign * (margin + moved) > r * UP + err))
    return ok


def split_ray(a: float, b: float) -> tuple[Segment, ...]:
    """A ray becomes a segment and a ray twice as far out."""
    return ((a, 2 * a), (2 * a, b)) if np.isinf(b) else ((a, 2 * b), (2 * b, b))
