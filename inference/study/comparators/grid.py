"""What is done without certificates: evaluate the network at points of the line, and believe in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.study.comparators.base import Answer, Comparator
from inference.study.drawn import Drawn
from inference.study.truncated import Intervals, p_value

__all__ = ["Adaptive", "Grid"]

Floats = NDArray[np.float64]
REACH = 10.0
"""Standard deviations beyond the observed value on either side, as si4onnx searches."""
WIDTH = 1e-6
"""Standard deviations to which the adaptive grid locates an end."""
MOST_HALVINGS = 60


def _points(drawn: Drawn, count: int) -> Floats:
    """Equidistant, with the observed value added."""
    half = (REACH + abs(drawn.stat - drawn.null) / drawn.sd) * drawn.sd
    return np.unique(np.append(np.linspace(drawn.null - half, drawn.null + half, count), drawn.stat))


def _intervals(points: Floats, inside: NDArray[np.bool_]) -> Intervals:
    """Runs of points with the selection; ends at midpoints, the outermost at infinity."""
    middles = np.concatenate([[-np.inf], (points[:-1] + points[1:]) / 2, [np.inf]])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return [(float(middles[a]), float(middles[b])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class Grid(Comparator):
    """So many equidistant points."""

    name = "grid"

    def __init__(self, number: float) -> None:
        self.count = max(2, int(number))

    def answer(self, drawn: Drawn) -> Answer:
        points = _points(drawn, self.count)
        inside = drawn.same(points)
        inside[points == drawn.stat] = True
        found = _intervals(points, inside)
        p = p_value(found, drawn.stat, drawn.sd, drawn.null)
        return Answer(p, intervals=found, passes=len(points))


class Adaptive(Comparator):
    """A coarse grid; then bisection wherever the selection differs between neighbours."""

    name = "adaptive"

    def __init__(self, number: float) -> None:
        self.count = max(2, int(number))

    def answer(self, drawn: Drawn) -> Answer:
        points = _points(drawn, self.count)
        inside = drawn.same(points)
        inside[points == drawn.stat] = True
        passes = len(points)
        for _ in range(MOST_HALVINGS):
            at = np.flatnonzero(inside[:-1] != inside[1:])
            wide = at[points[at + 1] - points[at] > WIDTH * drawn.sd]
            if not len(wide):
                break
            new = (points[wide] + points[wide + 1]) / 2
            passes += len(new)
            points = np.insert(points, wide + 1, new)
            inside = np.insert(inside, wide + 1, drawn.same(new))
        found = _intervals(points, inside)
        return Answer(p_value(found, drawn.stat, drawn.sd, drawn.null), intervals=found, passes=passes)
