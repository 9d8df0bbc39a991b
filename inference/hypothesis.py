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

from inference.regions import Bools
from symbolic.errors import NoHypothesisError, OptionError
from symbolic.reading.arrays import as_exact_array, fractions_of

__all__ = ["Contrast", "Hypothesis", "Selection"]


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
    """Base of everything that ``load`` accepts as ``hypothesis``; use one of its subclasses."""

    i_idx: int = 0
    takes_reference = False
    scale_of_reference = Fraction(1)
    eta_is_given = False

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
    eta_is_given = True

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
