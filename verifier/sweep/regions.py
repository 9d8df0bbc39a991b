"""All linear regions of a network of any size along a segment, by the sweep: the public function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, enough_memory
from symbolic.pieces.arguments import Model, as_arrays, as_double, as_doubles, as_network, as_segment
from symbolic.pieces.guards import pattern
from symbolic.pieces.linear_regions import LinearRegions
from symbolic.pieces.program import Program
from verifier.sweep.forward import Forward, forward
from verifier.sweep.rigour import LARGEST
from verifier.sweep.sweeper import Sweeper, planned

__all__ = ["SweptRegion", "SweptRegions", "swept_regions"]


@dataclass(frozen=True, eq=False)
class SweptRegion:
    """An interval on which no unit changes its branch, as float64 sees it.

    Attributes
    ----------
    lo, hi : float
    program : Program
        The network.
    start, direction : ndarray
        x(z) = start + z * direction, flat.
    """

    lo: float
    hi: float
    program: Program
    start: Array
    direction: Array

    @cached_property
    def _middle(self) -> Forward:
        return forward(self.program, self.start + self._at * self.direction, self.direction)

    @property
    def _at(self) -> float:
        return 0.5 * (self.lo + self.hi)

    @property
    def pattern(self) -> dict[str, NDArray[np.int64]]:
        """The branch of every unit, by the layer's number and node."""
        return pattern(self.program, self._middle.branches)

    def affine(self, output: str) -> tuple[Array, Array]:
        """Intercepts and slopes of a tensor, in its shape: its value is intercept + slope z."""
        ids = self.program.units_of(output)
        slope = self._middle.slope[ids]
        return self._middle.value[ids] - self._at * slope, slope


@dataclass(frozen=True, eq=False)
class SweptRegions(LinearRegions):
    """The regions from left to right; `plot` draws them."""

    regions: tuple[SweptRegion, ...]  # type: ignore[assignment]

    @cached_property
    def ends(self) -> list[float]:  # type: ignore[override]
        """The points between regions."""
        return [region.lo for region in self.regions[1:]]

    def __str__(self) -> str:
        return f"{self._between()}, in float64"


@enough_memory()
def swept_regions(model: Model, a: Any, b: Any, lo: Any, hi: Any, *, seed: int | None = None) -> SweptRegions:
    """Find the linear regions of a network on a segment of the line x(z) = a + b z, in float64.

    Some hundred microseconds per region where `linear_regions` takes seconds, but nothing is proved: regions
    that are narrower than rounding (about 1e-13 of the segment) may be missing.

    Parameters
    ----------
    model : path or onnx.ModelProto
        Of one input; piecewise linear.
    a, b : array_like
        Of the shape of the input.
    lo, hi : number
        The segment, within 2^20 of 0.
    seed : int, optional
        Of random operators, which are drawn once.

    Returns
    -------
    SweptRegions
        Adjoining intervals from lo to hi, with the pattern and the affine map of each.

    Raises
    ------
    ModelError
        If the network is not piecewise linear.
    InputError
        If a and b do not fit it.
    """
    start, direction = as_arrays(a=a, b=b)
    low, high = map(as_double, as_segment(lo, hi))
    if max(-low, high) > LARGEST:
        raise InputError(
            f"the segment reaches beyond {LARGEST:.0f}, where float64 loses the pieces: "
            "choose lo and hi within, or scale b."
        )
    if low >= high:
        raise InputError(f"lo and hi are the same double, {low}; linear_regions tells them apart.")
    network = as_network(model, start, seed)
    line = [as_doubles(part, name).reshape(-1) for part, name in ((start, "a"), (direction, "b"))]
    with np.errstate(over="ignore", invalid="ignore"):
        reached = forward(network.program, line[0] + low * line[1], line[1])
    if not (np.isfinite(reached.value).all() and np.isfinite(reached.slope).all()):
        raise InputError("values of the network leave float64 on the segment; scale a and b.")
    found = Sweeper(planned(network.program, fuse=False), line[0], line[1]).run(low, high)
    ends = np.unique(found.events[:, 0])
    ends = np.concatenate([[low], ends[(ends > low) & (ends < high)], [high]]).tolist()
    regions = (SweptRegion(p, q, network.program, *line) for p, q in zip(ends, ends[1:], strict=False))
    return SweptRegions(tuple(regions), network.outputs)
