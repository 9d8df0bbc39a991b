"""Linear maps of affine forms by float64 matrix products that carry integers exactly.

Integers are cut into signed limbs of p bits, at most 2**(p-1) (see `limbs`). A float64 product of a limb of
the weights with a limb of the values is exact, in whatever order BLAS adds (with or without fused
operations), when every partial sum is an integer of at most 2**53; the sum over a row of the weights' |limbs|
times 2**(p-1) bounds all of them, and p is chosen so that it is.

A map is given in one normal form: ``y[g, o, n] = sum_k w[g, o, k] * x[index[g, k, n]]`` over the flattened
input, where index = input size stands for a zero (padding). Convolutions, matrix products and
interpolations are it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verifier.check.numbers.integers import Arithmetic, Array, Form, magnitude
from verifier.check.numbers.limbs import joined, split
from verifier.check.numbers.rationals import denominator_of, quotient

__all__ = ["Weights", "linear"]

WIDTH = 22  # bits of a limb of the weights
NARROWEST = 16  # bits of a limb of the values; longer rows are halved
BLOCK = 1 << 18  # numbers of gathered input per matrix product: stays in the cache
TIERS = 8  # most of them
Tier = tuple[Array, int]
"""Numbers in units of 2 to the second, of which several may be a sum."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Constant weights (G, O, K), cut into limbs once."""

    limbs: Array  # float32 (G, J*O, K), limb by limb: 22 bits fit
    rows: tuple[int, ...]  # per limb, the largest sum of |limb| over a row
    e: int
    above: list[Tier]  # |w| rounded up to float32 (G, O, K)
    errors: list[Tier]  # the same for the errors of the weights
    denominator: int = 1  # all of this is to be divided by it

    @classmethod
    def of(cls, ar: Arithmetic, w: Form) -> Weights:
        """Weights from a constant form of shape (G, O, K); rounded to as many limbs as the precision has."""
        (c, r), denominator = (
            _cleared([w.c[..., 0], w.r[..., 0]]) if ar.rational else ([w.c[..., 0], w.r[..., 0]], 1)
        )
        e = w.e
        if not ar.fast:  # a form has more bits than its numbers need
            zeros = _common_zeros(c, r)
            c, r, e = c >> zeros, r >> zeros, e + zeros
        over = magnitude(c).bit_length() - ((ar.limbs or 0) * WIDTH - 1)
        if ar.limbs and over > 0:
            lost = (c & ((1 << over) - 1)) != 0
            c, r, e = (c + (1 << (over - 1))) >> over, -(-r >> over) + lost, e + over
        limbs = split(c, WIDTH)
        return cls(
            np.concatenate([limb.astype(np.float32) for limb in limbs], axis=1),
            tuple(_row_sum(limb) for limb in limbs),
            e,
            _coarse(np.abs(c)),
            _coarse(r) if r.any() else [],
            denominator,
        )

    def part(self, inner: slice) -> Weights:
        """The weights on a part of the inner dimension."""
        limbs, count = self.limbs[..., inner], len(self.rows)
        rows = tuple(_row_sum(limb) for limb in np.split(limbs, count, axis=1))
        above, errors = ([(a[..., inner], k) for a, k in tiers] for tiers in (self.above, self.errors))
        return Weights(limbs, rows, self.e, above, errors, self.denominator)


def linear(ar: Arithmetic, w: Weights, x: Form, index: Array) -> Form:
    """The map of the module's text applied to `x`, whose elements are flattened; shape (G, O, N)."""
    width = _width(max(w.rows))
    if width < NARROWEST:
        half = w.limbs.shape[-1] // 2
        return ar.add(
            linear(ar, w.part(slice(0, half)), x, index[:, :half]),
            linear(ar, w.part(slice(half, None)), x, index[:, half:]),
        )
    if not ar.fast:
        width = min(width - width % 8, 48)
    cells = x.c.shape[-1]
    c, d, r, e = (*(a.reshape(-1, cells) for a in (x.c, x.d, x.r)), x.e)
    denominator = 1
    if ar.rational:
        (c, d, r), denominator = _cleared([c, d, r])
    over = max(magnitude(c), magnitude(d)).bit_length() - ((ar.limbs or 0) * width - 1)
    if ar.limbs and over > 0:
        mask, half = (1 << over) - 1, 1 << (over - 1)
        lost = ((c | d) & mask) != 0
        c, d, r, e = (c + half) >> over, (d + half) >> over, ((r + mask) >> over) + lost, e + over
    limbs = [split(c, width), split(d, width) if d.any() else []]
    products = _gathered(w.limbs, limbs[0] + limbs[1], index)
    groups, _, positions = index.shape
    products = products.reshape(groups, len(w.rows), -1, positions, sum(map(len, limbs)), cells)
    radii = _bounds(w.above, r, index) if r.any() else []
    radii += _bounds(w.errors, np.abs(c) + np.abs(d) + r, index) if w.errors else []
    down = _excess(limbs, w.rows, width, radii) if ar.fast else 0
    radius = ar.integers(np.zeros(products.shape[:1] + products.shape[2:4] + (cells,), dtype=np.int64))
    for a, k in radii:
        k = k - down if not ar.fast else max(k - down, -62)  # shifted by 62 or by more: 0, or 1 rounded up
        radius = radius + (ar.integers(a) << k if k >= 0 else -(-ar.integers(a) >> -k))
    center, slope = np.zeros_like(radius), np.zeros_like(radius)
    for total, first, part in ((center, 0, limbs[0]), (slope, len(limbs[0]), limbs[1])):
        for j in range(len(w.rows) if part else 0):
            found = [products[:, j, :, :, first + i] for i in range(len(part))]
            if not ar.fast:
                total += joined(found, width) << (WIDTH * j)
                continue
            for i, a in enumerate(found):
                a, k = a.astype(np.int64), max(WIDTH * j + width * i - down, -62)
                if k < 0:
                    radius += (a & ((1 << -k) - 1)) != 0
                total += a << k if k >= 0 else a >> -k
    denominator *= w.denominator
    if denominator > 1:
        share = quotient(1, denominator)
        center, slope, radius = center * share, slope * share, radius * share
    return ar.normal(center, slope, radius, e + w.e + down, x.degree)


def _excess(limbs: list[list[Array]], rows: tuple[int, ...], width: int, radii: list[Tier]) -> int:
    """In units of 2 to which everything is added in the fast carrier, so that no sum reaches 2**60."""
    sizes = [
        sum(
            row * magnitude(limb) << (WIDTH * j + width * i)
            for j, row in enumerate(rows)
            for i, limb in enumerate(part)
        )
        for part in limbs
    ]
    sizes.append(sum(magnitude(a) << k for a, k in radii))
    return max(0, max(sizes).bit_length() - 58)


def _cleared(arrays: list[Array]) -> tuple[list[Array], int]:
    """Whole and rational numbers times the least number that makes them all whole, and that number."""
    denominators = {denominator_of(v) for a in arrays for v in a.flat}
    common = math.lcm(*denominators)
    return ([a * common for a in arrays], common) if common > 1 else (arrays, 1)


def _common_zeros(*arrays: Array) -> int:
    """How many of the last bits are 0 in all numbers."""
    together = 0
    for a in arrays:
        together |= int(np.bitwise_or.reduce(a, axis=None)) if a.size else 0
    return (together & -together).bit_length() - 1 if together else 0


def _bounds(weights: list[Tier], plane: Array, index: Array) -> list[Tier]:
    """Tiers whose sum is an upper bound of the product of non-negative weights and `plane`, as int64."""
    found = []
    for above, coarse in weights:
        for part, k in _tiers(plane, _width(_row_sum(above)) - 1):
            product = _gathered(above, [part], index)
            bound = product.reshape(*product.shape[:2], index.shape[2], -1).astype(np.int64)
            found.append((bound, k + coarse))
    return found


def _gathered(weights: Array, planes: list[Array], index: Array) -> Array:
    """The exact products of `weights` (G, O, K) with the planes (n, cells): (G, O, N * planes * cells)."""
    weights = weights.astype(np.float64)
    padded = np.zeros((planes[0].shape[0] + 1, len(planes), planes[0].shape[1]))
    for i, plane in enumerate(planes):
        padded[:-1, i] = plane
    padded = padded.reshape(len(padded), -1)
    groups, inner, positions = index.shape
    columns = padded.shape[1]
    out = np.zeros((groups, weights.shape[1], positions * columns))
    if not inner:
        return out
    step = max(1, BLOCK // (groups * inner * columns))
    for start in range(0, positions, step):
        block = padded.take(index[:, :, start : start + step], axis=0).reshape(groups, inner, -1)
        out[:, :, start * columns : (start + step) * columns] = np.matmul(weights, block)
    return out


def _width(row: int) -> int:
    """How many bits a limb of the values may have: row * 2**(width-1) <= 2**53."""
    return 54 - max(row - 1, 0).bit_length()


def _row_sum(limb: Array) -> int:
    """The largest sum of |limb| over a row; exact, as the entries are integers and a row is shorter than
    2**30.
    """
    return int(np.abs(limb).sum(axis=-1, dtype=np.float64).max(initial=0))


def _coarse(a: Array) -> list[Tier]:
    """Non-negative `a` rounded up to 22 bits, as float32."""
    return [(part.astype(np.float32), k) for part, k in _tiers(a, WIDTH)]


def _tiers(a: Array, bits: int) -> list[Tier]:
    """Non-negative `a` rounded up to so many bits, as float64.

    Long integers that the greatest would coarsen to one unit go into tiers of their own.
    """
    found: list[Tier] = []
    while True:
        k = max(0, magnitude(a).bit_length() - bits)
        small = a * (a < 1 << k) if a.dtype == object and len(found) < TIERS - 1 else a[:0]
        if not small.any():
            return [*found, (_upward(a, k), k)]
        found.append((_upward(a - small, k), k))
        a = small


def _upward(a: Array, k: int) -> Array:
    """a / 2**k rounded up, as float64."""
    return (-(-a >> k)).astype(np.float64)
