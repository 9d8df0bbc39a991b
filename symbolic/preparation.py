"""From nodes to rules: constants are folded, shapes become known, and what has no meaning is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import symbolic.operators  # noqa: F401  (fills the registry)
from symbolic.enclosures.values import Affine, Batch, Const, Value
from symbolic.errors import ModelError
from symbolic.limits import Limits, limits_of
from symbolic.node import Node, Rule, require_types
from symbolic.operators.integer_arithmetic import built, require_discrete
from symbolic.operators.shapes import widened
from symbolic.reading.stored import Stored
from symbolic.rewriting.declared import DeclaredShapes

__all__ = ["Preparation"]


class Preparation:
    """The graph evaluated once, at the observed input.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : mapping of str to ndarray
        A value for every graph input.
    moving : sequence of str
        The inputs that move along the line.

    Attributes
    ----------
    constants : dict of str to Const
        What does not move and somebody reads.
    values : dict of str to Value
        What moves, at the observed input.
    limits : dict of str to Limits
    stored : Stored
    """

    def __init__(
        self, model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]], moving: Sequence[str]
    ) -> None:
        self.stored = Stored(model.graph.initializer)
        self.limits: dict[str, Limits] = {}
        self._declared = DeclaredShapes(model)
        self.constants = {
            name: Const(widened(np.asarray(array))) for name, array in inputs.items() if name not in moving
        }
        self.values: dict[str, Value] = {}
        for name in moving:
            start = widened(np.asarray(inputs[name])).astype(np.float64)
            zero = np.zeros_like(start)[None]
            self.values[name] = Affine(start[None], zero, zero)

    def value(self, name: str) -> Value | None:
        """A tensor, if there is such a one so far."""
        return self.constants.get(name) or self.values.get(name) or self.stored.get(name)

    def all_rules(self, nodes: Iterator[Node]) -> list[tuple[Node, Rule]]:
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
                    prepared.append((node, self.rule(node)))
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

    def again(self, nodes: Iterable[Node], rules: dict[int, Rule], constants: Mapping[str, Const]) -> None:
        """Prepare what is new among the nodes, or reads tensors that have become constants; into `rules`."""
        self.constants |= constants
        changed = set(constants)
        for name in changed:
            self.values.pop(name, None)
        for node in nodes:
            if id(node) not in rules or changed & set(node.proto.input):
                changed |= set(node.proto.output)
                rules[id(node)] = self.rule(node)

    def rule(self, node: Node) -> Rule:
        """The rule of a node; its outputs join the constants, or the values."""
        given = [self.value(name) if name else None for name in node.proto.input]
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
        limits = limits_of(node, given, self.limits)
        self.limits.update(zip(node.proto.output, limits, strict=True))
        for k, (name, value) in enumerate(zip(node.proto.input, given, strict=True)):
            if isinstance(value, Const) and not self.stored.absorbed(rule, k, name):
                self.constants[name] = value
        still = all(v is None or isinstance(v, Const) for v in given)
        for name, value in zip(node.proto.output, results, strict=False):
            if name and (still or isinstance(value, Const)):
                self.constants[name] = _folded(value)
                self.values.pop(name, None)
            elif name:
                self.values[name] = self.limits[name].on(value)
        return rule


def _shapes(given: Sequence[Value | None]) -> str:
    """Shapes of inputs, for a sentence."""
    shapes = ["none" if value is None else str(list(value.shape)) for value in given]
    return f"inputs of the shapes {', '.join(shapes)}"


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
