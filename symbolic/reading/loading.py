"""Load a model that may have been made to do harm: every size is checked before anything is built from it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import onnx

from symbolic.errors import ModelError, enough_memory
from symbolic.reading.array_files import open_regular
from symbolic.reading.external_data import load_external_data
from symbolic.reading.functions import inlined, require_finite_functions, require_known_operators
from symbolic.reading.ml_types import require_harmless
from symbolic.reading.random_nodes import freeze_random
from symbolic.reading.static_shapes import free_inputs, inferred_shapes, static_inputs, without_large_tensors
from symbolic.reading.tensors import all_tensors, require_consistent
from symbolic.reading.unstated import fill_gaps, require_input_types, state_types
from symbolic.reading.wire import scan
from symbolic.reading.withdrawn import disguise

__all__ = [
    "DEFAULT_MAX_BYTES",
    "LoadedModel",
    "free_inputs",
    "freeze_random",
    "inferred_shapes",
    "inlined",
    "load_model",
    "static_inputs",
]

DEFAULT_MAX_BYTES = 2**31 - 1  # what one protobuf message can hold


@dataclass(frozen=True)
class LoadedModel:
    """A model as it was read.

    Attributes
    ----------
    proto : onnx.ModelProto
        Self-contained: external data is inside. Local functions are kept (`inlined` gives it without them).
        Outputs that state no element type have the one that inference finds.
    sha256 : str
        Of the file's bytes; of the deterministic serialisation of `proto` if there is external data or no
        file.
    path : Path or None
        The file.
    """

    proto: onnx.ModelProto
    sha256: str
    path: Path | None


@enough_memory()
def load_model(
    source: str | os.PathLike[str] | onnx.ModelProto, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> LoadedModel:
    """Load and check a model.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A ModelProto is copied.
    max_bytes : int
        Most bytes of the file, and most bytes of its external data.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ModelError
        If it is no valid ONNX model, or larger than the limits, or its external data lies outside its folder.
    """
    path: Path | None = None
    if isinstance(source, onnx.ModelProto):
        data = _serialised(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        data = _read(path, max_bytes)
    else:
        raise ModelError(f"The model is {type(source).__name__}; give a path or an onnx.ModelProto.")
    scan(data)
    proto = _parsed(data)
    _require_model(proto)
    external = load_external_data(proto, path.parent if path else None, max_bytes)
    for tensor in all_tensors(proto):
        require_consistent(tensor)
    require_finite_functions(proto)
    require_known_operators(proto)
    require_harmless(proto)
    _require_valid(proto)
    if external:
        data = _serialised(proto)
    state_types(proto)
    return LoadedModel(proto, hashlib.sha256(data).hexdigest(), path)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with open(path, "rb", opener=open_regular) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ModelError(f"{path.name} has {size} bytes, more than the limit of {max_bytes}.")
            data = file.read(size + 1)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ModelError(
            f"{path.name} cannot be read ({getattr(error, 'strerror', None) or error})."
        ) from None
    if not data:
        raise ModelError(f"{path.name} is empty.")
    if len(data) > size:
        raise ModelError(f"{path.name} grew while it was read.")
    return data


def _parsed(data: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception:  # protobuf's own types differ between its implementations
        raise ModelError("The file is not an ONNX model, or it is truncated.") from None
    return proto


def _require_model(proto: onnx.ModelProto) -> None:
    """Check what onnx's own checker says badly, or not at all."""
    if not proto.HasField("graph") or proto.ir_version <= 0:
        raise ModelError("The file is not an ONNX model, or it is truncated.")
    if proto.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"The model has ONNX IR version {proto.ir_version}; the installed onnx {onnx.__version__} "
            "reads up to "
            f"{onnx.IR_VERSION}."
        )
    newest = onnx.defs.onnx_opset_version()
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if any(version > newest for version in versions):
        raise ModelError(
            f"The model uses ONNX operator set {max(versions)}; the installed onnx {onnx.__version__} "
            "knows up to "
            f"{newest}."
        )
    stated = {("" if o.domain == "ai.onnx" else o.domain, o.version) for o in proto.opset_import}
    if len({domain for domain, _ in stated}) < len(stated):
        raise ModelError("The model states two versions of one operator set.")
    graph = proto.graph
    if not graph.node:
        raise ModelError("The model's graph has no nodes.")
    if not graph.output:
        raise ModelError("The model's graph has no output.")
    if not free_inputs(graph):
        raise ModelError("The model's graph has no input (initializers are not inputs).")
    for what, names in (
        ("initializer", [tensor.name for tensor in graph.initializer]),
        ("input", [value.name for value in graph.input]),
        ("output", [value.name for value in graph.output]),
    ):
        if len(set(names)) < len(names):
            raise ModelError(f"The model names an {what} twice.")


def _require_valid(proto: onnx.ModelProto) -> None:
    """Let onnx check all but large tensors, whose data `require_consistent` has seen."""
    require_input_types(proto.graph)
    slim = without_large_tensors(proto)
    fill_gaps(slim.graph)
    disguise(slim)
    try:
        onnx.checker.check_model(slim)
    except Exception as error:  # the C++ side raises several types
        words = " ".join(str(error).split())
        raise ModelError(f"The model is not valid ONNX: {words[:300] or type(error).__name__}") from None


def _serialised(proto: onnx.ModelProto) -> bytes:
    try:
        return bytes(proto.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's own types differ between its implementations
        raise ModelError(
            f"The model cannot be serialised ({type(error).__name__}): is it above 2 GiB?"
        ) from None
