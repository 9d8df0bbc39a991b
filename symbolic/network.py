"""An ONNX graph with exact meaning: enclosures of all its tensors over segments of a line.

The certified object is the real-number function of the stored constants. Loading evaluates the graph once at
the observed input: constants are folded, shapes become known, and every node gets its rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import symbolic.operators  # noqa: F401  (fills the registry)
from symbolic.enclosures.line import Line, Segment, centre
from symbolic.enclosures.undefined import unclaimed, undefined_on
from symbolic.enclosures.values import Affine, Batch, Const, Value
from symbolic.errors import ModelError
from symbolic.exactness import exactness_of
from symbolic.limits import Limits, limits_of
from symbolic.node import ML, Node, Rule, given_to, operators, require_types
from symbolic.operators.integer_arithmetic import built, require_discrete
from symbolic.operators.shapes import widened
from symbolic.reading.static_shapes import element_types
from symbolic.reading.stored import Stored
from symbolic.rewriting.declared import DeclaredShapes
from symbolic.rewriting.peeling import peeled
from symbolic.rewriting.support import (
    default_opset,
    lowered,
    ml_opset,
    needed_nodes,
    require_nodes,
    require_supported,
    support,
    unsupported,
)
from symbolic.rewriting.unrolling import Unrolling

__all__ = ["Line", "Network", "Segment", "centre", "require_supported", "support", "unsupported"]

OLDEST_OPSET = 7
"""Before it, broadcasting was another one (attributes `broadcast` and `axis`)."""


@dataclass(frozen=True)
class Step:
    """One node that moves along the line, ready to run."""

    node: Node
    rule: Rule
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    limits: tuple[Limits, ...]
    last_uses: tuple[str, ...]
    elements: int


class Network:
    """The interpreted graph.

    Parameters
    ----------
    model : onnx.ModelProto
        Self-contained; random nodes already frozen.
    inputs : mapping of str to ndarray
        A value for every graph input: it fixes the shapes, and the values of all but one.
    moving : str or sequence of str
        The inputs that move along the line.
    outputs : sequence of str
        Tensors of interest; what they do not need is dropped.

    Raises
    ------
    UnsupportedOperatorError
        All unsupported operators, at once.
    ModelError
        A node that has no meaning here.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: Mapping[str, NDArray[Any]],
        moving: str | Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        flat = lowered(model)
        require_supported(flat, outputs)
        graph = flat.graph
        nodes = needed_nodes(graph, outputs)
        versions = {"": default_opset(model), "ai.onnx": default_opset(model), ML: ml_opset(model)}
        if versions[""] < OLDEST_OPSET and any(node.domain != ML for node in nodes):
            raise ModelError(
                f"the model uses operator set {versions['']}; convert it to {OLDEST_OPSET} or later "
                "(onnx.version_converter)."
            )
        self.outputs = tuple(outputs)
        self.inputs = (moving,) if isinstance(moving, str) else tuple(moving)
        self.moving = self.inputs[0]
        self.shape = tuple(inputs[self.moving].shape)
        self.constants: dict[str, Const] = {
            name: Const(widened(np.asarray(array)))
            for name, array in inputs.items()
            if name not in self.inputs
        }
        stored = Stored(model.graph.initializer)
        values: dict[str, Value] = {}
        for name in self.inputs:
            start = widened(np.asarray(inputs[name])).astype(np.float64)
            zero = np.zeros_like(start)[None]
            values[name] = Affine(start[None], zero, zero)
        types = _types(flat)
        look = partial(self._value, values=values, stored=stored)
        self._declared = DeclaredShapes(model)
        self._limits: dict[str, Limits] = {}
        unrolling = Unrolling(look, versions, types, require_nodes)
        self._build(unrolling.flat(graph, outputs), values, stored)
        for name in outputs:
            found = look(name)
            if name in unrolling.sequences:
                raise ModelError(f"{name!r} is a sequence of tensors, not a tensor.")
            if found is None:
                raise ModelError(f"the graph has no tensor {name!r}.")
            if isinstance(found, Const):
                self.constants[name] = found
        self.observed = {n: values[n] for n in values if n in outputs}

    def _build(self, nodes: Iterable[Node], values: dict[str, Value], stored: Stored) -> None:
        """Fold constants, shorten the ways to the heads, and prepare the rules of the nodes that move."""
        prepared = self._all_prepared(iter(nodes), values, stored)
        found = peeled(prepared, {**values, **self.constants}, stored.infinite)
        rules = {id(node): rule for node, rule in prepared}
        self.constants |= found.constants
        changed = set(found.constants)
        for name in changed:
            values.pop(name, None)
        for node in found.nodes:
            if id(node) not in rules or changed & set(node.proto.input):
                changed |= set(node.proto.output)
                rules[id(node)] = self._prepared(node, values, stored)
        moving = [node for node in found.nodes if any(name in values for name in node.proto.output)]
        event = {id(node) for node in _needed(moving, self.outputs)}
        self.steps = self._steps([node for node in moving if id(node) in event], rules, values)
        self.aside = self._steps([node for node in moving if id(node) not in event], rules, values)
        known = {**stored.hollow, **values, **self.constants}
        upstream = reversed(_needed(list(found.nodes), self.outputs))
        self.exactness = exactness_of(
            upstream, {id(step.node) for step in self.steps}, known, found.constants
        )
        self.homogeneous = all(
            operators[step.node.op_type].is_homogeneous(step.node, given_to(step.node, known))
            for step in self.steps
        )
        read = {*self.outputs, *(name for step in (*self.steps, *self.aside) for name in step.inputs)}
        self.constants = {name: const for name, const in self.constants.items() if name in read}

    def _all_prepared(
        self, nodes: Iterator[Node], values: dict[str, Value], stored: Stored
    ) -> list[tuple[Node, Rule]]:
        """The nodes with their rules, each prepared before the next one is made; refuses all that it must at
        once."""
        prepared: list[tuple[Node, Rule]] = []
        refused: list[ModelError] = []
        lost: set[str] = set()
        while True:
            node = None
            try:
                node = next(nodes, None)
                if node is None:
                    break
                if lost.isdisjoint(node.proto.input):
                    prepared.append((node, self._prepared(node, values, stored)))
                    continue
            except ModelError as error:
                if node is None and refused:  # for want of what was refused before, it may be
                    break
                refused.append(error)
                if node is None:
                    break
            lost.update(name for name in node.proto.output if name)
        if len(refused) > 1:
            raise ModelError(" ".join(map(str, refused)))
        if refused:
            raise refused[0]
        return prepared

    def _value(self, name: str, values: Mapping[str, Value], stored: Stored) -> Value | None:
        return self.constants.get(name) or values.get(name) or stored.get(name)

    def _prepared(self, node: Node, values: dict[str, Value], stored: Stored) -> Rule:
        """The rule of a node; its outputs join the constants, or the values."""
        given = [self._value(name, values, stored) if name else None for name in node.proto.input]
        require_types(node, given)
        try:
            with np.errstate(all="ignore"):
                rule = built(node, given)
                results = rule(Batch(1), given)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # malformed attributes and shapes surface in many ways
            raise ModelError(
                f"{node.label} cannot be interpreted: {_shapes(given)} do not fit each other, its "
                f"attributes or operator set {node.opset}."
            ) from error
        require_discrete(node, results)
        self._declared.hold(node, given, results)
        limits = limits_of(node, given, self._limits)
        self._limits.update(zip(node.proto.output, limits, strict=True))
        for k, (name, value) in enumerate(zip(node.proto.input, given, strict=True)):
            if isinstance(value, Const) and not stored.absorbed(rule, k, name):
                self.constants[name] = value
        still = all(v is None or isinstance(v, Const) for v in given)
        for name, value in zip(node.proto.output, results, strict=False):
            if name and (still or isinstance(value, Const)):
                self.constants[name] = _folded(value)
                values.pop(name, None)
            elif name:
                values[name] = self._limits[name].on(value)
        return rule

    def _steps(self, nodes: list[Node], rules: Mapping[int, Rule], values: Mapping[str, Value]) -> list[Step]:
        """Nodes that move, ready to run in this order."""
        uses = {name: k for k, node in enumerate(nodes) for name in node.proto.input}
        keep = {*self.outputs, *self.constants}
        steps = []
        for k, node in enumerate(nodes):
            inputs, outputs = tuple(node.proto.input), tuple(node.proto.output)
            dead = tuple({name for name in inputs if uses[name] == k and name not in keep})
            size = sum(int(np.prod(values[name].shape)) for name in outputs if name in values)
            limits = tuple(self._limits[name] for name in outputs)
            steps.append(Step(node, rules[id(node)], inputs, outputs, limits, dead, size))
        return steps

    def enclose(
        self,
        line: Line | Mapping[str, Line],
        segments: Sequence[Segment],
        *,
        watch: Sequence[str] = (),
        keep_all: bool = False,
        undefined: NDArray[np.bool_] | None = None,
    ) -> dict[str, Value]:
        """Enclose the outputs (or every moving tensor) on segments of the line.

        Parameters
        ----------
        line : Line or mapping of str to Line
            The line; by input name if several inputs move.
        segments : sequence of (float, float)
            Finite segments, or rays that all point to one side.
        watch : sequence of str
            Further tensors to return, among those `upstream`; on rays among those `needed`.
        keep_all : bool
            Return every moving tensor (on rays every one that is needed), for tests.
        undefined : ndarray of bool, optional
            Set where anything that the outputs need may be undefined: nothing is claimed there.

        Returns
        -------
        dict
            By tensor name; tau = -1 and 1 stand for the ends (for a ray tau = -1 for infinity).
        """
        lines = {self.moving: line} if isinstance(line, Line) else line
        values: dict[str, Value] = {}
        for name in self.inputs:
            values[name], batch = lines[name].affine(segments)
        with np.errstate(all="ignore"):
            beside = not batch.is_ray and (keep_all or not self.needed.issuperset(watch))
            aside = self.aside if beside else []
            for k, step in enumerate((*self.steps, *aside)):
                given = [(self.constants.get(n) or values.get(n)) if n else None for n in step.inputs]
                found = step.rule(batch, given)
                for name, value, limits in zip(step.outputs, found, step.limits, strict=False):
                    if name and name not in self.constants:
                        values[name] = value if batch.is_ray else limits.on(value)
                        if undefined is not None and k < len(self.steps):
                            undefined |= undefined_on(value)
                if not keep_all and not aside:
                    for name in step.last_uses:
                        if name not in watch:
                            values.pop(name, None)
        if undefined is not None and undefined.any():
            values |= {n: unclaimed(values.get(n) or self.constants[n], undefined) for n in self.outputs}
        names = values if keep_all else (*self.outputs, *watch)
        return {name: values[name] if name in values else self.constants[name] for name in names}

    @property
    def needed(self) -> set[str]:
        """Every tensor that the outputs are computed from, themselves included."""
        return {name for step in self.steps for name in step.outputs} | set(self.constants) | set(self.inputs)

    @property
    def upstream(self) -> set[str]:
        """Every tensor that the outputs depend on in the graph as it was given."""
        return self.needed | {name for step in self.aside for name in step.outputs}

    @property
    def elements(self) -> int:
        """Elements of all moving tensors together, of one segment."""
        return sum(step.elements for step in self.steps)


def _shapes(given: Sequence[Value | None]) -> str:
    """Shapes of inputs, for a sentence."""
    shapes = ["none" if value is None else str(list(value.shape)) for value in given]
    return f"inputs of the shapes {', '.join(shapes)}"


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that the outputs depend on, the last one first."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.proto.output):
            wanted |= set(node.proto.input)
            kept.append(node)
    return kept


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of the tensors, by name; none where inference fails."""
    try:
        return element_types(model)
    except ModelError:
        return {}


def _folded(value: Value) -> Const:
    """A value that does not move, without its batch axis."""
    if isinstance(value, Const):
        return value
    if isinstance(value, Affine):
        r = value.r[0] + np.abs(value.d[0])
        return Const(np.array(value.c[0]), np.array(r) if r.any() else None)
    if not value.known.all():
        raise ModelError("a constant comparison is too close to call in float64.")
    return Const(np.array(value.lo[0]))
