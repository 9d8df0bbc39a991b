"""A model whose tensors lie in other files of its folder, as one that holds them all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import onnx

from verifier.check.claims.reading import file_bytes, require
from verifier.check.errors import UnusableCertificate
from verifier.check.graph.subgraphs import all_nodes

__all__ = ["gathered", "tensors_of"]

LARGEST = 1 << 31


def gathered(content: bytes, folder: Path) -> bytes:
    """The serialised model with all data inside; `content` itself if nothing is outside.

    Raises
    ------
    UnusableCertificate
        If a file is missing, too short, too large, or not a regular file inside the folder reached without
        links.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # of protobuf
        raise UnusableCertificate("the model is not an ONNX file") from error
    outside = [t for t in tensors_of(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return content
    files: dict[str, bytes] = {}
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if location not in files:
            files[location] = _inside(location, folder)
            total = sum(map(len, files.values()))
            require(total <= LARGEST, f"the model's data is larger than {LARGEST} bytes")
        data, called = files[location], f"the data of {tensor.name!r}"
        start = _whole(entries.get("offset", "0"), called)
        length = _whole(entries["length"], called) if "length" in entries else len(data) - start
        require(0 <= length <= len(data) - start, f"{called} lies beyond the end of its file")
        tensor.raw_data = data[start : start + length]
        del tensor.external_data[:]
        tensor.ClearField("data_location")
    return bytes(model.SerializeToString(deterministic=True))


def tensors_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """All tensors that a model stores, in subgraphs and functions too."""
    functions = (node for function in model.functions for node in function.node)
    return [*model.graph.initializer, *_of_nodes([*model.graph.node, *functions])]


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (a for node in all_nodes(nodes) for a in node.attribute):
        yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            yield from graph.initializer


def _inside(location: str, folder: Path) -> bytes:
    path = PurePosixPath(location)
    is_plain = bool(location) and not path.is_absolute() and ".." not in path.parts
    is_plain &= not set("\\:\0") & set(location)
    require(is_plain, f"the model's data file {location!r} is not a file of its folder")
    real = os.path.realpath(folder)
    require(os.path.realpath(os.path.join(real, path)) == os.path.join(real, path), f"{location!r} is a link")
    return file_bytes(os.path.join(real, path), LARGEST)


def _whole(text: str, called: str) -> int:
    require(text.isascii() and text.isdigit() and len(text) < 20, f"a number is damaged in {called}")
    return int(text)
