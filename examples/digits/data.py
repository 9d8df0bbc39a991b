"""Handwritten digits with noise of known variance, from scikit-learn; every null hypothesis here is true by construction.

A digit is 8 x 8 pixels of ink, 0 to 16. The audited input is a digit plus independent normal noise; the reference is the SAME
digit plus fresh noise of the same variance. Values are floats and are not clipped, so the noise law holds exactly.
"""

from __future__ import annotations

import numpy as np

__all__ = ["AUDITED", "SIGMA", "TRAINED", "erase", "load_digits", "noisy_pair"]

SIGMA = 2.0
"""Standard deviation of the noise in units of ink; the variance 4 is known because we add the noise ourselves."""
TRAINED = slice(0, 1200)
"""Digits the network was trained on."""
AUDITED = slice(1200, 1797)
"""Digits it has never seen."""


def load_digits() -> np.ndarray:
    """The 1,797 digits of scikit-learn in their order, float64 of shape (1797, 8, 8)."""
    from sklearn.datasets import load_digits as load

    return np.asarray(load().images, dtype=np.float64)


def noisy_pair(digit: np.ndarray, rng: np.random.Generator, seen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The audited input and its reference, float64 of shape (1, 1, 8, 8) each.

    Parameters
    ----------
    digit:
        What the reference shows, shape (8, 8).
    rng:
        Source of both noises.
    seen:
        What the audited input shows, if it is not the same digit.
    """
    x = (digit if seen is None else seen) + rng.normal(0.0, SIGMA, (8, 8))
    reference = digit + rng.normal(0.0, SIGMA, (8, 8))
    return x[None, None], reference[None, None]


def erase(digit: np.ndarray, rng: np.random.Generator, side: int = 3) -> np.ndarray:
    """The digit with the ink of one side x side square removed: the inkiest of three squares drawn at random."""
    corners = rng.integers(0, 9 - side, size=(3, 2))
    row, column = max(corners, key=lambda c: digit[c[0] : c[0] + side, c[1] : c[1] + side].sum())
    erased = digit.copy()
    erased[row : row + side, column : column + side] = 0.0
    return erased
