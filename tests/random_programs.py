"""Random graphs of If, Loop and Scan, nested, whose conditions are constants; names are used again wherever
the standard allows it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["SHAPE", "random_program"]

SHAPE = [3]
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@dataclass
class Program:
    """A graph that grows; it sees the real tensors and the constants of the graphs around it."""

    rng: np.random.Generator
    depth: int
    serial: Iterator[int]
    reals: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    count: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)

    def name(self) -> str:
        """A new name of this graph; graphs of one depth share names."""
        self.count += 1
        return f"{'abcd'[self.depth]}{self.count}"

    def pick(self, names: list[str]) -> str:
        return names[int(self.rng.integers(len(names)))]

    def node(self, op_type: str, inputs: list[str], **attributes: object) -> str:
        output = self.name()
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        if self.rng.random() < 0.5:  # in sight from the start of the graph, so its name is its own
            name = f"stored{next(self.serial)}"
            self.stored.append(numpy_helper.from_array(array, name))
            return name
        return self.node("Constant", [], value=numpy_helper.from_array(array))

    def inner(self) -> Program:
        return Program(
            self.rng,
            self.depth + 1,
            self.serial,
            [*self.reals],
            [*self.flags],
            [*self.counts],
        )

    # --- statements ---

    def grow(self, statements: int) -> None:
        """Append random statements."""
        choices = [self.unary, self.binary, self.weights]
        if self.depth < 2:
            choices += [self.branch, self.loop, self.scan]
        for _ in range(statements):
            choices[int(self.rng.integers(len(choices)))]()

    def unary(self) -> None:
        self.reals.append(self.node(self.pick(["Relu", "Neg", "Tanh", "Identity"]), [self.pick(self.reals)]))

    def binary(self) -> None:
        operands = [self.pick(self.reals), self.pick(self.reals)]
        self.reals.append(self.node(self.pick(["Add", "Sub", "Max"]), operands))

    def weights(self) -> None:
        array = (self.rng.integers(-4, 5, SHAPE) / 4).astype(np.float32)
        self.reals.append(self.node("Mul", [self.pick(self.reals), self.constant(array)]))

    def flag(self) -> str:
        """A condition: stored, or computed from what stands still."""
        if self.counts and self.rng.random() < 0.5:
            bound = self.constant(np.array(self.rng.integers(0, 3), dtype=np.int64))
            return self.node("Less", [self.pick(self.counts), bound])
        if self.flags and self.rng.random() < 0.3:
            return self.node("Not", [self.pick(self.flags)])
        if self.rng.random() < 0.3:
            size = self.node("Size", [self.pick(self.reals)])
            return self.node("Greater", [size, self.constant(np.array(self.rng.integers(2, 5)))])
        return self.constant(np.array(bool(self.rng.random() < 0.5)))

    def branch(self) -> None:
        condition = self.flag()
        count = int(self.rng.integers(1, 3))
        graphs = []
        for label in ("yes", "no"):
            part = self.inner()
            part.grow(int(self.rng.integers(1, 4)))
            made = [part.node("Identity", [part.pick(part.reals)]) for _ in range(count)]
            graphs.append(part.graph(label, [], [(n, FLOAT) for n in made]))
        outputs = [self.name() for _ in range(count)]
        node = helper.make_node("If", [condition], outputs, then_branch=graphs[0], else_branch=graphs[1])
        self.nodes.append(node)
        self.reals += outputs

    def loop(self) -> None:
        trips = self.constant(np.array(self.rng.integers(0, 4), dtype=np.int64))
        start = self.flag() if self.rng.random() < 0.5 else ""
        part = self.inner()
        step, going = part.name(), part.name()
        states = [part.name() for _ in range(int(self.rng.integers(1, 3)))]
        part.reals += states
        part.counts.append(step)
        part.flags.append(going)
        part.grow(int(self.rng.integers(1, 4)))
        condition = part.node("Identity", [part.flag() if self.rng.random() < 0.4 else going])
        results = [part.node("Identity", [part.pick(part.reals)]) for _ in states]
        row = part.node("Identity", [part.pick(part.reals)])
        body = part.graph(
            "body",
            [(step, INT), (going, BOOL), *((s, FLOAT) for s in states)],
            [(condition, BOOL), *((r, FLOAT) for r in results), (row, FLOAT)],
        )
        outputs = [self.name() for _ in range(len(states) + 1)]
        given = [self.pick(self.reals) for _ in states]
        self.nodes.append(helper.make_node("Loop", [trips, start, *given], outputs, body=body))
        self.reals += outputs[:-1]
        self._summed(outputs[-1])

    def scan(self) -> None:
        rows = self.node("Unsqueeze", [self.pick(self.reals), self.constant(np.array([0]))])
        rows = self.node("Concat", [rows, rows], axis=0)
        part = self.inner()
        state, slice_ = part.name(), part.name()
        part.reals += [state, slice_]
        part.grow(int(self.rng.integers(1, 3)))
        result, row = (part.node("Identity", [part.pick(part.reals)]) for _ in range(2))
        body = part.graph("body", [(state, FLOAT), (slice_, FLOAT)], [(result, FLOAT), (row, FLOAT)])
        outputs = [self.name(), self.name()]
        node = helper.make_node(
            "Scan",
            [self.pick(self.reals), rows],
            outputs,
            body=body,
            num_scan_inputs=1,
            scan_input_directions=[int(self.rng.integers(2))],
            scan_output_directions=[int(self.rng.integers(2))],
        )
        self.nodes.append(node)
        self.reals.append(outputs[0])
        self._summed(outputs[1])

    def _summed(self, rows: str) -> None:
        """The rows of all iterations added up, which may be none."""
        axes = self.constant(np.array([0]))
        self.reals.append(self.node("ReduceSum", [rows, axes], keepdims=0))

    def graph(
        self, name: str, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]]
    ) -> onnx.GraphProto:
        def infos(pairs: list[tuple[str, int]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(n, k, SHAPE if k == FLOAT else []) for n, k in pairs]

        return helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), self.stored)


def random_program(seed: int) -> onnx.ModelProto:
    """A model from x to y."""
    program = Program(np.random.default_rng([31, seed]), 0, itertools.count(), ["x"])
    program.grow(6)
    total = program.node("Sum", program.reals[-3:])
    program.nodes.append(helper.make_node("Identity", [total], ["y"]))
    graph = program.graph("program", [("x", FLOAT)], [("y", FLOAT)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
