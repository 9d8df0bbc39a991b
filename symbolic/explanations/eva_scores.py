"""What a verified perturbation analysis bounds: how far other classes lead the one that is explained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from symbolic.boxes.points import evaluate
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Const
from symbolic.errors import InputError, ModelError, OptionError
from symbolic.explanations.graph import Graph
from symbolic.explanations.option_checks import require_index
from symbolic.explanations.regions import Division, Regions
from symbolic.explanations.targets import Target, logits
from symbolic.network import Network
from symbolic.reading.arrays import as_exact_array, as_floats, matches_graph_input
from symbolic.reading.loading import inlined, load_model
from symbolic.reading.random_nodes import freeze_random
from symbolic.reading.static_shapes import copied, free_inputs, static_inputs

__all__ = ["LEADS", "Question", "Scores", "question", "scores_of"]

LEADS = "eva/leads"


@dataclass(frozen=True)
class Scores:
    """A network at one input.

    Attributes
    ----------
    proto : onnx.ModelProto
        With the lengths of its inputs.
    source, output : str
        The explained input, and the scores (a logit before a final Softmax or Sigmoid).
    inputs : dict
        Values of all inputs, as given.
    x : array
        That of the explained one, exactly as given.
    sha256 : str
        Of the model.
    random : tuple of str
        Tensors in place of random nodes.
    given : dict
        Values of all inputs, exactly as given.
    """

    proto: onnx.ModelProto
    source: str
    output: str
    inputs: Mapping[str, NDArray[Any]]
    x: NDArray[Any]
    sha256: str
    random: tuple[str, ...]
    given: Mapping[str, NDArray[Any]]

    def network(self, output: str, proto: onnx.ModelProto | None = None) -> Network:
        """The network up to a tensor."""
        return Network(proto or self.proto, self.inputs, self.source, [output])

    def at_x(self) -> Array:
        """The scores at x, rounded, as one row."""
        x = self.inputs[self.source].astype(np.float64)[None]
        zero = np.zeros_like(x)
        found = evaluate(self.network(self.output), Affine(x, zero, zero))[self.output]
        if isinstance(found, Const) and found.is_float:
            return np.asarray(found.value, dtype=np.float64).reshape(-1)
        if not isinstance(found, Affine):
            raise ModelError(f"the scores {self.output!r} are not real numbers.")
        return np.asarray(found.c[0]).reshape(-1)

    def regions(self, division: Division) -> NDArray[np.int64]:
        """The label of every element of the explained input, 0 to count - 1."""
        if isinstance(division, np.ndarray) and division.ndim and division.shape == self.x.shape:
            division = division[0]
        graph = Graph(copied(self.proto))
        labels = Regions(graph.tensor(self.source), division).labels
        return np.array(np.broadcast_to(labels, self.x.shape[1:]))[None]

    def leads(self, chosen: int, others: list[int], count: int) -> Network:
        """The network whose output is the score of each of the others minus that of the chosen class."""
        proto = copied(self.proto)
        kind = Graph(copied(self.proto)).tensor(self.output).elem_type
        matrix = np.zeros((count, len(others)), dtype=helper.tensor_dtype_to_np_dtype(kind))
        matrix[others, range(len(others))] = 1
        matrix[chosen] = -1
        proto.graph.initializer.append(numpy_helper.from_array(matrix, f"{LEADS}/matrix"))
        row = np.array([1, count], dtype=np.int64)
        proto.graph.initializer.append(numpy_helper.from_array(row, f"{LEADS}/row"))
        proto.graph.node.append(
            helper.make_node("Reshape", [self.output, f"{LEADS}/row"], [f"{LEADS}/scores"], f"{LEADS}/scores")
        )
        proto.graph.node.append(
            helper.make_node("MatMul", [f"{LEADS}/scores", f"{LEADS}/matrix"], [LEADS], LEADS)
        )
        del proto.graph.output[:]
        proto.graph.output.append(helper.make_tensor_value_info(LEADS, kind, [1, len(others)]))
        return self.network(LEADS, proto)


@dataclass(frozen=True)
class Question:
    """Which class is explained, and the network of the leads of others over it.

    Attributes
    ----------
    chosen : int
    others : tuple of int
    classes : int
        How many there are.
    network : Network
    """

    chosen: int
    others: tuple[int, ...]
    classes: int
    network: Network

    def leads(self, points: Affine) -> tuple[Array, Array]:
        """Lower bounds and centres of the leads at points, (points, others); -inf where nothing is known."""
        step = max(1, (1 << 25) // max(1, 8 * self.network.elements))
        rows = []
        for k in range(0, len(points.c), step):
            part = Affine(*(v[k : k + step] for v in (points.c, points.d, points.r)))
            found = evaluate(self.network, part)[LEADS]
            if isinstance(found, Const):
                found = _standing(found, len(part.c))
            if not isinstance(found, Affine):
                raise ModelError("the scores are not real numbers.")
            low = found.bounds()[0]
            rows.append(np.stack([np.where(np.isnan(low), -np.inf, low), found.c])[:, :, 0])
        both = np.concatenate(rows, axis=1)
        return both[0], both[1]


def _standing(value: Const, count: int) -> Affine:
    c, r = (np.broadcast_to(v, (count, *value.shape)) for v in (value.value, value.spread))
    return Affine(c, np.zeros(c.shape), r)


def scores_of(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    x: Any,
    *,
    i_idx: int,
    o_idx: int,
    head: str,
    seed: int,
) -> Scores:
    """Read a model and an input.

    Raises
    ------
    ModelError, InputError, OptionError
    """
    if head not in ("logit", "output"):
        raise OptionError(f"head is {head!r}: give 'logit' or 'output'.")
    loaded = load_model(_proto(model) if isinstance(model, bytes) else model)
    ports = free_inputs(loaded.proto.graph)
    require_index("i_idx", i_idx, len(ports), "inputs")
    require_index("o_idx", o_idx, len(loaded.proto.graph.output), "outputs")
    source = ports[i_idx].name
    given = dict(x) if isinstance(x, Mapping) else {source: x}
    missing = [port.name for port in ports if port.name not in given]
    if missing:
        raise InputError(
            f"the model's input {missing[0]!r} has no value: give a mapping from names to arrays."
        )
    arrays = {}
    for port in ports:
        arrays[port.name] = as_exact_array(given[port.name], port.name, still=port.name != source)
        matches_graph_input(arrays[port.name], port, f"the input {port.name!r}")
    kind = ports[i_idx].type.tensor_type.elem_type
    if kind not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        raise ModelError(f"the input {source!r} holds no floats, so that there is no ball around it.")
    exact = arrays[source]
    if exact.ndim < 2 or exact.shape[0] != 1:
        raise InputError(f"one input at a time, with its batch axis: x has the shape {exact.shape}.")
    static = static_inputs(inlined(loaded.proto), {n: a.shape for n, a in arrays.items()})
    static, random = freeze_random(static, seed=seed)
    output = static.graph.output[o_idx].name
    scores = logits(list(static.graph.node), output) if head == "logit" else output
    floats = exact.astype(np.float64)
    inputs = {n: floats if n == source else as_floats(a, n) for n, a in arrays.items()}
    return Scores(static, source, scores, inputs, exact, loaded.sha256, random, arrays)


def _proto(model: bytes) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(model)
    except Exception:  # protobuf raises types of its own
        raise ModelError("the bytes are no ONNX model.") from None


def question(scores: Scores, wish: Target) -> Question:
    """Who leads whom.

    Raises
    ------
    OptionError
        There is no such class, or nothing to compare.
    """
    at_x = scores.at_x()
    count = at_x.size
    if count < 2:
        raise OptionError(
            f"EVA compares classes, and {scores.output!r} is a single score: there is no other class."
        )
    for number in wish.classes:
        if not 0 <= number < count:
            raise OptionError(f"target {number}: the network has the classes 0 to {count - 1}.")
    if wish.kind == "sum":
        raise OptionError("target is 'sum': EVA needs a class, a contrast of two or 'predicted'.")
    if wish.kind == "predicted" and not np.isfinite(at_x).all():
        raise ModelError("the scores at the input are not known, so that no class is predicted.")
    chosen = int(np.argmax(at_x)) if wish.kind == "predicted" else wish.classes[0]
    others = [wish.classes[1]] if wish.kind == "contrast" else [n for n in range(count) if n != chosen]
    return Question(chosen, tuple(others), count, scores.leads(chosen, others, count))
