"""Which inputs of an operator may depend on the audited input, tried on the standard's node tests.

Each input of a test's node in turn moves along the line, integers and booleans by a Cast of real numbers; all
others are constants. What neither test nor any other of its operator lets move must be constant.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from check_values import graph_of
from onnx import TensorProto, helper

from symbolic.bounds import enclose
from symbolic.errors import SurelineError
from verifier.check.errors import InvalidCertificate, Undecided

__all__ = ["constant_inputs"]

Tried = dict[str, dict[str, list[bool]]]
DOUBLE = TensorProto.DOUBLE


def constant_inputs(cases: Iterable[Any]) -> dict[str, list[str]]:
    """By operator the inputs that must be constant; "(checker)" where the engine lets them move."""
    tried: Tried = defaultdict(lambda: defaultdict(lambda: [False, False]))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in cases:
            arrays = all(isinstance(v, np.ndarray) and v.dtype.kind not in "OUS" for v in case.feeds.values())
            if len(case.model.graph.node) == 1 and arrays:
                _try(case, tried)
    found = {}
    for op, inputs in sorted(tried.items()):
        names = [n for n, sides in inputs.items() if not any(sides)]
        names += [f"{n} (checker)" for n, sides in inputs.items() if sides == [True, False]]
        if names and any(any(sides) for sides in inputs.values()):
            found[op] = names
    return found


def _try(case: Any, tried: Tried) -> None:
    node = case.model.graph.node[0]
    declared = onnx.defs.get_schema(node.op_type).inputs
    for k, name in enumerate(node.input):
        array = case.feeds.get(name)
        if array is None or array.dtype.kind == "V" or not array.size:
            continue
        sides = tried[node.op_type][declared[min(k, len(declared) - 1)].name]
        model, start = _moved(case.model, name, array)
        start = np.where(np.isfinite(start), start, start.dtype.type(1))
        feeds = {**case.feeds, name: start}
        sides[0] = sides[0] or _engine_takes(model, feeds, name)
        sides[1] = sides[1] or _checker_takes(model, feeds, name)


def _moved(model: onnx.ModelProto, name: str, array: np.ndarray) -> tuple[onnx.ModelProto, np.ndarray]:
    """The model in which an input is of real numbers, and where the line starts."""
    if array.dtype.kind == "f":
        return model, array
    out = onnx.ModelProto()
    out.CopyFrom(model)
    entry = next(item for item in out.graph.input if item.name == name)
    cast = helper.make_node("Cast", [name], [f"{name}/cast"], to=entry.type.tensor_type.elem_type)
    entry.type.tensor_type.elem_type = DOUBLE
    node = out.graph.node[0]
    node.input[:] = [f"{name}/cast" if given == name else given for given in node.input]
    out.graph.node.insert(0, cast)
    return out, array.astype(np.float64)


def _engine_takes(model: onnx.ModelProto, feeds: dict[str, Any], name: str) -> bool:
    try:
        return bool(enclose(model, feeds, {name: np.ones(feeds[name].shape)}, seed=0))
    except (SurelineError, MemoryError):
        return False


def _checker_takes(model: onnx.ModelProto, feeds: dict[str, Any], name: str) -> bool:
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    outputs = [value.name for value in asked.graph.output]
    for output in outputs:  # a discrete output for the graph to be about, that needs the values
        reals = [helper.make_node("Cast", [output], [f"{output}/real"], to=DOUBLE)]
        reals.append(helper.make_node("Greater", [f"{output}/real", f"{output}/real"], [f"{output}/asked"]))
        asked.graph.node.extend(reals)
    del asked.graph.output[:]
    asked.graph.output.extend(
        helper.make_tensor_value_info(f"{output}/asked", TensorProto.BOOL, None) for output in outputs[:1]
    )
    try:
        graph_of(asked, feeds, name, np.ones(feeds[name].shape))
    except (InvalidCertificate, Undecided, MemoryError):
        return False
    return True
