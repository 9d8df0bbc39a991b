"""Exact values of programs held against the twin and against the standard's node tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import onnx
import twin
from onnx import TensorProto, helper
from twin.ml import ML_OPERATORS

from symbolic.errors import SurelineError
from symbolic.network import Network
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.program import Program
from symbolic.reading.loading import free_inputs, freeze_random, load_model, static_inputs

__all__ = ["Standard", "misfits", "outcome_of", "point_of", "program_of", "standard_tests", "with_casts"]

RANDOM = {"Bernoulli", "RandomNormalLike", "RandomUniformLike", "Multinomial"}
ROUNDED = {"float16": 2.0**-9, "bfloat16": 2.0**-6}
"""What an expected value loses where it is stored."""

WIDE = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def with_casts(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with real inputs instead of integers and booleans, which it casts: only real numbers move."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    casts, values = [], dict(feeds)
    for item in made.graph.input:
        kind = item.type.tensor_type.elem_type
        if kind in WIDE or item.name not in feeds:
            continue
        name = f"{item.name}/real"
        casts.append(helper.make_node("Cast", [name], [item.name], to=kind))
        values[name] = np.asarray(values.pop(item.name)).astype(np.float64)
        item.name = name
        item.type.tensor_type.elem_type = TensorProto.DOUBLE
    if all(item.domain not in ("", "ai.onnx") for item in made.opset_import):
        made.opset_import.append(helper.make_opsetid("", 17))
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made, values


def program_of(
    model: onnx.ModelProto, feeds: Mapping[str, Any], moving: Sequence[str], outputs: Sequence[str] = ()
) -> tuple[Network, Program]:
    """A model lowered with some of its inputs moving.

    Raises
    ------
    ModelError
        If the engine, or the lowering, refuses it.
    """
    loaded = load_model(model)
    arrays = {value.name: np.asarray(feeds[value.name]) for value in free_inputs(loaded.proto.graph)}
    static, _ = freeze_random(static_inputs(loaded.proto, {n: a.shape for n, a in arrays.items()}), seed=0)
    names = list(outputs) or [value.name for value in static.graph.output]
    network = Network(static, arrays, list(moving), names)
    return network, network.program


def point_of(program: Program, values: Mapping[str, Any]) -> list[Fraction]:
    """The moving inputs, flat."""
    return [Fraction(v) for name in program.inputs for v in twin.exact_array(values[name]).reshape(-1)]


def difference(got: Sequence[Fraction], wanted: Any) -> str:
    """Where exact values are not the twin's."""
    for number, value in zip(got, wanted.reshape(-1), strict=True):
        if value is twin.UNKNOWN:
            return f"{float(number)} where the twin knows nothing"
        low, high = twin.bounds(value)
        if not low <= number <= high:
            return f"{float(number)} is not {float(low)}"
    return ""


def misfits(program: Program, piece: ExactPiece, exact: Mapping[str, Any]) -> Iterator[str]:
    """The tensors of which a piece has another value at its base point than the twin."""
    for name, ids in program.tensors.items():
        if name not in exact:  # in no graph but the engine's
            continue
        if ids.shape != exact[name].shape:
            yield f"{name}: shape {ids.shape}, not {exact[name].shape}"
            continue
        fault = difference(piece.rationals(ids)[0], exact[name])
        if fault:
            yield f"{name}: {fault}"


# ---- the standard's node tests


@dataclass(frozen=True)
class Standard:
    """A node test of real numbers; integers and booleans are casts of them."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, Any]
    outputs: dict[str, Any]
    rtol: float
    atol: float


@cache
def standard_tests(most: int) -> list[Standard]:
    """The standard's node tests whose tensors have so many elements at most, all of them finite numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnx.backend.test.case.node as case_node

        found = case_node.collect_testcases(None)
    made = []
    for test in found:
        if test.model is None or {node.op_type for node in test.model.graph.node} & RANDOM:
            continue
        for inputs, outputs in test.data_sets:
            feeds = dict(zip((i.name for i in test.model.graph.input), map(_array, inputs), strict=True))
            wanted = dict(zip((o.name for o in test.model.graph.output), map(_array, outputs), strict=True))
            if all(_is_finite(v, most) for v in (*feeds.values(), *wanted.values())):
                model, feeds = with_casts(test.model, feeds)
                made.append(Standard(test.name, model, feeds, wanted, test.rtol, test.atol))
    return sorted(made, key=lambda test: test.name)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _is_finite(value: Any, most: int) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind in "OUS" or value.size > most:
        return False
    return bool(np.isfinite(value.astype(np.float64)).all())


def outcome_of(test: Standard) -> tuple[str, str]:
    """ "pass", "refused" or "wrong", and why: with all inputs moving, and with each of them alone."""
    movable = [name for name, array in test.feeds.items() if array.dtype.kind == "f" and array.size]
    passed, why = False, ""
    for moving in [movable, *([name] for name in movable if len(movable) > 1)] if movable else []:
        try:
            program = program_of(test.model, test.feeds, moving)[1]
            piece = ExactPiece(program, point_of(program, test.feeds), [])
        except SurelineError as error:
            why = str(error)
            continue
        fault = _fault(test, program, piece)
        if fault:
            return "wrong", fault
        passed = True
    return ("pass", "") if passed else ("refused", why)


def _fault(test: Standard, program: Program, piece: ExactPiece) -> str:
    """Where the values are not the expected ones, or not exactly those of the twin."""
    for name, wanted in test.outputs.items():
        got = np.array([float(v) for v in piece.outputs[name]]).reshape(program.outputs[name].shape)
        if got.shape != wanted.shape:
            return f"{name} has shape {got.shape}, not {wanted.shape}"
        stored = ROUNDED.get(wanted.dtype.name, 0.0)
        exact = wanted.astype(np.float64)
        if not np.allclose(got, exact, rtol=test.rtol + stored, atol=max(test.atol, 1e-6)):
            return f"{name} misses the expected output"
    tables = {"": twin.OPERATORS, "ai.onnx": twin.OPERATORS, "ai.onnx.ml": ML_OPERATORS}
    if not all(node.op_type in tables.get(node.domain, {}) for node in test.model.graph.node):
        return ""
    try:
        values = twin.evaluate(test.model, test.feeds)
    except NotImplementedError:
        return ""
    return next(misfits(program, piece, values), "")
