"""What runs a model: ONNX Runtime, and onnx's reference evaluator where that has no kernel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from symbolic.errors import ModelError

__all__ = ["MOST_BYTES", "ran", "session", "stored", "values_of"]


MOST_BYTES = 1_500_000_000
"""Beyond it weights go to a file of their own: a protobuf message holds 2 GiB."""


def stored(proto: onnx.ModelProto, path: Path) -> Path:
    """Write a model; weights beyond 1.5 GB go to PATH.data beside it."""
    if proto.ByteSize() <= MOST_BYTES:
        onnx.save(proto, path)
        return path
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    onnx.save(copy, path, save_as_external_data=True, location=path.name + ".data", size_threshold=1024)
    return path


def session(proto: onnx.ModelProto) -> Any:
    """Something with `run(names, feeds)`; the reference evaluator is slow, and exact to the type (float64
    convolutions need it)."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # costs much memory and gains no time in graphs of this kind
    options.add_session_config_entry("session.disable_prepacking", "1")  # a second copy of the weights
    try:
        if proto.ByteSize() <= MOST_BYTES:
            return _started(proto.SerializeToString(), options)
        with tempfile.TemporaryDirectory() as folder:
            return _started(stored(proto, Path(folder) / "model.onnx"), options)
    except NoKernel:
        return ReferenceEvaluator(proto)
    except Exception as error:  # the C++ side raises several types
        raise ModelError(f"ONNX Runtime cannot run the model ({str(error)[:300]}).") from None


def _started(model: bytes | Path, options: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def ran(runs: Any, names: list[str] | None, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of a session.

    Raises
    ------
    ModelError
        It fails at these inputs.
    """
    try:
        return [np.asarray(v) for v in runs.run(names, feeds)]
    except MemoryError:
        raise
    except Exception as error:  # the C++ side raises several types
        why = " ".join(str(error).split())[:300]
        raise ModelError(f"the model cannot be run at this input ({why}).") from None


def values_of(
    proto: onnx.ModelProto, names: list[str], inputs: Iterable[dict[str, NDArray[Any]]]
) -> list[list[NDArray[Any]]]:
    """Inner tensors of a model at each of several inputs."""
    wanted = list(dict.fromkeys(names))
    view = onnx.ModelProto()
    view.CopyFrom(proto)
    del view.graph.output[:]
    view.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    runs = session(view)
    del view
    rows = []
    for feeds in inputs:
        found = dict(zip(wanted, ran(runs, None, feeds), strict=True))
        rows.append([found[name] for name in names])
    return rows
