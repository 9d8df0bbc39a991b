"""From the nodes of a network to the layers of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import symbolic.pieces.linear_operators
import symbolic.pieces.piecewise_operators  # noqa: F401  (both fill the registry)
from symbolic.enclosures.values import Batch, Const, Range
from symbolic.errors import ModelError
from symbolic.pieces.builder import Builder, Given, Units, lowerings
from symbolic.pieces.program import Ids, Label, Program

if TYPE_CHECKING:
    from symbolic.network import Network, Step

__all__ = ["lower"]

REARRANGING = frozenset(
    "Compress Concat DepthToSpace Dropout Expand Flatten Gather GatherElements GatherND Identity Pad Reshape "
    "ReverseSequence ScatterElements ScatterND Slice SpaceToDepth Split Squeeze TensorScatter Tile Transpose "
    "Trilu Unsqueeze".split()
)
"""Their rules only move elements: moving unit numbers shows where each goes."""
MOVED = {
    "Concat": None,  # all
    "Pad": (0, 2),
    "TensorScatter": (0, 1),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
}
"""Whose elements; of others those of the first input."""


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
    builder = Builder(start - 1)
    tensors = dict(inputs)
    for step in network.steps:
        node = step.node
        builder.label = Label(node.op_type, node.proto.name or node.proto.output[0])
        given = [_given(network, tensors, name) for name in step.inputs]
        for name, made in zip(step.outputs, _lowered(builder, step, given), strict=False):
            if name and name not in network.constants:
                tensors[name] = builder.ids(made)
    outputs = {
        name: builder.ids(Units(tensors[name]) if name in tensors else network.constants[name])
        for name in network.outputs
    }
    return Program(inputs, tuple(builder.layers), outputs, tensors, builder.flat, tuple(builder.inexact))


def _given(network: Network, tensors: dict[str, Ids], name: str) -> Units | Const | None:
    if not name:
        return None
    return Units(tensors[name]) if name in tensors else network.constant(name)


def _lowered(builder: Builder, step: Step, given: Given) -> list[Units | Const]:
    node = step.node
    nearest = node.op_type in ("Resize", "Upsample") and node.text("mode", "nearest") == "nearest"
    if node.op_type in REARRANGING or nearest:
        return _rearranged(builder, step, given)
    if node.op_type not in lowerings:
        raise ModelError(f"{node.label} has no exact linear pieces here.")
    return list(lowerings[node.op_type](builder, node, given))


def _rearranged(builder: Builder, step: Step, given: Given) -> list[Units | Const]:
    """What the node's rule makes of unit numbers; unit 0 is what an implicit padding consists of."""
    node = step.node
    moved = MOVED.get(node.op_type, (0,))
    values: list[Range | Const | None] = []
    for k, value in enumerate(given):
        if value is None or (moved is not None and k not in moved):
            if isinstance(value, Units):
                raise ModelError(f"{node.label}: there are no linear pieces where its input {k} moves.")
            values.append(value)
        else:
            ids = builder.ids(value)[None]
            values.append(Range(ids, ids))
    if node.text("reduction", "none") != "none":
        raise ModelError(f"{node.label}: linear pieces of a scatter that merges are not supported.")
    made = step.rule(Batch(1), values)
    found: list[Units | Const] = []
    for one in made:
        if isinstance(one, Range) and one.lo.dtype.kind == "i" and one.known.all():
            found.append(Units(one.lo[0].astype(np.int64)))
        elif isinstance(one, Const):
            found.append(one)
        else:
            raise ModelError(f"{node.label} has no exact linear pieces here.")
    return found
