"""Integers of any length as residues modulo many primes, so that float64 matrix products carry them exactly.

The primes are below 2**21: a product of two residues is below 2**42, and a sum of 2**11 such products is
below 2**53, where float64 knows every integer. The Chinese remainder theorem in the form
x = sum of t (M / p) - q M brings integers back as limbs, which are such sums again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
MOST_KEPT = 1 << 13
"""Residues of so many weights are kept, of each prime."""


@cache
def _sieve() -> NDArray[np.int64]:
    """The primes from 2**20 to 2**21, the largest first."""
    composite = np.zeros(LARGEST_PRIME, dtype=bool)
    for k in range(2, int(LARGEST_PRIME**0.5) + 1):
        if not composite[k]:
            composite[k * k :: k] = True
    return np.nonzero(~composite)[0][::-1][: 2 * MOST_PRIMES]


def modulo(x: Array, p: int | Array) -> Array:
    """x mod p of integers |x| < 2**53: the quotient is far enough from the next integer to be rounded
    down right.
    """
    quotient = np.floor(x / p)
    quotient *= p
    return np.asarray(np.subtract(x, quotient, out=quotient))


def lowest_bit(values: Array) -> int:
    """The least e >= 0 such that all values times 2**e are integers."""
    whole, exponent = np.frexp(values[values != 0])
    if not whole.size:
        return 0
    mantissa = (whole * 2.0**53).astype(np.int64)
    trailing = np.frexp((mantissa & -mantissa).astype(np.float64))[1] - 1
    return max(0, int((53 - exponent - trailing).max()))


@dataclass(frozen=True, eq=False)
class ScaledWeights:
    """Floats times 2**shift, which are integers."""

    mantissa: NDArray[np.int64]
    exponent: NDArray[np.int64]
    _known: dict[int, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Array, shift: int) -> ScaledWeights:
        """Such that values = mantissa 2**(exponent - shift)."""
        mantissa, exponent = np.frexp(values)
        return cls((mantissa * 2.0**53).astype(np.int64), exponent.astype(np.int64) - 53 + shift)

    def modulo(self, p: int) -> Array:
        """Their residues."""
        found = self._known.get(p)
        if found is None:
            found = self._modulo(p)
            if found.size <= MOST_KEPT:
                self._known[p] = found
        return found

    def _modulo(self, p: int) -> Array:
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
        return _primes(count)

    @cached_property
    def all(self) -> list[int]:
        return [int(p) for p in _sieve()[: self.count]]

    @cached_property
    def product(self) -> int:
        return prod(self.all)

    def of(self, values: NDArray[Any]) -> Array:
        """Residues of Python integers, primes first."""
        return np.stack([(values % p).astype(np.float64) for p in self.all])

    @cached_property
    def _table(self) -> tuple[Array, Array, Array, Array, int]:
        """Primes and inverses as columns, the limbs of M / p and of M, and the bits of a limb."""
        parts = [self.product // p for p in self.all]
        inverses = [pow(m % p, -1, p) for m, p in zip(parts, self.all, strict=True)]
        bits = 24 if self.count < 256 else 16  # so that sums of count + 1 products stay below 2**53
        length = self.product.bit_length() // bits + 1
        limbs = np.array(
            [[m >> bits * k & (1 << bits) - 1 for m in (*parts, self.product)] for k in range(length)]
        )
        columns = np.array([self.all, inverses], dtype=np.float64)[..., None]
        return (
            columns[0],
            columns[1],
            limbs[:, :-1].astype(np.float64),
            limbs[:, -1:].astype(np.float64),
            bits,
        )

    def _limbs(self, residues: Array) -> tuple[NDArray[np.int64], int]:
        """Integers below a quarter of M in limbs, the last one signed, and the bits of a limb.

        x / M is the sum of t / p less a whole number q, so x is the sum of t (M / p), less q M.
        """
        p, inverse, parts, whole, bits = self._table
        shares = modulo(residues * inverse, p)
        quotient = np.rint((shares / p).sum(axis=0, keepdims=True))
        limbs = (parts @ shares - whole * quotient).astype(np.int64)
        for k in range(len(limbs) - 1):
            limbs[k + 1] += limbs[k] >> bits
            limbs[k] &= (1 << bits) - 1
        return limbs, bits

    def integers(self, residues: Array) -> NDArray[Any]:
        """The integers below a quarter of the product of the primes with these residues (from -p to p)."""
        limbs, bits = self._limbs(residues.reshape(self.count, -1))
        size = len(limbs) * bits // 8
        places = np.ascontiguousarray(limbs.T).astype("<i8").view(np.uint8).reshape(-1, len(limbs), 8)
        data = np.ascontiguousarray(places[:, :, : bits // 8]).tobytes()
        found = np.empty(limbs.shape[1], dtype=object)
        read = int.from_bytes
        found[:] = [read(data[k : k + size], "little", signed=True) for k in range(0, len(data), size)]
        return found.reshape(residues.shape[1:])

    def signs(self, residues: Array) -> NDArray[np.int8]:
        """Signs of integers below a quarter of the product of the primes."""
        limbs, _ = self._limbs(residues)
        return np.where(residues.any(axis=0), np.where(limbs[-1] < 0, -1, 1), 0).astype(np.int8)


@cache
def _primes(count: int) -> Primes:
    """Shared, as their tables take time."""
    return Primes(count)
