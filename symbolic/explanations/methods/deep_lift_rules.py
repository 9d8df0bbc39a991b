"""Multipliers of DeepLIFT: what each operator does with differences to references.

A multiplier m of a tensor satisfies sum m (x - r) = f(x) - f(r) for what comes after it; every rule keeps
that sum, by itself. Linear operators pass multipliers back as gradients. A function of single elements
scales them by its secant. A maximum hands the difference to who won it. A product of two tensors shares it as
Shapley values of two players do; where one is a function of the other, these sum to the secant of the whole.
Multipliers are (R N, ...), tensors of the network (N, ...), and references (R, 1, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from symbolic.explanations.backward import Gradients, Rule, Step, default_rule, unbroadcast
from symbolic.explanations.graph import Tensor, broadcast
from symbolic.explanations.method import Task
from symbolic.explanations.methods.secants import raised, secant
from symbolic.explanations.methods.self_gates import self_gates
from symbolic.explanations.passage import folded_batch, spread_batch
from symbolic.explanations.products.elementwise import DERIVATIVES
from symbolic.explanations.references import References

__all__ = ["Multipliers"]

LINEAR = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Compress", "Concat", "CumSum",
    "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "GlobalAveragePool", "Identity", "MaxUnpool", "Mean", "Neg", "Pad", "ReduceMean", "ReduceSum", "Reshape",
    "Resize", "ReverseSequence", "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Sub", "Sum", "Tile", "Transpose", "Trilu", "Unsqueeze", "Upsample",
))  # fmt: skip
"""In all their moving operands together."""
BILINEAR = frozenset(("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "Mul"))
"""Linear in each operand; of two that move, each takes the other at the mean of its two values."""
WINDOWED = frozenset(("GlobalMaxPool", "MaxPool"))


class Multipliers:
    """The rules for a network and its references."""

    def __init__(self, task: Task, references: References) -> None:
        self.task, self.references = task, references
        self.graph = task.graph
        nodes = task.passage.between
        self.moving = {task.passage.source}.union(name for node in nodes for name in node.output if name)
        self.gates = self_gates(self.graph, nodes, self.moving)
        references.fetch(self._compared())

    def _compared(self) -> list[str]:
        """The tensors that rules compare with their references."""
        found = list[str]()
        for node in self.task.passage.between:
            seen = [name for name in node.input if name in self.moving]
            gate = self.gates.get(node.output[0])
            if gate is not None:
                found += [gate.x, gate.y]
            elif len(seen) > 1 and node.op_type in BILINEAR:
                found += seen
            elif seen and node.op_type not in LINEAR | BILINEAR:
                found += seen if node.op_type == "Relu" else [*seen, node.output[0]]
        kinds = (TensorProto.FLOAT, TensorProto.DOUBLE)
        return [name for name in found if self.graph.tensor(name).elem_type in kinds]

    def rule_of(self, step: Step) -> Rule:
        """The rule of a node; a ModelError that names it where there is none."""
        name, moving = step.node.op_type, sum(step.wanted)
        if name == "Where" and self.graph.value(step.given().name) is not None:
            return self._linear
        if name == "Relu":
            return self._relu
        if (
            name in LINEAR
            or (name in BILINEAR and moving == 1)
            or (name == "Div" and step.wanted == (True, False))
        ):
            return self._linear
        if step.node.proto.output[0] in self.gates:
            return self._gated
        if name in ("Mul", "MatMul", "Einsum") and moving == 2:
            return self._bilinear
        if name in WINDOWED:
            from symbolic.explanations.methods.deep_lift_maxima import pooled

            return lambda s, m: pooled(self, s, m)
        if name in DERIVATIVES or (name in ELEMENTWISE and moving == 1):
            return self._secant
        special = SPECIAL.get(name)
        if special is not None:
            return lambda s, m: special(self, s, m)
        raise step.refuse("has no rule of DeepLIFT here")

    def spread(self, multiplier: Tensor) -> Tensor:
        """(R N, ...) as (R, N, ...)."""
        return spread_batch(multiplier, self.references.count, self.task.x.known_shape[0])

    def at_reference(self, x: Tensor) -> Tensor:
        """A tensor of the network at the references, (R, 1, ...)."""
        return self.references.tensor(x.name)

    def difference(self, name: str) -> Tensor:
        """x - r, (R, N, ...)."""
        return self.graph.tensor(name) - self.references.tensor(name)

    def repeated(self, step: Step, values: dict[int, Tensor] | None = None) -> Step:
        """The node as if it had seen (R N, ...) tensors; some of its operands replaced."""
        return _Repeated(step.graph, step.node, step.wanted, self.references.count, values or {})

    def _linear(self, step: Step, multipliers: Gradients) -> Gradients:
        again = self.repeated(step)
        return default_rule(again)(again, multipliers)

    def _relu(self, step: Step, multipliers: Gradients) -> Gradients:
        """(max(x, 0) - max(r, 0)) / (x - r), which is p / (p - q) of p = max(x, r, 0) and q = min(x, r, 0).

        A reference that is 0 is lowered to the nearest normal number, so that p - q is never 0: the
        multiplier is 1 where x is positive, else 0, as the gradient is.
        """
        if multipliers[0] is None:
            return []
        x, y = step.given(), step.outputs[0]
        values = self.references.value(x.name)[:, None]
        lowered = np.where(values == 0, -np.finfo(values.dtype).tiny, values)
        r = self.graph.constant(lowered, x.elem_type)
        top = _pair("Max", y, r)
        slope = top / (top - _pair("Min", x - y, r))
        return [folded_batch(self.spread(multipliers[0]) * slope)]

    def _secant(self, step: Step, multipliers: Gradients) -> Gradients:
        """(f(x) - f(r)) / (x - r), and f'(x) where these are equal, element by element."""
        if multipliers[0] is None:
            return []
        place = step.wanted.index(True)
        x, y = step.given(place), step.outputs[0]
        if x.rank != y.rank:
            raise step.refuse("broadcasts what DeepLIFT compares with its reference")
        slope = self.slope(step, place, x, y)
        found: list[Tensor | None] = [None] * len(step.inputs)
        whole = folded_batch(self.spread(multipliers[0]) * slope)
        found[place] = unbroadcast(whole, self.graph.repeat(x, self.references.count))
        return found

    def slope(self, step: Step, place: int, x: Tensor, y: Tensor) -> Tensor:
        """The secant of a function of single elements, (R, N, ...)."""
        ones = self.graph.expand(y.like(1.0), y)
        tangents = default_rule(step)(step, [ones])
        tangent = tangents[place] if place < len(tangents) else None
        return secant(y - self.at_reference(y), x - self.at_reference(x), tangent)

    def _gated(self, step: Step, multipliers: Gradients) -> Gradients:
        """x f(x) by the secant of the whole, handed to x; f(x) gets nothing from here."""
        if multipliers[0] is None:
            return []
        gate = self.gates[step.node.proto.output[0]]
        slope = secant(self.difference(gate.y), self.difference(gate.x), gate.tangent(self.graph))
        whole = folded_batch(self.spread(multipliers[0]) * slope)
        return [whole if name == gate.x else None for name in step.node.proto.input]

    def _bilinear(self, step: Step, multipliers: Gradients) -> Gradients:
        if multipliers[0] is None:
            return []
        places = [k for k, moves in enumerate(step.wanted) if moves]
        sums = {k: folded_batch(step.given(k) + self.at_reference(step.given(k))) for k in places}
        again = self.repeated(step, sums)
        return default_rule(again)(again, [multipliers[0] * 0.5])


@dataclass(frozen=True, eq=False)
class _Repeated(Step):
    """A node among (R N, ...) tensors."""

    count: int
    values: dict[int, Tensor]

    @property
    def inputs(self) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for k, name in enumerate(self.node.proto.input):
            x = self.graph.tensor(name) if name else None
            if x is not None and self.wants(k):
                x = self.values.get(k) or self.graph.repeat(x, self.count)
            found.append(x)
        return found

    @property
    def outputs(self) -> list[Tensor]:
        names = (name for name in self.node.proto.output if name)
        return [self.graph.repeat(self.graph.tensor(name), self.count) for name in names]


def _pair(op_type: str, a: Tensor, b: Tensor) -> Tensor:
    return a.graph.node(op_type, [a, b], shape=broadcast(a.shape, b.shape))


def _quotient(rules: Multipliers, step: Step, multipliers: Gradients) -> Gradients:
    """a / b as a times 1/b: the product is shared, the reciprocal has the secant -1 / (b r)."""
    if multipliers[0] is None:
        return []
    m, graph, count = rules.spread(multipliers[0]), rules.graph, rules.references.count
    a, b = step.given(0), step.given(1)
    found: list[Tensor | None] = [None, None]
    other = b if not step.wants(1) else None
    if other is None:
        over, under = 1.0 / b, 1.0 / rules.at_reference(b)
        if step.wants(0):
            first = folded_batch(m * (over + under) * 0.5)
            found[0] = unbroadcast(first, graph.repeat(a, count))
            mean = (a + rules.at_reference(a)) * 0.5
        else:
            mean = a
        second = folded_batch(-(m * mean * over * under))
        found[1] = unbroadcast(second, graph.repeat(b, count))
    return found


def _softmax(rules: Multipliers, step: Step, multipliers: Gradients) -> Gradients:
    """exp, sum and quotient by their own rules; the common shift is the greatest of both arguments."""
    if multipliers[0] is None:
        return []
    m, x, graph = rules.spread(multipliers[0]), step.given(), rules.graph
    r = rules.at_reference(x)
    axis = step.node.axis(x.rank) + 1
    axes = graph.integers([axis])

    def over(op_type: str, t: Tensor) -> Tensor:
        shape = tuple(1 if k == axis else n for k, n in enumerate(t.known_shape))
        return graph.node(op_type, [t, axes], shape=shape, keepdims=1)

    lead = graph.node("Unsqueeze", [x, graph.integers([0])], shape=(1, *x.known_shape))
    shift = _pair("Max", over("ReduceMax", lead), over("ReduceMax", r))
    e, f = graph.same("Exp", lead - shift), graph.same("Exp", r - shift)
    total, other = over("ReduceSum", e), over("ReduceSum", f)
    shared = over("ReduceSum", m * (e + f)) * 0.5 / (total * other)
    inner = m * (1.0 / total + 1.0 / other) * 0.5 - shared
    return [folded_batch(inner * secant(e - f, lead - r, e))]


def _greater(rules: Multipliers, step: Step, multipliers: Gradients) -> Gradients:
    """max(a, b) = a + relu(b - a), and min alike."""
    if multipliers[0] is None:
        return []
    if len(step.inputs) != 2:
        raise step.refuse("has more than two operands, for which there is no rule of DeepLIFT here")
    m, graph, count = rules.spread(multipliers[0]), rules.graph, rules.references.count
    a, b = step.given(0), step.given(1)
    sign = 1.0 if step.node.op_type == "Max" else -1.0
    d = (b - a) * sign
    ra = rules.at_reference(a) if step.wants(0) else a
    rb = rules.at_reference(b) if step.wants(1) else b
    r = (rb - ra) * sign
    zero = d.like(0.0)
    top = _pair("Max", _pair("Max", d, r), zero)
    share = top / raised(top - _pair("Min", _pair("Min", d, r), zero))
    first, second = folded_batch(m * (1.0 - share)), folded_batch(m * share)
    return [
        unbroadcast(first, graph.repeat(a, count)) if step.wants(0) else None,
        unbroadcast(second, graph.repeat(b, count)) if step.wants(1) else None,
    ]


ELEMENTWISE = frozenset(("Pow", "PRelu", "Mod", "Sign", "Floor", "Ceil", "Round"))
"""Further functions of single elements where one operand moves."""
Special = Callable[[Multipliers, Step, Gradients], Gradients]
SPECIAL: dict[str, Special] = {
    "Div": _quotient,
    "Softmax": _softmax,
    "Max": _greater,
    "Min": _greater,
}
