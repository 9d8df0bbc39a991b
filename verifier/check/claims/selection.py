"""The selection nodes, built again from the hypothesis and compared node by node with the audited graph."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from flint import arb, ctx, fmpq
from onnx import TensorProto, helper, numpy_helper

from verifier.check.claims.hypothesis import LABELS, second_threshold, whole
from verifier.check.claims.pattern import pattern_nodes
from verifier.check.errors import InvalidCertificate
from verifier.check.graph.inference import inferred
from verifier.check.numbers.integers import Array

__all__ = ["compare_selection", "element_types", "free_inputs"]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
DISCRETE = (TensorProto.BOOL, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
Shape = Callable[[str], tuple[int, ...]]


class Rebuilt:
    """Nodes and initializers that the hypothesis calls for."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Callable[[Array], bool]] = {}
        self.places: tuple[str, str] | None = None
        """A constant that holds the places where another one is true."""

    def node(self, op: str, inputs: list[str], outputs: str | list[str], **attributes: Any) -> str:
        """Add a node, named as its first output."""
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names[0]

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        """Add an initializer of which value, shape and type are known."""
        wanted = np.asarray(value, dtype=dtype)
        self.constants[name] = lambda a: (
            a.dtype == wanted.dtype and a.shape == wanted.shape and bool((a == wanted).all())
        )
        return name

    def scalar(self, name: str, value: Fraction) -> None:
        """Add a double that is exactly `value`."""
        self.constants[name] = lambda a: (
            a.dtype == np.float64 and a.shape == () and bool(np.isfinite(a)) and Fraction(float(a)) == value
        )


def free_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no initializers."""
    stored = {t.name for t in graph.initializer}
    return [v for v in graph.input if v.name not in stored]


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor, by the standard's inference (declared types checked against it)."""
    try:
        graph = inferred(model)
    except Exception as error:
        raise InvalidCertificate(f"the types of the audited graph do not fit: {error}") from error
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return types | {t.name: t.data_type for t in graph.initializer}


def compare_selection(
    model: onnx.ModelProto,
    entry: dict[str, Any],
    hypothesis: dict[str, Any],
    pattern: bool,
    shape: Shape,
    upstream: Callable[[list[str]], set[str]],
) -> list[str]:
    """Confirm that what follows the model in the audited graph is the selection of `hypothesis`.

    `upstream` says what some tensors are computed from. Returns the names of the outputs that form the event.
    """
    graph, types = model.graph, element_types(model)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    counts = [len(graph.node), len(graph.initializer), len(graph.output)]
    own = [entry["nodes"], entry["initializers"], entry["outputs"]]
    if any(n > have for n, have in zip(own, counts, strict=True)):
        raise InvalidCertificate("the model is said to have more nodes than the audited graph")
    inputs = free_inputs(graph)
    if hypothesis["i_idx"] >= len(inputs):
        raise InvalidCertificate("i_idx names no input of the audited graph")
    moving = inputs[hypothesis["i_idx"]].name
    _no_own_names(graph, *own)
    rebuilt = Rebuilt(opset)
    if hypothesis["name"] == "custom":
        outputs: list[str] = list(hypothesis["outputs"])
        declared: list[str] = []
        missing = [name for name in outputs if name not in {v.name for v in graph.output[: own[2]]}]
        if missing or len(set(outputs)) != len(outputs):
            raise InvalidCertificate(
                f"output {(missing or outputs)[0]!r} of the selection is missing or named twice"
            )
    else:
        if hypothesis["o_idx"] >= own[2]:
            raise InvalidCertificate("o_idx names no output of the model")
        given = graph.output[hypothesis["o_idx"]].name
        if hypothesis["name"] in LABELS:
            outputs, declared = _labels(rebuilt, hypothesis, given, types, shape)
        else:
            outputs = _score(rebuilt, hypothesis, moving, given, types, shape)
            declared = ["sureline/score", *outputs]
            outputs = [*outputs, *_given(hypothesis, graph, own[2], types)]
    if pattern:
        nodes = [*graph.node[: own[0]], *rebuilt.nodes]
        values = {t.name: t for t in graph.initializer}
        found = pattern_nodes(rebuilt, nodes, own[0], moving, upstream(outputs), types, shape, values)
        outputs, declared = outputs + found, declared + found
    _compare(graph, own, rebuilt, declared)
    return outputs


def _given(hypothesis: dict[str, Any], graph: onnx.GraphProto, own: int, types: dict[str, int]) -> list[str]:
    """Outputs of the model that belong to the event besides the region."""
    names = list(hypothesis.get("given", []))
    known = {value.name for value in graph.output[:own]}
    for name in names:
        if name not in known:
            raise InvalidCertificate(f"the event names {name!r}, which is no output of the model")
        if types.get(name) not in DISCRETE:
            raise InvalidCertificate(f"the event names {name!r}, which is neither boolean nor integer")
    return names


def _no_own_names(graph: onnx.GraphProto, nodes: int, initializers: int, outputs: int) -> None:
    names = [name for node in graph.node[:nodes] for name in node.output]
    names += [t.name for t in graph.initializer[:initializers]] + [v.name for v in graph.output[:outputs]]
    names += [v.name for v in graph.input]
    if any(name.startswith("sureline/") for name in names):
        raise InvalidCertificate("a tensor of the model has a name that belongs to the selection")


def _score(
    rebuilt: Rebuilt, hypothesis: dict[str, Any], x: str, score: str, types: dict[str, int], shape: Shape
) -> list[str]:
    kind = types.get(score, 0)
    if kind not in FLOATS:
        raise InvalidCertificate("the score output of the model is no float tensor")
    for k, step in enumerate(hypothesis["post_process"]):
        score = _step(rebuilt, step, f"sureline/post{k}", x, score, kind, types, shape)
    rebuilt.node("Cast", [score], "sureline/score", to=TensorProto.DOUBLE)
    masked = hypothesis["mask"]
    if masked:
        of_map = shape("sureline/score")
        rebuilt.constants["sureline/mask"] = lambda a: a.dtype == np.bool_ and a.shape == of_map
    if "top" in hypothesis:
        _middle(rebuilt, hypothesis["top"], masked, shape("sureline/score"))
        rebuilt.node("Greater", ["sureline/score", "sureline/middle"], "sureline/above")
    else:
        _compared(rebuilt, Fraction(hypothesis["threshold"]), hypothesis["use_norm"])
    outputs = [_within(rebuilt, "sureline/above", masked, "sureline/selection")]
    below = second_threshold(hypothesis)
    if below is not None:
        rebuilt.scalar("sureline/lower", below)
        rebuilt.node("Less", ["sureline/score", "sureline/lower"], "sureline/under")
        outputs.append(_within(rebuilt, "sureline/under", masked, "sureline/second"))
    return outputs


def _compared(rebuilt: Rebuilt, threshold: Fraction, normalised: bool) -> None:
    """The comparison with a threshold."""
    rebuilt.scalar("sureline/threshold", threshold)
    if normalised:
        rebuilt.node("ReduceMax", ["sureline/score"], "sureline/max", keepdims=1)
        rebuilt.node("ReduceMin", ["sureline/score"], "sureline/min", keepdims=1)
        # s - min > tau (max - min), without a division: (1 - tau)(s - min) > tau (max - s).
        rebuilt.scalar("sureline/complement", 1 - threshold)
        rebuilt.node("Sub", ["sureline/score", "sureline/min"], "sureline/shifted")
        rebuilt.node("Mul", ["sureline/shifted", "sureline/complement"], "sureline/over")
        rebuilt.node("Sub", ["sureline/max", "sureline/score"], "sureline/missing")
        rebuilt.node("Mul", ["sureline/missing", "sureline/threshold"], "sureline/under")
        rebuilt.node("Greater", ["sureline/over", "sureline/under"], "sureline/above")
    else:
        rebuilt.node("Greater", ["sureline/score", "sureline/threshold"], "sureline/above")


def _within(rebuilt: Rebuilt, marked: str, masked: bool, name: str) -> str:
    if masked:
        return rebuilt.node("And", [marked, "sureline/mask"], name)
    return rebuilt.node("Identity", [marked], name)


def _middle(rebuilt: Rebuilt, top: int, masked: bool, shape: tuple[int, ...]) -> None:
    """The middle between the `top`-th greatest score (of those in the mask) and the next one."""
    rebuilt.constant("sureline/flat", [-1], np.int64)
    flat = rebuilt.node("Reshape", ["sureline/score", "sureline/flat"], "sureline/all")
    if masked:
        rebuilt.places = "sureline/places", "sureline/mask"
        flat = rebuilt.node("Gather", [flat, "sureline/places"], "sureline/within")
    rebuilt.constant("sureline/count", [top + 1], np.int64)
    rebuilt.node("TopK", [flat, "sureline/count"], ["sureline/greatest", "sureline/where"])
    for name, place in (("last", top - 1), ("next", top)):
        rebuilt.constant(f"sureline/{name}", place, np.int64)
        rebuilt.node("Gather", ["sureline/greatest", f"sureline/{name}"], f"sureline/{name}_score")
    rebuilt.scalar("sureline/half", Fraction(1, 2))
    rebuilt.node("Add", ["sureline/last_score", "sureline/next_score"], "sureline/both")
    rebuilt.node("Mul", ["sureline/both", "sureline/half"], "sureline/middle")


def _labels(
    rebuilt: Rebuilt, hypothesis: dict[str, Any], given: str, types: dict[str, int], shape: Shape
) -> tuple[list[str], list[str]]:
    """Labels as they are, or the place of the greatest score."""
    axis = whole(hypothesis["axis"], "hypothesis.axis")
    if hypothesis["mask"]:
        rebuilt.constants["sureline/mask"] = lambda a: a.dtype == np.bool_
    if types.get(given, 0) not in FLOATS:
        return [rebuilt.node("Cast", [given], "sureline/selection", to=TensorProto.INT64)], [
            "sureline/selection"
        ]
    rank = len(shape(given))
    if not -rank <= axis < rank:
        raise InvalidCertificate("the scores do not have the axis of the hypothesis")
    rebuilt.node("Cast", [given], "sureline/score", to=TensorProto.DOUBLE)
    labels = rebuilt.node("ArgMax", ["sureline/score"], "sureline/selection", axis=axis % rank, keepdims=1)
    return [labels], ["sureline/score", labels]


def _step(
    rebuilt: Rebuilt,
    step: dict[str, Any],
    p: str,
    x: str,
    score: str,
    kind: int,
    types: dict[str, int],
    shape: Shape,
) -> str:
    name, rank = step["name"], len(shape(score))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    if name == "InputDiff":
        if types[x] != kind:
            x = rebuilt.node("Cast", [x], f"{p}/input", to=kind)
        return rebuilt.node("Sub", [score, x], p)
    if name in ("Neg", "Abs"):
        return rebuilt.node(name, [score], p)
    if rank not in (3, 4):
        raise InvalidCertificate(f"{name} needs a map of rank 3 or 4")
    if name == "L1Norm":
        axis = 1 if rank == 4 else 0
        rebuilt.node("Abs", [score], f"{p}/abs")
        if rebuilt.opset >= 13:
            rebuilt.constant(f"{p}/axes", [axis], np.int64)
            rebuilt.node("ReduceSum", [f"{p}/abs", f"{p}/axes"], f"{p}/sum", keepdims=1)
        else:
            rebuilt.node("ReduceSum", [f"{p}/abs"], f"{p}/sum", axes=[axis], keepdims=1)
        rebuilt.constant(f"{p}/shape", shape(score), np.int64)
        return rebuilt.node("Expand", [f"{p}/sum", f"{p}/shape"], p)
    n, axes, channels = step["kernel_size"], rank - 2, shape(score)[1]
    if name == "AverageFilter":
        rebuilt.constant(f"{p}/kernel", np.full((channels, 1, *[n] * axes), 1 / n**axes), dtype)
    else:
        weights = _gaussian(n, Fraction(step["sigma"]))
        if axes == 2:
            weights = [v * w for v in weights for w in weights]
        rebuilt.constants[f"{p}/kernel"] = lambda a: (
            a.dtype == dtype
            and a.shape == (channels, 1, *[n] * axes)
            and all(_near(a[c].reshape(-1), weights) for c in range(channels))
        )
    return rebuilt.node(
        "Conv", [score, f"{p}/kernel"], p, group=channels, kernel_shape=[n] * axes, pads=[n // 2] * (2 * axes)
    )


def _gaussian(n: int, sigma: Fraction) -> list[arb]:
    """exp(-i**2 / (2 sigma**2)), i in range(-n//2 + 1, n//2 + 1), divided by its sum."""
    before, ctx.prec = ctx.prec, 192
    try:
        scale = arb(fmpq(sigma.denominator**2, 2 * sigma.numerator**2))
        powers = [(-(i * i) * scale).exp() for i in range(-n // 2 + 1, n // 2 + 1)]
        total = sum(powers, arb(0))
        return [v / total for v in powers]
    finally:
        ctx.prec = before


def _near(stored: Array, exact: list[arb]) -> bool:
    """Whether each stored number is within two units in the last place of the exact one."""
    for value, ball in zip(stored, exact, strict=True):
        unit = abs(Fraction(float(np.nextafter(value, value.dtype.type(np.inf)))) - Fraction(float(value)))
        if not np.isfinite(value) or not abs(ball - arb(float(value))) <= arb(
            fmpq(2 * unit.numerator, unit.denominator)
        ):
            return False
    return True


def _compare(graph: onnx.GraphProto, own: list[int], rebuilt: Rebuilt, declared: list[str]) -> None:
    added = graph.node[own[0] :]
    for have, want in zip(added, rebuilt.nodes, strict=False):
        if have != want:
            raise InvalidCertificate(
                f"node {have.name!r} is not the {want.op_type} node {want.name!r} of the hypothesis"
            )
    if len(added) != len(rebuilt.nodes):
        raise InvalidCertificate(
            f"the hypothesis has {len(rebuilt.nodes)} nodes, the audited graph {len(added)}"
        )
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer[own[1] :]}
    known = rebuilt.constants.keys() | ({rebuilt.places[0]} if rebuilt.places is not None else set())
    if len(stored) != len(graph.initializer) - own[1] or stored.keys() != known:
        raise InvalidCertificate("the constants of the selection are not those of the hypothesis")
    for name, fits in rebuilt.constants.items():
        if not fits(stored[name]):
            raise InvalidCertificate(f"the constant {name!r} is not that of the hypothesis")
    if rebuilt.places is not None:
        places, mask = (stored[name] for name in rebuilt.places)
        if places.dtype != np.int64 or places.tolist() != np.flatnonzero(mask).tolist():
            raise InvalidCertificate("the constant of the places in the mask is not that of the hypothesis")
    if [v.name for v in graph.output[own[2] :]] != declared:
        raise InvalidCertificate("the outputs of the audited graph are not those of the hypothesis")
