"""Matrix products of two moving factors by exact float64 products of limbs (see `products`).

With p bits a limb and K products a sum, every partial sum is a whole number of at most K * 2**(2*p-2) <=
2**53. The term in t**2 of a sum lies in [0, 1] times its coefficient.
"""

from __future__ import annotations

import numpy as np

from verifier.check.numbers.integers import Arithmetic, Array, Form, magnitude
from verifier.check.numbers.limbs import split

__all__ = ["contract"]

ROOM = 57  # bits of a sum in the fast carrier: four of them and their radius stay below 2**60
Terms = list[tuple[Array, int, int]]
"""Exact float64 products, each with the exponent of its unit and a bound of its size in these units."""


def contract(ar: Arithmetic, a: Form, b: Form) -> Form:
    """The products (G, M, N) of matrices (G, M, K) and (G, K, N)."""
    degree = a.degree + b.degree
    if ar.rational:
        return _plainly(a, b, degree)
    inner = a.shape[-1]
    width = 1 + (53 - max(inner - 1, 0).bit_length()) // 2
    a, b = (_shortened(ar, x, width) for x in (a, b))
    left, right = ([_limbs(part, width) for part in (x.c, x.d)] for x in (a, b))
    exact = [_products(x, y, width) for x, y in ((left[0], right[0]), (left[0], right[1]))]
    exact += [_products(left[1], y, width) for y in right]
    size_a, size_b = (np.abs(x.c) + np.abs(x.d) for x in (a, b))
    above = _above(size_a + a.r, b.r, width) + _above(a.r, size_b, width)
    greatest = max(sum(size << k for _, k, size in terms) for terms in (*exact, above))
    down = max(0, (inner * greatest).bit_length() - ROOM) if ar.fast else 0
    shape = (max(a.c.shape[-1], b.c.shape[-1]), *a.shape[:-1], b.shape[-1])
    (c, r), *others = (_added(ar, terms, down, shape) for terms in (*exact, above))
    (d1, r1), (d2, r2), (square, r3), (radius, r4) = others
    c, r = c + (square >> 1), r + r1 + r2 + r3 + r4 + radius + (np.abs(square) + 1 >> 1) + 1
    c, d, r = (np.moveaxis(x, 0, -1) for x in (c, d1 + d2, r))
    return ar.normal(c, d, r, a.e + b.e + down, degree)


def _plainly(a: Form, b: Form, degree: int) -> Form:
    """The same in rational numbers, without rounding."""
    (c, d, r), (c2, d2, r2) = ([np.moveaxis(x, -1, 0) for x in (f.c, f.d, f.r)] for f in (a, b))
    square, size, size2 = np.matmul(d, d2), np.abs(c) + np.abs(d), np.abs(c2) + np.abs(d2)
    radius = (np.matmul(size + r, r2) + np.matmul(r, size2)) * 2 + np.abs(square)
    slope = (np.matmul(c, d2) + np.matmul(d, c2)) * 2
    c, d, r = (np.moveaxis(x, 0, -1) for x in (np.matmul(c, c2) * 2 + square, slope, radius))
    return Form(c, d, r, a.e + b.e - 1, degree)


def _shortened(ar: Arithmetic, x: Form, width: int) -> Form:
    """As many bits as the limbs of the precision have."""
    over = max(magnitude(x.c), magnitude(x.d)).bit_length() - ((ar.limbs or 0) * width - 1)
    return ar.at(x, x.e + over) if ar.limbs and over > 0 else x


def _limbs(part: Array, width: int) -> list[Array]:
    """Limbs of c or d, least first, with the cells in front; none where all is 0."""
    return split(np.ascontiguousarray(np.moveaxis(part, -1, 0)), width) if part.any() else []


def _products(left: list[Array], right: list[Array], width: int) -> Terms:
    return [
        (np.matmul(x, y), width * (i + j), magnitude(x) * magnitude(y))
        for i, x in enumerate(left)
        for j, y in enumerate(right)
    ]


def _above(x: Array, y: Array, width: int) -> Terms:
    """An upper bound of the product of non-negative numbers."""
    if not x.any() or not y.any():
        return []
    units = [max(0, magnitude(v).bit_length() + 2 - width) for v in (x, y)]
    x, y = (
        np.ascontiguousarray(np.moveaxis((-(-v >> k)).astype(np.float64), -1, 0))
        for v, k in zip((x, y), units, strict=True)
    )
    return [(np.matmul(x, y), sum(units), magnitude(x) * magnitude(y))]


def _added(ar: Arithmetic, terms: Terms, down: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The sum in units of 2**down, rounded down, and by how many units at most."""
    total = ar.integers(np.zeros(shape, dtype=np.int64))
    lost = np.zeros_like(total)
    for product, unit, _ in terms:
        whole, k = ar.integers(product.astype(np.int64)), unit - down
        k = max(k, -62) if ar.fast else k
        if k < 0:
            lost = lost + ((whole & ((1 << -k) - 1)) != 0)
        total = total + (whole << k if k >= 0 else whole >> -k)
    return total, lost
