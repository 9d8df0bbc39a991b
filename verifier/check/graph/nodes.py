"""Nodes of ONNX as the checker reads them, and what one of them does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.infinities import evaluated, is_special
from verifier.check.numbers.integers import Form
from verifier.check.operators.cast import WHOLE
from verifier.check.operators.registry import OPERATORS, TRAITS, Context, Node

__all__ = [
    "ML",
    "SHAPE_ONLY",
    "STANDARD",
    "Versioned",
    "applied",
    "decoded",
    "follow",
    "hollow",
    "kept",
    "weights_of",
]

Versioned = tuple[onnx.NodeProto, int]
"""A node, and the operator set by which it is read."""
DISCRETE = {*WHOLE, onnx.TensorProto.BOOL}
SHAPE_ONLY = {"Shape", "Size", "EyeLike"}
STANDARD = ("", "ai.onnx")
ML = "ai.onnx.ml"  # no operator of it has the name of one of the default domain


def decoded(index: int, proto: onnx.NodeProto, opset: int, kinds: Mapping[str, int] | None = None) -> Node:
    """The node with its attributes decoded, and the defaults of the standard for those that it lacks;
    `kinds` are the element types of tensors, as far as they are known.
    """
    op, domain = proto.op_type, "" if proto.domain in STANDARD else proto.domain
    attributes: dict[str, Any] = {}
    if domain not in ("", ML):  # refused where an output needs it
        return Node(
            index, f"{domain}.{op}", proto.name, tuple(proto.input), tuple(proto.output), opset, proto, {}
        )
    try:
        for name, declared in onnx.defs.get_schema(op, opset, domain).attributes.items():
            if declared.default_value.name:
                attributes[name] = onnx.helper.get_attribute_value(declared.default_value)
    except onnx.defs.SchemaError as error:
        raise InvalidCertificate(f"operator {op} does not exist in opset {opset} of {domain!r}") from error
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        attributes[attribute.name] = (
            list(value)
            if not isinstance(value, (bytes, float, int)) and hasattr(value, "__iter__")
            else value
        )
    given = tuple((kinds or {}).get(name, 0) for name in proto.input)
    return Node(
        index, op, proto.name, tuple(proto.input), tuple(proto.output), opset, proto, attributes, given
    )


def follow(node: Node, moves: set[str]) -> None:
    """Add the outputs of a node to what moves, if they do; refuse a node that cannot."""
    if node.op not in OPERATORS:
        raise node.refuse("the operator is not supported")
    if any(node.inputs[k] in moves for k in TRAITS[node.op].still if k < len(node.inputs)):
        raise node.refuse("its weights, shapes, axes or indices move with the input")
    if node.op not in SHAPE_ONLY and moves & set(node.inputs):
        moves.update(o for o in node.outputs if o)


def kept(nodes: Iterable[Node], needed: set[str], moving: str) -> tuple[list[Node], set[str]]:
    """The nodes that make what is needed, without the names of further outputs that nobody reads; and what
    moves.
    """
    found, moves = [], {moving}
    for node in nodes:
        if needed & set(node.outputs):
            further = (name if name in needed else "" for name in node.outputs[1:])
            found.append(replace(node, outputs=(*node.outputs[:1], *further)))
            follow(found[-1], moves)
    return found, moves


def weights_of(nodes: Iterable[Node], moves: set[str], outputs: Iterable[str]) -> set[str]:
    """The tensors that all their readers absorb (see `verifier.check.operators.registry.operator`)."""
    absorbed, read = set[str](), set(outputs)
    for node in nodes:
        places = TRAITS[node.op].absorbs if moves & set(node.outputs) else ()
        if sum(k < len(node.inputs) and node.inputs[k] not in moves for k in places) > 1:
            places = ()  # one of two constant factors is read again
        for k, name in enumerate(node.inputs):
            (absorbed if k in places else read).add(name)
    return absorbed - read - moves


def hollow(shape: tuple[int, ...]) -> Form:
    """A constant of which there is only the shape: to reckon with it is an error."""
    nothing = np.broadcast_to(np.array(None, dtype=object), (*shape, 1))
    return Form(nothing, nothing, nothing, 0)


def applied(ctx: Context, node: Node, inputs: list[Any]) -> list[Any]:
    """The outputs of a node."""
    for name, kind, value in zip(node.inputs, node.kinds, inputs, strict=False):
        if kind in DISCRETE and isinstance(value, Form) and name in ctx.moves:
            raise node.refuse("real numbers stand where integers are expected")
    try:
        special = any(is_special(value) for value in inputs) and node.op not in SHAPE_ONLY
        out = (evaluated if special else OPERATORS[node.op])(ctx, node, inputs)
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise node.refuse(f"its inputs do not fit ({error})") from error
    return out if isinstance(out, list) else [out]
