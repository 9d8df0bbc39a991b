"""If, Loop and Scan, followed as far as constants say how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from verifier.check.graph.names import needed_for, reads
from verifier.check.graph.unroll import LARGEST_UNROLLED, Reader, refused, replaces
from verifier.check.operators.registry import LARGEST_TENSOR

__all__: list[str] = []


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes that the node has."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def truth(reader: Reader, node: onnx.NodeProto, name: str) -> bool:
    """A constant condition."""
    value = reader.whole(node, name, "its condition").reshape(-1)
    if len(value) != 1:
        raise refused(node, "its condition is not one boolean")
    return bool(value[0])


@replaces("If")
def _if(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    yes = truth(reader, node, node.input[0])
    graph = attributes_of(node)["then_branch" if yes else "else_branch"]
    wanted = {k for k, name in enumerate(node.output) if name}
    results = reader.body(node, version, graph, [], wanted)
    for k in wanted:
        reader.alias(node.output[k], results[k])


@replaces("Loop")
def _loop(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    graph = attributes_of(node)["body"]
    inputs = [*node.input, "", ""]
    trips, condition = inputs[:2]
    states = list(node.input[2:])
    limit = int(reader.whole(node, trips, "its trip count").reshape(-1)[0]) if trips else None
    going = truth(reader, node, condition) if condition else True
    if len(graph.input) != len(states) + 2 or len(graph.output) <= max(len(states), len(node.output)):
        raise refused(node, "its body has other inputs or outputs")
    wanted = _wanted(graph, node.output, len(states))
    rows: list[list[str]] = [[] for _ in graph.output[len(states) + 1 :]]
    done = 0
    while going and (limit is None or done < limit):
        step = reader.constant(np.int64(done), f"{node.output[0]}/iteration")
        alive = reader.constant(np.bool_(True), f"{node.output[0]}/condition")
        before = reader.inner
        results = reader.body(node, version, graph, [step, alive, *states], wanted)
        going = truth(reader, node, results[0])
        states = results[1 : len(states) + 1]
        for row, result in zip(rows, results[len(states) + 1 :], strict=True):
            row.append(result)
        if done == 0 and going and _unchanging(graph):
            size = max(1, reader.inner - before)
            if limit is None or limit > LARGEST_UNROLLED // size:
                raise refused(node, f"its iterations run more than {LARGEST_UNROLLED} nodes")
        done += 1
    for k, name in enumerate(node.output):
        if name and k < len(states):
            reader.alias(name, states[k])
        elif name:
            _collect(reader, node, rows[k - len(states)], name, 0, graph.output[k + 1])


def _wanted(graph: onnx.GraphProto, outputs: Sequence[str], states: int) -> set[int]:
    """The outputs of a body that matter: the condition, those of the loop, and states that these need."""
    wanted: set[int] = set()
    more = {0, *(k + 1 for k, name in enumerate(outputs) if name)}
    while more - wanted:
        wanted |= more
        names = {graph.output[k].name for k in wanted}
        used = names.union(*(reads(inner) for inner in needed_for(graph.node, names)))
        more = {k + 1 for k in range(states) if graph.input[k + 2].name in used}
    return wanted


def _unchanging(graph: onnx.GraphProto) -> bool:
    """Whether the condition that a body computes depends on nothing that differs between iterations."""
    changing = {value.name for k, value in enumerate(graph.input) if k != 1}
    for inner in graph.node:
        if reads(inner) & changing:
            changing.update(inner.output)
    return graph.output[0].name not in changing


@replaces("Scan")
def _scan(reader: Reader, node: onnx.NodeProto, version: int) -> None:
    given = attributes_of(node)
    graph, count = given["body"], int(given["num_scan_inputs"])
    inputs = list(node.input if version >= 9 else node.input[1:])
    states = len(inputs) - count
    if count < 1 or states < 0 or len(graph.output) < max(states, len(node.output)):
        raise refused(node, "its body has other inputs or outputs")
    wanted = set(range(states)) | {k for k, name in enumerate(node.output) if name}
    backward = given.get("scan_input_directions" if version >= 9 else "directions", [0] * count)
    if version >= 9:
        axes = given.get("scan_input_axes", [0] * count)
        finals, rows = _iterate(reader, (node, version, graph, wanted), inputs, states, axes, backward)
        rest = len(graph.output) - states
        turned = given.get("scan_output_directions", [0] * rest)
        targets = given.get("scan_output_axes", [0] * rest)
        for k in range(states, len(node.output)):
            row = rows[k - states][::-1] if turned[k - states] else rows[k - states]
            if node.output[k]:
                _collect(reader, node, row, node.output[k], targets[k - states], graph.output[k])
        for name, final in zip(node.output[:states], finals, strict=True):
            if name:
                reader.alias(name, final)
        return
    batch, length = reader.values[inputs[states]].shape[:2]
    if node.input[0] and (reader.whole(node, node.input[0], "sequence_lens") != length).any():
        raise refused(node, "the standard leaves open what shorter sequences give")
    parts: list[list[str]] = [[] for _ in graph.output]
    for b in range(batch):
        mine = [_part(reader, name, 0, b) for name in inputs]
        finals, rows = _iterate(reader, (node, version, graph, wanted), mine, states, [0] * count, backward)
        for k in sorted(wanted):
            if k < states:
                parts[k].append(finals[k])
            else:
                parts[k].append(reader.names.fresh(node.output[k]))
                _collect(reader, node, rows[k - states], parts[k][-1], 0, graph.output[k])
    for k, name in enumerate(node.output):
        if name:
            reader.stack(parts[k], name, 0)


def _iterate(
    reader: Reader,
    what: tuple[onnx.NodeProto, int, onnx.GraphProto, set[int]],
    inputs: Sequence[str],
    states: int,
    axes: Sequence[int],
    backward: Sequence[int],
) -> tuple[list[str], list[list[str]]]:
    """The last states, and what the other outputs of the body are in all iterations."""
    node, version, graph, wanted = what
    current, scanned = list(inputs[:states]), inputs[states:]
    lengths = {reader.values[n].shape[axis] for n, axis in zip(scanned, axes, strict=True)}
    if len(lengths) > 1:
        raise refused(node, "what it scans has different lengths")
    length = lengths.pop()
    rows: list[list[str]] = [[] for _ in graph.output[states:]]
    for t in range(length):
        slices = [
            _part(reader, name, axis, length - 1 - t if back else t)
            for name, axis, back in zip(scanned, axes, backward, strict=True)
        ]
        results = reader.body(node, version, graph, [*current, *slices], wanted)
        current = results[:states]
        for row, result in zip(rows, results[states:], strict=True):
            row.append(result)
    return current, rows


def _part(reader: Reader, name: str, axis: int, at: int) -> str:
    """One slice of a tensor along an axis."""
    index = reader.constant(np.int64(at), f"{name}/index")
    part = reader.names.fresh(name)
    reader.make("Gather", [name, index], [part], axis=axis)
    return part


def _collect(
    reader: Reader, node: onnx.NodeProto, rows: list[str], name: str, axis: int, declared: onnx.ValueInfoProto
) -> None:
    """Results of all iterations along a new axis; of none, by the shape that the body declares."""
    if rows:
        reader.stack(rows, name, axis)
        return
    tensor = declared.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    if not tensor.elem_type or min(dims, default=0) < 0 or np.prod(dims, dtype=float) > LARGEST_TENSOR:
        raise refused(node, "it runs no iteration, and its body declares no shape")
    dims.insert(range(len(dims) + 1)[axis], 0)
    kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    reader.alias(name, reader.constant(np.zeros(dims, dtype=kind), name))
