"""The end of a network that is affine: one map, of which every remainder may be told apart.

Behind the last node that is not affine a box need not be passed node by node. The rules of these nodes, one
after the other, are a rule for segments themselves; and the remainder of every element that they read is a
symbol of its own, so that what they make of all of them together is exact up to rounding: the difference of
two classes behind a last linear layer is bounded as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from symbolic.boxes.form import Form
from symbolic.boxes.kinds import is_affine
from symbolic.boxes.lifting import Lifted, Map, affine_by_rows
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.network import Network, Step

__all__ = ["Ending", "ending_of"]

WORK = 1 << 27
"""Symbols times elements that the end of a network may take."""


@dataclass(frozen=True)
class Ending:
    """Steps that are affine in all that they read of the rest.

    Attributes
    ----------
    steps : tuple of Step
    reads : tuple of str
        Tensors that move.
    """

    network: Network
    steps: tuple[Step, ...]
    reads: tuple[str, ...]

    def rule(self, output: str) -> Map:
        """An output as one map of what is read."""

        def f(batch: Batch, given: Sequence[Affine]) -> Value:
            values: dict[str, Value] = dict(zip(self.reads, given, strict=True))
            constants = self.network.constants
            for step in self.steps:
                inputs = [(constants.get(n) or values.get(n)) if n else None for n in step.inputs]
                for name, value in zip(step.outputs, step.rule(batch, inputs), strict=False):
                    if name and name not in constants:
                        values[name] = value
            return values[output]

        return f

    def lifted(self, output: str, forms: Sequence[Form], symbols: int) -> Lifted:
        """An output over a box; ``symbols`` are carried so far, and every remainder is one more."""
        moves = [np.flatnonzero(x.r != 0) for x in forms]
        firsts = symbols + np.cumsum([0, *(len(m) for m in moves)])

        def rows(k: int, stop: int) -> list[Array]:
            parts = []
            for x, at, first in zip(forms, moves, firsts, strict=False):
                part = np.array(x.rows(k, stop))
                lo, hi = max(k, first), min(stop, first + len(at))
                if lo < hi:
                    some = at[lo - first : hi - first]
                    part.reshape(stop - k, -1)[np.arange(lo - k, hi - k), some] = x.r.reshape(-1)[some]
                parts.append(part)
            return parts

        centres = [Affine(x.c, np.zeros_like(x.c), np.zeros_like(x.c)) for x in forms]
        return affine_by_rows(self.rule(output), centres, rows, int(firsts[-1]))


def ending_of(network: Network) -> Ending | None:
    """The longest affine end that is not too much work; None if there is none."""
    moving = {*network.inputs, *(name for step in network.steps for name in step.outputs if name)}
    moving -= set(network.constants)
    sizes = {name: step.elements for step in network.steps for name in step.outputs}
    sizes |= {name: prod(shape) for name, shape in network.shapes.items()}
    inner: set[str] = set()  # read by a step that is not at the end
    end: list[Step] = []
    for step in reversed(network.steps):
        places = [k for k, name in enumerate(step.inputs) if name in moving]
        if is_affine(step.node, places) and inner.isdisjoint(step.outputs):
            end.insert(0, step)
        else:
            inner.update(step.inputs)
    while end:
        reads = _reads(end, moving)
        symbols = sum(sizes[name] for name in reads)
        if symbols * sum(step.elements for step in end) <= WORK:
            return Ending(network, tuple(end), reads)
        end.pop(0)
    return None


def _reads(steps: Sequence[Step], moving: set[str]) -> tuple[str, ...]:
    made = {name for step in steps for name in step.outputs}
    return tuple(dict.fromkeys(n for step in steps for n in step.inputs if n in moving and n not in made))


def forms_at(ending: Ending, values: Mapping[str, object]) -> list[Form] | None:
    """What the end reads; None if not all of it is of real numbers."""
    found = [values.get(name) for name in ending.reads]
    forms = [x for x in found if isinstance(x, Form)]
    return forms if len(forms) == len(found) else None
