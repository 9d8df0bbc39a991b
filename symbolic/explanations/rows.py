"""Whether a network treats every row of its batch by itself, as attributions of a row take for granted."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from symbolic.errors import ModelError
from symbolic.explanations.running import values_of
from symbolic.reading.static_shapes import copied, free_inputs

__all__ = ["require_own_rows"]

ROWS = 3
SCALES = ((0.0, 1.0, 30.0), (7.0, 0.1, -0.3))
"""Of the rows beside the middle one, in two batches."""
LENGTHS = (64, 224)
"""Tried where the file leaves lengths open."""


def require_own_rows(proto: onnx.ModelProto, source: str, scores: str) -> None:
    """Run the network on two batches that share a row: its scores have to be the same to the last bit.

    A batch axis that is fixed to 1, and cannot be longer, holds no other rows.

    Raises
    ------
    ModelError
        They are not the same, or the network cannot be run on a batch.
    """
    ports = free_inputs(proto.graph)
    batch = next(_lengths(port)[:1] for port in ports if port.name == source)
    if not batch:
        return
    rows = batch[0] if batch[0] not in (None, 1) else ROWS
    open_ended = any(None in _lengths(port)[1:] for port in ports)
    problem = None
    for length in LENGTHS[: 1 + open_ended]:
        try:
            pair = _scores(proto, source, scores, batch[0], rows, length)
            break
        except ModelError as error:
            problem = error
    else:
        if batch[0] == 1:
            return
        raise ModelError(
            "the network could not be run on a batch, to see whether it treats every row by itself: give the "
            f"shapes of its inputs (shapes=, --shape). {problem}"
        )
    if pair[0].ndim == 0 or (batch[0] == 1 and len(pair[0]) == 1):
        return
    if len(pair[0]) % rows:
        raise ModelError(
            f"a batch of {rows} inputs {source!r} gives scores {scores!r} of the shape {pair[0].shape}: the "
            "first axis of both has to be the batch; export the network with a batch axis."
        )
    one, other = (found.reshape(rows, -1)[rows // 2] for found in pair)
    if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
        raise ModelError(
            f"the network mixes the rows of its batch: the scores {scores!r} of one input depend on those "
            "beside it. Export it so that it treats every row by itself, as for inference."
        )


def _lengths(port: onnx.ValueInfoProto) -> list[int | None]:
    """Of the axes of an input; None where they are open."""
    dims = port.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dims]


def _scores(
    proto: onnx.ModelProto, source: str, scores: str, batch: int | None, rows: int, length: int
) -> list[NDArray[Any]]:
    """At two batches of so many rows, which differ in all but the middle one."""
    view = copied(proto)
    rng = np.random.default_rng(0)
    feeds: list[dict[str, NDArray[Any]]] = [{}, {}]
    for port in free_inputs(view.graph):
        lengths = _lengths(port)
        shape = [length if n is None else n for n in lengths]
        stacked = bool(lengths) and lengths[0] in (None, batch)
        if stacked:
            shape[0] = rows
            port.type.tensor_type.shape.dim[0].Clear()
        kind = helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        middle = rng.random(shape)
        for k, feed in enumerate(feeds):
            values = middle.copy()
            if stacked:
                for row in set(range(rows)) - {rows // 2}:
                    values[row] = SCALES[k][row % len(SCALES[k])] * rng.normal(size=shape[1:])
            feed[port.name] = values.astype(kind) if kind.kind == "f" else (values > 0.5).astype(kind)
    del view.graph.value_info[:]
    return [found[0] for found in values_of(view, [scores], feeds)]
