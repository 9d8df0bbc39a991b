"""The bare engine: where along any line a selection stays the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import onnx

from inference.decide import decide_line
from inference.engines import Engine, require_engine
from inference.hypothesis import Selection
from inference.laws.normal import NormalLaw
from inference.observe import observe
from inference.prepare import prepare
from inference.searching import SearchOptions
from symbolic.errors import InputError, OptionError
from symbolic.pieces.arguments import as_arrays, as_double, as_segment
from symbolic.reading.arrays import fractions_of
from symbolic.reading.exact import exact_number
from symbolic.reading.loading import load_model
from symbolic.reading.static_shapes import free_inputs
from verifier.cells import Cell, End, joined
from verifier.goal import Goal
from verifier.search import FARTHEST

__all__ = ["TruncationSet", "truncation_set"]

REACH = 10.0
"""What is looked at first of an infinite line, on each side."""


@dataclass(frozen=True)
class TruncationSet:
    """Where the selection is the one at ``at``.

    Attributes
    ----------
    intervals : tuple of (Fraction, Fraction)
        Certified to have the selection (single points apart); -inf or inf on open rays.
    gaps : tuple of (Fraction, Fraction)
        All of (lo, hi) that is undecided.
    cells : tuple of Cell
        All cells of (lo, hi); their ends count from ``at``: z = at + t.
    """

    intervals: tuple[tuple[End, End], ...]
    gaps: tuple[tuple[End, End], ...]
    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        shown = " ".join(f"[{as_double(a):.9g}, {as_double(b):.9g}]" for a, b in self.intervals) or "empty"
        return f"{shown} ({len(self.cells)} cells, {len(self.gaps)} gaps)"


def truncation_set(
    selection: Selection | str | os.PathLike[str] | onnx.ModelProto,
    a: Any,
    b: Any,
    lo: Any = None,
    hi: Any = None,
    *,
    at: Any = 0,
    seed: int | None = None,
    max_iter: int = 100_000,
    budget: int = 2**30,
    mode: Literal["exhaustive"] = "exhaustive",
    engine: Engine = "auto",
    exact_ends: bool | None = None,
    smt_folder: str | os.PathLike[str] | None = None,
) -> TruncationSet:
    """Find {z in (lo, hi) : S(a + b z) = S(a + b at)}.

    Parameters
    ----------
    selection : Selection, path or onnx.ModelProto
        A graph of one input with discrete outputs.
    a, b : array_like
        The line; every entry is the rational it is.
    lo, hi : number, optional
        Part of the line, exactly; None (or an infinity) for the whole.
    at : number
        The z whose selection is asked for.
    seed, max_iter, budget, engine, exact_ends, smt_folder
        As in an audit.

    Returns
    -------
    TruncationSet
    """
    if mode != "exhaustive":
        raise OptionError("truncation_set searches exhaustively.")
    require_engine(engine, smt_folder)
    rule = selection if isinstance(selection, Selection) else Selection(selection)
    if rule.graph is None:
        raise OptionError("the selection needs a graph: Selection(graph, output=...).")
    start, direction = as_arrays(a=a, b=b)
    part = as_segment(lo, hi)
    origin = exact_number(at, "at", error=OptionError)
    beta = fractions_of(direction.reshape(-1))
    exact = [p + q * origin for p, q in zip(fractions_of(start.reshape(-1)), beta, strict=True)]
    loaded = load_model(rule.graph)
    inputs = free_inputs(loaded.proto.graph)
    if len(inputs) != 1:
        raise OptionError(
            "truncation_set takes graphs of one input; fold the others into the graph as constants."
        )
    point = np.array([float(v) for v in exact]).reshape(start.shape)
    if any(Fraction(float(v)) != v for v in exact):
        raise InputError(
            "a + b at is not representable in doubles; choose at so that it is (0 is always possible)."
        )
    arrays = {inputs[0].name: point}
    audited = prepare(loaded, rule, arrays, None, seed, False)
    seen = observe(audited, arrays, exact)
    low, high = (end if isinstance(end, float) else end - origin for end in part)
    # of a line without noise, so that no part matters more than another
    near = [abs(as_double(end)) for end in (low, high) if -FARTHEST < end < FARTHEST]
    one = Fraction(1)
    options = SearchOptions(
        law=NormalLaw(Fraction(0), one, one, Fraction(0), "two-sided"),
        goal=Goal("exhaustive", max_cells=max_iter),
        reach=max(REACH, *near) if near else REACH,
        lo=low,
        hi=high,
        budget=budget,
        engine=engine,
        exact_ends=exact_ends,
        smt_folder=smt_folder,
        checked=False,
    )
    cells = decide_line(audited, arrays, exact, beta, seen, options).cells

    def z(t: End) -> End:
        return t if isinstance(t, float) else t + origin

    runs = [tuple((z(p), z(q)) for p, q in joined(cells, verdict)) for verdict in ("inside", "gap")]
    return TruncationSet(runs[0], runs[1], cells)
