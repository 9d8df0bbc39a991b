"""Hypotheses about labels: a segmentation, a change point, a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.hypothesis import Contrast, Hypothesis
from inference.regions import Bools, means
from symbolic.errors import NoHypothesisError, OptionError
from symbolic.reading.arrays import as_exact_array, fractions_of

__all__ = ["ChangePoint", "ClassDecision", "LabelHypothesis", "LabelMeanDiff"]


@dataclass(frozen=True)
class LabelHypothesis(Hypothesis):
    """The event is which of several scores is the greatest.

    Parameters
    ----------
    i_idx, o_idx : int
        Which input is tested; which output holds the scores (their place of the greatest is appended), or the
        labels themselves, as integers.
    axis : int
        Of the scores, along which they compete.
    """

    _: KW_ONLY
    i_idx: int = 0
    o_idx: int = 0
    axis: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.axis, bool) or not isinstance(self.axis, (int, np.integer)):
            raise OptionError(f"axis is {self.axis!r}; it must be an integer.")

    def spec(self) -> dict[str, Any]:
        return {
            "name": type(self).__name__,
            "i_idx": int(self.i_idx),
            "o_idx": int(self.o_idx),
            "axis": str(int(self.axis)),
        }


@dataclass(frozen=True)
class LabelMeanDiff(LabelHypothesis):
    """Mean where the label is one against the mean where it is another, or anything else.

    Parameters
    ----------
    first : int
        Label of the region.
    second : int, optional
        Label of what it is compared with; None for all other elements.
    i_idx, o_idx, axis
        As in :class:`LabelHypothesis`: class scores of a segmentation, (1, classes, height, width).
    """

    first: int = 1
    second: int | None = None

    def spec(self) -> dict[str, Any]:
        second = None if self.second is None else str(int(self.second))
        return super().spec() | {"first": str(int(self.first)), "second": second}

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        labels = np.asarray(observed[0])
        if labels.size != size:
            raise OptionError(f"there are {labels.size} labels and {size} tested elements; they must match.")
        region = labels == self.first
        other = ~region if self.second is None else labels == self.second
        if mask is not None:
            region, other = region & mask.reshape(region.shape), other & mask.reshape(region.shape)
        for name, found in (("first", region), ("second", other)):
            if not found.any():
                raise NoHypothesisError(f"no element has the {name} label: there is nothing to compare.")
        return Contrast(means(region, other), region.squeeze(), other.squeeze())


@dataclass(frozen=True)
class ChangePoint(LabelHypothesis):
    """Mean of a series before a change point against the mean from there on.

    Parameters
    ----------
    i_idx, o_idx, axis
        As in :class:`LabelHypothesis`: the scores of the places, or the place itself.
    offset : int
        Element k of the scores stands for a change before element k + offset of the series.
    reach : int, optional
        Compare so many elements on either side only; None for all.
    """

    axis: int = field(default=-1, kw_only=True)
    offset: int = 0
    reach: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        reach = self.reach
        if reach is not None and (
            isinstance(reach, bool) or not isinstance(reach, (int, np.integer)) or reach < 1
        ):
            raise OptionError(f"reach is {reach!r}; it must be a positive integer.")

    def spec(self) -> dict[str, Any]:
        reach = None if self.reach is None else int(self.reach)
        return super().spec() | {"offset": str(int(self.offset)), "reach": reach}

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        if mask is not None:
            raise OptionError("a change point takes no mask; use reach.")
        if np.asarray(observed[0]).size != 1:
            raise OptionError(
                "a change point is one place: the scores of the places along axis, of one series."
            )
        place = int(np.asarray(observed[0]).item()) + int(self.offset)
        if not 0 < place < size:
            raise NoHypothesisError(
                f"the change is before element {place} of {size}: one side of it is empty."
            )
        k = np.arange(size)
        reach = size if self.reach is None else int(self.reach)
        before, after = (k < place) & (k >= place - reach), (k >= place) & (k < place + reach)
        return Contrast(means(before, after), before, after)


@dataclass(frozen=True)
class ClassDecision(LabelHypothesis):
    """A contrast of one's own, given which class the network decides for.

    Parameters
    ----------
    contrast_of : array_like, or mapping of int to array_like
        The contrast, of the input's shape; or one for every class.
    i_idx, o_idx, axis
        As in :class:`LabelHypothesis`: the scores of the classes.

    Notes ----- The checker confirms everything but the contrast, which it reports as supplied by the user.
    It must have been fixed before the input was seen.
    """

    contrast_of: Any = None
    eta_is_given = True
    axis: int = field(default=-1, kw_only=True)

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        if mask is not None:
            raise OptionError("ClassDecision takes no mask: put zeros into the contrast.")
        if np.asarray(observed[0]).size != 1:
            raise OptionError("ClassDecision needs one decision: the scores of the classes along axis.")
        label = int(np.asarray(observed[0]).item())
        given = self.contrast_of
        if isinstance(given, Mapping):
            if label not in given:
                raise NoHypothesisError(
                    f"the network decides for class {label}, for which there is no contrast."
                )
            given = given[label]
        values: list[Fraction] = fractions_of(as_exact_array(given, "contrast_of").reshape(-1))
        if len(values) != size:
            raise OptionError(f"the contrast has {len(values)} elements, but the tested input has {size}.")
        if not any(values):
            raise NoHypothesisError("the contrast is zero everywhere: there is nothing to test.")
        return Contrast(tuple(values), np.asarray(observed[0]), None)
