"""From a model and a method to a model that also outputs the attribution."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from symbolic.errors import ModelError, OptionError, enough_memory
from symbolic.explanations.explained import Explained
from symbolic.explanations.graph import Graph
from symbolic.explanations.method import Method, Task
from symbolic.explanations.option_checks import require_index, require_whole
from symbolic.explanations.passage import Passage
from symbolic.explanations.provenance import ATTRIBUTION, EXPLAINED_CLASS, KEY
from symbolic.explanations.readying import readied
from symbolic.explanations.rows import require_own_rows
from symbolic.explanations.running import values_of
from symbolic.explanations.targets import logits, parsed_target
from symbolic.reading.loading import load_model
from symbolic.reading.random_nodes import freeze_random
from symbolic.reading.static_shapes import copied, free_inputs, static_inputs, without_large_tensors

__all__ = ["explain"]


@enough_memory()
def explain(
    model: str | os.PathLike[str] | onnx.ModelProto,
    method: Method,
    target: object = "predicted",
    *,
    head: str = "logit",
    i_idx: int = 0,
    o_idx: int = 0,
    shapes: dict[str, tuple[int, ...]] | None = None,
    seed: int | None = None,
) -> Explained:
    """Give a model that also outputs an attribution of its input.

    Parameters
    ----------
    model : path or onnx.ModelProto
    method : Method
        Such as ``IntegratedGradients(steps=64)``.
    target : str, int or pair of int
        "predicted" (the class with the greatest score, of every row by itself), a class, a pair (the first
        score minus the second), or "sum" of all outputs.
    head : {"logit", "output"}
        Explain what a final Softmax, LogSoftmax or Sigmoid gets, or what it gives.
    i_idx, o_idx : int
        Which input, and which output.
    shapes : dict, optional
        Of inputs by name, where the file leaves lengths open that a method needs.
    seed : int, optional
        Of random nodes, drawn once and frozen.

    Returns
    -------
    Explained

    Raises
    ------
    ModelError
        The method is not defined for the network; the message names the node.
    OptionError
        An option has no meaning here.
    """
    if not isinstance(method, Method):
        raise OptionError("method should be one of Sureline's, such as IntegratedGradients(steps=64).")
    if head not in ("logit", "output"):
        raise OptionError(f"head is {head!r}: give 'logit' or 'output'.")
    if seed is not None:
        require_whole("seed", seed, least=0)
    wish = parsed_target(target)
    loaded = load_model(model)
    if not isinstance(shapes, Mapping | None):
        raise OptionError(
            f"shapes is {shapes!r}: give a mapping from inputs to lengths, as {{'x': (1, 10)}}."
        )
    proto = static_inputs(loaded.proto, shapes) if shapes else loaded.proto
    proto, _ = freeze_random(proto, seed=seed)
    proto = readied(proto, method.undivided)
    ports = free_inputs(proto.graph)
    require_index("i_idx", i_idx, len(ports), "inputs")
    require_index("o_idx", o_idx, len(proto.graph.output), "outputs")
    source = ports[i_idx].name
    graph = Graph(proto)
    if graph.tensor(source).elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise ModelError(f"the input {source!r} holds no floats, so that nothing can be attributed to it.")
    taken = {v.name for v in (*graph.proto.graph.input, *graph.proto.graph.output)} & {
        ATTRIBUTION,
        EXPLAINED_CLASS,
    }
    if taken:
        raise ModelError(f"the model has a tensor called {min(taken)!r} already: is it an explained model?")
    nodes = list(proto.graph.node)
    output = proto.graph.output[o_idx].name
    scores = logits(nodes, output) if head == "logit" else output
    passage = Passage(graph, tuple(nodes), source, scores)
    weights, chosen = wish.weights(passage.y)
    if passage.x.rank < 2:
        raise ModelError(
            f"the input {source!r} has the shape {passage.x.known_shape}, and its first axis is the batch: "
            "export the network with a batch axis before those of one input."
        )
    plain = copied(proto)
    task = Task(passage, wish, weights, lambda names, xs: values_of(plain, names, ({source: x} for x in xs)))
    require_own_rows(plain, source, scores)
    graph.output(method.attribution(task), ATTRIBUTION)
    if chosen is not None:
        graph.output(chosen, EXPLAINED_CLASS)
    prune(proto)
    provenance = {
        "method": method.name,
        "options": method.options(),
        "target": str(wish),
        "head": head,
        "explained_output": output,
        "model_sha256": loaded.sha256,
    }
    helper.set_model_props(
        proto, {**{p.key: p.value for p in proto.metadata_props}, KEY: json.dumps(provenance, sort_keys=True)}
    )
    proto.producer_name = "sureline"
    onnx.checker.check_model(without_large_tensors(proto))
    return Explained(proto, provenance)


def prune(proto: onnx.ModelProto) -> None:
    """Drop nodes and constants that no output needs, in place."""
    needed = {value.name for value in proto.graph.output}
    kept = []
    for node in reversed(proto.graph.node):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(name for name in node.input if name)
            for attribute in node.attribute:  # what subgraphs read from outside
                if attribute.HasField("g"):
                    needed.update(name for inner in attribute.g.node for name in inner.input)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(kept))
    constants = [t for t in proto.graph.initializer if t.name in needed]
    if len(constants) < len(proto.graph.initializer):
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(constants)
