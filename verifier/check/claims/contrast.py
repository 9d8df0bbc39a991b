"""eta, or several contrasts, from the observed selection and the mask alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.claims.hypothesis import LABELS, whole
from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.integers import Array

__all__ = ["contrasts"]

ZERO = Fraction(0)


def contrasts(
    hypothesis: dict[str, Any], observed: Sequence[Array], mask: Array | None, size: int
) -> list[list[Fraction]]:
    """The contrasts of a preset hypothesis: one, or several of the same input."""
    if len(observed) < 1 + bool(hypothesis.get("signed")) or any(
        o.shape != observed[0].shape for o in observed[: 1 + bool(hypothesis.get("signed"))]
    ):
        raise InvalidCertificate("the observed selections do not fit the hypothesis")
    if observed[0].size != size and hypothesis["name"] != "ChangePoint":
        raise InvalidCertificate(f"the selection has {observed[0].size} elements, the input {size}")
    if hypothesis["name"] in LABELS:
        return [_of_labels(hypothesis, observed[0], mask, size)]
    marked = observed[0] | observed[1] if hypothesis.get("signed") else observed[0]
    part = marked if "sign" not in hypothesis else observed["+-".index(hypothesis["sign"])]
    within = np.ones(marked.shape, dtype=bool)
    if "channel" in hypothesis:
        within = _channel(marked.shape, hypothesis["channel"])
    region = part & within
    if "component" in hypothesis:
        region = _component(region, hypothesis["component"])
    if not region.any():
        raise InvalidCertificate("the observed selection is empty: there is no hypothesis")
    other = _other(hypothesis, observed, marked, region)
    if other is not None:
        other = other & within if mask is None else other & within & mask
        if not other.any():
            raise InvalidCertificate("there is nothing to compare the observed selection with")
    kind = hypothesis.get("contrasts")
    if kind is None:
        return [_compared(region, other)]
    if kind == "elements":
        pairs = [(np.arange(size).reshape(region.shape) == place, other) for place in np.flatnonzero(region)]
    else:
        count = region.shape[_channel_axis(region.shape)]
        parts = [_channel(region.shape, k) for k in range(count)]
        pairs = [(region & c, None if other is None else other & c) for c in parts if (region & c).any()]
    return [_compared(first, second) for first, second in pairs]


def _other(
    hypothesis: dict[str, Any], observed: Sequence[Array], marked: Array, region: Array
) -> Array | None:
    """What a region is compared with; None: the same region of the reference."""
    name = hypothesis["name"]
    if name == "ReferenceMeanDiff":
        return None
    if name == "TwoThresholdMeanDiff":
        return np.asarray(observed[1])
    if name == "NeighborMeanDiff":
        return _near(region, hypothesis["neighborhood_range"]) & ~marked
    return np.asarray(~marked)


def _compared(first: Array, second: Array | None) -> list[Fraction]:
    """Mean over one region minus mean over the other."""
    share = Fraction(1, int(first.sum()))
    own = [share if marked else ZERO for marked in first.reshape(-1)]
    if second is None:
        return own + [-v for v in own]
    if not second.any():
        raise InvalidCertificate("there is nothing to compare a part of the selection with")
    share = Fraction(1, int(second.sum()))
    return [v - share if marked else v for v, marked in zip(own, second.reshape(-1), strict=True)]


def _of_labels(hypothesis: dict[str, Any], labels: Array, mask: Array | None, size: int) -> list[Fraction]:
    if hypothesis["name"] == "ChangePoint":
        if labels.size != 1:
            raise InvalidCertificate("a change point is one place")
        k, place = np.arange(size), int(labels.reshape(-1)[0]) + whole(hypothesis["offset"], "offset")
        reach = size if hypothesis["reach"] is None else hypothesis["reach"]
        first, second = (k < place) & (k >= place - reach), (k >= place) & (k < place + reach)
    else:
        first, other = labels == whole(hypothesis["first"], "first"), hypothesis["second"]
        second = ~first if other is None else labels == whole(other, "second")
        if mask is not None:
            first, second = first & mask, second & mask
    if not first.any():
        raise InvalidCertificate("there is no region to compare")
    return _compared(first, second)


def _channel_axis(shape: tuple[int, ...]) -> int:
    if len(shape) not in (3, 4):
        raise InvalidCertificate("channels are those of a map of three or four axes")
    return len(shape) - 3


def _channel(shape: tuple[int, ...], index: int) -> Array:
    axis = _channel_axis(shape)
    if index >= shape[axis]:
        raise InvalidCertificate("there is no such channel")
    at = np.arange(shape[axis]) == index
    return np.broadcast_to(at.reshape(-1, 1, 1), shape)


def _component(region: Array, index: int) -> Array:
    """The connected component with that many others before it (by their first elements); neighbours share a
    side.
    """
    left, found = region.copy(), np.zeros_like(region)
    for _ in range(index + 1):
        places = np.flatnonzero(left)
        if not len(places):
            raise InvalidCertificate("there is no such connected component")
        found = np.zeros_like(region)
        pending: list[tuple[int, ...]] = [_place(int(places[0]), region.shape)]
        while pending:
            at = pending.pop()
            if not left[at]:
                continue
            left[at], found[at] = False, True
            for axis, place in enumerate(at):
                for beside in (place - 1, place + 1):
                    if 0 <= beside < region.shape[axis]:
                        pending.append((*at[:axis], beside, *at[axis + 1 :]))
    return found


def _place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(flat, shape))


def _near(region: Array, reach: int) -> Array:
    """The elements within `reach` of the region in the maximum norm."""
    near = region.squeeze()
    if near.ndim not in (1, 2):
        raise InvalidCertificate("a neighbourhood needs a map of one or two axes")
    for axis in range(near.ndim):  # running sums count the marked elements in every window
        counts = np.cumsum(np.insert(near.astype(np.int64), 0, 0, axis=axis), axis=axis)
        at = np.arange(near.shape[axis])
        ends = np.minimum(at + reach + 1, near.shape[axis]), np.maximum(at - reach, 0)
        near = (counts.take(ends[0], axis=axis) - counts.take(ends[1], axis=axis)) > 0
    return np.asarray(near.reshape(region.shape))
