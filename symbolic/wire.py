"""A look at the bytes of an ONNX file before anything is built from them.

A protobuf parser makes an object of a hundred bytes from every empty two-byte message, so a small file can
fill the memory. Here the messages are counted and their nesting is measured, in the bytes alone.
"""

from __future__ import annotations

from typing import Any

import onnx

from symbolic.errors import ModelError

__all__ = ["scan"]

MAX_FIELDS = 2_000_000
MAX_NESTING = 60

_Table = dict[int, "_Table"]


def _table(descriptor: Any, made: dict[str, _Table]) -> _Table:
    """Which fields of a message are messages themselves, and their tables, from the schema in `onnx`."""
    name = descriptor.full_name
    if name not in made:
        made[name] = {}
        for field in descriptor.fields:
            if field.message_type is not None:
                made[name][field.number] = _table(field.message_type, made)
    return made[name]


_MODEL: _Table = _table(onnx.ModelProto.DESCRIPTOR, {})


def scan(data: bytes) -> int:
    """Count the fields of a serialised ONNX model.

    Returns
    -------
    int
        The number of fields in all messages, packed numbers counted once.

    Raises
    ------
    ModelError
        If the bytes are no protobuf message, hold more than 2,000,000 fields, or nest deeper than 60.
    """
    count = 0
    # Each entry: where the message ends, and which of its fields are messages.
    stack: list[tuple[int, _Table]] = [(len(data), _MODEL)]
    at = 0
    while stack:
        end, known = stack[-1]
        if at == end:
            stack.pop()
            continue
        tag, at = _varint(data, at, end)
        count += 1
        if count > MAX_FIELDS:
            raise ModelError(
                f"The file holds more than {MAX_FIELDS} protobuf fields; that is no ordinary model."
            )
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at, end)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            length, at = _varint(data, at, end)
            message = known.get(tag >> 3)
            if message is not None and at + length <= end:
                if len(stack) >= MAX_NESTING:
                    raise ModelError(f"The model is nested deeper than {MAX_NESTING} messages.")
                stack.append((at + length, message))
            else:
                at += length
        else:  # groups are no part of ONNX
            raise ModelError("The file is not an ONNX model, or it is damaged.")
        if at > end:
            raise ModelError("The file is not an ONNX model, or it is truncated.")
    return count


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise ModelError("The file is not an ONNX model, or it is truncated.")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
