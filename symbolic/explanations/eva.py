"""Verified perturbation analysis: what holding a region fixed takes from an adversary, within proved bounds.

The adversarial overlap of a set of inputs is how far any other class comes ahead of the explained one,

    AO(B) = max over c' and x' in B of f_c'(x') - f_c(x').

The importance of a region u is AO(B) - AO(B_u), where B is a ball around the input and B_u the same ball with
the elements of u held fixed (Fel, Ducoffe, Vigouroux, Cadene, Capelle, Nicodeme and Serre, "Don't Lie to Me!
Robust and Efficient Explainability with Verified Perturbation Analysis", CVPR 2023). There both are replaced
by upper bounds. A difference of two upper bounds bounds nothing: here each is enclosed from both sides.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.boxes.ball import Ball
from symbolic.boxes.form import Form, below
from symbolic.boxes.propagation import BUDGET, Passing
from symbolic.enclosures.rounding import Array
from symbolic.errors import OptionError, enough_memory
from symbolic.explanations.eva_points import Climber, corners
from symbolic.explanations.eva_report import EvaReport, Evidence
from symbolic.explanations.eva_scores import LEADS, Question, question, scores_of
from symbolic.explanations.option_checks import require_whole
from symbolic.explanations.regions import Division
from symbolic.explanations.targets import parsed_target
from symbolic.reading.exact import exact_number

__all__ = ["eva"]

BOUNDS = ("interval", "linear", "zonotope")
KEPT = 4
"""Points of the whole ball that the search in a smaller one starts from."""


@enough_memory()
def eva(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    x: Any,
    radius: Any,
    *,
    regions: Division = 8,
    target: object = None,
    clip: tuple[Any, Any] | None = None,
    bounds: str = "linear",
    points: int = 32,
    i_idx: int = 0,
    o_idx: int = 0,
    head: str = "logit",
    seed: int = 0,
    budget: int = BUDGET,
    progress: Callable[[int, int | None], None] | None = None,
) -> EvaReport:
    """Bound from both sides how much holding each region fixed takes from an adversary.

    Everything is about the real-number function of the stored network. Lower ends are rounded down and upper
    ends up; no rounding of the runtime is in them.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    x : array, or mapping of str to array
        One input with its batch axis, exactly as given; a mapping by name if the model has several.
    radius : int, float, str or Fraction
        Of the ball, the same for every element. A float is its binary value, "0.1" is one tenth.
    regions : int, sequence of int, or array of int
        Cells along the spatial axes, or labels in the shape of the input, with or without its channels.
    target : int, pair of int, or "predicted", optional
        The class that is explained; of a pair the first, against the second alone. Default: the predicted
        one, which is that of the greatest score at x.
    clip : pair of numbers, optional
        No element leaves them.
    bounds : {"linear", "interval", "zonotope"}
        How overlaps are bounded from above: by forms that are linear in the input, by bounds alone, or by
        forms that are linear in the input and in what earlier nodes left open (tighter, and slower).
    points : int
        Starts of the search for points that bound overlaps from below.
    i_idx, o_idx : int
        Which input, and which output.
    head : {"logit", "output"}
        Compare what a final Softmax, LogSoftmax or Sigmoid gets, or what it gives.
    seed : int
        Of the search, and of random nodes.
    budget : int
        Bytes that linear bounds of one tensor may take.
    progress : callable, optional
        Called with how many regions have been bounded, and how many there are.

    Returns
    -------
    EvaReport

    Raises
    ------
    OptionError, InputError, ModelError, BudgetError
    """
    if bounds not in BOUNDS:
        raise OptionError(f"bounds is {bounds!r}: give {', '.join(BOUNDS)}.")
    for name, number, least in (("points", points, 1), ("seed", seed, 0), ("budget", budget, 0)):
        require_whole(name, number, least)
    size = exact_number(radius, "radius", error=OptionError)
    if size <= 0:
        raise OptionError(f"radius is {radius}; give a positive number.")
    ends = None if clip is None else _clip(clip)
    scores = scores_of(model, x, i_idx=i_idx, o_idx=o_idx, head=head, seed=seed)
    labels = scores.regions(regions)
    asked = question(scores, parsed_target("predicted" if target is None else target))
    ball = Ball.of(scores.x, size, ends)
    search = _Search(Climber(scores, asked), asked, points, seed)
    above = _Above(asked, bounds, budget)
    count = int(labels.max()) + 1
    balls = [ball.without(labels == n) for n in range(count)]
    high, form = above(ball)
    highs = np.full(count, high)  # each is a part of the ball
    for n, one in enumerate(balls):
        highs[n] = min(above(one)[0], high)
        if progress is not None:
            progress(n + 1, count)
    low, lows, point, reached = search(ball, balls, form)
    return EvaReport(
        labels=labels,
        lower=np.maximum(_difference(np.array(low), highs), 0.0),
        upper=-_difference(lows, np.array(high)),
        overlap=(low, high),
        held_lower=lows,
        held_upper=highs,
        point=point if low > 0 else None,
        chosen=asked.chosen,
        others=asked.others,
        radius=size,
        clip=ends,
        bounds=bounds,
        model_sha256=scores.sha256,
        evidence=Evidence(
            scores.proto, scores.random, seed, scores.output, scores.source, scores.given, reached
        ),
    )


def _clip(clip: tuple[Any, Any]) -> tuple[Any, Any]:
    if not isinstance(clip, (tuple, list, np.ndarray)) or len(clip) != 2:
        raise OptionError(f"clip is {clip!r}: give the least and the greatest value.")
    low, high = (exact_number(v, "clip", error=OptionError) for v in clip)
    if low > high:
        raise OptionError(f"clip is {clip!r}: the least value comes first.")
    return low, high


def _difference(a: Array, b: Array) -> Array:
    """a - b, rounded down; -inf where nothing is known."""
    with np.errstate(invalid="ignore"):
        found = below(a, b)
    return np.where(np.isnan(found), -np.inf, found)


class _Above:
    """Upper bounds of overlaps."""

    def __init__(self, asked: Question, bounds: str, budget: int) -> None:
        self.budget = budget
        self.plain = Passing(asked.network, linear=False, budget=budget)
        self.linear = None
        if bounds != "interval":
            fresh = bounds == "zonotope"
            self.linear = Passing(asked.network, linear=True, fresh=fresh, budget=budget)

    def __call__(self, ball: Ball) -> tuple[float, Form | None]:
        """Of one ball, with the linear form of the leads."""
        high = _highest(self.plain(ball.box())[LEADS])
        if self.linear is None:
            return high, None
        found = self.linear(ball.form(self.budget))[LEADS]
        return min(high, _highest(found)), found if isinstance(found, Form) else None


def _highest(leads: Any) -> float:
    """The greatest upper bound."""
    if isinstance(leads, Form):
        return float(leads.hi.max())
    return float(np.nextafter((leads.value + leads.spread).max(), np.inf))


class _Search:
    """Lower bounds of overlaps, from points."""

    def __init__(self, climber: Climber, asked: Question, points: int, seed: int) -> None:
        self.climber, self.asked, self.points = climber, asked, points
        self.rng = np.random.default_rng(seed)

    def __call__(
        self, ball: Ball, parts: list[Ball], form: Form | None
    ) -> tuple[float, Array, NDArray[np.float64] | None, Array]:
        """Of a ball and of parts of it, the point of the ball with the greatest lead, and those of all."""
        starts = [ball.centre[None], corners(ball, self.points, self.rng)]
        if form is not None:
            starts.insert(1, _corner(ball, form)[None])
        every = np.concatenate(starts)
        found, leads = self.climber.climb(_many(ball.first, every), _many(ball.last, every), every)
        candidates = np.concatenate([every, found]) if np.isnan(leads).all() else found
        sure = self.asked.leads(ball.points(candidates))[0].max(axis=1)
        best = candidates[np.argsort(-sure, kind="stable")[:KEPT]]
        low, point = float(sure.max()), None if ball.lost.any() else best[0]
        lows, reached = [], [best[0]]
        for part in parts:
            some = np.concatenate([best, part.centre[None]])
            found, leads = self.climber.climb(_many(part.first, some), _many(part.last, some), some)
            lead = self.asked.leads(part.points(np.concatenate([some, found])))[0].max(axis=1)
            lows.append(float(lead.max()))
            where = np.concatenate([some, found])[int(lead.argmax())]
            reached.append(np.clip(where, part.first, part.last))
            if lows[-1] > low:  # a point of the part is one of the ball
                low, reached[0] = lows[-1], reached[-1]
                point = None if part.lost.any() else reached[-1]
        return low, np.array(lows), point, np.stack(reached)


def _many(end: Array, like: Array) -> Array:
    return np.broadcast_to(end, like.shape)


def _corner(ball: Ball, form: Form) -> Array:
    """The corner to which the linear form of the greatest lead points."""
    slope = np.zeros(ball.lo.size)
    moves = np.flatnonzero(ball.lo.reshape(-1) != ball.hi.reshape(-1))
    slope[moves] = form.d[: len(moves), int(form.hi[0].argmax())] if form.d.ndim == 2 else 0.0
    upper = slope.reshape(ball.shape) > 0
    return np.where(upper, ball.last, ball.first)
