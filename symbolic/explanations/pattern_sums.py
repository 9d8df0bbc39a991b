"""Sums over data from which the patterns of a linear layer follow."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from symbolic.explanations.backward import Step
from symbolic.node import Node
from symbolic.operators.windows import window_of

__all__ = ["Array", "Layer", "Sums"]

Array = NDArray[np.float64]
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
        groups, count, batch = int(self.node.attributes.get("group", 1)), len(factors), len(x)
        seen = x.reshape(batch, groups, -1, *x.shape[2:])
        said = factors.reshape(count, batch, groups, -1, *factors.shape[3:])
        kernel, every = self.units.shape[2:], slice(None)
        found = np.zeros((*kernel, count, *self.units.shape[:2]))
        for offset, outs, ins in window.places:  # one entry of the kernel at all places; padding adds nothing
            left = (
                said[every, every, every, every, *outs].reshape(*said.shape[:4], -1).transpose(2, 0, 3, 1, 4)
            )
            right = seen[every, every, every, *ins].reshape(*seen.shape[:3], -1).transpose(1, 0, 3, 2)
            inner = left.shape[3] * left.shape[4]
            sums = left.reshape(groups, -1, inner) @ right.reshape(groups, inner, -1)
            sums = sums.reshape(groups, count, -1, sums.shape[-1]).swapaxes(0, 1)
            found[offset] = sums.reshape(count, *self.units.shape[:2])
        return np.moveaxis(found, range(len(kernel)), range(-len(kernel), 0))


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
