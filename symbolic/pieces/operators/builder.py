"""Making the layers of a program, and the registry of operators that can be written as such."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.pieces.operators.intervals import Intervals
from symbolic.pieces.program import (
    Held,
    Ids,
    Label,
    Linear,
    Maximum,
    Product,
    Rounding,
    Staircase,
    Step,
    Tap,
    Winner,
)

__all__ = ["Builder", "Given", "Lowering", "Units", "lowerings", "lowers"]

LARGEST_TABLE = 1 << 24
"""Entries of one layer that are built one by one."""
EXACT = 2**53
"""Up to here floats know every integer."""
NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Units:
    """A tensor that moves: the unit of each element."""

    ids: Ids

    @property
    def shape(self) -> tuple[int, ...]:
        return self.ids.shape


Given = Sequence[Units | Const | None]
Lowering = Callable[["Builder", Node, Given], Sequence[Units | None]]
"""Makes the outputs; None stands for one that has no linear pieces, which matters where somebody reads it."""

lowerings: dict[str, Lowering] = {}
"""By operator type."""


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register how operators become layers."""

    def register(lowering: Lowering) -> Lowering:
        lowerings.update(dict.fromkeys(names, lowering))
        return lowering

    return register


class Builder:
    """Layers so far; ``label`` is that of the node at hand."""

    def __init__(self, n_inputs: int) -> None:
        self.layers: list[Any] = []
        self.size = 1 + n_inputs
        self.label = Label("", "")
        self.inexact: list[str] = []
        self.held: list[Held] = []
        self.flat = np.arange(self.size) == 0
        self._intervals = Intervals(n_inputs)

    def _add(self, kind: type[Any], size: int, **parts: Any) -> Ids:
        start, self.size = self.size, self.size + size
        if size:
            layer = kind(start=start, size=size, label=self.label, **parts)
            self.flat = np.concatenate([self.flat, _is_flat(layer, self.flat)])
            self.layers.append(layer)
        return np.arange(start, start + size)

    def bounds(self, ids: Ids) -> tuple[Array, Array]:
        """Between which bounds units stay for every input."""
        return self._intervals.of(self.layers, ids)

    def hold(self, ids: Ids, low: int, high: int) -> None:
        """Nothing is defined unless these (piecewise constant) units stay between whole numbers."""
        least, most = self.bounds(ids)
        beyond = ~((least >= max(low, -EXACT)) & (most <= min(high, EXACT)))
        if beyond.any():
            self.held.append(Held(self.label, np.unique(ids[beyond]), low, high))

    def exactly(self, const: Const) -> Array:
        """A constant as floats, which it must be exactly; notes the node if it is a ball."""
        first, *rest = self.parts(const)
        if rest:
            raise ModelError(f"{self.label}: its integers are too large for exact linear pieces.")
        return first

    def parts(self, const: Const) -> list[Array]:
        """Floats whose sum a constant is: one, or two for integers beyond 2**53."""
        if const.radius is not None and const.radius.any() and str(self.label) not in self.inexact:
            self.inexact.append(str(self.label))
        floats = const.value.astype(np.float64)
        if not np.isfinite(floats).all():
            raise ModelError(f"{self.label}: there are no linear pieces with infinite constants.")
        if const.value.dtype.kind not in "iu" or (np.abs(floats) < EXACT).all():
            return [floats]
        whole = const.value.astype(object)
        low = np.asarray(whole % 2**32, dtype=np.float64)  # the rest has 32 bits at most
        return [np.asarray(whole - whole % 2**32, dtype=np.float64), low]

    def constants(self, values: Array) -> Ids:
        """Units that stand still."""
        if not np.isfinite(values).all():
            raise ModelError(f"{self.label}: there are no linear pieces with infinite constants.")
        distinct, place = np.unique(np.concatenate([[0.0], values.reshape(-1)]), return_inverse=True)
        zero = int(np.nonzero(distinct == 0)[0][0])
        bias = np.delete(distinct, zero)
        made = self.rows(np.zeros(bias.size + 1, dtype=np.int64), NONE, NONE.astype(np.float64), bias)
        ids = np.insert(made, zero, 0)
        return np.asarray(ids[place[1:]].reshape(values.shape))

    def ids(self, value: Units | Const) -> Ids:
        """The units of any value."""
        if isinstance(value, Units):
            return value.ids
        first, *rest = self.parts(value)
        ids = self.constants(first)
        for part in rest:
            ids = self.affine([(ids, 1.0)], part)
        return ids

    def affine(
        self, terms: Sequence[tuple[Ids, Array | float]], bias: Array | float = 0.0, divisor: int = 1
    ) -> Ids:
        """Sum of coefficient * units, plus bias, over divisor, element by element."""
        bias = np.asarray(bias, dtype=np.float64)
        factors = [np.asarray(factor, dtype=np.float64) for _, factor in terms]
        shapes = [bias.shape, *(ids.shape for ids, _ in terms), *(f.shape for f in factors)]
        shape = np.broadcast_shapes(*shapes)
        if len(terms) == 1 and divisor == 1 and not bias.any() and (factors[0] == 1).all():
            return np.array(np.broadcast_to(terms[0][0], shape))
        sources = np.stack([np.broadcast_to(ids, shape).reshape(-1) for ids, _ in terms], axis=-1)
        weights = np.stack([np.broadcast_to(f, shape).reshape(-1) for f in factors], axis=-1)
        used = (weights != 0) & (sources != 0)
        pointers = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        flat = np.array(np.broadcast_to(bias, shape)).reshape(-1)
        return self.rows(pointers, sources[used], weights[used], flat, divisor).reshape(shape)

    def rows(self, pointers: Ids, sources: Ids, weights: Array, bias: Array, divisor: int = 1) -> Ids:
        """Compressed rows."""
        return self._add(
            Linear,
            bias.size,
            pointers=pointers.astype(np.int64),
            sources=sources.astype(np.int64),
            weights=weights,
            bias=bias,
            divisor=divisor,
        )

    def blocks(self, taps: Sequence[Tap], count: int, width: int, bias: Array | None = None) -> Ids:
        """``count`` blocks of ``width`` units; the bias is one of a block, or one of each."""
        every = np.broadcast_to(0.0 if bias is None else bias, (count, width)).reshape(-1)
        size = count * width
        pointers = np.zeros(size + 1, dtype=np.int64)
        ids = self._add(Linear, size, width=width, taps=tuple(taps), pointers=pointers, bias=np.array(every))
        return ids.reshape(count, width)

    def maximum(self, table: Ids) -> Ids:
        """The greatest of the last axis, where -1 stands for nothing."""
        flat = self._competitors(table)
        return self._add(Maximum, len(flat), sources=flat).reshape(table.shape[:-1])

    def _competitors(self, table: Ids) -> Ids:
        """The rows of a table, each of which has an entry."""
        self.require_moderate(table.size)
        flat = table.reshape(math.prod(table.shape[:-1]), table.shape[-1])
        if not (flat >= 0).any(axis=1).all():
            raise ModelError(f"{self.label}: the greatest of nothing is no number.")
        return flat

    def require_moderate(self, entries: int) -> None:
        """Raise ModelError if a layer would have too many entries."""
        if entries > LARGEST_TABLE:
            raise ModelError(f"{self.label} is too large for exact linear pieces.")

    def relu(self, ids: Ids) -> Ids:
        """max(x, 0)."""
        return self.maximum(np.stack([ids, np.zeros_like(ids)], axis=-1))

    def winner(self, table: Ids, numbers: Array, last: bool = False) -> Ids:
        """The number of the greatest of the last axis."""
        flat = self._competitors(table)
        every = np.array(np.broadcast_to(numbers, table.shape)).reshape(flat.shape)
        return self._add(Winner, len(flat), sources=flat, numbers=every, last=last).reshape(table.shape[:-1])

    def step(self, ids: Ids, strict: bool = True) -> Ids:
        """1 where positive (or not negative), else 0."""
        return self._add(Step, ids.size, sources=ids.reshape(-1), strict=strict).reshape(ids.shape)

    def staircase(self, ids: Ids, rounding: Rounding) -> Ids:
        """Rounded to whole numbers."""
        return self._add(Staircase, ids.size, sources=ids.reshape(-1), rounding=rounding).reshape(ids.shape)

    def product(self, factors: Ids, ids: Ids) -> Ids:
        """Units times units that are piecewise constant."""
        factors, ids = np.broadcast_arrays(factors, ids)
        return self._add(Product, ids.size, factors=factors.reshape(-1), sources=ids.reshape(-1)).reshape(
            ids.shape
        )

    def tensor(self, ids: NDArray[Any]) -> list[Units]:
        """One output."""
        return [Units(np.asarray(ids, dtype=np.int64))]


def _is_flat(layer: Any, flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which units of a new layer are piecewise constant."""
    if isinstance(layer, (Winner, Step, Staircase)):
        return np.ones(layer.size, dtype=bool)
    if isinstance(layer, Product):
        return np.asarray(flat[layer.sources])
    if isinstance(layer, Maximum):
        return np.asarray((flat[layer.sources] | (layer.sources < 0)).all(axis=1))
    found = np.ones(layer.size, dtype=bool)
    found[layer.rows[~flat[layer.sources]]] = False
    for tap in layer.taps:
        found.reshape(-1, layer.width)[tap.targets[~flat[tap.sources].all(axis=1)]] = False
    return found
