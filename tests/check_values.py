"""What the checker knows of every tensor on cells, held against exact values of the twin."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import twin

from verifier.check.graph import graph as check_graph
from verifier.check.graph.graph import Cell, CheckedGraph
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Form
from verifier.check.operators.registry import Context

__all__ = ["contradictions", "graph_of", "radius", "values_on"]


def graph_of(
    model: onnx.ModelProto, inputs: dict[str, np.ndarray], moving: str, direction: np.ndarray
) -> CheckedGraph:
    """The checker's graph, all tensors kept."""
    outputs = [v.name for v in model.graph.output]
    return CheckedGraph.build(
        model, inputs, moving, [Fraction(v) for v in direction.reshape(-1).tolist()], outputs
    )


def values_on(graph: CheckedGraph, cells: list[Cell], bits: int | None) -> dict[str, Any]:
    """Every moving tensor on the cells (all finite, or all rays)."""
    constants, known = graph._constants(bits)
    ctx = Context(constants.ar, graph.moves, cache=constants.cache, maps=graph.maps)
    if math.isinf(cells[0][0]) or math.isinf(cells[0][1]):
        ctx.scale, moving = graph.line.on_rays(ctx.ar, cells)
    else:
        moving = graph.line.on_cells(ctx.ar, cells)
    values = {**known, graph.moving: moving}
    graph._run(ctx, [n for n in graph.nodes if graph.moves & set(n.outputs)], values, keep=True)
    return {name: v for name, v in values.items() if name in graph.moves}


def contradictions(
    values: dict[str, Any], exact: dict[str, Any], k: int, tau: Fraction, factor: Fraction = Fraction(1)
) -> list[str]:
    """Tensors whose exact value at tau in cell k is not enclosed (on a ray: times factor**degree)."""
    found = []
    for name, value in values.items():
        if name not in exact:  # in no graph but the checker's
            continue
        wanted = exact[name]
        if value.shape != wanted.shape:
            found.append(f"{name}: shape {value.shape} instead of {wanted.shape}")
            continue
        for index in np.ndindex(wanted.shape):
            if wanted[index] is twin.UNKNOWN:
                continue
            low, high = (Fraction(v) for v in twin.bounds(wanted[index]))
            if isinstance(value, Discrete):
                at = (*index, k % value.lo.shape[-1])
                good = int(value.lo[at]) <= low and high <= int(value.hi[at])
            else:
                at = (*index, k % value.c.shape[-1])
                c, d, r = (int(a[at]) * Fraction(2) ** value.e for a in (value.c, value.d, value.r))
                scale = factor**value.degree
                # The twin's own enclosure may be wider than the checker's: they must meet.
                good = c + d * tau - r <= high * scale and low * scale <= c + d * tau + r
                least, most = value.limits
                good &= (least is None or least <= high) and (most is None or low <= most)
            if not good:
                found.append(f"{name}{list(index)}")
                break
    return found


def radius(value: Form) -> float:
    """The largest radius."""
    return max((int(r) for r in value.r.flat), default=0) * 2.0**value.e


assert check_graph
