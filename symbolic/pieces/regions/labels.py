"""Where inequalities come from: names of units, by node and element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symbolic.pieces.guards import Guards
from symbolic.pieces.program import Ids, Linear, Maximum, Program, Winner

__all__ = ["Names", "RowLabel"]

LONGEST_SUM = 3
"""So many terms of a sum are written out."""


@dataclass(frozen=True)
class RowLabel:
    """What an inequality says about the branch of one unit.

    Attributes
    ----------
    op_type, node : str
        The node; its name, or that of its first output.
    layer, unit : int
        The layer of the program, and the unit, counted within it.
    element : tuple of int or None
        The element of the node's output, if each of its elements has a unit of the layer.
    greater, less : str
        The two sides that the inequality compares.
    loser : int or None
        For maxima: the place of the other entry in the window.
    strict : bool
        Whether equality is excluded.
    """

    op_type: str
    node: str
    layer: int
    unit: int
    element: tuple[int, ...] | None
    greater: str
    less: str
    loser: int | None
    strict: bool

    def __str__(self) -> str:
        place = f"unit {self.unit}" if self.element is None else _indexed("", self.element).strip()
        sign = ">" if self.strict else ">="
        return f"{self.op_type} {self.node!r} {place}: {self.greater} {sign} {self.less}"


class Names:
    """Names of the units of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program

    @cached_property
    def _owners(self) -> tuple[list[str], Ids, Ids]:
        """Tensors, and for every unit the first one that holds it and the flat element; -1 for none."""
        names = list(self.program.tensors)
        owner = np.full(self.program.size, -1)
        element = np.zeros(self.program.size, dtype=np.int64)
        for k in reversed(range(len(names))):
            ids = self.program.tensors[names[k]].reshape(-1)
            owner[ids[::-1]], element[ids[::-1]] = k, np.arange(ids.size)[::-1]
        owner[0] = -1
        return names, owner, element

    def unit(self, unit: int, depth: int = 2) -> str:
        """A unit as an element of a tensor, as a number, or as a short sum of such."""
        names, owner, element = self._owners
        if unit == 0:
            return "0"
        if owner[unit] >= 0:
            name = names[int(owner[unit])]
            shape = self.program.tensors[name].shape
            return _indexed(name, _index(int(element[unit]), shape))
        for layer in self.program.layers:
            if layer.start <= unit < layer.start + layer.size:
                text = (
                    self._sum(layer, unit - layer.start, depth) if isinstance(layer, Linear) and depth else ""
                )
                return text or f"{layer.label} unit {unit - layer.start}"
        return f"unit {unit}"

    def _sum(self, layer: Linear, row: int, depth: int) -> str:
        """A short sum in words, "" if it is none."""
        part = slice(layer.pointers[row], layer.pointers[row + 1])
        sources, bias = layer.sources[part].tolist(), float(layer.bias[row])
        if layer.taps or len(sources) > LONGEST_SUM:
            return ""
        terms = [_term(w, self.unit(s, depth - 1)) for w, s in zip(layer.weights[part], sources, strict=True)]
        terms += [_number(bias)] if bias or not terms else []
        text = " + ".join(terms).replace("+ -", "- ")
        return text if layer.divisor == 1 else f"({text}) / {layer.divisor}"

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the first tensor that a node's layers end in, by label."""
        found: dict[str, tuple[int, ...]] = {}
        ends = {
            layer.start + k: str(layer.label) for layer in self.program.layers for k in (0, layer.size - 1)
        }
        for ids in self.program.tensors.values():
            label = ends.get(int(ids.reshape(-1)[0])) if ids.size else None
            if label is not None:
                found.setdefault(label, ids.shape)
        return found

    def element(self, layer: int, unit: int) -> tuple[int, ...] | None:
        """The element of the node's output that a unit of a layer belongs to."""
        one = self.program.layers[layer]
        names, owner, element = self._owners
        tensor = int(owner[one.start + unit])
        if tensor >= 0:
            return _index(int(element[one.start + unit]), self.program.tensors[names[tensor]].shape)
        shape = self._shapes.get(str(one.label))
        return None if shape is None or np.prod(shape) != one.size else _index(unit, shape)

    def label(self, guards: Guards, k: int) -> RowLabel:
        """The label of a guard."""
        number, unit = int(guards.layer[k]), int(guards.unit[k])
        layer = self.program.layers[number]
        plus, minus, constant = int(guards.plus[k]), int(guards.minus[k]), float(guards.constant[k])
        greater, less = self.unit(plus), self.unit(minus)
        if constant:  # x >= c, or c >= x
            greater, less = (greater, _number(-constant)) if minus == 0 else (_number(constant), less)
        loser = None
        if isinstance(layer, (Maximum, Winner)):
            loser = int(np.nonzero(layer.sources[unit] == minus)[0][0])
        op_type, node = layer.label.op_type, layer.label.node
        element = self.element(number, unit)
        return RowLabel(op_type, node, number, unit, element, greater, less, loser, bool(guards.strict[k]))


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _term(weight: float, name: str) -> str:
    if abs(weight) == 1:
        return name if weight > 0 else f"-{name}"
    return f"{_number(weight)} {name}"


def _index(element: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(v) for v in np.unravel_index(element, shape))


def _indexed(name: str, index: Sequence[int]) -> str:
    return f"{name}[{', '.join(str(int(v)) for v in index)}]"
