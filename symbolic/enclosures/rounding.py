"""Rigorous accounting of float64 rounding, the only place where its constants are stated.

Model (IEEE 754 binary64, round to nearest, gradual underflow):

* ``fl(x + y) = (x + y)(1 + e)``, ``|e| <= U``; a sum never underflows, and a sum whose result is 0 is exact;
* ``fl(x * y) = x y (1 + e) + f``, ``|e| <= U``, ``|f| <= 2**-1075``, and ``f = 0`` when x or y is 0;
* a sum of n products in any order, fused or not, errs at most ``gamma(n) sum |w||x| + n 2**-1074`` (Higham,
  *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.1; the second term is the underflow
  that gamma alone misses);
* NumPy's elementary functions are not correctly rounded: their SIMD loops are within 4 units in the last
  place, and ``ELEMENTARY`` allows 16. sin and cos are only used on [-3.1, 3.1], where sin vanishes at 0
  alone: a coarse multiple of pi inside them is an absolute error. Results below the normal range may be
  flushed to 0: ``FLUSHED``;
* SciPy's erf errs by up to 2 units, erfc(x) by 8 for x below 1.5 and by 300 beyond (its exp(-x**2) feels the
  rounding of x**2). What uses them allows more than 16 times that.

tests/test_elementary_errors.py measures all of these functions.

Overflow gives inf or NaN, which no comparison below ever certifies: it reads as "unknown".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ELEMENTARY", "FLUSHED", "TINY", "U", "UP", "Array", "gamma", "sum_error", "tiny_where"]

Array = NDArray[np.float64]

U = 2.0**-53
"""Unit roundoff."""
UP = 1.0 + 2.0**-48
"""A computed non-negative bound times UP is at least the exact value after up to 14 further roundings."""
TINY = 2.0**-1060
"""More than the underflow of any dozen products."""
ELEMENTARY = 2.0**-48
"""Relative error allowed to NumPy's elementary functions (16 units in the last place)."""
FLUSHED = 2.0**-1020
"""Absolute error allowed to them besides: a few times the smallest normal number."""


def gamma(n: int) -> float:
    """Return an upper bound of n U / (1 - n U), for sums of n products.

    Parameters
    ----------
    n : int
        Number of terms, below 2**40.
    """
    if n >= 2**40:
        raise ValueError(f"a sum of {n} terms is too long for this rounding bound")
    return (n * U) * (1.0 + 2.0**-10)


def sum_error(*results: Array) -> Array:
    """Bound the rounding of additions by their computed results: 2 U |result| each (2 instead of 1 covers
    the subnormal rounding of the bound itself). Zero results are exact, so identities survive."""
    total = np.abs(results[0])
    for result in results[1:]:
        total = total + np.abs(result)
    return np.asarray(total * (2.0 * U))


def tiny_where(nonzero: NDArray[np.bool_]) -> Array:
    """Underflow of products: TINY where a factor pair can be nonzero, exactly 0 elsewhere."""
    return np.where(nonzero, TINY, 0.0)
