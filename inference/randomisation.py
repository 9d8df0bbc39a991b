"""Noise that the auditor adds before the selection: randomised selection, and data fission.

omega ~ N(0, tau**2 Sigma) is drawn from a recorded seed, and the network is shown x + omega. What is tested
then is x, given the selection (`Randomised`), or x - omega / tau**2, which is independent of it (`Fission`;
Leiner, Duan, Wasserman and Ramdas, 2023). Both leave more for the test than a selection at x itself, and
select a little worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.laws.normal import NormalLaw
from inference.laws.p_value import Alternative
from inference.noise import Noise
from symbolic.errors import OptionError
from symbolic.reading.arrays import fractions_of
from symbolic.reading.exact import exact_number
from verifier.cells import Cell

__all__ = ["Drawn", "Fission", "FissionLaw", "Randomised"]

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Randomised:
    """Select at x + omega, test x given the selection.

    Parameters
    ----------
    scale : number
        tau**2: omega has the covariance tau**2 Sigma.
    seed : int
        Of NumPy's default generator; recorded in the certificate. It must be chosen before the selection is
        seen.
    """

    scale: float | int | str | Fraction
    seed: int

    def __post_init__(self) -> None:
        if self.factor <= 0:
            raise OptionError(f"scale is {self.scale}; the added noise needs a positive variance.")
        if (
            isinstance(self.seed, bool)
            or not isinstance(self.seed, int)
            or not 0 <= self.seed <= LARGEST_SEED
        ):
            raise OptionError(f"seed is {self.seed!r}; it must be an integer from 0 to {LARGEST_SEED}.")

    @property
    def factor(self) -> Fraction:
        """tau**2, exactly."""
        return exact_number(self.scale, "scale", error=OptionError)


@dataclass(frozen=True)
class Fission(Randomised):
    """Select at x + omega, test x - omega / tau**2, which is independent of it.

    No truncation set is needed; what the selection has used up is lost to the test.
    """


@dataclass(frozen=True)
class Drawn:
    """A noise vector with what was added to it.

    Attributes
    ----------
    factor : Fraction
        tau**2.
    seed : int
    fission : bool
    original, audited : tuple of ndarray
        The noise vector without and with omega: the input, and the reference if there is one. omega is their
        exact difference, as the sum was rounded to doubles once.
    """

    factor: Fraction
    seed: int
    fission: bool
    original: tuple[NDArray[Any], ...]
    audited: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, given: Randomised, noise: Noise, parts: Sequence[NDArray[Any]]) -> Drawn:
        """Draw omega from the seed."""
        size = sum(part.size for part in parts)
        omega = np.sqrt(float(given.factor)) * noise.drawn(np.random.default_rng(given.seed), size)
        omega[parts[0].size :] *= np.sqrt(float(noise.second))
        added, start = [], 0
        for part in parts:
            added.append(part.astype(np.float64) + omega[start : start + part.size].reshape(part.shape))
            start += part.size
        return cls(given.factor, given.seed, isinstance(given, Fission), tuple(parts), tuple(added))

    def tested(self, eta: Sequence[Fraction]) -> Fraction:
        """eta' x, or eta' (x - omega / tau**2)."""
        first, shown = (
            [v for part in parts for v in fractions_of(part.reshape(-1))]
            for parts in (self.original, self.audited)
        )
        own = sum((e * v for e, v in zip(eta, first, strict=True) if e), Fraction(0))
        if not self.fission:
            return own
        moved = sum((e * (w - v) for e, v, w in zip(eta, first, shown, strict=True) if e), Fraction(0))
        return own - moved / self.factor


class FissionLaw(NormalLaw):
    """The law of eta' (x - omega / tau**2), which no selection truncates."""

    family = "fission"

    def __init__(
        self,
        tested: Fraction,
        variance: Fraction,
        factor: Fraction,
        scale: Fraction,
        null: Fraction,
        alternative: Alternative,
    ) -> None:
        super().__init__(tested, variance * (1 + 1 / factor), scale, null, alternative)

    def counted(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        return [Cell(-inf, inf, "inside")]
