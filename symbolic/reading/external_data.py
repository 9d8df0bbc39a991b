"""External data of a model: only from regular files inside the model's own folder, and bounded."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx import TensorProto

from symbolic.errors import ModelError
from symbolic.reading.tensors import all_tensors, require_consistent

__all__ = ["load_external_data"]


def load_external_data(proto: onnx.ModelProto, folder: Path | None, max_bytes: int) -> bool:
    """Read external data into the model, in place.

    Parameters
    ----------
    proto : onnx.ModelProto
    folder : Path or None
        The model's folder; None where there is none.
    max_bytes : int
        Most bytes that all of it may take.

    Returns
    -------
    bool
        Whether there was any.

    Raises
    ------
    ModelError
        If a file is missing, too short, or anything but a regular file inside `folder` reached without links.
    """
    wanted = [tensor for tensor in all_tensors(proto) if tensor.data_location == TensorProto.EXTERNAL]
    total = sum(require_consistent(tensor) for tensor in wanted)
    if total > max_bytes:
        raise ModelError(
            f"The model's external data takes {total} bytes, more than the limit of {max_bytes}."
        )
    for tensor in wanted:
        if folder is None:
            raise ModelError(
                f'The stored tensor "{tensor.name}" is external data: load the model from its file, or with '
                "onnx.load(path)."
            )
        tensor.raw_data = _read(tensor, folder)
        del tensor.external_data[:]
        tensor.ClearField("data_location")
    return bool(wanted)


def _read(tensor: TensorProto, folder: Path) -> bytes:
    called = f'the external data of "{tensor.name}"'
    entries = {entry.key: entry.value for entry in tensor.external_data}
    size = require_consistent(tensor)
    offset = _whole(entries.get("offset", "0"), called)
    if "length" in entries and _whole(entries["length"], called) != size:
        raise ModelError(f"The model's dims and length disagree for {called}.")
    path = _inside(entries.get("location", ""), folder, called)
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path.name}, {called}, is not a regular file.")
            if offset + size > status.st_size:
                raise ModelError(f"{path.name}, {called}, is too short.")
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise ModelError(f"{path.name}, {called}, cannot be read ({error.strerror}).") from None
    if len(data) != size:
        raise ModelError(f"{path.name}, {called}, is too short.")
    return data


def _whole(text: str, called: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"A number is damaged in {called}.")
    return int(text)


def _inside(location: str, folder: Path, called: str) -> Path:
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    if (
        not parts
        or "\0" in location
        or PurePosixPath(location).is_absolute()
        or windows.drive
        or windows.root
        or ".." in windows.parts
    ):
        raise ModelError(f"The model's folder does not hold {called}: its location leads out of the folder.")
    path = folder
    for part in parts:
        path = path / part
        try:
            linked = path.is_symlink()
        except OSError:
            linked = False  # opening it gives the reason
        if linked:
            raise ModelError(f"{part}, {called}, is a symbolic link, which is not followed.")
    return path
