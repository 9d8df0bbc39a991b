"""The node tests of the ONNX standard that ship with ``onnx``, for the operators of the twin."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as case_node
import twin
from onnx import TensorProto

__all__ = ["NodeTest", "node_tests"]

# Types that denote exact numbers; float8, bfloat16, 4-bit integers and strings do not occur in our graphs.
PLAIN = {
    getattr(TensorProto, name)
    for name in "FLOAT DOUBLE FLOAT16 BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64".split()
}
# The greatest of no elements depends on the type, and the twin holds none.
LEFT_OUT = {"test_reduce_max_empty_set_bool"}


@dataclass(frozen=True)
class NodeTest:
    """One model with inputs and expected outputs."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    expected: list[np.ndarray]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in self.model.graph.node}

    @property
    def size(self) -> int:
        """Elements of inputs and outputs together."""
        return sum(a.size for a in self.feeds.values()) + sum(a.size for a in self.expected)


def _is_plain(model: onnx.ModelProto) -> bool:
    infos = [*model.graph.input, *model.graph.output]
    return all(info.type.tensor_type.elem_type in PLAIN for info in infos)


def _array(value: Any) -> np.ndarray:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _collect() -> Iterator[NodeTest]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = case_node.collect_testcases(None)
    for case in cases:
        if case.model is None or not _is_plain(case.model) or case.name in LEFT_OUT:
            continue
        if not all(node.op_type in twin.OPERATORS for node in case.model.graph.node):
            continue
        names = [item.name for item in case.model.graph.input]
        for inputs, outputs in case.data_sets:
            feeds = dict(zip(names, map(_array, inputs), strict=True))
            yield NodeTest(case.name, case.model, feeds, [_array(o) for o in outputs], case.rtol, case.atol)


@functools.cache
def node_tests() -> list[NodeTest]:
    """Every node test whose graph consists of supported operators on plain numbers."""
    return sorted(_collect(), key=lambda test: test.name)
