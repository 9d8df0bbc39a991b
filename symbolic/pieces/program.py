"""A piecewise-linear graph as layers of scalar units: what every exact engine reads.

Units are numbered through. Unit 0 is the constant 0; then follow the elements of the moving inputs, and the
layers, each with consecutive units. Six kinds of layers say everything:

* :class:`Linear`: sums of weighted units, with a constant;
* :class:`Maximum`: the greatest of some units (Relu is the maximum of x and unit 0);
* :class:`Winner`: a number for each of some units; that of the greatest one counts;
* :class:`Step`: 1 where a unit is positive (or not negative), else 0;
* :class:`Staircase`: a unit rounded to a whole number;
* :class:`Product`: a unit times another one that is piecewise constant.

Booleans and integers are units too; they do not move on a linear piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, ModelError

__all__ = [
    "Guarded",
    "Held",
    "Ids",
    "Label",
    "Layer",
    "Linear",
    "Maximum",
    "Product",
    "Program",
    "Rounding",
    "Staircase",
    "Step",
    "Tap",
    "Winner",
]

Ids = NDArray[np.int64]
Rounding = Literal["floor", "ceil", "even"]


@dataclass(frozen=True)
class Label:
    """The node that a layer comes from."""

    op_type: str
    node: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.node!r}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Consecutive units, from ``start`` on."""

    start: int
    size: int
    label: Label

    @property
    def units(self) -> slice:
        """Where the layer's units are."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, eq=False)
class Tap:
    """Blocks of units times one matrix: block ``targets[k]`` gets ``x[sources[k]] @ weights``.

    Attributes
    ----------
    sources : ndarray of int, shape (blocks, a)
    targets : ndarray of int, shape (blocks,)
        Each at most once.
    weights : ndarray of float, shape (a, b)
    """

    sources: Ids
    targets: Ids
    weights: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Layer):
    """(sum of taps + sum of weighted units + bias) / divisor.

    Attributes
    ----------
    width : int
        Units per block of the taps.
    taps : tuple of Tap
    pointers, sources, weights : ndarray
        Compressed rows: unit k adds ``weights[j] * x[sources[j]]`` for j from ``pointers[k]`` on.
    bias : ndarray of float, shape (size,)
    divisor : int
        Positive.
    """

    width: int = 1
    taps: tuple[Tap, ...] = ()
    pointers: Ids = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    sources: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    weights: Array = field(default_factory=lambda: np.zeros(0))
    bias: Array = field(default_factory=lambda: np.zeros(0))
    divisor: int = 1

    @property
    def rows(self) -> Ids:
        """The unit (counted from ``start``) that each entry of ``sources`` belongs to."""
        return np.repeat(np.arange(len(self.pointers) - 1), np.diff(self.pointers))

    def reads(self) -> Ids:
        """Every unit that is read."""
        return np.unique(np.concatenate([self.sources, *(tap.sources.reshape(-1) for tap in self.taps)]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum(Layer):
    """The greatest of the units in a row of ``sources``; -1 fills rows up."""

    sources: Ids


@dataclass(frozen=True, eq=False, kw_only=True)
class Winner(Layer):
    """``numbers`` of the greatest of the units in a row of ``sources``; of equals the first, or the last."""

    sources: Ids
    numbers: Array
    last: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Step(Layer):
    """1 where the source is positive, or (not ``strict``) zero; else 0."""

    sources: Ids
    strict: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Staircase(Layer):
    """The source rounded down, up, or to the nearest whole number (halves to even)."""

    sources: Ids
    rounding: Rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Layer):
    """factor times source, where the factor is piecewise constant."""

    factors: Ids
    sources: Ids


Guarded = Maximum | Winner | Step | Staircase
"""The layers that have a branch."""


@dataclass(frozen=True, eq=False)
class Held:
    """Units that the type of an integer tensor, or an axis, must hold: low <= x <= high.

    Beyond that the network is not defined (integers wrap around, an index names nothing). All of them are
    piecewise constant, so that a linear piece holds them everywhere or nowhere.
    """

    label: Label
    ids: Ids
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Program:
    """A whole graph.

    Attributes
    ----------
    inputs : mapping of str to ndarray of int
        The units of every moving input, in its shape.
    layers : tuple of Layer
        In the order of their units.
    outputs : mapping of str to ndarray of int
        The units of every output.
    tensors : mapping of str to ndarray of int
        The units of every tensor that moves.
    flat : ndarray of bool
        Which units are piecewise constant.
    inexact : tuple of str
        Nodes whose constants are known as balls only.
    held : tuple of Held
        What must hold besides, as far as it does not hold everywhere.
    """

    inputs: Mapping[str, Ids]
    layers: tuple[Any, ...]
    outputs: Mapping[str, Ids]
    tensors: Mapping[str, Ids]
    flat: NDArray[np.bool_]
    inexact: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def size(self) -> int:
        """How many units there are."""
        return self.layers[-1].units.stop if self.layers else 1 + sum(i.size for i in self.inputs.values())

    @property
    def n_inputs(self) -> int:
        """Elements of the moving inputs."""
        return sum(ids.size for ids in self.inputs.values())

    def units_of(self, name: str) -> Ids:
        """The units of a tensor, in its shape.

        Raises
        ------
        InputError
            If the network has no such tensor that moves.
        """
        ids = self.tensors.get(name, self.outputs.get(name))
        if ids is None:
            some = ", ".join(map(repr, list(self.outputs)[:4]))
            raise InputError(f"the network has no tensor {name!r} that moves; its outputs are {some}.")
        return ids

    def guarded(self) -> Iterator[tuple[int, Guarded]]:
        """The layers that have a branch, with their numbers."""
        for k, layer in enumerate(self.layers):
            if isinstance(layer, Guarded):
                yield k, layer

    def require_exact(self) -> None:
        """Raise ModelError if some constants are not rational."""
        if self.inexact:
            raise ModelError(
                f"linear pieces are exact for rational constants; those of {', '.join(self.inexact[:4])} "
                "are not."
            )

    def require_held(self) -> None:
        """Raise ModelError if integers may leave their types somewhere: for those who do not look at every
        piece, as `ExactPiece` does.
        """
        if self.held:
            some = ", ".join(sorted({str(held.label) for held in self.held})[:4])
            raise ModelError(f"integers may leave what their type, or an axis, holds: {some}.")
