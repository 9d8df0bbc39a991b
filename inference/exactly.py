"""What float64 cannot decide, by the checker's arithmetic: the selection at x_obs, and stubborn cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.errors import ModelError, TieError
from verifier.cells import Cell
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import EXACT, FINE, RATIONAL
from verifier.search import Decider

__all__ = ["decided_exactly", "decider"]

LADDER = (60, 64, 128, 256, 512)
"""Bits to try, one after the other (up to 64: arrays of 64-bit integers, fast)."""
MOST_AT_ONCE = 128
"""Bits to begin with at most."""
FEW_ELEMENTS = 4096
"""Of the largest tensor: up to here a stubborn cell is worth the slow rationals."""


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
    try:
        graph = CheckedGraph.build(model, dict(arrays), moving, zero, list(outputs))
        for bits in (*LADDER, EXACT, RATIONAL):
            values = graph.evaluate([(Fraction(0), Fraction(0))], bits)
            if all(np.array_equal(lo, hi) for lo, hi in values):
                return [np.array(lo[0]) for lo, _ in values]
    except InvalidCertificate as error:
        raise ModelError(f"the checker cannot interpret the graph: {error}.") from error
    raise TieError(
        "the selection at the observed input cannot be decided at any precision; change the threshold "
        "slightly."
    )


def decider(
    model: onnx.ModelProto,
    arrays: Mapping[str, NDArray[Any]],
    moving: str,
    beta: Sequence[Fraction],
    outputs: Sequence[str],
    observed: Sequence[NDArray[Any]],
) -> Decider:
    """A function that decides one cell with more bits, or returns it as a gap.

    It begins with as many bits as it took to decide a cell, or its middle, the last time.
    """
    graphs: list[CheckedGraph] = []
    enough = [LADDER[0]]

    def decide(lo: Fraction, hi: Fraction, *, thorough: bool = False) -> Cell:
        try:
            if not graphs:
                graphs.append(CheckedGraph.build(model, dict(arrays), moving, list(beta), list(outputs)))
            cell, bits = _decided(graphs[0], observed, lo, hi, thorough, enough[0])
            enough[0] = min(bits, MOST_AT_ONCE)
            return cell
        except InvalidCertificate as error:  # such a certificate would be refused
            raise ModelError(f"the checker cannot interpret the graph: {error}.") from error

    return decide


def _decided(
    graph: CheckedGraph,
    observed: Sequence[NDArray[Any]],
    lo: Fraction,
    hi: Fraction,
    thorough: bool,
    least: int,
) -> tuple[Cell, int]:
    """The cell with its verdict, and with how many bits it, or its middle, was known.

    More bits are no use where the width of the cell blurs, not the rounding: if they did not help the last
    time (or, unless ``thorough``, without trying) and its middle alone is decided, it is a gap.
    """
    small = graph.elements <= FEW_ELEMENTS
    before = -1
    for bits in (*(b for b in LADDER if b >= least), *([RATIONAL] if small else [])):
        values = graph.evaluate([(lo, hi)], bits)
        for k, ((low, high), seen) in enumerate(zip(values, observed, strict=True)):
            flat = seen.reshape(-1).astype(np.int64)
            differs = (low.reshape(-1) > flat) | (high.reshape(-1) < flat)
            if differs.any():
                return Cell(lo, hi, "outside", k, int(differs.argmax())), bits
        unknown = _unknown(values)
        if not unknown:
            return Cell(lo, hi, "inside"), bits
        stalled = bits > FINE and unknown == before if thorough else bits >= FINE
        middle = (lo + hi) / 2
        if stalled and not small and not _unknown(graph.evaluate([(middle, middle)], bits)):
            return Cell(lo, hi, "gap"), bits
        before = unknown
    return Cell(lo, hi, "gap"), least


def _unknown(values: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> int:
    """How many elements of the outputs are not known."""
    return sum(int((low != high).sum()) for low, high in values)
