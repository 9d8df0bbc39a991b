"""Damage for `fuzz.py`: bytes, JSON documents and array files, changed a little at random."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["SMALL", "Rng", "mutated_bytes", "mutated_json", "mutated_npy", "pick"]

Rng = np.random.Generator
SMALL = [-3, -2, -1, 0, 1, 2, 3, 4, 5]


def pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def mutated_bytes(data: bytes, rng: Rng) -> bytes:
    """Flip, set, insert, delete, repeat or cut."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(out) + 1))
        size = int(min(len(out) - at, rng.integers(1, 20)))
        kind = int(rng.integers(8))
        if kind <= 2 and size:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            out[at : at + size] = bytes([pick(rng, [0, 1, 127, 128, 255])]) * size
        elif kind == 4:
            out[at:at] = rng.bytes(int(rng.integers(1, 12)))
        elif kind == 5:
            del out[at : at + size]
        elif kind == 6:
            out[at:at] = out[at : at + int(rng.integers(1, 400))]
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


NUMBERS = [
    "0",
    "1",
    "-1",
    "1/2",
    "-1/2",
    "1/3",
    "7/4",
    "2/4",
    "1/0",
    "0/1",
    "+1",
    " 1",
    "1e5",
    "1e999999",
    "NaN",
]
NUMBERS += [
    "inf",
    "-inf",
    "",
    "9" * 3999,
    "9" * 5000,
    "1/" + "7" * 3000,
    "0.05",
    "1.0",
    "0.99999",
    "1e-320",
    "٣",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**53,
    10**17,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    [],
    {},
]
VALUES += [
    "selection",
    "inside",
    "outside",
    "gap",
    "custom",
    "BackMeanDiff",
    "full",
    "diagonal",
    "scalar",
    "less",
]
VALUES += [
    "greater",
    "two-sided",
    "activation_pattern",
    "audited.onnx",
    "input_0.npy",
    "certificate.json",
    "../x.npy",
]
VALUES += [
    [[[[[[[]]]]]]],
    ["-inf", "inf", "gap"],
    ["-inf", "inf", "inside"],
    [1, 2],
    {"a": 1},
    "\ud800",
    "\0",
]


DEPTH = 50
"""A change may nest a thousand lists."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if len(path) > DEPTH:
        return
    for key in range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ():
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def mutated_json(document: Any, rng: Rng) -> Any:
    """A document with one to three places changed."""
    whole = json.loads(json.dumps(document))
    if isinstance(whole, dict) and rng.random() < 0.4:
        _change_claims(whole, rng)
        return whole
    for _ in range(int(pick(rng, [1, 1, 1, 2, 3]))):
        by_key: dict[Any, list[tuple[Any, ...]]] = {}
        for path in _places(whole):
            by_key.setdefault(path[0] if path else None, []).append(path)
        if not by_key:
            return whole
        path = pick(rng, by_key[pick(rng, sorted(by_key, key=str))])
        place = whole
        for key in path[:-1]:
            place = place[key]
        _change_place(place, path[-1], rng)
    return whole


def _change_place(place: Any, key: Any, rng: Rng) -> None:
    kind, value = rng.random(), place[key]
    if kind < 0.12:
        del place[key]
    elif kind < 0.18:
        if isinstance(place, list):
            place.insert(key, deepcopy(value))
        else:
            place[key + "x"] = place.pop(key)
    elif kind < 0.3:
        other = pick(rng, list(place) if isinstance(place, dict) else range(len(place)))
        place[key], place[other] = place[other], place[key]
    elif isinstance(value, str) and kind < 0.6:
        place[key] = pick(rng, NUMBERS)
    elif isinstance(value, str) and kind < 0.85 and value:
        at = int(rng.integers(len(value)))
        place[key] = value[:at] + pick(rng, list("0123456789-/.einfA+=")) + value[at + int(rng.integers(2)) :]
    elif isinstance(value, int) and kind < 0.7:
        place[key] = int(value) + pick(rng, SMALL)
    else:
        place[key] = deepcopy(pick(rng, VALUES))  # two changes may meet in one of them


def _change_claims(document: dict[str, Any], rng: Rng) -> None:
    """Other claims, in good form."""
    cells, kind = document["cells"], int(rng.integers(8))
    k = int(rng.integers(1, len(cells)))
    verdicts: list[list[Any]] = [["inside"], ["gap"], ["outside", 0, int(rng.integers(7))]]
    if kind == 0:  # an end moves
        moved = Fraction(cells[k][0]) + pick(rng, [1, -1]) * Fraction(1, 2 ** int(rng.integers(1, 70)))
        cells[k - 1][1] = cells[k][0] = str(moved)
    elif kind == 1:
        cells[k][2:] = pick(rng, verdicts)
    elif kind == 2:  # two become one
        cells[k - 1 : k + 1] = [[cells[k - 1][0], cells[k][1], *pick(rng, [cells[k - 1][2:], cells[k][2:]])]]
    elif kind == 3:
        claim = document["claim"]
        key = pick(rng, ["inf_p", "sup_p", "log_inf_p", "log_sup_p"])
        claim[key] = str(
            Decimal(claim[key]) * (1 + pick(rng, [1, -1]) * Decimal(10) ** -int(rng.integers(15)))
        )
    elif kind == 4:
        claim = document["claim"]
        claim["stat"] = str(Fraction(claim["stat"]) * pick(rng, [-1, 2, Fraction(2**60 + 1, 2**60)]))
    elif kind == 5:
        document["line"]["scale"] = str(
            Fraction(document["line"]["scale"]) * pick(rng, [-1, 2, Fraction(1, 3)])
        )
    elif kind == 6:
        place, key = pick(rng, [(document["law"], "null_value"), (document["hypothesis"], "threshold")])
        place[key] = str(Fraction(place.get(key, "0")) + Fraction(1, 2 ** int(rng.integers(60))))
    else:
        raw = bytearray(base64.b64decode(document["observed"][0]["values"]))
        raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        document["observed"][0]["values"] = base64.b64encode(raw).decode()


HEADERS = [
    "(1099511627776,)",
    "(1, -2)",
    "(2,)",
    "()",
    "(1, 2, 3)",
    "(1.5,)",
    "(True, 2)",
    "[1, 2]",
    "(0,)",
    "1",
]
HEADERS += ["None", "(" + "1," * 70 + ")", "(2, 9223372036854775807)", "((1,), 2)", "(" * 90 + ")" * 90]
DTYPES = ["'<f8'", "'>f8'", "'<f4'", "'<f2'", "'<i8'", "'|b1'", "'<u8'", "'|O'", "'<c16'", "'<U4'", "'|V8'"]
DTYPES += [
    "'<M8[s]'",
    "[('a', '<f8')]",
    "'<f16'",
    "'|S0'",
    "'x'",
    "None",
    "'<f8,<f8'",
    "'(2,)f8'",
    "5",
    "'|i1'",
]


def mutated_npy(array: Any, rng: Rng) -> bytes:
    """An .npy file (or what says it is one) with a damaged header or body."""
    buffer = io.BytesIO()
    kind = rng.random()
    if kind < 0.1:
        np.savez_compressed(buffer, *[array] * int(rng.integers(3)))
        return mutated_bytes(buffer.getvalue(), rng) if rng.random() < 0.6 else buffer.getvalue()
    np.save(buffer, np.array([None, {}]) if kind < 0.14 else array, allow_pickle=True)
    data = buffer.getvalue()
    if kind < 0.4:
        return mutated_bytes(data, rng)
    shape, dtype = str(array.shape), repr(array.dtype.str)
    shape = pick(rng, HEADERS) if rng.random() < 0.5 else shape
    dtype = pick(rng, DTYPES) if rng.random() < 0.5 else dtype
    order = pick(rng, ["False", "True", "0", "'C'"]) if rng.random() < 0.3 else "False"
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    body = array.tobytes()
    special = np.array([pick(rng, [np.nan, np.inf, 5e-324, -0.0, 1.7e308])]).tobytes()
    body = (
        special + body[8:]
        if rng.random() < 0.3
        else body[: int(rng.integers(len(body) + 1))] * int(rng.integers(3))
    )
    version = pick(rng, [b"\x01\x00"] * 5 + [b"\x02\x00", b"\x03\x00", b"\x09\x00", b"\x00\x00"])
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + (body if rng.random() < 0.5 else array.tobytes())
