"""Sequences of tensors and optional values: lists of names, while a graph is unrolled.

Positions and numbers of elements must be constants; what is left of a sequence in the flat graph are its
tensors.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.rewriting.unrolling import Nodes, Scope, Unrolling, unrolls

PARTS = 1 << 12


def elements(unrolling: Unrolling, node: Node, index: int = 0) -> list[str]:
    """The tensors of a sequence."""
    name = node.proto.input[index]
    found = unrolling.sequences.get(name)
    if found is None:
        raise ModelError(f"{node.label}: {name!r} is no sequence that the model makes itself.")
    return found


def position(unrolling: Unrolling, node: Node, index: int, length: int, last: int) -> int:
    """A constant place in a sequence, counted from its front; default: `last`."""
    name = node.proto.input[index] if index < len(node.proto.input) else ""
    if not name:
        return last
    place = int(unrolling.array(node, name, "a position").reshape(-1)[0])
    if not -length <= place <= last:
        raise ModelError(f"{node.label}: position {place} is outside of a sequence of {length} tensors.")
    return place + length if place < 0 else place


@unrolls("SequenceEmpty", "SequenceConstruct")
def construct(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """All inputs in a row."""
    unrolling.sequences[node.proto.output[0]] = [name for name in node.proto.input if name]
    yield from ()


@unrolls("SequenceInsert")
def insert(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """A tensor at a place, by default at the end."""
    row = elements(unrolling, node)
    place = position(unrolling, node, 2, len(row), len(row))
    unrolling.sequences[node.proto.output[0]] = [*row[:place], node.proto.input[1], *row[place:]]
    yield from ()


@unrolls("SequenceErase")
def erase(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """All but the tensor at a place, by default the last."""
    row = elements(unrolling, node)
    place = _inside(unrolling, node, row)
    unrolling.sequences[node.proto.output[0]] = [*row[:place], *row[place + 1 :]]
    yield from ()


@unrolls("SequenceAt")
def at(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """The tensor at a place."""
    row = elements(unrolling, node)
    yield from unrolling.bind(node.proto.output[0], row[_inside(unrolling, node, row)])


def _inside(unrolling: Unrolling, node: Node, row: list[str]) -> int:
    if not row:
        raise ModelError(f"{node.label}: its sequence is empty.")
    return position(unrolling, node, 1, len(row), len(row) - 1)


@unrolls("SequenceLength")
def length(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """The number of tensors."""
    yield from _fixed(unrolling, node, np.array(len(elements(unrolling, node)), dtype=np.int64))


def _fixed(unrolling: Unrolling, node: Node, array: NDArray[Any]) -> Nodes:
    target = node.proto.output[0]
    name = yield from unrolling.constant(array, f"{target}/value")
    yield from unrolling.bind(target, name)


@unrolls("ConcatFromSequence")
def concatenate(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """Concat along an axis, which may be a new one."""
    row, target, axis = elements(unrolling, node), node.proto.output[0], int(node.attributes["axis"])
    if not row:
        raise ModelError(f"{node.label}: its sequence is empty.")
    if node.flag("new_axis"):
        yield from unrolling.joined(row, target, axis)
    else:
        yield from unrolling.make("Concat", row, target, axis=axis)


@unrolls("SplitToSequence")
def split(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """Parts along an axis: of one length (the last may be shorter), or of given lengths."""
    source, target = node.proto.input[0], node.proto.output[0]
    shape = unrolling.shape(node, source)
    axis = node.axis(len(shape))
    sizes = yield from _sizes(unrolling, node, shape[axis])
    parts = [unrolling.fresh(f"{target}/{k}") for k in range(len(sizes))]
    if parts:
        yield from unrolling.make("Split", [source], *parts, axis=axis, split=sizes)
    if len(node.proto.input) < 2 and not node.flag("keepdims"):
        flat = [unrolling.fresh(f"{part}/flat") for part in parts]
        for part, name in zip(parts, flat, strict=True):
            yield from unrolling.make("Squeeze", [part], name, axes=[axis])
        parts = flat
    unrolling.sequences[target] = parts


def _sizes(unrolling: Unrolling, node: Node, total: int) -> Generator[Node, None, list[int]]:
    yield from ()
    sizes = [1] * total
    if len(node.proto.input) > 1 and node.proto.input[1]:
        given = unrolling.array(node, node.proto.input[1], "the lengths of the parts")
        if given.size > PARTS:
            raise ModelError(f"{node.label} makes more than {PARTS} parts.")
        sizes = [int(v) for v in given.reshape(-1)]
        if given.ndim == 0 and sizes[0] > 0 and total // sizes[0] <= PARTS:
            sizes = [min(sizes[0], total - k) for k in range(0, total, sizes[0])]
    if sum(sizes) != total or min(sizes, default=0) < 0 or len(sizes) > PARTS:
        raise ModelError(f"{node.label}: its parts are not those of an axis of length {total}.")
    return sizes


@unrolls("SequenceMap")
def mapped(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """A subgraph for each tensor of a sequence; further sequences go along, tensors stay."""
    given, targets = list(node.proto.input), list(node.proto.output)
    rows = [unrolling.sequences.get(name) for name in given]
    count = len(elements(unrolling, node))
    if any(row is not None and len(row) != count for row in rows):
        raise ModelError(f"{node.label}: its sequences have different lengths.")
    graph = node.attributes["body"]
    wanted = [value.name for value, target in zip(graph.output, targets, strict=False) if target]
    label = next(filter(None, targets))
    body = yield from unrolling.opened(graph, wanted, scope, label)
    made: list[list[str]] = [[] for _ in targets]
    for k in range(count):
        parts = [name if row is None else row[k] for name, row in zip(given, rows, strict=True)]
        results = yield from unrolling.run_body(body, parts, f"{label}.{k}")
        for row, result in zip(made, results, strict=False):
            row.append(result)
    unrolling.sequences.update((t, row) for t, row in zip(targets, made, strict=True) if t)


@unrolls("Optional")
def optional(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """A value that may be missing."""
    given = [name for name in node.proto.input if name]
    if given:
        yield from unrolling.bind(node.proto.output[0], given[0])
    else:
        unrolling.sequences[node.proto.output[0]] = None


@unrolls("OptionalHasElement")
def has_element(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """Whether the value is there."""
    given = [name for name in node.proto.input if name]
    present = bool(given) and unrolling.sequences.get(given[0], [""]) is not None
    yield from _fixed(unrolling, node, np.array(present))


@unrolls("OptionalGetElement")
def get_element(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """The value."""
    name = node.proto.input[0]
    if unrolling.sequences.get(name, [""]) is None:
        raise ModelError(f"{node.label}: the optional value is not there.")
    yield from unrolling.bind(node.proto.output[0], name)
