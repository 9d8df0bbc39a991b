"""Which region is compared with what: from the observed selection to the contrast eta.

A hypothesis sees the observed selection and nothing else of the input; the test statistic is eta' x.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.hypothesis_nodes import steps_of, stored_threshold
from inference.operators import Operator
from symbolic.errors import NoHypothesisError, OptionError
from symbolic.reading.arrays import as_exact_array, fractions_of
from symbolic.reading.exact import exact_number

__all__ = [
    "BackMeanDiff",
    "Contrast",
    "Hypothesis",
    "NeighborMeanDiff",
    "PresetHypothesis",
    "ReferenceMeanDiff",
    "Selection",
    "dilated",
]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Contrast:
    """eta and the two regions that it compares.

    Attributes
    ----------
    eta : tuple of Fraction
        One number per element of the noise vector; empty if there are several contrasts.
    roi, non_roi : ndarray of bool, or None
        Regions of the score map's squeezed shape, for display.
    """

    eta: tuple[Fraction, ...]
    roi: NDArray[Any]
    non_roi: NDArray[Any] | None
    rows: tuple[tuple[Fraction, ...], ...] = ()
    """Several contrasts, for a test of their length."""


class Hypothesis(ABC):
    """Base of everything that ``load`` accepts as ``hypothesis``; use one of the classes below."""

    i_idx: int = 0
    takes_reference = False

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """How the certificate names it; numbers as exact strings."""

    @abstractmethod
    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        """The contrast that follows from the observed selection.

        Parameters
        ----------
        observed : sequence of ndarray
            Value of every output of the selection.
        mask : ndarray of bool, optional
            Pixels that count, of the selection's shape.
        size : int
            Elements of the tested input.
        """


@dataclass(frozen=True)
class PresetHypothesis(Hypothesis):
    """Regions of a score map above a threshold.

    Parameters
    ----------
    threshold : float, str or Fraction
        Pixels whose score is greater are selected. Stored as a double.
    i_idx, o_idx : int
        Which input is tested, which output is the score map.
    post_process : Operator or sequence of Operator
        Steps between output and score map.
    use_norm : bool
        Compare the min-max normalised map (over the whole map, masked pixels included).
    """

    threshold: float | int | str | Fraction
    i_idx: int = 0
    o_idx: int = 0
    post_process: Operator | Sequence[Operator] = ()
    use_norm: bool = False

    def __post_init__(self) -> None:
        exact_number(self.threshold, "threshold", error=OptionError)

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The post-processing steps."""
        return steps_of(self.post_process)

    def spec(self) -> dict[str, Any]:
        return {
            "name": type(self).__name__,
            "threshold": str(stored_threshold(self.threshold, self.use_norm)[0]),
            "i_idx": int(self.i_idx),
            "o_idx": int(self.o_idx),
            "post_process": [step.spec() for step in self.steps],
            "use_norm": bool(self.use_norm),
            "neighborhood_range": None,
        }

    def _roi(self, observed: Sequence[NDArray[Any]], size: int) -> Bools:
        roi = np.asarray(observed[0], dtype=bool)
        if roi.size != size:
            raise OptionError(
                f"the score map has {roi.size} elements and the tested input {size}; they must match "
                "one by one (reduce or repeat channels in the model or with L1Norm)."
            )
        if not roi.any():
            raise NoHypothesisError("the network marks no element here: there is no region to test.")
        return roi


def _means(first: Bools, second: Bools) -> tuple[Fraction, ...]:
    """Mean over one region minus mean over another."""
    a, b = Fraction(1, int(first.sum())), Fraction(-1, int(second.sum()))
    zero = Fraction(0)
    return tuple(
        a if x else b if y else zero
        for x, y in zip(first.reshape(-1).tolist(), second.reshape(-1).tolist(), strict=True)
    )


@dataclass(frozen=True)
class BackMeanDiff(PresetHypothesis):
    """Mean inside the region against the mean outside (inside the mask)."""

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        roi = self._roi(observed, size)
        outside = ~roi if mask is None else ~roi & mask
        if not outside.any():
            raise NoHypothesisError(
                "the network marks every element: there is no background to compare with."
            )
        return Contrast(_means(roi, outside), roi.squeeze(), outside.squeeze())


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


@dataclass(frozen=True, init=False)
class NeighborMeanDiff(PresetHypothesis):
    """Mean inside the region against the mean of its surroundings.

    Parameters
    ----------
    threshold, i_idx, o_idx, post_process, use_norm
        As in :class:`PresetHypothesis`.
    neighborhood_range : int
        How many elements the surroundings reach beyond the region (score maps of one or two axes longer than
        1).
    """

    neighborhood_range: int = 1

    def __init__(
        self,
        threshold: float | int | str | Fraction,
        neighborhood_range: int = 1,  # second, as scripts written for si4onnx have it
        i_idx: int = 0,
        o_idx: int = 0,
        post_process: Operator | Sequence[Operator] = (),
        use_norm: bool = False,
    ) -> None:
        super().__init__(threshold, i_idx, o_idx, post_process, use_norm)
        object.__setattr__(self, "neighborhood_range", neighborhood_range)
        reach = neighborhood_range
        if isinstance(reach, bool) or not isinstance(reach, (int, np.integer)) or reach < 1:
            raise OptionError(f"neighborhood_range is {reach!r}; it must be a positive integer.")

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "neighborhood_range": int(self.neighborhood_range)}

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        roi = self._roi(observed, size).squeeze()
        if roi.ndim not in (1, 2):
            raise OptionError(
                f"a neighbourhood needs a score map of one or two axes; this one has shape {roi.shape}."
            )
        near = dilated(roi, int(self.neighborhood_range)) & ~roi
        if mask is not None:
            near &= mask.reshape(roi.shape)
        if not near.any():
            raise NoHypothesisError("the region has no surroundings (inside the mask) to compare with.")
        return Contrast(_means(roi, near), roi, near)


@dataclass(frozen=True)
class ReferenceMeanDiff(PresetHypothesis):
    """Mean over the region of the input minus the mean over the region of a reference.

    The audited input is the pair (x, reference); both are noisy, the model sees x only.
    """

    takes_reference = True

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        roi = self._roi(observed, size)
        share, zero = Fraction(1, int(roi.sum())), Fraction(0)
        half = tuple(share if x else zero for x in roi.reshape(-1).tolist())
        return Contrast(half + tuple(-h for h in half), roi.squeeze(), None)


@dataclass(frozen=True)
class Selection(Hypothesis):
    """A rule of one's own: any ONNX graph with discrete outputs, and a function from them to eta.

    Parameters
    ----------
    graph : path or onnx.ModelProto
        The graph, selection included. May be None when a model is given to ``load`` or ``audit``.
    output : str or sequence of str
        Its boolean or integer outputs that define the event (default: all outputs of such a type).
    eta : callable
        Gets the observed selection (one array, or a list of arrays if there are several outputs), never the
        input; returns the contrast, an array of the input's size (an array of floats is read as the rationals
        it is; Fractions are exact). Several contrasts along a further first axis are tested together, by the
        chi (or F) law of their length.
    i_idx : int
        Which input is tested.

    Notes
    -----
    The checker confirms everything but eta, which it reports as supplied by the user.
    """

    graph: str | os.PathLike[str] | onnx.ModelProto | None = None
    output: str | Sequence[str] | None = None
    eta: Callable[[Any], Any] | None = None
    i_idx: int = 0

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """Names of the outputs, if given."""
        if self.output is None:
            return None
        return (self.output,) if isinstance(self.output, str) else tuple(self.output)

    def spec(self) -> dict[str, Any]:
        return {"name": "custom", "i_idx": int(self.i_idx)}

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        if self.eta is None:
            raise OptionError("Selection needs eta, a function from the observed selection to the contrast.")
        shown = [np.array(o) for o in observed]
        given = self.eta(shown[0] if len(shown) == 1 else shown)
        if given is None:
            raise NoHypothesisError("the function eta found nothing to test in the observed selection.")
        array = as_exact_array(given, "eta")
        values = fractions_of(array.reshape(-1))
        several = array.ndim > 1 and len(values) == len(array) * size and len(array) > 1
        if len(values) != size and not several:
            raise OptionError(
                f"eta has {len(values)} elements, but the tested input has {size}; several contrasts go "
                "along the first axis."
            )
        rows = tuple(tuple(values[k : k + size]) for k in range(0, len(values), size))
        if not all(any(row) for row in rows):
            raise NoHypothesisError("the contrast eta is zero everywhere: there is nothing to test.")
        return (
            Contrast((), shown[0].squeeze(), None, rows)
            if several
            else Contrast(rows[0], shown[0].squeeze(), None)
        )
