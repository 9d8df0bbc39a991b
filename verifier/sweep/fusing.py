"""Maxima of maxima as one: Relu before MaxPool has no kinks of its own."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from symbolic.pieces.program import Ids, Linear, Maximum, Product, Program

__all__ = ["alive", "fused", "reads"]


def reads(layer: object) -> Ids:
    """Every unit that a layer reads."""
    if isinstance(layer, Linear):
        return layer.reads()
    if isinstance(layer, Product):
        return np.unique(np.concatenate([layer.factors, layer.sources]))
    sources: Ids = layer.sources  # type: ignore[attr-defined]
    return np.unique(sources[sources >= 0])


def alive(program: Program) -> NDArray[np.bool_]:
    """Which layers the outputs depend on."""
    wanted = np.zeros(program.size, dtype=bool)
    for ids in program.outputs.values():
        wanted[ids.reshape(-1)] = True
    found = np.zeros(len(program.layers), dtype=bool)
    for k in reversed(range(len(program.layers))):
        layer = program.layers[k]
        if wanted[layer.units].any():
            found[k] = True
            wanted[reads(layer)] = True
    return found


_fused: WeakKeyDictionary[Program, Program] = WeakKeyDictionary()


def fused(program: Program) -> Program:
    """The same units, where maxima that only maxima read are not read any more.

    The layers stay, so that units keep their numbers; `alive` tells which of them still count.
    """
    if program not in _fused:
        _fused[program] = _made(program)
    return _fused[program]


def _made(program: Program) -> Program:
    layers = list(program.layers)
    outputs = [ids.reshape(-1) for ids in program.outputs.values()]
    kept = np.zeros(program.size, dtype=bool)
    kept[np.concatenate(outputs)] = True
    for layer, lives in zip(layers, alive(program), strict=True):
        if lives and not isinstance(layer, Maximum):
            kept[reads(layer)] = True
    for k in range(len(layers)):
        inner = layers[k]
        if isinstance(inner, Maximum) and inner.sources.shape[1] <= 2 and not kept[inner.units].any():
            layers = [_merged(outer, inner) if isinstance(outer, Maximum) else outer for outer in layers]
    return replace(program, layers=tuple(layers))


def _merged(outer: Maximum, inner: Maximum) -> Maximum:
    """The entries of the inner maxima instead of the inner maxima."""
    inside = (outer.sources >= inner.start) & (outer.sources < inner.start + inner.size)
    if not inside.any():
        return outer
    own = np.where(inside, -1, outer.sources)
    rows = np.where(inside, outer.sources - inner.start, 0)
    parts = [own] if (own >= 0).any() else []
    for entries in inner.sources.T:
        taken = np.where(inside, entries[rows], -1)
        if (taken <= 0).all():  # one zero is as good as many
            taken = taken.max(axis=1, keepdims=True)
        parts.append(taken)
    table = np.concatenate(parts, axis=1)
    return replace(outer, sources=np.ascontiguousarray(table[:, (table >= 0).any(axis=0)]))
