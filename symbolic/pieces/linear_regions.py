"""All linear regions of a network along a line: the public function."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.errors import InputError, enough_memory
from symbolic.network import Network
from symbolic.pieces.line import Binding, End, LinePiece, RationalLine
from symbolic.pieces.walk import pieces_between
from symbolic.reading.arrays import as_exact_array, fractions_of
from symbolic.reading.exact import exact_number
from symbolic.reading.loading import free_inputs, freeze_random, load_model, static_inputs

__all__ = ["LinearRegion", "LinearRegions", "as_network", "linear_regions"]

Model = str | os.PathLike[str] | onnx.ModelProto


@dataclass(frozen=True, eq=False)
class LinearRegion:
    """An open interval on which the network is one affine function of z.

    Attributes
    ----------
    lo, hi : Fraction or float
        Exact ends; floats are -inf and inf.
    left, right : Binding or None
        The unit that changes its branch at each end.
    piece : LinePiece
        Pattern and values, exactly.
    """

    lo: End
    hi: End
    left: Binding | None
    right: Binding | None
    piece: LinePiece

    @property
    def pattern(self) -> dict[str, NDArray[np.int64]]:
        """The branch of every unit, by the layer's number and node."""
        layers = self.piece.piece.program.layers
        return {f"{k} {layers[k].label}": branch for k, branch in self.piece.branches.items()}

    def exact(self, output: str) -> tuple[list[Fraction], list[Fraction]]:
        """Intercepts and slopes of a tensor, flat: its value is intercept + slope z."""
        return self.piece.values(output)

    def affine(self, output: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same as arrays of the tensor's shape (nearest doubles)."""
        shape = self.piece.piece.program.tensors[output].shape
        first, second = (np.array([float(v) for v in part]).reshape(shape) for part in self.exact(output))
        return first, second


@dataclass(frozen=True, eq=False)
class LinearRegions:
    """The regions from left to right.

    Attributes
    ----------
    regions : tuple of LinearRegion
    outputs : tuple of str
        The network's outputs.
    """

    regions: tuple[LinearRegion, ...]
    outputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[LinearRegion]:
        return iter(self.regions)

    def __getitem__(self, k: int) -> LinearRegion:
        return self.regions[k]

    @cached_property
    def ends(self) -> list[Fraction]:
        """The points between regions."""
        return [Fraction(region.lo) for region in self.regions[1:]]

    def __str__(self) -> str:
        first, last = float(self.regions[0].lo), float(self.regions[-1].hi)
        return f"{len(self)} linear regions between {first:g} and {last:g}, with exact ends"

    def plot(self, output: str | None = None, elements: Any = None, ax: Any = None) -> Any:
        """Draw elements of an output over z, with a tick at every end of a region.

        Parameters
        ----------
        output : str, optional
            Default: the first.
        elements : sequence of int, optional
            Flat numbers; default: the first ten.
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
        """
        import matplotlib.pyplot as plt

        ax = plt.gca() if ax is None else ax
        name = self.outputs[0] if output is None else output
        inner = [float(end) for end in self.ends] or [0.0]
        margin = (max(inner) - min(inner)) / 10 or 1.0
        size = self.regions[0].affine(name)[0].size
        shown = range(min(size, 10)) if elements is None else elements
        for region in self.regions:
            a, b = (part.reshape(-1) for part in region.affine(name))
            z = np.array(
                [max(float(region.lo), min(inner) - margin), min(float(region.hi), max(inner) + margin)]
            )
            for k, element in enumerate(shown):
                ax.plot(z, a[element] + b[element] * z, color=f"C{k % 10}")
        ax.plot(inner, np.zeros(len(inner)), "|", color="0.4", transform=ax.get_xaxis_transform())
        ax.set_xlabel("z")
        ax.set_ylabel(name)
        return ax


@enough_memory()
def linear_regions(
    model: Model, a: Any, b: Any, lo: Any = None, hi: Any = None, *, seed: int | None = None
) -> LinearRegions:
    """Find every linear region of a network on the line x(z) = a + b z, exactly.

    Parameters
    ----------
    model : path or onnx.ModelProto
        Of one input; piecewise linear, with rational constants (its floats denote the rationals that they
        are).
    a, b : array_like
        Of the shape of the input; every entry is the rational it is.
    lo, hi : number, optional
        Part of the line; None for the whole.
    seed : int, optional
        Of random operators, which are drawn once.

    Returns
    -------
    LinearRegions
        Adjoining open intervals from lo to hi. Ends are rationals, nothing is rounded.

    Raises
    ------
    ModelError
        If the network is not piecewise linear, or its constants are no rational numbers.
    InputError
        If a and b do not fit it.
    """
    start, direction = as_exact_array(a, "a"), as_exact_array(b, "b")
    if start.shape != direction.shape:
        raise InputError(f"a has shape {start.shape}, but b has shape {direction.shape}.")
    low: End = -float("inf") if lo is None else exact_number(lo, "lo")
    high: End = float("inf") if hi is None else exact_number(hi, "hi")
    if low >= high:
        raise InputError(f"lo is {lo}, not less than hi, which is {hi}.")
    network = as_network(model, start, seed)
    network.program.require_exact()
    line = RationalLine(tuple(fractions_of(start.reshape(-1))), tuple(fractions_of(direction.reshape(-1))))
    pieces = pieces_between(network.program, line, low, high)
    regions = tuple(
        LinearRegion(
            max(piece.lo, low),
            min(piece.hi, high),
            piece.left if piece.lo >= low else None,
            piece.right if piece.hi <= high else None,
            piece,
        )
        for piece in pieces
    )
    return LinearRegions(regions, network.outputs)


def as_network(model: Model, x: NDArray[Any], seed: int | None = None) -> Network:
    """A model of one input, ready for linear pieces."""
    loaded = load_model(model)
    inputs = free_inputs(loaded.proto.graph)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise InputError(f"the model has {len(inputs)} inputs ({names}); fold all but one into the graph.")
    name = inputs[0].name
    static, _ = freeze_random(static_inputs(loaded.proto, {name: x.shape}), seed=seed)
    outputs = [value.name for value in static.graph.output]
    arrays = {name: np.array([float(v) for v in x.reshape(-1)]).reshape(x.shape)}
    return Network(static, arrays, name, outputs)
