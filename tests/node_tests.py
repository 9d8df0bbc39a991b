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

# Types that denote exact numbers.
PLAIN = {
    getattr(TensorProto, name)
    for name in "FLOAT DOUBLE FLOAT16 BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 INT4 UINT4 "
    "INT2 UINT2 BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0 FLOAT4E2M1".split()
}
# The greatest of no elements depends on the type, and the twin holds none.
LEFT_OUT = {"test_reduce_max_empty_set_bool"}
# Real numbers out of the range of an integer type: what they become the standard leaves undefined.
LEFT_OUT |= {
    f"test_{operator}_{source}_to_{sign}INT{bits}{how}"
    for operator, how in (("cast", ""), ("castlike", ""), ("castlike", "_expanded"))
    for source in ("FLOAT", "FLOAT16")
    for sign in ("", "U")
    for bits in (2, 4)
}
# What is dropped in training depends on the generator.
LEFT_OUT |= {f"test_training_dropout{kind}" for kind in ("", "_default", "_default_mask", "_mask")}
# -2.5 divided by 5/255 lies between two integers; 5/255 in float32 decides for the other one.
LEFT_OUT |= {"test_dynamicquantizelinear", "test_dynamicquantizelinear_expanded"}


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
