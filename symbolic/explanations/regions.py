"""Regions of an input, which are perturbed as one: cells of a grid, or given labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto

from symbolic.errors import ModelError, OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.products.matrices import times_matrix

__all__ = ["Division", "Regions", "as_input", "spatial_axes", "unflattened", "upsampling"]

Division = int | Sequence[int] | ArrayLike
"""Cells along every spatial axis (a number, or one per axis), or an integer array of labels."""


class Regions:
    """A partition of one input.

    Parameters
    ----------
    x : Tensor
        The input, (N, features) or (N, channels, places, ...); all axes after the channels are spatial.
    division : int, sequence of int, or array of int
        Cells along the spatial axes, of equal size as nearly as possible, channels together; an axis that is
        shorter gets a cell per place. Or labels in the shape of one input, or of its spatial axes.

    Attributes
    ----------
    labels : array of int64
        Of every place, 0 to count - 1; (1, places, ...) where channels are together.
    count : int
    cells : tuple of int or None
        Along the spatial axes, of a grid.
    """

    def __init__(self, x: Tensor, division: Division) -> None:
        axes = spatial_axes(x)
        places = tuple(x.length(axis) for axis in axes)
        self.x, self._places = x, places
        self.cells: tuple[int, ...] | None = None
        array = _whole(division)
        if array.ndim == 0 or (array.ndim == 1 and not isinstance(division, np.ndarray)):
            self.cells = _cells(array, places)
            indices = [(2 * np.arange(n) + 1) * c // (2 * n) for n, c in zip(places, self.cells, strict=True)]
            array = np.ravel_multi_index(np.ix_(*indices), self.cells)
        rest = tuple(x.length(axis) for axis in range(1, x.rank))
        if array.shape not in (places, rest):
            raise OptionError(
                f"the labels of the regions have the shape {array.shape}; one input has {rest}, and "
                f"{places} without its channels."
            )
        found, numbers = np.unique(array, return_inverse=True)
        lead = (1,) * (len(rest) - array.ndim)
        self.labels: NDArray[np.int64] = numbers.reshape(lead + array.shape).astype(np.int64)
        self.count = len(found)

    def masks(self, table: Tensor) -> Tensor:
        """(S, count), a number per region, as (S, 1, ...), a number per place."""
        shape = (table.known_shape[0], 1, *self.labels.shape)
        places = table.graph.constant(self.labels[None], TensorProto.INT64)
        return table.graph.node("Gather", [table, places], shape=shape, axis=1)

    def spread(self, values: Tensor, smooth: bool = False) -> Tensor:
        """(N, count), a number per region, in the shape of the input; a smooth one by cubic interpolation."""
        graph = values.graph
        if not smooth:
            shape = (values.known_shape[0], *self.labels.shape)
            places = graph.constant(self.labels, TensorProto.INT64)
            made = graph.node("Gather", [values, places], shape=shape, axis=1)
            return graph.expand(made, self.x)
        if self.cells is None:
            raise OptionError("a smooth map needs regions that are the cells of a grid.")
        made = unflattened(values, self.cells)
        for axis, (cells, length) in enumerate(zip(self.cells, self._places, strict=True), start=1):
            matrix = graph.constant(upsampling(cells, length, "cubic"), values.elem_type)
            made = times_matrix(graph, made, matrix, axis)
        return as_input(made, self.x)


def spatial_axes(x: Tensor) -> tuple[int, ...]:
    """The axes of places: all after the batch and, of three axes or more, the channels."""
    if x.rank < 2:
        raise ModelError(f"the input {x.name!r} has no axis but the batch: there are no regions in it.")
    return tuple(range(min(2, x.rank - 1), x.rank))


def unflattened(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """(N, count) as (N, ...)."""
    shape = (x.known_shape[0], *lengths)
    return x.graph.node("Reshape", [x, x.graph.integers([-1, *lengths])], shape=shape)


def as_input(values: Tensor, x: Tensor) -> Tensor:
    """(N, places, ...) in the shape of the input: the same in every channel."""
    graph = values.graph
    if values.rank < x.rank:
        shape = (values.known_shape[0], 1, *values.known_shape[1:])
        values = graph.node("Unsqueeze", [values, graph.integers([1])], shape=shape)
    return graph.expand(values, x)


def upsampling(cells: int, length: int, kernel: str) -> NDArray[np.float64]:
    """Interpolation along one axis as a matrix, (length, cells); beyond the border the last cell goes on.

    Parameters
    ----------
    cells, length : int
        A cell covers length / cells places; its value stands in its middle.
    kernel : {"linear", "cubic"}
    """
    middles = (np.arange(length) + 0.5) * cells / length - 0.5
    first = np.floor(middles).astype(int)
    matrix = np.zeros((length, cells))
    for tap in (-1, 0, 1, 2):
        weights = KERNELS[kernel](np.abs(middles - first - tap))
        np.add.at(matrix, (np.arange(length), np.clip(first + tap, 0, cells - 1)), weights)
    return matrix


def _cubic(t: NDArray[np.float64], a: float = -0.75) -> NDArray[np.float64]:
    """Keys, 1981, with the constant that image libraries take."""
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


KERNELS = {"linear": lambda t: np.maximum(1 - t, 0.0), "cubic": _cubic}


def _whole(division: Division) -> NDArray[np.int64]:
    try:
        array = np.asarray(division)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    if not np.issubdtype(array.dtype, np.integer):
        raise OptionError("regions should be whole numbers: of cells along the axes, or labels.")
    return array.astype(np.int64)


def _cells(given: NDArray[np.int64], places: tuple[int, ...]) -> tuple[int, ...]:
    if given.ndim and len(given) != len(places):
        raise OptionError(
            f"regions has {len(given)} numbers of cells; the input has {len(places)} axes for them."
        )
    if (given < 1).any():
        raise OptionError("there must be one cell along every axis, or more.")
    return tuple(int(min(c, n)) for c, n in zip(np.broadcast_to(given, len(places)), places, strict=True))
