"""Integers cut into signed limbs, ``x = sum_i x_i * 2**(p*i)`` with |x_i| <= 2**(p-1), and joined again.

Long Python integers go through their bytes, which takes a time that is linear in their length.
"""

from __future__ import annotations

import numpy as np

from verifier.check.numbers.integers import Array, magnitude, objects

__all__ = ["joined", "split"]

WORD = 8  # bytes of an int64


def split(a: Array, width: int) -> list[Array]:
    """The limbs of width p, least first, as float64."""
    if a.dtype == object and width % 8 == 0 and width <= 48:
        return _cut(a, width)
    limbs, half = [], 1 << (width - 1)
    for _ in range(-(-(magnitude(a).bit_length() + 1) // width) - 1):
        rest = (a + half) >> width
        limbs.append((a - (rest << width)).astype(np.float64))
        a = rest
    return [*limbs, a.astype(np.float64)]


def _cut(a: Array, width: int) -> list[Array]:
    """The same: with half a unit added in every place, the limbs are unsigned, and parts of the bytes."""
    count = -(-(magnitude(a).bit_length() + 2) // width)  # |a| <= 2**(p*count - 2)
    size, half = count * width // 8, 1 << (width - 1)
    offset = sum(half << (width * i) for i in range(count))  # from 2**(p*count - 1) on
    raw = b"".join([(v + offset).to_bytes(size, "little") for v in a.flat])
    words = np.zeros((a.size, count, WORD), dtype=np.uint8)
    words[..., : width // 8] = np.frombuffer(raw, dtype=np.uint8).reshape(a.size, count, width // 8)
    limbs = words.view("<i8")[..., 0].T - half
    return [limb.reshape(a.shape).astype(np.float64) for limb in limbs]


def joined(limbs: list[Array], width: int) -> Array:
    """``sum_i x_i * 2**(p*i)`` of whole numbers |x_i| <= 2**53 in float64, p a multiple of 8 up to 48."""
    shape, count = limbs[0].shape, width // 8
    carry, words = np.zeros(limbs[0].size, dtype="<i8"), []
    for limb in limbs:
        carry = carry + limb.reshape(-1).astype("<i8")  # below 2**53 + 2**(55 - p)
        words.append((carry & ((1 << width) - 1)).view(np.uint8).reshape(-1, WORD)[:, :count])
        carry = carry >> width
    raw = np.concatenate([*words, carry.view(np.uint8).reshape(-1, WORD)], axis=1).tobytes()
    size = count * len(limbs) + WORD
    starts = range(0, len(raw), size)
    return objects([int.from_bytes(raw[k : k + size], "little", signed=True) for k in starts]).reshape(shape)
