"""Integers of any length as residues modulo many primes, so that float64 matrix products carry them exactly.

The primes are below 2**21: a product of two residues is below 2**42, and a sum of 2**11 such products is
below 2**53, where float64 knows every integer. Signs come from the fractional form of the Chinese remainder
theorem (x / M is the fractional part of a sum of t_i / p_i), with 93 bits, and with Python integers where
these are too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import ModelError

__all__ = ["LONGEST_SUM", "Primes", "ScaledWeights", "lowest_bit", "modulo"]

LARGEST_PRIME = 1 << 21
LONGEST_SUM = 1 << 11
"""So many products of residues are summed exactly."""
MOST_PRIMES = 4096
LIMB = 31


@cache
def _sieve() -> NDArray[np.int64]:
    """The primes from 2**20 to 2**21, the largest first."""
    composite = np.zeros(LARGEST_PRIME, dtype=bool)
    for k in range(2, int(LARGEST_PRIME**0.5) + 1):
        if not composite[k]:
            composite[k * k :: k] = True
    return np.nonzero(~composite)[0][::-1][: 2 * MOST_PRIMES]


def modulo(x: Array, p: int) -> Array:
    """x mod p of integers 0 <= x < 2**53: the quotient is far enough from the next integer to be rounded
    down right.
    """
    return np.asarray(x - np.floor(x / p) * p)


def lowest_bit(values: Array) -> int:
    """The least e >= 0 such that all values times 2**e are integers."""
    whole, exponent = np.frexp(values[values != 0])
    if not whole.size:
        return 0
    mantissa = (whole * 2.0**53).astype(np.int64)
    trailing = np.log2((mantissa & -mantissa).astype(np.float64)).astype(np.int64)
    return max(0, int((53 - exponent - trailing).max()))


@dataclass(frozen=True, eq=False)
class ScaledWeights:
    """Floats times 2**shift, which are integers."""

    mantissa: NDArray[np.int64]
    exponent: NDArray[np.int64]

    @classmethod
    def of(cls, values: Array, shift: int) -> ScaledWeights:
        """Such that values = mantissa 2**(exponent - shift)."""
        mantissa, exponent = np.frexp(values)
        return cls((mantissa * 2.0**53).astype(np.int64), exponent.astype(np.int64) - 53 + shift)

    def modulo(self, p: int) -> Array:
        """Their residues."""
        if not self.mantissa.size:
            return np.zeros(self.mantissa.shape)
        low = int(self.exponent.min())
        powers = np.array([pow(2, low + k, p) for k in range(int(self.exponent.max()) - low + 1)])
        return np.asarray((self.mantissa % p) * powers[self.exponent - low] % p).astype(np.float64)


@dataclass(frozen=True)
class Primes:
    """So many of them."""

    count: int

    @classmethod
    def beyond(cls, bits: int) -> Primes:
        """Enough for all integers of so many bits and a sign."""
        count = bits // 20 + 2
        if count > MOST_PRIMES:
            raise ModelError(f"exact values of this network have up to {bits} bits, more than is practical.")
        return cls(count)

    @cached_property
    def all(self) -> list[int]:
        return [int(p) for p in _sieve()[: self.count]]

    @cached_property
    def product(self) -> int:
        return prod(self.all)

    @cached_property
    def _parts(self) -> tuple[list[int], NDArray[np.int64]]:
        """M / p and its inverse modulo p."""
        parts = [self.product // p for p in self.all]
        return parts, np.array([pow(m % p, -1, p) for m, p in zip(parts, self.all, strict=True)])

    def of(self, values: NDArray[Any]) -> Array:
        """Residues of Python integers, primes first."""
        return np.stack([(values % p).astype(np.float64) for p in self.all])

    def _shares(self, residues: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numerators t of x / M = sum of t / p modulo 1, and the primes, as columns."""
        column = (-1, *(1,) * (residues.ndim - 1))
        p = np.array(self.all).reshape(column)
        return residues.astype(np.int64) * self._parts[1].reshape(column) % p, p

    def integers(self, residues: Array) -> NDArray[Any]:
        """The integers of least absolute value with these residues."""
        shares, _ = self._shares(residues)
        total = np.zeros(residues.shape[1:], dtype=object)
        for share, part in zip(shares, self._parts[0], strict=True):
            total = total + share.astype(object) * part
        total = total % self.product
        return np.asarray(np.where(total > self.product // 2, total - self.product, total), dtype=object)

    def signs(self, residues: Array) -> NDArray[np.int8]:
        """Signs of integers below a quarter of the product of the primes."""
        zero = ~residues.any(axis=0)
        shares, p = self._shares(residues)
        limbs = []
        for _ in range(3):
            shares = shares << LIMB
            limbs.append((shares // p).sum(axis=0))
            shares = shares % p
        for k in (2, 1):
            limbs[k - 1] += limbs[k] >> LIMB
        high, middle, low = (limb & ((1 << LIMB) - 1) for limb in limbs)
        most = (1 << LIMB) - 1
        found = np.where(high >= 1 << (LIMB - 1), -1, 1).astype(np.int8)
        found[zero] = 0
        close = (high == most) & (middle == most) & (low > most - self.count) & ~zero
        if close.any():
            values = self.integers(residues[:, close])
            found[close] = np.array([(v > 0) - (v < 0) for v in values.tolist()], dtype=np.int8)
        return found
