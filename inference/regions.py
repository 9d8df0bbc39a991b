"""Regions of an observed selection: neighbourhoods, connected components, channels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from symbolic.errors import NoHypothesisError, OptionError

__all__ = ["Bools", "channel", "component", "components", "dilated", "means"]

Bools = NDArray[np.bool_]


def means(first: Bools, second: Bools) -> tuple[Fraction, ...]:
    """Mean over one region minus mean over another; over nothing the mean is 0."""
    a, b = (Fraction(1, int(region.sum()) or 1) for region in (first, second))
    zero = Fraction(0)
    return tuple(
        a if x else -b if y else zero
        for x, y in zip(first.reshape(-1).tolist(), second.reshape(-1).tolist(), strict=True)
    )


def dilated(roi: Bools, reach: int) -> Bools:
    """Elements within ``reach`` (in the maximum norm) of a region, one axis at a time."""
    result = roi
    for axis in range(roi.ndim):
        grown = result.copy()
        for step in range(1, reach + 1):
            ahead, behind = [slice(None)] * roi.ndim, [slice(None)] * roi.ndim
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            grown[tuple(ahead)] |= result[tuple(behind)]
            grown[tuple(behind)] |= result[tuple(ahead)]
        result = grown
    return result


def components(region: Bools) -> list[Bools]:
    """Connected components (neighbours share a side), in the order of their first elements."""
    labels, count = ndimage.label(region.squeeze() if region.ndim else region)
    return [(labels == k + 1).reshape(region.shape) for k in range(count)]


def component(region: Bools, index: int) -> Bools:
    """One connected component."""
    found = components(region)
    if not 0 <= index < len(found):
        raise NoHypothesisError(
            f"the region has {len(found)} connected components: there is no component {index}."
        )
    return found[index]


def channel(shape: Sequence[int], index: int) -> Bools:
    """The elements of one channel: axis 1 of four, axis 0 of three."""
    if len(shape) not in (3, 4):
        raise OptionError(
            f"channels are those of a map of three or four axes; this one has shape {tuple(shape)}."
        )
    axis = len(shape) - 3
    if not 0 <= index < shape[axis]:
        raise OptionError(f"channel is {index}, but there are {shape[axis]} channels.")
    mine: NDArray[Any] = np.zeros(shape, dtype=bool)
    mine[(slice(None),) * axis + (index,)] = True
    return mine
