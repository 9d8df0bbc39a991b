"""The audited graph as a file, and the comparison with the model that it says it contains."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from verifier.check.claims.external import gathered, tensors_of
from verifier.check.claims.reading import file_bytes
from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.graph.inference import contradicts, inferred, without_withdrawn
from verifier.check.numbers.integers import Array
from verifier.check.operators.registry import LARGEST_TENSOR

__all__ = ["compare_inputs", "compare_model", "parse_model"]

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def parse_model(content: bytes, name: str) -> onnx.ModelProto:
    """A model without external data whose stored tensors have bounded sizes."""
    try:
        model = onnx.load_model_from_string(content)
        tensors = tensors_of(model)
        if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in tensors):
            raise UnusableCertificate(f"{name} keeps data outside the file")
        if any(np.prod([float(max(d, 0)) for d in t.dims]) > LARGEST_TENSOR for t in tensors):
            raise UnusableCertificate(f"{name} has a tensor of more than {LARGEST_TENSOR} elements")
        newest = onnx.defs.onnx_opset_version()
        if any(o.version > newest for o in model.opset_import if o.domain in ("", "ai.onnx")):
            raise UnusableCertificate(f"{name} uses an operator set later than {newest}")
        stated = {("" if o.domain == "ai.onnx" else o.domain, o.version) for o in model.opset_import}
        if len({domain for domain, _ in stated}) < len(stated):
            raise UnusableCertificate(f"{name} states two versions of one operator set")
        for tensor in tensors:  # of a known type, with data of its size
            onnx.numpy_helper.to_array(tensor)
        if any(contradicts(body.node) for body in (model.graph, *model.functions)):
            raise UnusableCertificate(f"{name} has a Split with another number of outputs than it says")
        onnx.checker.check_model(_with_types(without_withdrawn(model)))
    except UnusableCertificate:
        raise
    except Exception as error:  # protobuf and onnx raise many kinds
        raise UnusableCertificate(f"{name} is not a valid ONNX model: {str(error)[:200]}") from error
    return model


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or a copy in which outputs and inputs that state no type or no shape have some: onnx asks
    for them, and nothing that is certified reads them.
    """
    given = [v.type.tensor_type for v in (*model.graph.input, *model.graph.output)]
    if all(t.elem_type and t.HasField("shape") for t in given):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output):
        kind = value.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = getattr(kind, kind.WhichOneof("value")).elem_type
        if kind.WhichOneof("value") in (None, "tensor_type"):
            kind.tensor_type.elem_type = kind.tensor_type.elem_type or onnx.TensorProto.FLOAT
            kind.tensor_type.shape.SetInParent()
    return copy


def compare_inputs(inputs: list[onnx.ValueInfoProto], arrays: list[tuple[str, Array]]) -> None:
    """The stored inputs are those of the graph, with their static shapes."""
    if [v.name for v in inputs] != [name for name, _ in arrays]:
        raise InvalidCertificate("the inputs of the certificate are not those of the audited graph")
    for value, (name, array) in zip(inputs, arrays, strict=True):
        dims = value.type.tensor_type.shape.dim
        if not value.type.tensor_type.HasField("shape"):
            continue
        if len(dims) != array.ndim or any(
            d.HasField("dim_value") and d.dim_value != n for d, n in zip(dims, array.shape, strict=True)
        ):
            raise InvalidCertificate(
                f"input {name!r} does not have the shape that the audited graph declares"
            )


def compare_model(audited: onnx.ModelProto, entry: dict[str, Any], given: Any) -> None:
    """The first part of `audited` is the model `given` (a path or a ModelProto), random nodes frozen."""
    if isinstance(given, onnx.ModelProto):
        content = given.SerializeToString(deterministic=True)
    else:
        path = os.path.realpath(given)
        content = gathered(file_bytes(path, 1 << 31), Path(path).parent)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise InvalidCertificate(
            "the certificate is about another model, or the same one in another file: its hash differs"
        )
    model = parse_model(content, "the model")
    graph, whole = model.graph, audited.graph
    drawn = [n for n in graph.node if n.op_type in RANDOM and n.domain in ("", "ai.onnx")]
    nodes = [n for n in graph.node if not (n.op_type in RANDOM and n.domain in ("", "ai.onnx"))]
    if list(whole.node[: entry["nodes"]]) != nodes:
        raise InvalidCertificate("the nodes of the audited graph are not those of the model")
    stored = {t.name: t for t in whole.initializer[: entry["initializers"]]}
    names = [t.name for t in graph.initializer] + [n.output[0] for n in drawn]
    if list(stored) != names or any(stored[t.name] != t for t in graph.initializer):
        raise InvalidCertificate("the weights of the audited graph are not those of the model")
    if entry["random"] != [n.output[0] for n in drawn]:
        raise InvalidCertificate("the certificate does not name the random tensors of the model")
    _compare_drawn(audited, drawn, stored, entry["seed"])
    for what, mine, theirs in (
        ("inputs", whole.input, graph.input),
        ("outputs", whole.output[: entry["outputs"]], graph.output),
    ):
        declared, wanted = ([(v.name, v.type.tensor_type.elem_type) for v in each] for each in (mine, theirs))
        if what == "outputs" and len(declared) == len(wanted):  # the type of one may be left to inference
            declared = [
                (name, kind if w else 0) for (name, kind), (_, w) in zip(declared, wanted, strict=True)
            ]
        if declared != wanted:
            raise InvalidCertificate(f"the {what} of the audited graph are not those of the model")
    if _versions(audited) != _versions(model) or list(audited.functions) != list(model.functions):
        raise InvalidCertificate(
            "the operator versions or functions of the audited graph are not those of the model"
        )


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}


def _compare_drawn(
    audited: onnx.ModelProto,
    drawn: list[onnx.NodeProto],
    stored: dict[str, onnx.TensorProto],
    seed: int | None,
) -> None:
    if not drawn:
        return
    if seed is None:
        raise InvalidCertificate("the model has random nodes, but the certificate no seed")
    graph = inferred(audited)
    known = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    rng = np.random.default_rng(seed)
    for node in drawn:
        tensor = stored[node.output[0]]
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kind, shape = given.get("dtype"), tuple(given.get("shape", ()))
        if node.op_type.endswith("Like"):
            source = known.get(node.input[0])
            if source is None or not all(d.HasField("dim_value") for d in source.shape.dim):
                raise InvalidCertificate(f"the shape of the random tensor {tensor.name!r} cannot be derived")
            shape = tuple(d.dim_value for d in source.shape.dim)
            kind = kind or source.elem_type
        kind = kind or onnx.TensorProto.FLOAT
        if (
            np.prod([float(n) for n in shape]) > LARGEST_TENSOR
            or tuple(tensor.dims) != shape
            or tensor.data_type != kind
        ):
            raise InvalidCertificate(f"the random tensor {tensor.name!r} has another shape or type")
        if "Normal" in node.op_type:
            values = rng.normal(given.get("mean", 0.0), given.get("scale", 1.0), size=shape)
        else:
            values = rng.uniform(given.get("low", 0.0), given.get("high", 1.0), size=shape)
        if not np.array_equal(
            numpy_helper.to_array(tensor), values.astype(helper.tensor_dtype_to_np_dtype(kind))
        ):
            raise InvalidCertificate(f"the random tensor {tensor.name!r} is not what the seed {seed} draws")
