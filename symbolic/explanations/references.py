"""What a network does at the references of an explanation: constants, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper

from symbolic.errors import ModelError, OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Task
from symbolic.explanations.option_checks import as_numbers
from symbolic.explanations.running import session
from symbolic.reading.static_shapes import free_inputs

__all__ = ["References", "computed"]


class References:
    """Activations at R reference inputs.

    Parameters
    ----------
    task : Task
    background : array of shape (R, ...) or of one input, or a number
    """

    def __init__(self, task: Task, background: ArrayLike) -> None:
        self._task = task
        self.inputs = _as_batch(background, task)
        self.count = len(self.inputs)
        self._values: dict[str, NDArray[Any]] = {task.passage.source: self.inputs}

    def fetch(self, names: Sequence[str]) -> None:
        """Run the network at the references, one by one, and keep these tensors; ask for all at once.

        Raises
        ------
        ModelError
            The batch is not the first axis of one of them.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self._values]
        if not missing:
            return
        batch = self._task.x.known_shape[0]
        if isinstance(batch, int) and batch != 1:
            raise ModelError(
                f"the network fixes its batch axis to {batch}: export it with a free one for methods that "
                "compare with references."
            )
        others = [port.name for port in free_inputs(self._task.graph.proto.graph)]
        others.remove(self._task.x.name)
        if others:
            raise ModelError(
                f"the network has another input, {others[0]!r}, of which nothing is known at the references: "
                "take a method without references, or store that input as a constant."
            )
        rows = self._task.run(missing, self.inputs[:, None])
        for name, parts in zip(missing, zip(*rows, strict=True), strict=True):
            shape = self._task.graph.tensor(name).shape
            if not shape or shape[0] != batch or any(p.ndim == 0 or p.shape[0] != 1 for p in parts):
                raise ModelError(
                    f"the tensor {name!r} has not the batch as its first axis, so that it cannot be compared "
                    "with its values at the references."
                )
            self._values[name] = np.concatenate(parts)

    def value(self, name: str) -> NDArray[Any]:
        """A tensor at all references, (R, ...)."""
        self.fetch([name])
        return self._values[name]

    def tensor(self, name: str) -> Tensor:
        """The same as a constant of the graph, ready to be compared with (N, ...): (R, 1, ...)."""
        graph = self._task.graph
        return graph.constant(self.value(name)[:, None], graph.tensor(name).elem_type)


def _as_batch(background: ArrayLike, task: Task) -> NDArray[Any]:
    shape = task.x.known_shape[1:]
    if not all(isinstance(n, int) for n in shape):
        raise ModelError("references need inputs of a fixed size: give it (shapes=, --shape).")
    kind = helper.tensor_dtype_to_np_dtype(task.x.elem_type)
    array = as_numbers("background", background)
    given = array.shape
    if array.ndim == 0:
        array = np.full(shape, array)  # type: ignore[arg-type]
    if array.ndim == len(shape):
        array = array[None]
    if array.shape[1:] != shape or not len(array):
        raise OptionError(
            f"the background has the shape {given}; it should be (R, {', '.join(map(str, shape))})."
        )
    with np.errstate(over="ignore"):
        found = array.astype(kind)
    if not np.isfinite(found).all():
        raise OptionError(f"the background holds numbers that {kind} has not.")
    return found


def computed(node: onnx.NodeProto, opset: int, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of one node at given inputs."""
    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    ports = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    model = helper.make_model(
        helper.make_graph([node], "one", ports, outputs),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    return [np.asarray(value) for value in session(model).run(None, feeds)]
