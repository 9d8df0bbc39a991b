"""Sums over data from which the patterns of a linear layer follow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.explanations.backward import Step
from symbolic.node import Node
from symbolic.operators.windows import Window, window_of

__all__ = ["Array", "Layer", "Sums"]

Array = NDArray[np.float64]
MOST_PATCHED = 2**23
"""Numbers of windows that are laid out at a time (those of one image in any case)."""
ROUNDING = 1e-12
"""A variance below it, relative to the sizes of what is subtracted, is rounding."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer: the tensors that it reads and makes, the one whose sign its ReLU sees, its weights."""

    node: Node
    x: str
    y: str
    sign: str
    units: Array
    """Weights, units first."""
    turned: bool
    """The weights are stored inputs first."""

    @classmethod
    def of(cls, step: Step, sign: str) -> Layer:
        weight = np.asarray(step.graph.value(step.given(1).name), dtype=np.float64)
        kind = step.node.op_type
        turned = kind == "MatMul" or (kind == "Gemm" and not step.node.flag("transB"))
        scale = step.node.number("alpha") if kind == "Gemm" else 1.0
        units = scale * (weight.T if turned else weight)
        return cls(step.node, step.given().name, step.outputs[0].name, sign, units, turned)

    def per_unit(self, y: Array) -> Array:
        """(units, samples)"""
        y = np.moveaxis(y, 1 if self.node.op_type == "Conv" else -1, 0)
        return y.reshape(len(y), -1)

    def products(self, factors: Array, x: Array) -> Array:
        """Factors, (F, *shape of y), times what each unit saw, summed over all places: (F, *units)."""
        if self.node.op_type != "Conv":
            rows = factors.reshape(len(factors), -1, factors.shape[-1])
            return np.swapaxes(rows, 1, 2) @ x.reshape(-1, x.shape[-1])
        window = window_of(self.node, x.shape[2:], self.units.shape[2:])
        groups, count = int(self.node.attributes.get("group", 1)), len(factors)
        taps, places = prod(window.kernel), prod(window.size_out)
        images = max(1, MOST_PATCHED // (x.shape[1] * taps * places))
        found = np.zeros((groups, count * factors.shape[2] // groups, x.shape[1] // groups * taps))
        for start in range(0, len(x), images):
            seen = _patches(x[start : start + images], window)
            said = factors[:, start : start + images]
            said = said.reshape(*said.shape[:2], groups, -1, places).transpose(2, 0, 3, 1, 4)
            inner = said.shape[3] * places
            found += said.reshape(groups, -1, inner) @ seen.reshape(groups, -1, inner).swapaxes(1, 2)
        return (
            found.reshape(groups, count, -1, found.shape[-1]).swapaxes(0, 1).reshape(count, *self.units.shape)
        )


def _patches(x: Array, window: Window) -> Array:
    """What every window sees, (channels, *kernel, N, *places); 0 in the padding."""
    found = np.zeros((x.shape[1], *window.kernel, len(x), *window.size_out))
    every = slice(None)
    for offset, outs, ins in window.places:
        seen: tuple[Any, ...] = (every, *offset, every, *outs)
        found[seen] = np.swapaxes(x[every, every, *ins], 0, 1)
    return found


@dataclass(eq=False)
class Sums:
    """Of one layer: samples, all and inside the region; y over all; x and x y inside, in the units' shape."""

    count: int
    inside: Array
    y: Array
    x: Array
    xy: Array

    @classmethod
    def of(cls, layer: Layer, x: Array, y: Array, inside: NDArray[np.bool_]) -> Sums:
        factors = np.stack([inside.astype(np.float64), np.where(inside, y, 0.0)])
        sum_x, sum_xy = layer.products(factors, x)
        values = layer.per_unit(y)
        return cls(values.shape[1], layer.per_unit(factors[0]).sum(1), values.sum(1), sum_x, sum_xy)

    def __add__(self, other: Sums) -> Sums:
        names = [field.name for field in fields(self)]
        return Sums(*(getattr(self, name) + getattr(other, name) for name in names))

    def patterns(self, units: Array) -> tuple[Array, int]:
        """The patterns, units first, and how many units have none."""
        column = (-1, *[1] * (units.ndim - 1))
        inside = np.maximum(self.inside, 1).reshape(column)
        mean_xy, mean_x = self.xy / inside, self.x / inside * (self.y / self.count).reshape(column)
        axes = tuple(range(1, units.ndim))
        top = mean_xy - mean_x
        below = (units * top).sum(axes)
        size = (np.abs(units) * (np.abs(mean_xy) + np.abs(mean_x))).sum(axes)
        told = (self.inside > 0) & (np.abs(below) > ROUNDING * size)
        scale = np.where(told, 1 / np.where(told, below, 1.0), 0.0)
        return top * scale.reshape(column), int((~told).sum())
