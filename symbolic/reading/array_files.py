"""Arrays from files that may have been made to do harm: bounded, and never unpickled."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import InputError

__all__ = ["DEFAULT_MAX_BYTES", "open_regular", "read_raw_array"]

DEFAULT_MAX_BYTES = 2**31


def read_raw_array(path: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> NDArray[Any]:
    """Read an array of any dtype from a .npy file, or from a .npz file that holds exactly one.

    The header is read first: nothing is allocated or decompressed beyond `max_bytes`, nothing is unpickled.

    Raises
    ------
    InputError
        If the file is missing, is neither format, is truncated, too large or pickled.
    """
    shown = Path(path).name
    try:
        with open(path, "rb", opener=open_regular) as file:
            head = file.read(6)
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            if head.startswith(b"PK"):
                array = _read_npz(file, shown, max_bytes)
            elif head == b"\x93NUMPY":
                array = _read_npy(file, size, shown, max_bytes)
            else:
                raise InputError(f"{shown} is not a .npy or .npz file (write one with numpy.save).")
    except FileNotFoundError:
        raise InputError(f"{shown}: there is no such file.") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror or error}).") from None
    return array


def open_regular(path: str, flags: int) -> int:
    """Open without waiting for a pipe, and only a regular file."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a regular file")
    return descriptor


def _read_npy(file: IO[bytes], size: int, shown: str, max_bytes: int) -> NDArray[Any]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:  # 2.0 and 3.0 differ only in how field names are encoded
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception:  # numpy parses the header with Python's tokenizer, which has error types of its own
        raise InputError(f"{shown} has a damaged .npy header.") from None
    if dtype.itemsize == 0:
        raise InputError(f"{shown} holds entries of no bytes; save an array of numbers.")
    if dtype.hasobject:
        raise InputError(f"{shown} holds pickled objects, which are never loaded; save an array of numbers.")
    count = 1
    for length in shape:
        if length < 0:
            raise InputError(f"{shown} has a damaged .npy header.")
        count *= length
    wanted = count * dtype.itemsize
    if wanted > max_bytes:
        raise InputError(f"{shown} claims {wanted} bytes, more than the limit of {max_bytes}.")
    if wanted > size:
        raise InputError(f"{shown} is truncated: its header claims {wanted} bytes of numbers.")
    data = file.read(wanted)
    if len(data) != wanted:
        raise InputError(f"{shown} is truncated: its header claims {wanted} bytes of numbers.")
    if file.read(1):
        raise InputError(f"{shown} has bytes after its array; it is damaged or not a .npy file.")
    array: NDArray[Any] = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _read_npz(file: IO[bytes], shown: str, max_bytes: int) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise InputError(f"{shown} holds {len(members)} arrays; give a file with exactly one.")
            size = members[0].file_size
            if size > max_bytes:
                raise InputError(f"{shown} claims {size} bytes, more than the limit of {max_bytes}.")
            with archive.open(members[0]) as member:
                return _read_npy(member, size, shown, max_bytes)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error):
        raise InputError(f"{shown} is a damaged or encrypted .npz file.") from None
