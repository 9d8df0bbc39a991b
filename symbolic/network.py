"""An ONNX graph with exact meaning: enclosures of all its tensors over segments of a line.

The certified object is the real-number function of the stored constants. Loading evaluates the graph once at
the observed input: constants are folded, shapes become known, and every node gets its rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.enclosures.line import Line, Segment, centre
from symbolic.enclosures.undefined import unclaimed, undefined_on
from symbolic.enclosures.values import Const, Value
from symbolic.errors import ModelError
from symbolic.exactness import exactness_of
from symbolic.limits import Limits
from symbolic.node import ML, Node, Rule, given_to, operators
from symbolic.pieces.lowering import lower
from symbolic.pieces.program import Program
from symbolic.pieces.regions.region import Region, region
from symbolic.preparation import Preparation
from symbolic.reading.static_shapes import element_types
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
        preparation = Preparation(model, inputs, self.inputs)
        unrolling = Unrolling(preparation.value, versions, _types(flat), require_nodes)
        self._build(unrolling.flat(graph, outputs), preparation)
        for name in outputs:
            found = preparation.value(name)
            if name in unrolling.sequences:
                raise ModelError(f"{name!r} is a sequence of tensors, not a tensor.")
            if found is None:
                raise ModelError(f"the graph has no tensor {name!r}.")
            if isinstance(found, Const):
                self.constants[name] = found
        self.observed = {n: value for n, value in preparation.values.items() if n in outputs}
        self.shapes = {name: tuple(inputs[name].shape) for name in self.inputs}
        self._stored = preparation.stored

    def _build(self, nodes: Iterable[Node], preparation: Preparation) -> None:
        """Fold constants, shorten the ways to the heads, and prepare the rules of the nodes that move."""
        values, stored = preparation.values, preparation.stored
        prepared = preparation.all_rules(iter(nodes))
        found = peeled(prepared, {**values, **preparation.constants}, stored.infinite)
        rules = {id(node): rule for node, rule in prepared}
        preparation.again(found.nodes, rules, found.constants)
        constants = preparation.constants
        moving = [node for node in found.nodes if any(name in values for name in node.proto.output)]
        event = {id(node) for node in _needed(moving, self.outputs)}
        self.steps = self._steps([node for node in moving if id(node) in event], rules, preparation)
        self.aside = self._steps([node for node in moving if id(node) not in event], rules, preparation)
        known = {**stored.hollow, **values, **constants}
        upstream = reversed(_needed(list(found.nodes), self.outputs))
        self.exactness = exactness_of(
            upstream, {id(step.node) for step in self.steps}, known, found.constants
        )
        self.homogeneous = all(
            operators[step.node.op_type].is_homogeneous(step.node, given_to(step.node, known))
            for step in self.steps
        )
        read = {*self.outputs, *(name for step in (*self.steps, *self.aside) for name in step.inputs)}
        self.constants = {name: const for name, const in constants.items() if name in read}

    def _steps(self, nodes: list[Node], rules: Mapping[int, Rule], preparation: Preparation) -> list[Step]:
        """Nodes that move, ready to run in this order."""
        values = preparation.values
        uses = {name: k for k, node in enumerate(nodes) for name in node.proto.input}
        keep = {*self.outputs, *preparation.constants}
        steps = []
        for k, node in enumerate(nodes):
            inputs, outputs = tuple(node.proto.input), tuple(node.proto.output)
            dead = tuple({name for name in inputs if uses[name] == k and name not in keep})
            size = sum(int(np.prod(values[name].shape)) for name in outputs if name in values)
            limits = tuple(preparation.limits[name] for name in outputs)
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

    def constant(self, name: str) -> Const | None:
        """A tensor that does not move, those among them that a rule has absorbed; None if there is none."""
        return self.constants.get(name) or self._stored.get(name)

    @cached_property
    def program(self) -> Program:
        """The network as layers of exact linear units; a ModelError if it is not piecewise linear."""
        return lower(self)

    def region(self, x: Any, direction: Any = None) -> Region:
        """The polytope {x : A x <= c} of the activation pattern at a point, exactly.

        See `symbolic.pieces.regions.region.region`: the point is an array (or one for each moving input), and
        where a unit is undecided there, its branch just behind the point in ``direction`` counts.
        """
        return region(self.program, x, direction)

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
