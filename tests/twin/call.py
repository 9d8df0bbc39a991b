"""One application of an operator: inputs, attributes, opset, and the table of operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
from quicktions import Fraction

from .exact import Array, Unknown, exact_array

__all__ = ["OPERATORS", "Call", "operator", "to_axis"]

OPERATORS: dict[str, Callable[[Call], list[Array]]] = {}


@dataclass(frozen=True)
class Call:
    """A node with the values of its inputs, and their ONNX element types (0 where not known)."""

    node: onnx.NodeProto
    inputs: list[Array | None]
    opset: int
    types: tuple[int, ...] = ()

    def __getitem__(self, index: int) -> Array:
        return self.inputs[index]

    def has(self, index: int) -> bool:
        """True when the optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute as int, str, exact rational or a list of these."""
        for item in self.node.attribute:
            if item.name == name:
                value = onnx.helper.get_attribute_value(item)
                if item.type == onnx.AttributeProto.FLOAT:
                    return Fraction(value)
                if item.type == onnx.AttributeProto.FLOATS:
                    return [Fraction(v) for v in value]
                if item.type == onnx.AttributeProto.STRING:
                    return value.decode()
                if item.type == onnx.AttributeProto.TENSOR:
                    return exact_array(onnx.numpy_helper.to_array(value))
                return list(value) if item.type == onnx.AttributeProto.INTS else value
        return default

    def integers(self, index: int) -> list[int] | None:
        """An input that holds a list of integers (a shape, axes, pads), or None when it is not given."""
        if not self.has(index):
            return None
        values = list(self[index].reshape(-1))
        if any(isinstance(v, Unknown) for v in values):
            raise ValueError(f"{self.node.op_type}: an integer input is unknown")
        return [int(v) for v in values]


def operator(*names: str) -> Callable[[Callable[[Call], list[Array]]], Callable[[Call], list[Array]]]:
    """Register the function as the meaning of the named operators."""

    def register(function: Callable[[Call], list[Array]]) -> Callable[[Call], list[Array]]:
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def to_axis(axis: int, rank: int) -> int:
    """The axis counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis
