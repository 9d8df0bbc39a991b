"""What is explained: the logit of the predicted class, of a fixed one, a contrast of two, or a sum."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import TensorProto

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor

__all__ = ["Target", "logits", "parsed_target"]

HEADS = ("Softmax", "LogSoftmax", "Sigmoid")
PASSED = ("Identity", "Dropout")


@dataclass(frozen=True)
class Target:
    """What is explained of every row of scores.

    Attributes
    ----------
    kind : {"predicted", "class", "contrast", "sum"}
    classes : tuple of int
        Of "class" one, of "contrast" two: the first minus the second.
    """

    kind: str
    classes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "-".join(map(str, self.classes)) or self.kind

    def weights(self, scores: Tensor) -> tuple[Tensor, Tensor | None]:
        """The weights of the scores, in their shape, and the explained class of every row, if it is chosen.

        Raises
        ------
        OptionError
            There is no such class.
        ModelError
            The number of scores is not fixed.
        """
        graph = scores.graph
        if self.kind == "sum":
            return graph.expand(scores.like(1.0), scores), None
        rows = _rows(scores)
        count = rows.length(1)
        for number in self.classes:
            if not 0 <= number < count:
                raise OptionError(f"target {number}: the network has the classes 0 to {count - 1}.")
        chosen = None
        if self.kind == "predicted":
            chosen = graph.node(
                "ArgMax", [rows], shape=rows.known_shape[:1], elem_type=TensorProto.INT64, axis=1, keepdims=0
            )
            column = graph.node("Unsqueeze", [chosen, graph.integers([1])], shape=(rows.known_shape[0], 1))
            hot = graph.node(
                "Equal",
                [column, graph.integers(list(range(count)))],
                shape=rows.shape,
                elem_type=TensorProto.BOOL,
            )
            weights = hot.cast(scores.elem_type)
        else:
            row = np.zeros((1, count))
            for number, sign in zip(self.classes, (1, -1), strict=False):
                row[0, number] += sign
            weights = graph.expand(scores.like(row), rows)
        return graph.reshape(weights, scores), chosen

    def value(self, scores: Tensor) -> Tensor:
        """The explained number of every row, (N,)."""
        weights, _ = self.weights(scores)
        return scores.graph.sum(scores * weights, range(1, scores.rank), keep=False)


def parsed_target(target: object) -> Target:
    """Read a target: "predicted", "sum", a class, a pair of classes or "3-5".

    Raises
    ------
    OptionError
        It is none of these.
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, str):
        text = target.strip()
        if text in ("predicted", "sum"):
            return Target(text)
        parts = text.split("-")
        if all(part.strip().isdecimal() for part in parts) and len(parts) in (1, 2):
            return parsed_target([int(part) for part in parts] if len(parts) == 2 else int(text))
    elif isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        return Target("class", (int(target),))
    elif isinstance(target, (tuple, list)) and len(target) == 2:
        if all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in target):
            if target[0] == target[1]:
                raise OptionError(f"target {target[0]}-{target[1]}: a contrast needs two classes.")
            return Target("contrast", (int(target[0]), int(target[1])))
    raise OptionError(
        f"target is {target!r}: give 'predicted', 'sum', the number of a class, or two numbers as '3-5' for "
        "a contrast."
    )


def _rows(scores: Tensor) -> Tensor:
    """Scores as (N, K)."""
    graph = scores.graph
    if scores.rank == 2:
        return scores
    if scores.rank == 1:
        return graph.node("Unsqueeze", [scores, graph.integers([1])], shape=(*scores.known_shape, 1))
    if scores.rank == 0:
        return graph.node("Reshape", [scores, graph.integers([1, 1])], shape=(1, 1))
    count = prod(scores.length(axis) for axis in range(1, scores.rank))
    return graph.node("Reshape", [scores, graph.integers([-1, count])], shape=(scores.known_shape[0], count))


def logits(nodes: list[onnx.NodeProto], name: str) -> str:
    """The tensor before a final Softmax, LogSoftmax or Sigmoid; the tensor itself without one."""
    makers = {out: node for node in nodes for out in node.output if out}
    found, at = name, makers.get(name)
    while at is not None and at.op_type in (*HEADS, *PASSED) and at.domain in ("", "ai.onnx"):
        found = str(at.input[0])
        if at.op_type in HEADS:
            return found
        at = makers.get(found)
    return name
