"""The selection at the observed input, and the tensors that a result shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.exactly import decided_exactly
from inference.prepare import Audited
from symbolic.enclosures.line import Line
from symbolic.enclosures.values import Affine, Const, Range, Value
from symbolic.errors import ModelError

__all__ = ["Observation", "centre", "observe"]


@dataclass(frozen=True)
class Observation:
    """What was selected.

    Attributes
    ----------
    observed : list of ndarray
        Every output of the event, decided (by more bits where float64 cannot).
    ties : list of ndarray of bool
        Elements that float64 could not decide.
    shown : dict
        Enclosures of the score map and the model's outputs.
    """

    observed: list[NDArray[Any]]
    ties: list[NDArray[np.bool_]]
    shown: dict[str, Value]


def observe(audited: Audited, arrays: Mapping[str, NDArray[Any]], tested: Sequence[Fraction]) -> Observation:
    """Evaluate the audited graph at the observed input.

    Parameters
    ----------
    audited : Audited
        The graph.
    arrays : mapping
        Every model input.
    tested : sequence of Fraction
        The tested input, exactly.
    """
    network = audited.network
    zero = [Fraction(0)] * len(tested)
    watch = [n for n in (audited.score, *audited.model_outputs) if n is not None and n in network.upstream]
    line = Line.of(tested, zero, network.shape)
    values = network.enclose(line, [(0.0, 0.0)], watch=watch, undefined=np.zeros(1, dtype=bool))
    observed: list[NDArray[Any]] = []
    ties: list[NDArray[np.bool_]] = []
    for name in audited.outputs:
        value = values[name]
        if isinstance(value, Const):
            observed.append(np.asarray(value.value))
            ties.append(np.zeros(value.shape, dtype=bool))
        elif isinstance(value, Range):
            observed.append(np.array(value.lo[0]))
            ties.append(~value.known[0])
        else:
            raise ModelError(f"the output {name!r} is not discrete: a selection is boolean or integer.")
    if any(tie.any() for tie in ties):
        observed = decided_exactly(audited.proto, arrays, network.moving, audited.outputs)
        kinds = [
            v.lo.dtype if isinstance(v, Range) else o.dtype
            for v, o in zip((values[n] for n in audited.outputs), observed, strict=True)
        ]
        observed = [o.astype(kind) for o, kind in zip(observed, kinds, strict=True)]
    return Observation(observed, ties, values)


def centre(value: Value | None) -> NDArray[Any] | None:
    """The middle of an enclosure of one segment, for display."""
    if isinstance(value, Affine):
        return np.array(value.c[0])
    if isinstance(value, Const):
        return np.asarray(value.value)
    return np.array(value.lo[0]) if isinstance(value, Range) else None
