"""What runs a model: ONNX Runtime, and onnx's reference evaluator where that has no kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from symbolic.errors import ModelError

__all__ = ["session", "values_of"]


def session(proto: onnx.ModelProto) -> Any:
    """Something with `run(names, feeds)`; the reference evaluator is slow, and exact to the type (float64
    convolutions need it)."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except NoKernel:
        return ReferenceEvaluator(proto)
    except Exception as error:  # the C++ side raises several types
        raise ModelError(f"ONNX Runtime cannot run the model ({str(error)[:300]}).") from None


def values_of(proto: onnx.ModelProto, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Inner tensors of a model at an input."""
    wanted = list(dict.fromkeys(names))
    view = onnx.ModelProto()
    view.CopyFrom(proto)
    del view.graph.output[:]
    view.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    found = dict(zip(wanted, session(view).run(None, feeds), strict=True))
    return [np.asarray(found[name]) for name in names]
