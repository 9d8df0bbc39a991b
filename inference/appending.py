"""Nodes and initializers put behind a model: every new name begins with "sureline/"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from symbolic.errors import ModelError, OptionError

__all__ = ["FLOATING", "PREFIX", "Appender", "Tensor", "default_opset", "type_name"]

PREFIX = "sureline/"
FLOATING = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its name, ONNX element type and static shape."""

    name: str
    elem_type: int
    shape: tuple[int, ...]


def type_name(elem_type: int) -> str:
    """Give the lower-case ONNX name of an element type: 1 is "float", 11 "double"."""
    return str(TensorProto.DataType.Name(elem_type)).lower()


def default_opset(proto: onnx.ModelProto) -> int:
    """Give the version of the standard operator set that a model imports."""
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise ModelError("The model imports no version of the standard ONNX operator set.")


class Appender:
    """Appends to the graph of a model, in place.

    Parameters
    ----------
    proto : onnx.ModelProto
        The model that grows. Its IR version becomes 4 if it was lower: before, every initializer had to be a
        graph input too, and the threshold is none.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.graph = proto.graph
        self.opset = default_opset(proto)
        if self.opset < 7:
            raise ModelError(f"The model uses ONNX operator set {self.opset}; 7 or newer is needed.")
        proto.ir_version = max(proto.ir_version, 4)
        self._constants: set[str] = {tensor.name for tensor in proto.graph.initializer}

    def node(
        self, op_type: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any
    ) -> str:
        """Append a node, named as its first output, attributes in alphabetical order."""
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        made = helper.make_node(op_type, list(inputs), names, name=names[0])
        made.attribute.extend(helper.make_attribute(key, attributes[key]) for key in sorted(attributes))
        self.graph.node.append(made)
        return names[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Append an initializer, once."""
        if name not in self._constants:
            self._constants.add(name)
            self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def scalar(self, name: str, value: float, elem_type: int) -> str:
        """Append a scalar initializer of the given element type, once."""
        return self.constant(name, np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(elem_type)))

    def output(self, tensor: Tensor) -> None:
        """Declare a graph output with its static shape."""
        self.graph.output.append(helper.make_tensor_value_info(tensor.name, tensor.elem_type, tensor.shape))

    def require_opset(self, version: int, what: str) -> None:
        """Refuse what the model's operator set cannot express."""
        if self.opset < version:
            raise OptionError(f"{what} needs ONNX operator set {version}; the model uses {self.opset}.")
