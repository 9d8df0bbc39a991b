"""The selection at the observed input, and the tensors that a result shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.exactly import decided_exactly
from inference.prepare import Audited
from symbolic.network import Line
from symbolic.values import Affine, Const, Range, Value

__all__ = ["centre", "observe"]


def observe(
    audited: Audited, arrays: Mapping[str, NDArray[Any]], tested: Sequence[Fraction]
) -> tuple[list[NDArray[Any]], dict[str, Value]]:
    """Evaluate the audited graph at the observed input.

    Parameters
    ----------
    audited : Audited
        The graph.
    arrays : mapping
        Every model input.
    tested : sequence of Fraction
        The tested input, exactly.

    Returns
    -------
    observed : list of ndarray
        Every output of the event, decided (by more bits where float64 cannot).
    shown : dict
        Enclosures of the score map and the model's outputs.
    """
    network = audited.network
    zero = [Fraction(0)] * len(tested)
    watch = [n for n in (audited.score, *audited.model_outputs) if n is not None and n in network.upstream]
    values = network.enclose(Line.of(tested, zero, network.shape), [(0.0, 0.0)], watch=watch)
    observed: list[NDArray[Any]] = []
    for name in audited.outputs:
        value = values[name]
        if isinstance(value, Const):
            observed.append(np.asarray(value.value))
        elif isinstance(value, Range) and value.known.all():
            observed.append(np.array(value.lo[0]))
        else:
            return decided_exactly(audited.proto, arrays, network.moving, audited.outputs), values
    return observed, values


def centre(value: Value | None) -> NDArray[Any] | None:
    """The middle of an enclosure of one segment, for display."""
    if isinstance(value, Affine):
        return np.array(value.c[0])
    if isinstance(value, Const):
        return np.asarray(value.value)
    return np.array(value.lo[0]) if isinstance(value, Range) else None
