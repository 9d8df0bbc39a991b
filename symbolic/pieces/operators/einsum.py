"""Einsum as layers: operands are contracted one after the other, moving ones first."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.einsum import Equation, Label, Labels
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import total
from symbolic.pieces.operators.products import matrix_product

__all__: list[str] = []

Factor = Units | Const


@dataclass(frozen=True)
class Operand:
    """A tensor whose axes have labels, each once."""

    value: Factor
    labels: Labels

    def moved(self, move: Any, labels: Labels) -> Operand:
        """With its elements rearranged."""
        if isinstance(self.value, Units):
            return Operand(Units(move(self.value.ids)), labels)
        radius = None if self.value.radius is None else move(self.value.radius)
        return Operand(Const(move(self.value.value), radius), labels)

    def on(self, labels: Labels, sizes: dict[Label, int]) -> Operand:
        """With axes in this order, new ones repeated."""
        order = [self.labels.index(label) for label in labels if label in self.labels]

        def move(v: NDArray[Any]) -> NDArray[Any]:
            turned = iter(v.transpose(order).shape)
            kept = [next(turned) if label in self.labels else 1 for label in labels]
            shape = [sizes[label] for label in labels]
            return np.broadcast_to(v.transpose(order).reshape(kept), shape)

        return self.moved(move, labels)


@lowers("Einsum")
def einsum(b: Builder, node: Node, given: Given) -> list[Units]:
    """Sums of products of elements with equal indices."""
    values = [v for v in given if v is not None]
    equation = Equation.of(node, [v.shape for v in values])
    operands = [
        _plain(Operand(v, labels), full)
        for v, labels, full in zip(values, equation.terms, equation.full, strict=True)
    ]
    operands.sort(key=lambda operand: isinstance(operand.value, Const))
    output = tuple(label for label in equation.output if any(label in o.labels for o in operands))
    result = operands[0]
    for k, other in enumerate(operands[1:], start=1):
        later = {*output, *(label for o in operands[k + 1 :] for label in o.labels)}
        result = _contracted(b, result, other, later, equation.sizes)
    result = _summed(b, result, set(output))
    made = result.on(output, equation.sizes).value
    shape = [equation.sizes[label] for label in equation.output]
    if not isinstance(made, Units):
        raise ModelError(f"{node.label} has no moving operand.")
    return b.tensor(np.array(made.ids).reshape(shape))


def _plain(operand: Operand, full: frozenset[Label]) -> Operand:
    """With every label once (on the diagonal where it stands twice), and none that broadcasts."""
    labels = operand.labels
    while len(set(labels)) < len(labels):
        i, j = next((i, j) for j in range(len(labels)) for i in range(j) if labels[i] == labels[j])
        rest = (*(label for k, label in enumerate(labels) if k not in (i, j)), labels[i])
        operand = operand.moved(lambda v, i=i, j=j: np.diagonal(v, axis1=i, axis2=j), rest)
        labels = rest
    extra = tuple(k for k, label in enumerate(labels) if label not in full)
    kept = tuple(label for label in labels if label in full)
    return operand.moved(lambda v: np.squeeze(v, extra), kept)


def _summed(b: Builder, operand: Operand, needed: set[Label]) -> Operand:
    """A moving operand without the labels that nobody needs."""
    if set(operand.labels) <= needed or not isinstance(operand.value, Units):
        return operand
    kept = tuple(label for label in operand.labels if label in needed)
    gone = tuple(label for label in operand.labels if label not in needed)
    sizes = dict(zip(operand.labels, operand.value.shape, strict=True))
    ids = operand.on((*kept, *gone), sizes).value
    if not isinstance(ids, Units):
        return operand
    shape = [sizes[label] for label in kept]
    return Operand(Units(total(b, ids.ids.reshape(*shape, prod(sizes[label] for label in gone)))), kept)


def _contracted(b: Builder, a: Operand, c: Operand, later: set[Label], sizes: dict[Label, int]) -> Operand:
    """The product of two operands, summed over the labels that are not needed later."""
    a = _summed(b, a, later | set(c.labels))
    c = _summed(b, c, later | set(a.labels))
    shared = [label for label in a.labels if label in c.labels]
    lonely = [label for label in c.labels if label not in a.labels and label not in later]  # of a constant
    batch = [label for label in shared if label in later]
    inner = [label for label in (*shared, *lonely) if label not in later]
    left = [label for label in a.labels if label not in shared]
    right = [label for label in c.labels if label not in shared and label in later]
    length = {
        name: prod(sizes[label] for label in names) for name, names in _named(batch, left, inner, right)
    }
    x = a.on((*batch, *left, *inner), sizes).moved(
        lambda v: v.reshape(length["batch"], length["left"], length["inner"]), ()
    )
    y = c.on((*batch, *inner, *right), sizes).moved(
        lambda v: v.reshape(length["batch"], length["inner"], length["right"]), ()
    )
    b.require_moderate(length["batch"] * length["left"] * max(length["inner"], length["right"]))
    made = matrix_product(b, x.value, y.value)
    labels = (*batch, *left, *right)
    return Operand(Units(made.reshape([sizes[label] for label in labels])), labels)


def _named(*groups: list[Label]) -> list[tuple[str, list[Label]]]:
    return list(zip(("batch", "left", "inner", "right"), groups, strict=True))
