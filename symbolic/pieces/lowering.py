"""From the nodes of a network to the layers of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import symbolic.pieces.operators.activations
import symbolic.pieces.operators.casting
import symbolic.pieces.operators.convolutions
import symbolic.pieces.operators.einsum
import symbolic.pieces.operators.logic
import symbolic.pieces.operators.maxima
import symbolic.pieces.operators.normalisation
import symbolic.pieces.operators.products
import symbolic.pieces.operators.quantisation
import symbolic.pieces.operators.sampling
import symbolic.pieces.operators.scores
import symbolic.pieces.operators.selection
import symbolic.pieces.operators.sums
import symbolic.pieces.operators.trees  # noqa: F401  (all of them fill the registry)
from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node, operators
from symbolic.operators.casting import WHOLE
from symbolic.pieces.operators.builder import Builder, Units, lowerings
from symbolic.pieces.operators.rearranging import REARRANGING, rearranged, rearranges
from symbolic.pieces.program import Ids, Label, Program

if TYPE_CHECKING:
    from symbolic.network import Network, Step

__all__ = ["FIXED", "has_pieces", "lower"]

FIXED = frozenset(
    "BitCast Constant ConstantOfShape EyeLike MelWeightMatrix NonZero Range Shape Size Unique".split()
)
"""What they make never moves: they are constants before a network has layers."""


def has_pieces(op_type: str) -> bool:
    """Whether an operator can be written as layers, for some inputs at least."""
    return op_type in lowerings or op_type in REARRANGING or op_type in FIXED


def lower(network: Network) -> Program:
    """Write a network as a program of exact linear layers.

    Raises
    ------
    ModelError
        If an operator is not piecewise linear, or has no layers here; the message names it.
    """
    inputs: dict[str, Ids] = {}
    start = 1
    for name in network.inputs:
        shape = network.shapes[name]
        size = int(np.prod(shape, dtype=np.int64))
        inputs[name] = np.arange(start, start + size).reshape(shape)
        start += size
    tensors = _Tensors(network, Builder(start - 1), inputs)
    for step in network.steps:
        tensors.add(step)
    outputs = {name: tensors.ids(name) for name in network.outputs}
    builder = tensors.builder
    return Program(
        inputs,
        tuple(builder.layers),
        outputs,
        tensors.made,
        builder.flat,
        tuple(builder.inexact),
        tuple(builder.held),
    )


class _Tensors:
    """The units of the tensors so far."""

    def __init__(self, network: Network, builder: Builder, inputs: dict[str, Ids]) -> None:
        self.network, self.builder = network, builder
        self.made = dict(inputs)
        self._without: dict[str, str] = {}

    def get(self, name: str) -> Units | Const | None:
        """A tensor; none where the name is empty."""
        if name in self._without:
            raise ModelError(f"{self._without[name]} has no exact linear pieces.")
        if not name:
            return None
        return Units(self.made[name]) if name in self.made else self.network.constant(name)

    def ids(self, name: str) -> Ids:
        """The units of an output."""
        value = self.get(name)
        if value is None:
            raise ModelError(f"the tensor {name!r} has no value.")
        return self.builder.ids(value)

    def add(self, step: Step) -> None:
        """The layers of one node."""
        node, b = step.node, self.builder
        b.label = Label(node.op_type, node.proto.name or node.proto.output[0])
        given = [self.get(name) for name in step.inputs]
        if rearranges(node, given):
            found = rearranged(b, node, given)
        elif node.op_type in lowerings:
            found = list(lowerings[node.op_type](b, node, given))
        else:
            raise ModelError(f"{node.label} has no exact linear pieces here.")
        for name, one in zip(step.outputs, found, strict=False):
            if not name or name in self.network.constants:
                continue
            if one is None:
                self._without[name] = f"{node.label}: its output {name!r}"
                continue
            self.made[name] = one.ids
            _hold(b, node, name, one.ids)


def _hold(b: Builder, node: Node, name: str, ids: Ids) -> None:
    """Integers must fit their type: beyond it they would wrap around."""
    kind = node.types.get(name)
    if kind is None and operators[node.op_type].wraps:
        kind = node.input_type(0)
    if kind in WHOLE:
        b.hold(ids, WHOLE[kind].least, WHOLE[kind].most)
