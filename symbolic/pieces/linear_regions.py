"""All linear regions of a network along a line: the public function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import enough_memory
from symbolic.pieces.arguments import Model, as_arrays, as_double, as_network, as_segment
from symbolic.pieces.drawing import draw_line
from symbolic.pieces.guards import pattern
from symbolic.pieces.line import Binding, End, LinePiece, RationalLine
from symbolic.pieces.walk import pieces_between
from symbolic.reading.arrays import fractions_of

__all__ = ["LinearRegion", "LinearRegions", "linear_regions"]


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
        return pattern(self.piece.piece.program, self.piece.branches)

    def exact(self, output: str) -> tuple[list[Fraction], list[Fraction]]:
        """Intercepts and slopes of a tensor, flat: its value is intercept + slope z."""
        return self.piece.values(output)

    def affine(self, output: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same as arrays of the tensor's shape (nearest doubles)."""
        shape = self.piece.piece.program.units_of(output).shape
        first, second = (np.array(list(map(as_double, part))).reshape(shape) for part in self.exact(output))
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
        return f"{self._between()}, with exact ends"

    def _between(self) -> str:
        """How many, and where."""
        first, last = as_double(self.regions[0].lo), as_double(self.regions[-1].hi)
        return f"{len(self)} linear region{'s' * (len(self) > 1)} between {first:g} and {last:g}"

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
        return draw_line(self.regions, self.outputs[0] if output is None else output, elements, ax)


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
        Part of the line; None (or an infinity) for the whole.
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
    start, direction = as_arrays(a=a, b=b)
    low, high = as_segment(lo, hi)
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
