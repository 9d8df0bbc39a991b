"""In which order undecided segments of the line are looked at.

"mass", the default, takes the greatest null mass first. The other three are those of the bounded p-value
paper (Shiraishi et al., 2023), which grow one searched interval: pi1 takes what is nearest to the observed
value, pi2 grows around the mode of the null law, pi3 around the observed value, both towards the greater
density.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRATEGIES", "Density", "Strategy", "priorities"]

Strategy = Literal["mass", "pi1", "pi2", "pi3"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Floats = NDArray[np.float64]


class Density(Protocol):
    """What a strategy asks of a null law."""

    at: float
    step: float

    def log_density(self, u: Floats) -> Floats:
        """Logarithm of the density of u = at + step t."""

    @property
    def mode(self) -> float:
        """Where it is greatest."""


def priorities(strategy: Strategy, law: Density, lo: Floats, hi: Floats, mass: Floats) -> Floats:
    """Least first.

    Parameters
    ----------
    strategy : str
    law : Density
        The null law.
    lo, hi : ndarray
        Segments of t.
    mass : ndarray
        Logarithms of their null mass.
    """
    if strategy == "mass":
        return -mass
    nearest = np.clip(0.0, lo, hi)  # the point of each segment that is nearest to the observed one
    if strategy == "pi1":
        return np.asarray(np.abs(nearest))
    with np.errstate(all="ignore"):
        if strategy == "pi2":
            a, b = law.at + law.step * lo, law.at + law.step * hi
            return np.asarray(-law.log_density(np.clip(law.mode, a, b)))
        # grown from the observed value, a segment's turn comes with the least density on the way to it
        here = law.log_density(np.array([law.at]))[0]
        there = law.log_density(law.at + law.step * nearest)
    return np.asarray(-np.minimum(here, there) + 1e-12 * np.abs(nearest))
