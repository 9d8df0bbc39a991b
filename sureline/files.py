"""Read the files that the command line is given, without trusting them."""

from __future__ import annotations

import math
import re
import zipfile
from fractions import Fraction
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

__all__ = ["load_array", "number", "number_or_array"]

_NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?)")
_MAX_DIGITS = 1000
_MAX_BYTES = 2**32


def number(text: str, option: str) -> Fraction:
    """Read a decimal number or a quotient, exactly.

    Raises
    ------
    OptionError
        If the text is not a finite number, or has an unreasonable size.
    """
    from symbolic.errors import OptionError

    text = text.strip()
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise OptionError(f"{option} must be a number such as 0.1, 1e-6 or 1/3, not {shown!r}.")
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise OptionError(f"{option} must be a number, and {text!r} divides by zero.") from None


def number_or_array(text: str, option: str) -> Fraction | np.ndarray:
    """Read a number, or else the array in the file of that name."""
    from pathlib import Path

    if text.lower().endswith((".npy", ".npz")):
        return load_array(Path(text), option)
    return number(text, option)


def load_array(path: Path, what: str) -> np.ndarray:
    """Read the one array of an ``.npy`` or ``.npz`` file.

    The size that the header announces is compared with the size of the file before anything is allocated, and pickled
    objects are refused.

    Raises
    ------
    InputError
        If the file cannot be read, or holds anything but one array of plain numbers.
    """
    from symbolic.errors import InputError

    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
                if len(members) != 1:
                    raise InputError(f"{what}: {path} must hold exactly one array, and holds {len(members)}.")
                with archive.open(members[0]) as stream:
                    return _read(stream, members[0].file_size)
        with path.open("rb") as stream:
            return _read(stream, path.stat().st_size)
    except FileNotFoundError:
        raise InputError(f"{what}: there is no file {path}.") from None
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read ({error.strerror or error}).") from None
    except (ValueError, EOFError, SyntaxError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{what}: {path} is not a NumPy array file ({reason}).") from None


def _read(stream: IO[bytes], size: int) -> np.ndarray:
    import numpy as np

    version = np.lib.format.read_magic(stream)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"format version {version[0]}.{version[1]} is not supported")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are not loaded")
    expected = math.prod(shape) * dtype.itemsize
    if expected > _MAX_BYTES:
        raise ValueError(f"its header announces {expected} bytes, more than the limit of {_MAX_BYTES}")
    if expected > size:
        raise ValueError("it is truncated")
    data = stream.read(expected)
    if len(data) != expected:
        raise ValueError("it is truncated")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C").copy()
