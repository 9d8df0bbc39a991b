"""Arrays and numbers as they come from users, read without losing a bit.

The input of an audit is the array as given, each entry an exact rational; nothing here rounds except
`rounded_to_graph_type`, which says so.
"""

from __future__ import annotations

import os
from fractions import Fraction
from numbers import Rational
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.errors import InputError
from symbolic.reading.array_files import DEFAULT_MAX_BYTES, read_raw_array
from symbolic.reading.exact import exact_number

__all__ = [
    "REAL_TYPES",
    "as_exact_array",
    "as_floats",
    "exact_number",
    "fractions_of",
    "matches_graph_input",
    "read_array",
    "rounded_to_graph_type",
]

REAL_TYPES = frozenset(
    number
    for name, number in onnx.TensorProto.DataType.items()
    if name.startswith(("FLOAT", "DOUBLE", "BFLOAT"))
)
"""Element types of real numbers."""
_ML_DTYPES = ("bfloat16", "float8_", "float6_", "float4_", "int4", "uint4", "int2", "uint2")


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is one of the narrow types of ml_dtypes, which numpy itself calls void."""
    return dtype.kind in "Vf" and dtype.names is None and dtype.name.startswith(_ML_DTYPES)


def as_exact_array(x: object, name: str = "input", *, still: bool = False) -> NDArray[Any]:
    """Take an array from a user, losslessly.

    Parameters
    ----------
    x : object
        Anything that numpy can read, or a torch tensor: booleans, integers, floats of any width (bfloat16 and
        the narrower ones of ml_dtypes too), or Fractions.
    name : str
        What error messages call it.
    still : bool
        It is a constant: it may be empty, and hold infinities (masks do).

    Returns
    -------
    numpy.ndarray
        A read-only, C-ordered copy in native byte order with the same values and shape. The dtype is kept if
        a .npy file can hold it; else it is widened without rounding (bfloat16 and float8 to float32, int4 to
        int8), or narrowed where that loses nothing (long double to float64). Fractions stay Fractions (dtype
        object).

    Raises
    ------
    InputError
        If it is empty, not real, not finite, masked, or not an array of numbers.
    """
    array = _to_numpy(x, name)
    if array.size == 0 and not still:
        raise InputError(f"{name} is empty (shape {array.shape}).")
    dtype = array.dtype
    if array.nbytes > DEFAULT_MAX_BYTES:  # a view of little can be large
        raise InputError(f"{name} takes {array.nbytes} bytes, more than the limit of {DEFAULT_MAX_BYTES}.")
    if dtype.kind == "O":
        for value in array.flat:
            if isinstance(value, bool) or not isinstance(value, Rational):
                raise InputError(
                    f"{name} holds Python objects ({type(value).__name__}); give numbers or Fractions."
                )
    elif dtype.kind in "biu":
        pass
    elif dtype.kind == "f" or _is_narrow(dtype):
        if dtype.itemsize > 8:
            array = _from_long_double(array, name)
        elif _is_narrow(dtype):
            array = array.astype(np.int8 if "int" in dtype.name else np.float32)
        _require_numbers(array, name, still)
    elif dtype.kind == "c":
        raise InputError(f"{name} is complex; only real numbers can be audited.")
    else:
        raise InputError(f"{name} has type {dtype}, which is not a numeric type.")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    result: NDArray[Any] = np.array(array, order="C", copy=True, subok=False)
    result.flags.writeable = False
    return result


def as_floats(array: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of Fractions as one of doubles, exactly; any other one as it is.

    Raises
    ------
    InputError
        If no double is one of the Fractions.
    """
    if array.dtype.kind != "O":
        return array
    try:
        floats = array.astype(np.float64)
        pairs = zip(floats.reshape(-1).tolist(), array.reshape(-1).tolist(), strict=True)
        same = all(Fraction(f) == v for f, v in pairs)
    except OverflowError:
        same = False
    if not same:
        raise InputError(f"{name} holds fractions that no double can hold; round them first.")
    return floats


def _to_numpy(x: object, name: str) -> NDArray[Any]:
    if isinstance(x, (str, bytes, bytearray, os.PathLike)):
        raise InputError(f"{name} is {type(x).__name__}, not an array; read files with numpy.load first.")
    if callable(getattr(x, "detach", None)) and callable(getattr(x, "cpu", None)):
        tensor: Any = x
        try:
            tensor = tensor.detach().cpu()
            # numpy has no bfloat16, and float32 holds every bfloat16.
            x = (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
        except (TypeError, RuntimeError, ValueError) as error:
            raise InputError(f"{name} is a tensor that numpy cannot read ({error}).") from None
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise InputError(f"{name} has masked entries; every entry must have a value.")
    try:
        return np.asarray(x)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array ({error}).") from None


def _require_numbers(array: NDArray[Any], name: str, infinite: bool) -> None:
    finite = ~np.isnan(array) if infinite else np.isfinite(array)
    if finite.all():
        return
    where = tuple(int(i) for i in np.argwhere(~finite)[0])
    count = int(array.size - np.count_nonzero(finite))
    raise InputError(f"{name} has {count} entries that are NaN or infinite, the first at index {where}.")


def _from_long_double(array: NDArray[Any], name: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        narrow: NDArray[Any] = array.astype(np.float64)
    if not np.array_equal(narrow.astype(array.dtype), array, equal_nan=True):
        raise InputError(f"{name} has extended precision; give float64 or Fractions.")
    return narrow


def fractions_of(array: NDArray[Any]) -> list[Fraction]:
    """Give the entries of an array, in C order, as the exact rationals that they are.

    Parameters
    ----------
    array : numpy.ndarray
        As `as_exact_array` returns it.

    Returns
    -------
    list of Fraction
    """
    kind = array.dtype.kind
    if kind == "O":
        return [Fraction(value) for value in array.ravel().tolist()]
    if kind in "biu":
        return [Fraction(int(value)) for value in array.ravel().tolist()]
    # Every narrower float is a float64, and Fraction(float) is exact and needs no greatest common divisor.
    return [Fraction(value) for value in array.astype(np.float64).ravel().tolist()]


def read_array(
    path: str | os.PathLike[str], *, name: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> NDArray[Any]:
    """Read an array of real numbers from a .npy file, or from a .npz file that holds exactly one.

    Raises
    ------
    InputError
        If the file is missing, neither format, truncated, too large (judged by its header, before anything is
        allocated or decompressed), pickled, or holds no real finite numbers.
    """
    return as_exact_array(read_raw_array(path, max_bytes), name or Path(path).name)


def matches_graph_input(
    array: NDArray[Any], proto_input: onnx.ValueInfoProto, name: str | None = None
) -> None:
    """Check an array's shape against the declared one; a dimension with no value takes any length.

    Raises
    ------
    InputError
        If the shapes differ; the message names both.
    """
    tensor = proto_input.type.tensor_type
    if not proto_input.type.HasField("tensor_type"):
        raise InputError(f'The model\'s input "{proto_input.name}" is not a tensor.')
    if not tensor.HasField("shape"):
        return
    declared = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    fits = len(declared) == array.ndim and all(
        want is None or want == got for want, got in zip(declared, array.shape, strict=True)
    )
    if not fits:
        words = ", ".join(
            str(d.dim_value) if d.HasField("dim_value") else (d.dim_param or "?") for d in tensor.shape.dim
        )
        raise InputError(
            f"{name or 'The input'} has shape {tuple(array.shape)}, but the model's input "
            f'"{proto_input.name}" has shape ({words}).'
        )


def rounded_to_graph_type(
    array: NDArray[Any], elem_type: int, name: str = "input"
) -> tuple[NDArray[Any], bool]:
    """Round an array to the element type of a graph input (to nearest), for the runtime.

    Returns
    -------
    rounded : numpy.ndarray
        The same shape, in the dtype of `elem_type`.
    changed : bool
        Whether any value changed.

    Raises
    ------
    InputError
        If the type holds no numbers, or a value is beyond its range.
    """
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The model's {name} has an unknown element type ({elem_type}).") from None
    floating = dtype.kind == "f" or (_is_narrow(dtype) and "int" not in dtype.name)
    if not floating and dtype.kind not in "biu":
        raise InputError(f"The model's {name} has element type {dtype.name}, which holds no real numbers.")
    if dtype == array.dtype:
        return array, False
    beyond = InputError(f"{name} has a value beyond the range of {dtype.name}, the model's type.")
    # numpy casts a Fraction by float(), which rounds to nearest.
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            source = array.astype(np.float64) if array.dtype.kind == "O" else array
        except OverflowError:
            raise beyond from None
        if floating:
            rounded: NDArray[Any] = source.astype(dtype)
            if not np.isfinite(rounded).all():
                raise beyond
        else:
            whole = source if source.dtype.kind in "biu" else np.rint(source.astype(np.float64))
            low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
            if int(whole.min()) < low or int(whole.max()) > high:
                raise beyond
            rounded = whole.astype(dtype)
    return rounded, _differ(array, rounded)


def _differ(array: NDArray[Any], rounded: NDArray[Any]) -> bool:
    """Compare exactly: float64 holds every float and every small integer, all else goes through Fraction."""
    if array.dtype.kind != "O":
        whole = [a for a in (array, rounded) if a.dtype.kind in "iu"]
        if all(-(2**53) <= int(a.min()) and int(a.max()) <= 2**53 for a in whole):
            return not np.array_equal(array.astype(np.float64), rounded.astype(np.float64))
    return fractions_of(array) != fractions_of(rounded)
