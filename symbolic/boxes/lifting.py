"""From a rule for segments to one for boxes: three ways, each for all operators of a kind.

A rule encloses f on c + d t +- r for t in [-1, 1]. Of that alone follows what f makes of
c + sum_j d_j e_j +- r:

* **affine** f, in all of its moving inputs together: f(c + rho) lies in what the rule makes of (c, 0, r), and
  sum_j W d_j e_j is added. The rule makes d' and r' of the segment (0, d_j, 0); its claims at t = 1 and -1,
  subtracted, say |W d_j - d'| <= r'. Constants cancel.
* a continuous function of **single** elements: on the segment from lo to hi, which is m + w t, the rule says
  f(x) in c' + d' t +- r' with t = (x - m) / w. So f(x) lies in c' + s (x - m) +- r' with s = d' / w, and
  x - m = (c - m) + sum_j d_j e_j + rho.
* **bilinear** f in two moving inputs a and b: with a = ca + la + ra (centre, linear part, remainder),

      f(a, b) = f(ca + ra, cb + rb) + [f(la, cb) + f(ca, lb)] + f(la, lb + rb) + f(ra, lb),

  the first from the rule on (ca, 0, ra) and (cb, 0, rb), the brackets symbol by symbol as for an affine f,
  and the last two within what the rule makes of (0, 0, size): its claims at x and -x, subtracted, bound |f|.

Every rounding made here is added to the remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from symbolic.boxes.form import CHUNK, Form, subnormal_sum, total_size
from symbolic.enclosures.rounding import TINY, UP, Array, U, gamma
from symbolic.enclosures.values import Affine, Batch, Value

__all__ = ["Lifted", "Map", "Rows", "affine", "affine_by_rows", "bilinear", "single"]

Map = Callable[[Batch, Sequence[Affine]], Value]
"""A rule of one output, as a function of the inputs that move."""
Rows = Callable[[int, int], list[Array]]
"""Coefficients of the symbols from one number up to another, of every argument."""
Lifted = tuple[Array, Array, Array]
"""c, d, r of a form."""
SMALLEST_WIDTH = 2.0**-900
"""Below it a slope might overflow: the segment is as good as a point."""
ONE = Batch(1)


def affine(f: Map, forms: Sequence[Form]) -> Lifted:
    """What a map that is affine in all of its arguments together makes of forms."""
    symbols = max(x.symbols for x in forms)
    return affine_by_rows(
        f, [x.centre() for x in forms], lambda k, stop: [x.rows(k, stop) for x in forms], symbols
    )


def affine_by_rows(f: Map, centres: Sequence[Affine], rows: Rows, symbols: int) -> Lifted:
    """The same, of centres +- remainders and of rows of symbols, which are asked for piece by piece."""
    start = ONE.lift(f(ONE, centres))
    d, spent = _by_symbols(rows, [f], symbols, start.c.shape[1:])
    return start.c, d, (start.r + np.abs(start.d) + spent) * UP


def _by_symbols(rows: Rows, maps: Sequence[Map], symbols: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """sum over maps of the linear part of map((0, d_j, 0)) for every symbol j, and how far it may be off.

    The rows of one map each if there are several, of the arguments of the only one otherwise.
    """
    d = np.zeros((symbols, *shape))
    spent = np.zeros((1, *shape))
    widest = max([int(np.prod(shape)), *(part[0].size for part in rows(0, 1))]) if symbols else 1
    step = max(1, CHUNK // (8 * max(1, widest)))
    for k in range(0, symbols, step):
        stop = min(symbols, k + step)
        parts = rows(k, stop)
        batch = Batch(stop - k)
        groups = [parts] if len(maps) == 1 else [[part] for part in parts]
        for n, (f, group) in enumerate(zip(maps, groups, strict=True)):
            nothing = [np.broadcast_to(0.0, part.shape) for part in group]
            given = [Affine(zero, part, zero) for part, zero in zip(group, nothing, strict=True)]
            found = batch.lift(f(batch, given))
            d[k:stop] += found.d
            spent += (np.broadcast_to(found.r, (stop - k, *shape))).sum(axis=0)
            if n:  # two parts are added
                spent += np.abs(d[k:stop]).sum(axis=0) * (2 * U)
    return d, np.asarray(spent * ((1.0 + gamma(2 * symbols + 4)) * UP))


def single(f: Map, x: Form) -> Lifted:
    """What a continuous function of single elements (which may be broadcast) makes of a form."""
    segment = x.segment()
    found = ONE.lift(f(ONE, [segment]))
    extra = found.c.ndim - segment.c.ndim
    m, w, c, r = (_ranked(v, extra) for v in (segment.c, segment.d, x.c, x.r))
    d = _ranked(x.d, extra)
    with np.errstate(all="ignore"):
        slope = found.d / w
        steep = ~(w > SMALLEST_WIDTH) | ~np.isfinite(slope)
        flat = np.where(steep & np.isfinite(found.d), np.abs(found.d), 0.0)
        slope = np.where(steep & np.isfinite(found.d), 0.0, slope)
        exact = (slope == 0) | (np.abs(found.d) == w)
        quotient = np.where(exact, 0.0, np.abs(found.d) * (2 * U) + w * TINY)
        still = slope == 0
        shift = c - m
        moved = np.where(still, 0.0, slope * shift)
        centre = found.c + moved
        # of the difference, of the product, of the sum
        rounding = np.where(
            still | (shift == 0),
            0.0,
            np.abs(slope * shift) * (4 * U) + TINY + np.where(moved == 0, 0.0, np.abs(centre) * (2 * U)),
        )
        made = np.where(still, 0.0, slope) * d
        products = np.where(
            np.abs(slope) == 1, 0.0, np.where(still, 0.0, total_size(made) * (2 * U) + subnormal_sum(d))
        )
        rest = np.where(still, 0.0, np.abs(slope) * r + TINY * (r != 0))
        return centre, made, (found.r + flat + quotient + rounding + products + rest) * UP


def _ranked(v: Array, extra: int) -> Array:
    """More axes behind the batch axis, for broadcasting."""
    return v.reshape(len(v), *(1,) * extra, *v.shape[1:]) if extra > 0 else v


def bilinear(f: Map, a: Form, b: Form) -> Lifted:
    """What a bilinear map (plus a constant) makes of two forms."""
    start = ONE.lift(f(ONE, [a.centre(), b.centre()]))
    shape = start.c.shape[1:]
    symbols = max(a.symbols, b.symbols)

    def left(batch: Batch, given: Sequence[Affine]) -> Value:
        return f(batch, [given[0], _repeated(b.c, batch)])

    def right(batch: Batch, given: Sequence[Affine]) -> Value:
        return f(batch, [_repeated(a.c, batch), given[0]])

    d, spent = _by_symbols(lambda k, m: [a.rows(k, m), b.rows(k, m)], [left, right], symbols, shape)
    la, lb = total_size(a.d), total_size(b.d)
    rest = _size(f, la, (lb + b.r) * UP) + _size(f, a.r, lb)
    return start.c, d, (start.r + np.abs(start.d) + spent + rest) * UP


def _repeated(c: Array, batch: Batch) -> Affine:
    zero = np.broadcast_to(0.0, (batch.size, *c.shape[1:]))
    return Affine(np.broadcast_to(c, zero.shape), zero, zero)


def _size(f: Map, a: Array, b: Array) -> Array | float:
    """A bound of |f(x, y)| for |x| <= a, |y| <= b."""
    if not a.any() or not b.any():
        return 0.0
    zeros = [np.zeros_like(v) for v in (a, b)]
    found = ONE.lift(f(ONE, [Affine(zeros[0], zeros[0], a), Affine(zeros[1], zeros[1], b)]))
    return np.asarray(found.r + np.abs(found.d))
