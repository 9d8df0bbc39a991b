"""Relevance through a network: which rule every node gets.

- Linear layers (Conv, ConvTranspose, Gemm and MatMul with constant weights), with biases and normalisation
  merged, get the rule that a method assigns.
- Activations, LayerNormalization, RMSNormalization, and products and quotients with what does not move, pass
  relevance on unchanged.
- What only moves elements (Flatten, Reshape, Transpose, Concat, Split, Gather, Pad, ...) sends it to where it
  came from, and maxima to the winner.
- Sums of branches, averages, batch normalisation that is not merged, and linear layers whose weights are
  not stored share it in proportion to contributions: an operand a of z = a + b gets R a / z. So a residual
  connection does not double relevance, as a gradient would.
- Of a product of two moving tensors (attention, squeeze-excitation) each gets half, shared by its
  contributions (Achtibat et al., 2024).
- A constant summand that is not merged takes its share a / z, unless biases are left out.
- Any other node is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable

from symbolic.explanations.backward import Gradients, Rule, Step, default_rule
from symbolic.explanations.canonisation import merged_layers
from symbolic.explanations.graph import Tensor
from symbolic.explanations.linear_layers import Layer
from symbolic.explanations.method import Method, Task
from symbolic.explanations.methods.relevance_rules import LayerRule, divided
from symbolic.explanations.signs import never_negative

__all__ = ["ACTIVATIONS", "RelevanceMethod", "RelevancePass"]

ACTIVATIONS = frozenset((
    "Cast", "Celu", "Clip", "Dropout", "Elu", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Mish", "Neg", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh",
    "ThresholdedRelu",
))  # fmt: skip
NORMALISATIONS = frozenset(("LayerNormalization", "RMSNormalization"))
MOVES = frozenset((
    "Compress", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "GlobalMaxPool", "Max", "MaxPool", "Min", "Pad", "ReduceMax", "ReduceMin", "Reshape", "ReverseSequence",
    "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose",
    "Unsqueeze", "Where",
))  # fmt: skip
SHARED = frozenset((
    "Add", "AveragePool", "BatchNormalization", "CumSum", "Div", "Einsum", "GlobalAveragePool", "MatMul",
    "Mean", "Mul", "ReduceMean", "ReduceSum", "Resize", "Sub", "Sum", "Upsample",
))  # fmt: skip
PRODUCTS = frozenset(("Einsum", "MatMul", "Mul"))


class RelevanceMethod(Method):
    """Base of the methods that pass relevance back."""

    undivided = NORMALISATIONS


class RelevancePass:
    """The rules of a network.

    Parameters
    ----------
    task : Task
    stabiliser : float
        Of the nodes that are no layers.
    bias : bool
        Whether biases and shifts that are not merged into a layer take their share.

    Attributes
    ----------
    merged : set of str
        Outputs of the nodes that are merged into layers.
    """

    def __init__(self, task: Task, stabiliser: float = 1e-6, bias: bool = True) -> None:
        self._task, self._stabiliser, self._bias = task, stabiliser, bias
        nodes = task.passage.between
        moving = {task.passage.source}
        for node in nodes:
            if not moving.isdisjoint(node.input):
                moving.update(name for name in node.output if name)
        self._layers, self.merged = merged_layers(task.graph, nodes, task.passage.scores, moving)
        self._first: set[str] = set()
        behind: set[str] = set()
        for node in nodes:
            if not behind.isdisjoint(node.input):
                behind.update(node.output)
            elif node.output[0] in self._layers:
                self._first.add(node.output[0])
                behind.update(node.output)

    def is_first(self, layer: Layer) -> bool:
        """Whether no other layer stands before it."""
        return layer.step.outputs[0].name in self._first

    def relevance(
        self, rule_of_layer: Callable[[int, Layer], LayerRule], start: Tensor | None = None
    ) -> Tensor:
        """Relevance of the input.

        Parameters
        ----------
        rule_of_layer : callable
            From a layer's number, counted from the input, and the layer to its rule.
        start : Tensor, optional
            Relevance of the scores; default: the explained score itself.
        """
        chosen = {name: rule_of_layer(k, layer) for k, (name, layer) in enumerate(self._layers.items())}

        def of_layer(step: Step, relevances: Gradients) -> Gradients:
            name = step.node.proto.output[0]
            found, layer = relevances[0], self._layers[name]
            if found is None:
                return []
            return [chosen[name](layer, found, never_negative(layer.x))]

        def rule_of(step: Step) -> Rule:
            if step.node.proto.output[0] in chosen:
                return of_layer
            return self._other(step)

        passage = self._task.passage
        return passage.gradient(self._task.weights * passage.y if start is None else start, rule_of)

    def _other(self, step: Step) -> Rule:
        kind = step.node.op_type
        if step.node.proto.output[0] in self.merged:
            return _unchanged
        if kind in ACTIVATIONS | NORMALISATIONS or (kind in ("Div", "Mul") and step.wanted == (True, False)):
            return _unchanged
        if kind == "Mul" and sum(step.wanted) == 1:
            return _unchanged
        if not self._bias and kind in ("Add", "BatchNormalization", "Sub", "Sum") and sum(step.wanted) == 1:
            return _unchanged
        if kind in MOVES:
            return default_rule(step)
        if kind in SHARED or kind in ("Conv", "ConvTranspose", "Gemm"):
            return self._shared
        raise step.refuse("has no rule of relevance propagation here")

    def _shared(self, step: Step, relevances: Gradients) -> Gradients:
        """x times the product of R / z: what an operand contributes; half of it where two multiply."""
        if relevances[0] is None:
            return []
        z = step.outputs[0]
        halves = step.node.op_type in PRODUCTS and sum(step.wanted) > 1
        shared = divided(relevances[0], z, self._stabiliser)
        found = default_rule(step)(step, [shared * 0.5 if halves else shared])
        return [
            None if r is None or x is None or not step.wants(k) else x * r
            for k, (x, r) in enumerate(zip(step.inputs, found, strict=False))
        ]


def _unchanged(step: Step, relevances: Gradients) -> Gradients:
    """To the one operand that moves."""
    return [relevances[0] if wanted else None for wanted in step.wanted]
