"""Operators that only move elements: their own rules, run on the numbers of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import helper

from symbolic.enclosures.values import Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import Node, operators
from symbolic.pieces.operators.builder import Builder, Given, Units
from symbolic.pieces.program import Ids

__all__ = ["REARRANGING", "rearranged", "rearranges"]

REARRANGING = frozenset(
    "Compress Concat DepthToSpace Dropout Expand Flatten Gather GatherElements GatherND Identity OneHot "
    "Pad Reshape ReverseSequence Scatter ScatterElements ScatterND Slice SpaceToDepth Split Squeeze "
    "TensorScatter Tile Transpose Trilu Unsqueeze".split()
)
MOVED = {
    "Concat": None,  # all
    "OneHot": (2,),
    "Pad": (0, 2),
    "Scatter": (0, 2),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "TensorScatter": (0, 1),
}
"""Whose elements; of others those of the first input."""
BEYOND = -1.0
"""Stands for what fills a picture beyond its border."""


def rearranges(node: Node, given: Given) -> bool:
    """Whether the node moves elements to places that stand."""
    nearest = node.op_type in ("Resize", "Upsample") and node.text("mode", "nearest") == "nearest"
    nearest = nearest or node.op_type == "GridSample" and node.text("mode") == "nearest"
    if not nearest and (node.op_type not in REARRANGING or node.text("reduction", "none") != "none"):
        return False
    moved = MOVED.get(node.op_type, (0,))
    return moved is None or not any(isinstance(v, Units) for k, v in enumerate(given) if k not in moved)


def rearranged(builder: Builder, node: Node, given: Given) -> list[Units | None]:
    """What the node's rule makes of unit numbers; unit 0 is what an implicit padding consists of."""
    moved = MOVED.get(node.op_type, (0,))
    values: list[Value | None] = []
    for k, value in enumerate(given):
        if value is None or (moved is not None and k not in moved):
            values.append(value if isinstance(value, Const) else None)
        else:
            values.append(_numbers(builder.ids(value)))
    fill = node.attributes.get("extrapolation_value")
    if node.op_type == "Pad" and node.opset < 11:
        node, values = _with_inputs(builder, node, values)
    elif fill:
        node = replace(node, attributes={**node.attributes, "extrapolation_value": BEYOND})
    made = operators[node.op_type].build(node, values)(Batch(1), values)
    found = [_units(node, one) for one in made]
    if fill:
        outer = builder.constants(np.array(float(fill)))
        return [one and Units(np.where(one.ids < 0, outer, one.ids)) for one in found]
    return found


def _numbers(ids: Ids) -> Range:
    return Range(ids[None], ids[None])


def _with_inputs(
    builder: Builder, node: Node, values: Sequence[Value | None]
) -> tuple[Node, list[Value | None]]:
    """A Pad of operator set 11: its pads and its value are inputs."""
    names = ["data", "pads", "value"]
    proto = helper.make_node("Pad", names, list(node.proto.output), node.proto.name, mode=node.text("mode"))
    fill = builder.constants(np.array(node.number("value")))
    pads = Const(np.array(node.attributes["pads"], dtype=np.int64))
    return Node.of(proto, 11), [values[0], pads, _numbers(fill)]


def _units(node: Node, one: Value) -> Units | None:
    """Unit numbers, or None for a constant."""
    if isinstance(one, Range) and one.lo.dtype.kind == "i" and one.known.all():
        return Units(one.lo[0].astype(np.int64))
    if isinstance(one, Const):
        return None
    raise ModelError(
        f"{node.label}: it is not defined which elements it takes, or which of several comes last."
    )
