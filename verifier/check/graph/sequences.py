"""Sequences of tensors and optional values, where all places in them are constants."""

from __future__ import annotations

import numpy as np
import onnx

from verifier.check.graph.control import attributes_of
from verifier.check.graph.unroll import LARGEST_UNROLLED, Reader, refused, replaces

__all__: list[str] = []


def members(reader: Reader, node: onnx.NodeProto) -> list[str]:
    """The tensors of the sequence that a node reads."""
    row = reader.sequences.get(node.input[0])
    if row is None:
        raise refused(node, "its sequence is not made by the graph")
    return list(row)


def place(reader: Reader, node: onnx.NodeProto, k: int, length: int, end: int) -> int:
    """The place in a sequence that input number `k` says, `end` where it is left out."""
    if len(node.input) <= k or not node.input[k]:
        at = end
    else:
        at = int(reader.whole(node, node.input[k], "a position").reshape(-1)[0])
    if not -length <= at <= end or not 0 <= end:
        raise refused(node, "its position is outside of the sequence")
    return at % length if at < 0 else at


@replaces(
    "SequenceEmpty",
    "SequenceConstruct",
    "SequenceInsert",
    "SequenceErase",
    "SequenceAt",
    "SequenceLength",
    "ConcatFromSequence",
)
def _sequence(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    out = node.output[0]
    if node.op_type in ("SequenceEmpty", "SequenceConstruct"):
        reader.sequences[out] = list(node.input)
        return
    row = members(reader, node)
    if node.op_type == "SequenceInsert":
        row.insert(place(reader, node, 2, len(row), len(row)), node.input[1])
        reader.sequences[out] = row
    elif node.op_type == "SequenceErase":
        del row[place(reader, node, 1, len(row), len(row) - 1)]
        reader.sequences[out] = row
    elif node.op_type == "SequenceAt":
        reader.alias(out, row[place(reader, node, 1, len(row), len(row) - 1)])
    elif node.op_type == "SequenceLength":
        reader.alias(out, reader.constant(np.int64(len(row)), out))
    else:
        given = attributes_of(node)
        if not row:
            raise refused(node, "its sequence is empty")
        if given.get("new_axis"):
            reader.stack(row, out, given["axis"])
        else:
            reader.make("Concat", row, [out], axis=given["axis"])


@replaces("SplitToSequence")
def _split(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    given = attributes_of(node)
    shape = reader.values[node.input[0]].shape
    axis = range(len(shape))[given.get("axis", 0)]
    total = shape[axis]
    listed = len(node.input) > 1 and bool(node.input[1])
    lengths = [1] * total
    if listed:
        split = reader.whole(node, node.input[1], "the split")
        if split.size > LARGEST_UNROLLED or split.min(initial=1) < 1 - split.ndim:
            raise refused(node, "its split is not a list of lengths")
        lengths = split.reshape(-1).tolist()
        if split.ndim == 0 and total <= LARGEST_UNROLLED:  # equal parts, and what is left
            lengths = [int(split)] * (total // int(split)) + [total % int(split)] * (total % int(split) > 0)
    if sum(lengths) != total or len(lengths) > LARGEST_UNROLLED:
        raise refused(node, "its parts are not the whole")
    parts = [reader.names.fresh(node.output[0]) for _ in lengths]
    if parts:
        reader.make("Split", [node.input[0]], parts, axis=axis, split=lengths)
    if not listed and not given.get("keepdims", 1):
        flat = [reader.names.fresh(part) for part in parts]
        for part, name in zip(parts, flat, strict=True):
            reader.make("Squeeze", [part], [name], axes=[axis])
        parts = flat
    reader.sequences[node.output[0]] = parts


@replaces("SequenceMap")
def _map(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    graph = attributes_of(node)["body"]
    count = len(members(reader, node))
    wanted = {k for k, name in enumerate(node.output) if name}
    found: list[list[str]] = [[] for _ in node.output]
    for at in range(count):
        given = []
        for name in node.input:
            row = reader.sequences.get(name)
            if row is not None and len(row) != count:
                raise refused(node, "its sequences have different lengths")
            given.append(name if row is None else row[at])
        results = reader.body(node, version, graph, given, wanted)
        for row, result in zip(found, results, strict=False):
            row.append(result)
    reader.sequences.update((name, row) for name, row in zip(node.output, found, strict=True) if name)


@replaces("Optional", "OptionalHasElement", "OptionalGetElement")
def _optional(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    name = next(iter(node.input), "")
    there = bool(name) and not (name in reader.sequences and reader.sequences[name] is None)
    if node.op_type == "OptionalHasElement":
        reader.alias(node.output[0], reader.constant(np.bool_(there), node.output[0]))
    elif there:
        reader.alias(node.output[0], name)
    elif node.op_type == "Optional":
        reader.sequences[node.output[0]] = None
    else:
        raise refused(node, "the optional value is missing")
