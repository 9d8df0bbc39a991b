"""The stored tensors of a model while it is read: widened when a node asks, held only if they must be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import numpy_helper

from symbolic.enclosures.values import Const
from symbolic.node import Absorbing, Rule
from symbolic.operators.shapes import widened

__all__ = ["Stored"]


class Stored:
    """Initializers by name.

    Attributes
    ----------
    hollow : dict of str to Const
        Those that rules have absorbed: their shapes, with zeros that take no memory.
    infinite : bool
        Whether one that was asked for holds an infinity.
    """

    def __init__(self, tensors: Iterable[onnx.TensorProto]) -> None:
        self.tensors = {tensor.name: tensor for tensor in tensors}
        self.hollow: dict[str, Const] = {}
        self.infinite = False

    def get(self, name: str) -> Const | None:
        """The constant of a name; None if there is none."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        array = widened(numpy_helper.to_array(tensor))
        self.infinite |= array.dtype.kind == "f" and bool(np.isinf(array).any())
        return Const(array)

    def absorbed(self, rule: Rule, place: int, name: str) -> bool:
        """Whether a rule needs its input no more; its shape is noted."""
        if name not in self.tensors or not isinstance(rule, Absorbing) or place not in rule.absorbed:
            return False
        self.hollow[name] = Const(np.broadcast_to(np.float64(0), tuple(self.tensors[name].dims)))
        return True
