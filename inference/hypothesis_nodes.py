"""The selection as a graph: from a model's output to the observed region (selection graph, version 1).

`docs/certificate.md` defines the nodes one by one; the checker builds them again with code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from inference.appending import FLOATING, PREFIX, Appender, Tensor, type_name
from inference.operators import Operator
from inference.pattern_nodes import append_pattern, moving_tensors
from symbolic.errors import InputError, ModelError, OptionError
from symbolic.reading.exact import exact_number
from symbolic.reading.static_shapes import copied, free_inputs

__all__ = [
    "AppendedSelection",
    "append_labels",
    "append_pattern",
    "append_selection",
    "free_inputs",
    "mask_like",
    "moving_tensors",
    "steps_of",
    "stored_threshold",
]

_NUMERIC = frozenset(
    {*FLOATING, *map(TensorProto.DataType.Value, "INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64".split())}
)


@dataclass(frozen=True)
class AppendedSelection:
    """A model with selection nodes behind it.

    Attributes
    ----------
    proto : onnx.ModelProto
        The audited graph: the model's nodes, initializers and outputs first, unchanged, then Sureline's.
    score : str
        Name of the new output that holds the score map (double).
    selections : tuple of str
        Names of the new outputs that hold what is selected (boolean).
    shape : tuple of int
        Their shape.
    threshold : Fraction
        The threshold as stored, which is the certified one.
    warnings : tuple of str
        What a reader of the result must be told.
    """

    proto: onnx.ModelProto
    score: str
    selections: tuple[str, ...]
    shape: tuple[int, ...]
    threshold: Fraction
    warnings: tuple[str, ...]


def steps_of(post_process: Operator | Sequence[Operator]) -> tuple[Operator, ...]:
    """Read the option `post_process`: one step or a sequence of steps.

    Raises
    ------
    OptionError
        If something in it is no step.
    """
    steps = (post_process,) if isinstance(post_process, Operator) else tuple(post_process)
    for step in steps:
        if not isinstance(step, Operator):
            raise OptionError(
                f"post_process holds {type(step).__name__}; its steps are InputDiff(), Neg(), Abs(), "
                "AverageFilter(), GaussianFilter() and L1Norm()."
            )
    return steps


def mask_like(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Give a mask the score map's shape; axes of length one may be left out, and non-zero means True.

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    array = np.asarray(mask)
    if tuple(n for n in array.shape if n != 1) != tuple(n for n in shape if n != 1):
        raise InputError(f"The mask has shape {array.shape}, but the score map has shape {shape}.")
    return array.astype(np.bool_).reshape(shape)


def append_selection(
    proto: onnx.ModelProto,
    *,
    i_idx: int,
    o_idx: int,
    shape_of: Callable[[str], tuple[int, ...]],
    post_process: Operator | Sequence[Operator],
    use_norm: bool,
    threshold: Fraction | float | str | None,
    mask: NDArray[Any] | None,
    top: int | None = None,
    below: Fraction | float | str | None = None,
    copy: bool = True,
) -> AppendedSelection:
    """Append the nodes that turn one output of a model into a score map and a selection.

    Parameters
    ----------
    proto : onnx.ModelProto
        The model. Random nodes must be frozen.
    i_idx, o_idx : int
        Which input (initializers not counted) and which output.
    shape_of : callable
        Static shape of a tensor of the model.
    post_process : Operator or sequence of Operator
    use_norm : bool
        Compare the min-max normalised map with the threshold (without a division: a constant map selects
        nothing).
    threshold : Fraction, float or str, optional
        Stored as a double, rounded to nearest; the stored value is the certified one.
    top : int, optional
        Select so many of the greatest scores instead.
    below : Fraction, float or str, optional
        A second selection, of what is less.
    mask : array or None
        Where the selection counts; the shape is the score map's, axes of length one may be left out.
    copy : bool
        Leave `proto` as it is.

    Returns
    -------
    AppendedSelection

    Raises
    ------
    ModelError, OptionError, InputError
    """
    source = _tensor(free_inputs(proto.graph), i_idx, "i_idx", "inputs", shape_of)
    score = _tensor(list(proto.graph.output), o_idx, "o_idx", "outputs", shape_of)
    if score.elem_type not in FLOATING:
        raise ModelError(
            f'The output "{score.name}" holds {type_name(score.elem_type)}, not floats; use '
            "sureline.Selection for it."
        )
    _require_free_names(proto.graph)
    none: tuple[Fraction, tuple[str, ...]] = (Fraction(0), ())
    stored, warnings = none if threshold is None else stored_threshold(threshold, use_norm)
    audited = copied(proto) if copy else proto
    graph = Appender(audited)
    for k, step in enumerate(steps_of(post_process)):
        score = step.nodes(graph, score, f"{PREFIX}post{k}", source)
    score = Tensor(
        graph.node("Cast", [score.name], f"{PREFIX}score", to=TensorProto.DOUBLE),
        TensorProto.DOUBLE,
        score.shape,
    )
    stored_mask = None if mask is None else mask_like(mask, score.shape)
    if top is not None:
        above = graph.node("Greater", [score.name, _middle(graph, score, top, stored_mask)], f"{PREFIX}above")
    elif use_norm:
        level = graph.constant(f"{PREFIX}threshold", np.array(float(stored)))
        peak = graph.node("ReduceMax", [score.name], f"{PREFIX}max", keepdims=1)
        low = graph.node("ReduceMin", [score.name], f"{PREFIX}min", keepdims=1)
        # s - min > t (max - min) as (1 - t)(s - min) > t (max - s): no division, and no value counts twice
        rest = graph.constant(f"{PREFIX}complement", np.array(float(1 - stored)))
        over = graph.node(
            "Mul", [graph.node("Sub", [score.name, low], f"{PREFIX}shifted"), rest], f"{PREFIX}over"
        )
        under = graph.node(
            "Mul", [graph.node("Sub", [peak, score.name], f"{PREFIX}missing"), level], f"{PREFIX}under"
        )
        above = graph.node("Greater", [over, under], f"{PREFIX}above")
    else:
        level = graph.constant(f"{PREFIX}threshold", np.array(float(stored)))
        above = graph.node("Greater", [score.name, level], f"{PREFIX}above")
    selections = [_within(graph, above, stored_mask, "selection")]
    if below is not None:
        lower, more = stored_threshold(below, False)
        warnings += more
        level = graph.constant(f"{PREFIX}lower", np.array(float(lower)))
        under = graph.node("Less", [score.name, level], f"{PREFIX}under")
        selections.append(_within(graph, under, stored_mask, "second"))
    graph.output(score)
    for name in selections:
        graph.output(Tensor(name, TensorProto.BOOL, score.shape))
    return AppendedSelection(audited, score.name, tuple(selections), score.shape, stored, warnings)


def _within(graph: Appender, marked: str, mask: NDArray[Any] | None, name: str) -> str:
    """What is marked, inside the mask."""
    if mask is None:
        return graph.node("Identity", [marked], f"{PREFIX}{name}")
    return graph.node("And", [marked, graph.constant(f"{PREFIX}mask", mask)], f"{PREFIX}{name}")


def _middle(graph: Appender, score: Tensor, top: int, mask: NDArray[Any] | None) -> str:
    """The middle between the `top`-th greatest score and the next one: exactly `top` scores are above it, but
    for ties of the two."""
    graph.require_opset(11, "top")
    places = np.arange(int(np.prod(score.shape))) if mask is None else np.flatnonzero(mask)
    if top >= len(places):
        raise OptionError(f"top is {top}, but only {len(places)} elements can be selected; choose less.")
    flat = graph.node(
        "Reshape", [score.name, graph.constant(f"{PREFIX}flat", np.array([-1]))], f"{PREFIX}all"
    )
    if mask is not None:
        flat = graph.node("Gather", [flat, graph.constant(f"{PREFIX}places", places)], f"{PREFIX}within")
    count = graph.constant(f"{PREFIX}count", np.array([top + 1]))
    best = graph.node("TopK", [flat, count], [f"{PREFIX}greatest", f"{PREFIX}where"])
    ends = [
        graph.node(
            "Gather", [best, graph.constant(f"{PREFIX}{name}", np.array(place))], f"{PREFIX}{name}_score"
        )
        for name, place in (("last", top - 1), ("next", top))
    ]
    half = graph.constant(f"{PREFIX}half", np.array(0.5))
    return graph.node("Mul", [graph.node("Add", ends, f"{PREFIX}both"), half], f"{PREFIX}middle")


def append_labels(
    proto: onnx.ModelProto,
    o_idx: int,
    axis: int,
    shape_of: Callable[[str], tuple[int, ...]],
    mask: NDArray[Any] | None = None,
) -> tuple[str, str | None]:
    """Append, in place, which of several scores is the greatest: (name of the labels, name of the scores).

    An output of integers holds labels already, and nothing is computed. The mask, which only the contrast
    reads, is stored beside them.
    """
    given = _tensor(list(proto.graph.output), o_idx, "o_idx", "outputs", shape_of)
    _require_free_names(proto.graph)
    graph = Appender(proto)
    if given.elem_type not in FLOATING:
        labels = graph.node("Cast", [given.name], f"{PREFIX}selection", to=TensorProto.INT64)
        _keep(graph, mask, given.shape)
        graph.output(Tensor(labels, TensorProto.INT64, given.shape))
        return labels, None
    rank = len(given.shape)
    if not -rank <= axis < rank:
        raise OptionError(f"axis is {axis}, but the scores have {rank} axes.")
    score = graph.node("Cast", [given.name], f"{PREFIX}score", to=TensorProto.DOUBLE)
    labels = graph.node("ArgMax", [score], f"{PREFIX}selection", axis=axis % rank, keepdims=1)
    shape = tuple(1 if k == axis % rank else n for k, n in enumerate(given.shape))
    _keep(graph, mask, shape)
    graph.output(Tensor(score, TensorProto.DOUBLE, given.shape))
    graph.output(Tensor(labels, TensorProto.INT64, shape))
    return labels, score


def _keep(graph: Appender, mask: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    if mask is not None:
        graph.constant(f"{PREFIX}mask", mask_like(mask, shape))


def _tensor(
    values: list[onnx.ValueInfoProto],
    index: int,
    option: str,
    what: str,
    shape_of: Callable[[str], tuple[int, ...]],
) -> Tensor:
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < len(values):
        names = ", ".join(value.name for value in values[:8])
        raise OptionError(
            f"{option} is {index}, but the model's {what} are numbered 0 to {len(values) - 1} ({names})."
        )
    value = values[index]
    elem_type = value.type.tensor_type.elem_type
    if not value.type.HasField("tensor_type") or elem_type not in _NUMERIC:
        raise ModelError(f'"{value.name}", one of the model\'s {what}, is not a tensor of real numbers.')
    return Tensor(value.name, int(elem_type), tuple(int(n) for n in shape_of(value.name)))


def _require_free_names(graph: onnx.GraphProto) -> None:
    for names in (
        (value.name for value in graph.input),
        (tensor.name for tensor in graph.initializer),
        (name for node in graph.node for name in node.output),
    ):
        for name in names:
            if name.startswith(PREFIX):
                raise ModelError(
                    f'The model already has a tensor called "{name}"; audit the model itself, not '
                    "audited.onnx."
                )


def stored_threshold(threshold: Fraction | float | str, use_norm: bool) -> tuple[Fraction, tuple[str, ...]]:
    """The double that is certified; for a normalised map one whose complement 1 - t is a double too."""
    exact = exact_number(threshold, "threshold", error=OptionError)
    try:
        stored = float(exact)
        if use_norm and Fraction(1.0 - stored) != 1 - Fraction(stored):
            stored = 1.0 - float(1 - exact)
            # still no double: far outside [0, 1], where nothing or everything is selected
            if Fraction(1.0 - stored) != 1 - Fraction(stored):
                raise OptionError(f"threshold is {threshold}; a normalised map lies between 0 and 1.")
    except OverflowError:
        raise OptionError(f"threshold is {threshold}, beyond the range of a double.") from None
    if Fraction(stored) == exact:
        return Fraction(stored), ()
    return Fraction(stored), (
        f"The threshold {threshold} is stored as the double {stored!r} (exactly {Fraction(stored)}), "
        "which is the certified one.",
    )
