"""Bytes, arrays, JSON and numbers of untrusted files: every limit is enforced before anything is parsed."""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from flint import fmpz

from verifier.check.errors import UnusableCertificate
from verifier.check.numbers.integers import Array

__all__ = ["END_DIGITS", "decimal", "fields", "file_bytes", "parse_json", "parse_npy", "rational", "require"]

LIMITS = {"certificate.json": 1 << 27, ".onnx": 1 << 31, ".npy": 1 << 31, ".json": 1 << 28}
DIGITS, DEPTH, DECIMAL_EXPONENT = 4000, 12, 100_000
END_DIGITS = 20_000  # of the numerator, and of the denominator, of an end of a cell: a root of a deep network
RATIONAL = re.compile(r"-?(0|[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?", re.ASCII)


def require(good: bool, what: str) -> None:
    """Refuse a certificate that is not `good`."""
    if not good:
        raise UnusableCertificate(what)


def file_bytes(path: str | os.PathLike[str], limit: int | None = None) -> bytes:
    """The content of a regular file (no link) that is not too large."""
    path = Path(path)
    limit = limit or LIMITS.get(path.name) or LIMITS.get(path.suffix) or LIMITS[".onnx"]
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UnusableCertificate(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(handle)
        require(stat.S_ISREG(found.st_mode), f"{path.name} is not a regular file")
        require(found.st_size <= limit, f"{path.name} is larger than {limit} bytes")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(found.st_size)  # room for `limit` bytes would be made at once
    finally:
        os.close(handle)


def parse_npy(content: bytes, name: str) -> Array:
    """A .npy array of finite real numbers; never unpickles."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, fortran, dtype = read(stream)
    except Exception as error:
        raise UnusableCertificate(f"{name} is no .npy file that can be read: {error}") from error
    require(
        dtype.kind in "fiub" and dtype.itemsize <= 8,
        f"{name} holds {dtype}, not real numbers of up to 64 bits",
    )
    require(all(type(n) is int for n in shape), f"the shape of {name} is none")
    count = math.prod(shape)
    rest = content[stream.tell() :]
    require(
        all(n >= 0 for n in shape) and count * dtype.itemsize == len(rest),
        f"{name} does not have its stated size",
    )
    array = np.frombuffer(rest, dtype=dtype, count=count).reshape(shape, order="F" if fortran else "C")
    require(dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name} holds NaN or infinity")
    return np.ascontiguousarray(array).reshape(shape).astype(dtype.newbyteorder("="))


def parse_json(content: bytes, name: str) -> Any:
    """JSON without floats, repeated keys, deep nesting or long numbers."""
    depth = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', content):
        first = token.group()[:1]
        depth += (first in b"[{") - (first in b"]}")
        require(depth <= DEPTH, f"{name} is nested more than {DEPTH} deep")

    def number(text: str) -> int:
        require(len(text) <= 18, f"{name} has a bare number of more than 18 digits")
        return int(text)

    def refuse(text: str) -> Any:
        raise UnusableCertificate(f"{name} has the inexact number {text[:20]}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len({key for key, _ in pairs}) == len(pairs), f"{name} has a key twice")
        return dict(pairs)

    try:
        return json.loads(
            content.decode("utf-8"),
            parse_int=number,
            parse_float=refuse,
            parse_constant=refuse,
            object_pairs_hook=unique,
        )
    except (ValueError, RecursionError) as error:
        raise UnusableCertificate(f"{name} is not JSON: {error}") from error


def rational(text: Any, what: str, digits: int = DIGITS) -> Fraction:
    """A string p/q in lowest terms."""
    require(
        isinstance(text, str) and len(text) <= 2 * digits and RATIONAL.fullmatch(text) is not None,
        f"{what} is not an exact number",
    )
    top, _, bottom = text.partition("/")
    require(max(len(top), len(bottom)) <= digits, f"{what} has more than {digits} digits")
    p, q = (int(fmpz(part)) for part in (top, bottom or "1"))  # Python's own reading is quadratic
    require(math.gcd(p, q) == 1 and bottom != "1" and top != "-0", f"{what} is not in lowest terms")
    return Fraction(p, q)


def decimal(text: Any, what: str) -> Fraction:
    """A decimal string, with an exponent of bounded size."""
    require(
        isinstance(text, str) and len(text) <= DIGITS and DECIMAL.fullmatch(text) is not None,
        f"{what} is not a decimal number",
    )
    mantissa, _, exponent = text.lower().partition("e")
    require(abs(int(exponent or 0)) <= DECIMAL_EXPONENT, f"{what} has too large an exponent")
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def fields(value: Any, what: str, /, **kinds: Any) -> dict[str, Any]:
    """`value` is an object with exactly these fields of these types."""
    require(
        isinstance(value, dict) and value.keys() == kinds.keys(),
        f"{what} does not have the fields {sorted(kinds)}",
    )
    for key, kind in kinds.items():
        field = value[key]
        fits = isinstance(field, kind) and (not isinstance(field, bool) or kind is bool or kind == (bool,))
        require(
            fits and (not isinstance(field, int) or isinstance(field, bool) or field >= 0),
            f"{what}.{key} has the wrong type",
        )
    return value  # type: ignore[no-any-return]
