"""A look at the bytes of an ONNX file before anything is built from them.

A protobuf parser makes an object of a hundred bytes from every empty two-byte message, so a small file can
fill the memory. Here the messages are counted and their nesting is measured, in the bytes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import onnx

from symbolic.errors import ModelError

__all__ = ["scan"]

MAX_FIELDS = 2_000_000
MAX_NESTING = 60


@dataclass
class _Schema:
    """Which fields of a message are messages themselves, and which are names."""

    messages: dict[int, _Schema] = field(default_factory=dict)
    names: set[int] = field(default_factory=set)


def _schema(descriptor: Any, made: dict[str, _Schema]) -> _Schema:
    """Read it off the classes in `onnx`."""
    if descriptor.full_name not in made:
        schema = made[descriptor.full_name] = _Schema()
        for entry in descriptor.fields:
            if entry.message_type is not None:
                schema.messages[entry.number] = _schema(entry.message_type, made)
            elif entry.type == entry.TYPE_STRING and entry.name != "doc_string":
                schema.names.add(entry.number)
    return made[descriptor.full_name]


_MODEL = _schema(onnx.ModelProto.DESCRIPTOR, {})


def scan(data: bytes) -> int:
    """Count the fields of a serialised ONNX model.

    Returns
    -------
    int
        The number of fields in all messages, packed numbers counted once.

    Raises
    ------
    ModelError
        If the bytes are no protobuf message, a name is not text, they hold more than 2,000,000 fields, or
        nest deeper than 60.
    """
    count = 0
    # Each entry: where the message ends, and what is in it.
    stack: list[tuple[int, _Schema]] = [(len(data), _MODEL)]
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
            message = known.messages.get(tag >> 3)
            if message is not None and at + length <= end:
                if len(stack) >= MAX_NESTING:
                    raise ModelError(f"The model is nested deeper than {MAX_NESTING} messages.")
                stack.append((at + length, message))
            else:
                if tag >> 3 in known.names:
                    _require_text(data[at : at + length])
                at += length
        else:  # groups are no part of ONNX
            raise ModelError("The file is not an ONNX model, or it is damaged.")
        if at > end:
            raise ModelError("The file is not an ONNX model, or it is truncated.")
    return count


def _require_text(name: bytes) -> None:
    # Parsers leave this to the day when the name is read.
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError("The file is damaged: a name in it is not text (UTF-8).") from None


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
