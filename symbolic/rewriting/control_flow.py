"""If, Loop and Scan whose decisions are constants, unrolled."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from math import prod

import numpy as np
import onnx
from onnx import helper

from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.rewriting.unrolling import LIMIT, Body, Nodes, Scope, Unrolling, pruned, reads, unrolls

LONGEST = 1 << 20
"""Elements of an empty tensor's other axes."""


@unrolls("If")
def branch(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """The branch that a constant condition takes."""
    condition = _flag(unrolling, node, node.proto.input[0])
    graph = node.attributes["then_branch" if condition else "else_branch"]
    targets = list(node.proto.output)
    _require_outputs(node, graph, len(targets))
    wanted = [value.name for value, target in zip(graph.output, targets, strict=False) if target]
    label = next(filter(None, targets))
    body = yield from unrolling.opened(graph, wanted, scope, label)
    results = yield from unrolling.run_body(body, [], label)
    for target, result in zip(targets, results, strict=False):
        if target:
            yield from unrolling.bind(target, result)


@unrolls("Loop")
def loop(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """As many iterations as a constant trip count and constant conditions allow."""
    graph = node.attributes["body"]
    count, condition, *carried = [*node.proto.input, "", ""][: max(2, len(node.proto.input))]
    trips = int(unrolling.array(node, count, "its trip count").reshape(-1)[0]) if count else None
    alive = _flag(unrolling, node, condition) if condition else True
    states = len(carried)
    if len(graph.input) != states + 2:
        raise ModelError(f"{node.label}: its body has {len(graph.input)} inputs, not {states + 2}.")
    targets = list(node.proto.output)
    _require_outputs(node, graph, len(targets) + 1)
    wanted = _wanted_of_loop(graph, targets, states)
    label = next(filter(None, targets))
    body = yield from unrolling.opened(graph, [graph.output[k].name for k in wanted], scope, label)
    yes = yield from unrolling.constant(np.array(True), f"{label}/going")
    rows: list[list[str]] = [[] for _ in graph.output]
    k = 0
    while alive and (trips is None or k < trips):
        step = yield from unrolling.constant(np.array(k, dtype=np.int64), f"{label}.{k}/step")
        before = unrolling.made
        results = yield from unrolling.run_body(body, [step, yes, *carried], f"{label}.{k}")
        alive = _flag(unrolling, node, results[0])
        carried = [results[1 + i] if 1 + i in wanted else name for i, name in enumerate(carried)]
        for i in range(1 + states, len(results)):
            rows[i].append(results[i])
        if k == 0 and alive and _never_stops(body, graph, trips, unrolling.made - before):
            raise ModelError(f"{node.label}: its iterations would be more than {LIMIT} nodes.")
        k += 1
    for i, target in enumerate(targets):
        if not target:
            continue
        if i < states:
            yield from unrolling.bind(target, carried[i])
        else:
            yield from _stacked(unrolling, node, rows[1 + i], target, 0, graph.output[1 + i])


def _wanted_of_loop(graph: onnx.GraphProto, targets: Sequence[str], states: int) -> list[int]:
    """Which outputs of the body matter: the condition, what is asked for, and the states that these need."""
    wanted = {0} | {1 + i for i, target in enumerate(targets) if target}
    while True:
        names = [graph.output[i].name for i in sorted(wanted)]
        needed = set(names).union(*(reads(node) for node in pruned(graph.node, names)))
        more = {1 + i for i in range(states) if graph.input[2 + i].name in needed} - wanted
        if not more:
            return sorted(wanted)
        wanted |= more


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[onnx.GraphProto, list[str]]]:
    """The subgraphs of a node, and which of their outputs its own outputs need."""
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            names = [value.name for value in graph.output]
            states = len(node.input) - 2
            if node.op_type == "Loop" and len(graph.input) == states + 2 and len(names) > states:
                yield graph, [names[k] for k in _wanted_of_loop(graph, node.output, states) if k < len(names)]
            else:
                used = [name for name, target in zip(names, node.output, strict=False) if target]
                yield graph, names if node.op_type == "Scan" else used


def _never_stops(body: Body, graph: onnx.GraphProto, trips: int | None, size: int) -> bool:
    """Whether the condition is the same in every iteration, and these are too many."""
    if trips is not None and trips * max(size, 1) <= LIMIT:
        return False
    condition = graph.output[0].name
    needed = {condition}.union(*(reads(node) for node in pruned(body.nodes, [condition])))
    return not needed & {value.name for i, value in enumerate(graph.input) if i != 1}


@unrolls("Scan")
def scan(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """One iteration for each slice of the scanned tensors; before operator set 9, for each of a batch."""
    if node.opset < 9:
        yield from _scan_of_batch(unrolling, node, scope)
        return
    count = int(node.attributes["num_scan_inputs"])
    states = len(node.proto.input) - count
    given, scanned = list(node.proto.input[:states]), list(node.proto.input[states:])
    axes = node.integers("scan_input_axes", [0] * count)
    backward = node.integers("scan_input_directions", [0] * count)
    body = yield from _opened_scan(unrolling, node, scope)
    label = next(filter(None, node.proto.output))
    lengths = {unrolling.shape(node, name)[axis] for name, axis in zip(scanned, axes, strict=True)}
    finals, rows = yield from _scanned(
        unrolling, node, body, given, scanned, (axes, backward, lengths), label
    )
    outputs = len(body.outputs) - states
    out_axes = node.integers("scan_output_axes", [0] * outputs)
    prepend = node.integers("scan_output_directions", [0] * outputs)
    graph = node.attributes["body"]
    for k, target in enumerate(node.proto.output):
        if not target:
            continue
        if k < states:
            yield from unrolling.bind(target, finals[k])
        else:
            parts = rows[k - states][:: -1 if prepend[k - states] else 1]
            yield from _stacked(unrolling, node, parts, target, out_axes[k - states], graph.output[k])


def _scan_of_batch(unrolling: Unrolling, node: Node, scope: Scope) -> Nodes:
    """Axis 0 is that of the batch, axis 1 is scanned."""
    count = int(node.attributes["num_scan_inputs"])
    lengths, *rest = node.proto.input
    states = len(rest) - count
    backward = node.integers("directions", [0] * count)
    size, longest = unrolling.shape(node, rest[states])[:2]
    if lengths and (unrolling.array(node, lengths, "sequence_lens") != longest).any():
        raise ModelError(f"{node.label}: what it scans of shorter sequences is undefined.")
    body = yield from _opened_scan(unrolling, node, scope)
    label = next(filter(None, node.proto.output))
    parts: list[list[str]] = [[] for _ in body.outputs]
    for b in range(size):
        mine = []
        for name in rest:
            mine.append((yield from _slice(unrolling, name, 0, b, f"{label}.{b}/{name}")))
        finals, rows = yield from _scanned(
            unrolling,
            node,
            body,
            mine[:states],
            mine[states:],
            ([0] * count, backward, {longest}),
            f"{label}.{b}",
        )
        for k, final in enumerate(finals):
            parts[k].append(final)
        for k, row in enumerate(rows, states):
            if k < len(node.proto.output) and node.proto.output[k]:
                whole = unrolling.fresh(f"{label}.{b}/{k}")
                yield from _stacked(unrolling, node, row, whole, 0, node.attributes["body"].output[k])
                parts[k].append(whole)
    for k, target in enumerate(node.proto.output):
        if target:
            yield from unrolling.joined(parts[k], target, 0)


def _opened_scan(unrolling: Unrolling, node: Node, scope: Scope) -> Generator[Node, None, Body]:
    graph = node.attributes["body"]
    inputs = list(node.proto.input[1:] if node.opset < 9 else node.proto.input)
    states = len(inputs) - int(node.attributes["num_scan_inputs"])
    if not 0 <= states < len(inputs) or len(graph.input) != len(inputs) or len(graph.output) < states:
        raise ModelError(f"{node.label}: its inputs and outputs are not those of its body.")
    _require_outputs(node, graph, len(node.proto.output))
    asked = {k for k, target in enumerate(node.proto.output) if target} | set(range(states))
    label = next(filter(None, node.proto.output))
    return (yield from unrolling.opened(graph, [graph.output[k].name for k in sorted(asked)], scope, label))


def _scanned(
    unrolling: Unrolling,
    node: Node,
    body: Body,
    states: Sequence[str],
    scanned: Sequence[str],
    how: tuple[Sequence[int], Sequence[int], set[int]],
    label: str,
) -> Generator[Node, None, tuple[list[str], list[list[str]]]]:
    """The final states, and the rows of the other outputs in the order of the iterations."""
    axes, backward, lengths = how
    if len(lengths) != 1:
        raise ModelError(f"{node.label}: the tensors that it scans have different lengths.")
    length = lengths.pop()
    finals = list(states)
    rows: list[list[str]] = [[] for _ in body.outputs[len(finals) :]]
    for t in range(length):
        given = list(finals)
        for name, axis, back in zip(scanned, axes, backward, strict=True):
            at = length - 1 - t if back else t
            given.append((yield from _slice(unrolling, name, axis, at, f"{label}.{t}/{name}")))
        results = yield from unrolling.run_body(body, given, f"{label}.{t}")
        finals = results[: len(finals)]
        for row, result in zip(rows, results[len(finals) :], strict=True):
            row.append(result)
    return finals, rows


def _slice(unrolling: Unrolling, name: str, axis: int, at: int, wish: str) -> Generator[Node, None, str]:
    """One slice of a tensor, without the axis."""
    index = yield from unrolling.constant(np.array(at, dtype=np.int64), f"{wish}/at")
    target = unrolling.fresh(wish)
    yield from unrolling.make("Gather", [name, index], target, axis=axis)
    return target


def _stacked(
    unrolling: Unrolling,
    node: Node,
    rows: Sequence[str],
    target: str,
    axis: int,
    declared: onnx.ValueInfoProto,
) -> Nodes:
    """Rows along a new axis; without any, an empty tensor of the shape that the body declares."""
    if rows:
        yield from unrolling.joined(rows, target, axis)
        return
    tensor = declared.type.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim]
    if not tensor.elem_type or not all(d.HasField("dim_value") for d in tensor.shape.dim):
        raise ModelError(f"{node.label} runs no iteration, and its output {target!r} declares no shape.")
    if min(dims, default=0) < 0 or prod(dims) > LONGEST:
        raise ModelError(f"{node.label}: its output {target!r} declares the shape {dims}.")
    dims.insert(node.axis(len(dims) + 1, axis), 0)
    empty = np.zeros(dims, dtype=helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    yield from unrolling.bind(target, (yield from unrolling.constant(empty, f"{target}/empty")))


def _flag(unrolling: Unrolling, node: Node, name: str) -> bool:
    value = unrolling.array(node, name, "its condition").reshape(-1)
    if value.size != 1:
        raise ModelError(f"{node.label}: its condition has {value.size} elements.")
    return bool(value[0])


def _require_outputs(node: Node, graph: onnx.GraphProto, count: int) -> None:
    if len(graph.output) < count:
        raise ModelError(f"{node.label}: a subgraph gives {len(graph.output)} outputs, not {count}.")
