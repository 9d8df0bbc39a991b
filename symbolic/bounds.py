"""Certified bounds of every output of a graph over a segment of inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.enclosures.line import Line
from symbolic.enclosures.values import Affine, Const, Range, Value
from symbolic.errors import InputError, ModelError, enough_memory
from symbolic.network import Network
from symbolic.reading.arrays import REAL_TYPES, as_exact_array, as_floats, fractions_of
from symbolic.reading.exact import exact_number
from symbolic.reading.loading import free_inputs, freeze_random, load_model, static_inputs

__all__ = ["enclose"]

Arrays = Mapping[str, Any]
Bounds = tuple[NDArray[Any], NDArray[Any]]


@enough_memory()
def enclose(
    model: str | os.PathLike[str] | onnx.ModelProto,
    x: Any,
    direction: Any = None,
    lo: Any = 0,
    hi: Any = 0,
    *,
    seed: int | None = None,
) -> dict[str, Bounds]:
    """Bound every output over {x + z direction : lo <= z <= hi}, in real arithmetic.

    Parameters
    ----------
    model : path or onnx.ModelProto
        Its floats denote the rationals that they are.
    x : array, or mapping of str to array
        A value for every input; an array alone is the first one.
    direction : array, or mapping of str to array, optional
        Of the shape of the inputs; an input without one is constant. Default: nothing moves.
    lo, hi : int, float, str or Fraction
        Finite.
    seed : int, optional
        Of random operators, which are drawn once.

    Returns
    -------
    dict
        By output name the pair (lower, upper) of arrays of the output's shape: float64 rounded outward
        (infinite where no bound is known, or where the output is not a real number somewhere), or integers
        (from -2**63 to 2**63 - 1 there) and booleans. No rounding of the runtime's float32 is in them.
        Outputs of strings, sequences and maps are left out.

    Raises
    ------
    ModelError, UnsupportedOperatorError
        If the model cannot be read.
    InputError
        If the inputs do not fit it.
    BudgetError
        If there is not enough memory.
    """
    loaded = load_model(model)
    names = [value.name for value in free_inputs(loaded.proto.graph)]
    given = _by_name(x, names, "x")
    missing = [name for name in names if name not in given]
    if missing:
        raise InputError(f"the model's input {missing[0]!r} has no value.")
    directions = {
        name: as_exact_array(value, f"direction of {name}")
        for name, value in ({} if direction is None else _by_name(direction, names, "direction")).items()
    }
    kinds = {value.name: value.type.tensor_type.elem_type for value in free_inputs(loaded.proto.graph)}
    arrays = {
        name: _of_kind(as_exact_array(given[name], name, still=name not in directions), name, kinds[name])
        for name in names
    }
    for name, array in directions.items():
        if array.shape != arrays[name].shape:
            raise InputError(
                f"the direction of {name!r} has shape {array.shape}, but the input has {arrays[name].shape}."
            )
        if arrays[name].dtype.kind in "iub":
            raise InputError(f"the input {name!r} is of {arrays[name].dtype}: it cannot move along a line.")
    low, high = _outward(exact_number(lo, "lo"), exact_number(hi, "hi"))
    static, _ = freeze_random(static_inputs(loaded.proto, {n: a.shape for n, a in arrays.items()}), seed=seed)
    moving = [name for name in names if name in directions] or [_movable(names, arrays)]
    outputs = [value.name for value in static.graph.output if _holds_numbers(value)]
    network = Network(static, arrays, moving, outputs)
    lines = {name: _line(arrays[name], directions.get(name)) for name in moving}
    # a discrete value may differ at the ends from what it is between them
    segments = [(low, low), (low, high), (high, high)] if low < high else [(low, low)]
    values = network.enclose(lines, segments)
    return {name: _bounds(values[name]) for name in outputs}


def _of_kind(array: NDArray[Any], name: str, kind: int) -> NDArray[Any]:
    """Integers and Fractions as doubles, where the model's input is of real numbers."""
    if kind not in REAL_TYPES or array.dtype.kind not in "iuO":
        return array
    return as_floats(array.astype(object), name)


def _by_name(value: Any, names: list[str], what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {names[0]: value}
    unknown = [name for name in value if name not in names]
    if unknown:
        raise InputError(f"{what}: the model has no input {unknown[0]!r}; it has {', '.join(names)}.")
    return dict(value)


def _holds_numbers(value: onnx.ValueInfoProto) -> bool:
    """Whether it may: an output without a type is looked at."""
    kind = value.type.WhichOneof("value")
    return kind in (None, "tensor_type") and value.type.tensor_type.elem_type != onnx.TensorProto.STRING


def _movable(names: list[str], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Something for the network to stand on when nothing moves."""
    found = [n for n in names if arrays[n].dtype.kind not in "iub" and np.isfinite(arrays[n]).all()]
    if not found:
        raise InputError("the model has no input of real numbers.")
    return max(found, key=lambda name: arrays[name].size > 0)


def _line(start: NDArray[Any], direction: NDArray[Any] | None) -> Line:
    still = [Fraction(0)] * start.size
    moves = still if direction is None else fractions_of(direction)
    return Line.of(fractions_of(start), moves, start.shape)


def _outward(lo: Fraction, hi: Fraction) -> tuple[float, float]:
    if lo > hi:
        raise InputError(f"lo is {lo}, more than hi, which is {hi}.")
    try:
        low, high = float(lo), float(hi)
    except OverflowError:
        raise InputError("lo and hi must be within the range of float64.") from None
    low = low if Fraction(low) <= lo else float(np.nextafter(low, -np.inf))
    high = high if Fraction(high) >= hi else float(np.nextafter(high, np.inf))
    return low, high


def _bounds(value: Value) -> Bounds:
    if isinstance(value, Range):
        return value.lo.min(axis=0), value.hi.max(axis=0)
    if isinstance(value, Const) and not value.is_float:
        return value.value, value.value
    if isinstance(value, Const):
        lower, upper = value.value, value.value
        if value.radius is not None:
            lower, upper = (np.nextafter(lower + s * value.radius, s * np.inf) for s in (-1, 1))
    elif isinstance(value, Affine):
        with np.errstate(invalid="ignore"):  # of what is not known
            lows, highs = value.bounds()
        known = np.isfinite(lows) & np.isfinite(highs)  # of what may be undefined there are no limits
        lows = np.where(known, np.maximum(lows, value.least), lows)
        highs = np.where(known, np.minimum(highs, value.most), highs)
        lower, upper = lows.min(axis=0), highs.max(axis=0)
    else:
        raise ModelError("an output is not a tensor.")
    return np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
