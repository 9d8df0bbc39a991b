"""What float64 cannot decide goes to the checker's exact arithmetic: the selection at x_obs, and stubborn cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.errors import TieError
from verifier.cells import Cell
from verifier.check_graph import CheckedGraph

__all__ = ["decided_exactly", "refiner"]

LADDER = (128, 256, 512)
"""Bits to try, one after the other."""
HALVINGS = 60
"""Most bisections of one stubborn cell."""


def decided_exactly(
    model: onnx.ModelProto, arrays: Mapping[str, NDArray[Any]], moving: str, outputs: Sequence[str]
) -> list[NDArray[Any]]:
    """The discrete outputs at the observed input.

    Raises
    ------
    TieError
        If no precision decides one of them.
    """
    zero = [Fraction(0)] * arrays[moving].size
    graph = CheckedGraph.build(model, dict(arrays), moving, zero, list(outputs))
    for bits in (*LADDER, None):
        values = graph.evaluate([(Fraction(0), Fraction(0))], bits)
        if all(np.array_equal(lo, hi) for lo, hi in values):
            return [np.array(lo[0]) for lo, _ in values]
    raise TieError("the selection at the observed input cannot be decided at any precision; change the threshold slightly.")


def refiner(
    model: onnx.ModelProto,
    arrays: Mapping[str, NDArray[Any]],
    moving: str,
    beta: Sequence[Fraction],
    outputs: Sequence[str],
    observed: Sequence[NDArray[Any]],
) -> Callable[[Sequence[Cell]], list[Cell]]:
    """A function that splits a stubborn cell until its parts are decided or not worth it."""
    built: list[CheckedGraph] = []

    def verdict(lo: Fraction, hi: Fraction) -> Cell:
        if not built:
            built.append(CheckedGraph.build(model, dict(arrays), moving, list(beta), list(outputs)))
        for bits in LADDER:
            values = built[0].evaluate([(lo, hi)], bits)
            for k, ((low, high), seen) in enumerate(zip(values, observed, strict=True)):
                flat = seen.reshape(-1).astype(np.int64)
                differs = (low.reshape(-1) > flat) | (high.reshape(-1) < flat)
                if differs.any():
                    return Cell(lo, hi, "outside", k, int(differs.argmax()))
            if all(np.array_equal(low, high) for low, high in values):
                return Cell(lo, hi, "inside")
        return Cell(lo, hi, "gap")

    def refine(cells: Sequence[Cell]) -> list[Cell]:
        result: list[Cell] = []
        for cell in cells:
            waiting = [(Fraction(cell.lo), Fraction(cell.hi), 0)]
            while waiting:
                lo, hi, depth = waiting.pop()
                found = verdict(lo, hi)
                if found.verdict != "gap" or depth >= HALVINGS or len(result) + len(waiting) > 4 * HALVINGS:
                    result.append(found)
                else:
                    middle = (lo + hi) / 2
                    waiting += [(lo, middle, depth + 1), (middle, hi, depth + 1)]
        return result

    return refine
