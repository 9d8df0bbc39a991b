"""Pictures of linear regions, drawn with matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import inf, isfinite
from typing import Any, Protocol

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, OptionError
from symbolic.pieces.arguments import as_double
from symbolic.pieces.line import End
from symbolic.pieces.plane_region import PlaneRegion

__all__ = ["draw_line", "draw_plane"]


class Drawn(Protocol):
    """What a region of a line must have."""

    @property
    def lo(self) -> End: ...
    @property
    def hi(self) -> End: ...
    def affine(self, output: str) -> tuple[Array, Array]:
        """Intercepts and slopes of a tensor."""


def draw_line(regions: Sequence[Drawn], output: str, elements: Any, ax: Any) -> Any:
    """Elements of an output over z, with a tick at every end of a region."""
    ax = _axes(ax)
    ends = [as_double(region.lo) for region in regions] + [as_double(regions[-1].hi)]
    inner = [end for end in ends[1:-1] if isfinite(end)]
    low, high = _window([end for end in ends if isfinite(end)])
    size = regions[0].affine(output)[0].size
    shown = _elements(elements, size, output)
    for region, lo, hi in zip(regions, ends, ends[1:], strict=False):
        a, b = (part.reshape(-1)[shown] for part in region.affine(output))
        z = np.array([max(lo, low) if lo == -inf else lo, min(hi, high) if hi == inf else hi])
        for k, element in enumerate(shown):
            name = f"{output}[{element % size}]" if region is regions[0] else None
            ax.plot(z, a[k] + b[k] * z, color=f"C{k % 10}", label=name)
    ax.plot(inner, np.zeros(len(inner)), "|", color="0.4", transform=ax.get_xaxis_transform())
    ax.set_xlabel("z")
    ax.set_ylabel(output)
    if len(shown) > 1:
        ax.legend()
    return ax


def draw_plane(regions: Sequence[PlaneRegion], neighbours: Any, values: Any, ax: Any) -> Any:
    """Polygons, neighbours in different colours, or by the given values."""
    ax = _axes(ax)
    if values is None:
        colours = import_module("networkx").greedy_color(neighbours)
        shades = np.array([colours[k] for k in range(len(regions))])
    else:
        shades = np.asarray(values)
    if shades.shape != (len(regions),):
        raise InputError(
            f"values has shape {shades.shape}; give one number for each of {len(regions)} regions."
        )
    polygons = [[(float(s), float(t)) for s, t in region.vertices] for region in regions]
    collection = import_module("matplotlib.collections").PolyCollection
    drawn = collection(polygons, array=shades, cmap="Pastel1" if values is None else "viridis")
    drawn.set_edgecolor("0.3")
    drawn.set_linewidth(0.3)
    ax.add_collection(drawn)
    ax.autoscale_view()
    ax.set_xlabel("s")
    ax.set_ylabel("t")
    return ax


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        return import_module("matplotlib.pyplot").gca()
    except ImportError as error:
        raise OptionError("pictures need matplotlib: pip install 'sureline[plot]'.") from error


def _window(ends: Sequence[float]) -> tuple[float, float]:
    """What is shown of infinite regions: a tenth more than between the finite ends."""
    if not ends:
        return -1.0, 1.0
    margin = (max(ends) - min(ends)) / 10 or 1.0
    return min(ends) - margin, max(ends) + margin


def _elements(elements: Any, size: int, output: str) -> list[int]:
    shown = range(min(size, 10)) if elements is None else np.atleast_1d(elements).tolist()
    if not all(isinstance(k, int) and -size <= k < size for k in shown):
        raise InputError(f"elements is {shown}; {output!r} has the elements 0 to {size - 1}.")
    return list(shown)
