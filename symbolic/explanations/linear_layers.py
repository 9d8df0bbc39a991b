"""Linear layers that are applied, and passed in reverse, with other weights and on other inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.explanations.backward import Step, default_rule
from symbolic.explanations.graph import Tensor
from symbolic.explanations.products.convolutions import geometry_of
from symbolic.node import Node

__all__ = ["LAYERS", "Array", "Layer"]

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """x -> W x + b.

    Attributes
    ----------
    step : Step
        Of the node that multiplies by the weights.
    weight : array
        Scaled, as the node stores it (of a Gemm with alpha in it).
    bias : array of shape (outputs,) or (outputs, *places)
    source, output : str
        The tensors before and behind everything that was merged.
    """

    step: Step
    weight: Array
    bias: Array
    source: str
    output: str

    @property
    def x(self) -> Tensor:
        """What goes in."""
        return self.step.graph.tensor(self.source)

    @property
    def z(self) -> Tensor:
        """What comes out."""
        return self.step.graph.tensor(self.output)

    @property
    def inputs(self) -> int:
        """How many channels go in."""
        return int(self.weight.shape[1] * self._groups if self._outputs_first else self.weight.shape[0])

    @property
    def convolves(self) -> bool:
        """Whether channels lie along axis 1, and not along the last one."""
        return self.step.node.op_type in ("Conv", "ConvTranspose")

    @property
    def _groups(self) -> int:
        return int(self.step.node.attributes.get("group", 1))

    @property
    def _outputs_first(self) -> bool:
        """Whether weights are (outputs, inputs / groups, ...), and not (inputs, outputs / groups, ...)."""
        node = self.step.node
        return node.op_type == "Conv" or (node.op_type == "Gemm" and node.flag("transB"))

    def then(self, scale: Array, shift: Array, output: str) -> Layer:
        """The layer with a scale and a shift of every output merged."""
        weight = self._scaled(self.weight, scale, along_first=self._outputs_first)
        return replace(self, weight=weight, bias=self.bias * scale + shift, output=output)

    def after(self, scale: Array, shift: Array, source: str) -> Layer:
        """The layer with a scale and a shift of every input merged; behind it nothing can be merged then."""
        weight = self._scaled(self.weight, scale, along_first=not self._outputs_first)
        bias = self.bias
        if shift.any():
            more = self.of_constant(shift, weight=self.weight)
            bias = bias.reshape(*bias.shape, *[1] * (more.ndim - bias.ndim)) + more
        return replace(self, weight=weight, bias=bias, source=source)

    def _scaled(self, w: Array, scale: Array, along_first: bool) -> Array:
        """Weights times a number for every entry of their first axis, or of the second one of all groups."""
        rest = [1] * (w.ndim - 2)
        if along_first:
            return np.asarray(w * scale.reshape(-1, 1, *rest))
        parts = w.reshape(self._groups, -1, *w.shape[1:])
        return np.asarray((parts * scale.reshape(self._groups, 1, -1, *rest)).reshape(w.shape))

    def of_constant(self, x: Array, weight: Array) -> Array:
        """What weights make of inputs that are the same at all places: (outputs,) or (outputs, *places)."""
        w = self._scaled(weight, x, along_first=not self._outputs_first)
        if self._outputs_first:
            taps = w.sum(axis=1)
        else:
            taps = w.reshape(self._groups, -1, *w.shape[1:]).sum(axis=1).reshape(-1, *w.shape[2:])
        if not self.convolves:
            return np.asarray(taps)
        kernel, transposed = w.shape[2:], not self._outputs_first
        window = geometry_of(self.step, kernel, transposed).window
        found = np.zeros((len(taps), *(window.size_in if transposed else window.size_out)))
        for offset in np.ndindex(*kernel):
            places = window.slices(offset)
            if places is not None:
                at = places[1 if transposed else 0]
                found[(slice(None), *at)] += taps[(slice(None), *offset)].reshape(-1, *[1] * len(kernel))
        flat = found.reshape(len(found), -1)
        return flat[:, 0] if (flat == flat[:, :1]).all() else found

    def apply(self, x: Tensor, weight: Array, bias: Array | None) -> Tensor:
        """The layer with other weights, on another input."""
        made = self._node(x, weight)
        if bias is None or not bias.any():
            return made
        return made + self.by_output(bias)

    def by_output(self, values: Array) -> Array:
        """Numbers of shape (outputs,) or (outputs, *places), so that they broadcast with what comes out."""
        rest = self.weight.ndim - 1 - values.ndim if self.convolves else 0
        return values.reshape(*values.shape, *[1] * rest)

    def back(self, relevance: Tensor, x: Tensor, weight: Array) -> Tensor:
        """The transpose of the layer with other weights."""
        again = _Replaced(self.step.graph, self._plain(), (True, False), x, x.like(weight))
        found = default_rule(again)(again, [relevance])[0]
        if found is None:
            raise self.step.refuse("passes nothing back")
        return found

    def _plain(self) -> Node:
        """The node without the factors of a Gemm, which are in the weights."""
        node = self.step.node
        if node.op_type != "Gemm":
            return node
        return replace(node, attributes={**node.attributes, "alpha": 1.0, "beta": 1.0})

    def _node(self, x: Tensor, weight: Array) -> Tensor:
        graph, node = self.step.graph, self.step.node
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.proto.attribute}
        given = {k: v for k, v in given.items() if k not in ("alpha", "beta")}
        shape = (x.known_shape[0], *graph.tensor(node.proto.output[0]).known_shape[1:])
        return graph.node(node.op_type, [x, x.like(weight)], shape=shape, **given)


@dataclass(frozen=True, eq=False)
class _Replaced(Step):
    """A layer with another input and other weights, and without a bias."""

    x: Tensor
    weight: Tensor

    @property
    def inputs(self) -> list[Tensor | None]:
        return [self.x, self.weight]
