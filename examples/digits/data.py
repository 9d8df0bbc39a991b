"""Handwritten digits of scikit-learn with noise of known variance; without a defect every H0 is true.

A digit is 8 x 8 pixels of ink, 0 to 16. The audited input is a digit plus independent normal noise; the
reference is the SAME digit plus fresh noise of the same variance. Values are not clipped or rounded, so the
noise law holds.
"""

from __future__ import annotations

import numpy as np

__all__ = ["AUDITED", "SIGMA", "TRAINED", "erase", "load_digits", "noisy_pair"]

SIGMA = 2.0
"""Standard deviation of the noise in units of ink; known, because we add the noise ourselves."""
TRAINED = slice(0, 1200)
"""Digits the network was trained on."""
AUDITED = slice(1200, 1797)
"""Digits it has never seen."""


def load_digits() -> np.ndarray:
    """The 1,797 digits of scikit-learn in their order, float64 of shape (1797, 8, 8)."""
    from sklearn.datasets import load_digits as load

    return np.asarray(load().images, dtype=np.float64)


def noisy_pair(
    digit: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The audited input and its reference, float64 of shape (1, 1, 8, 8) each.

    Parameters
    ----------
    digit, seen:
        What the reference shows and what the audited input shows, shape (8, 8); equal unless a stroke was
        erased.
    rng:
        Source of both noises.
    """
    x, reference = seen + rng.normal(0.0, SIGMA, (8, 8)), digit + rng.normal(0.0, SIGMA, (8, 8))
    return x[None, None], reference[None, None]


def erase(digit: np.ndarray, rng: np.random.Generator, side: int = 3) -> np.ndarray:
    """The digit without the ink of a side x side square: of three random squares the one with most ink."""
    corners = rng.integers(0, 9 - side, size=(3, 2))
    row, column = max(corners, key=lambda c: digit[c[0] : c[0] + side, c[1] : c[1] + side].sum())
    erased = digit.copy()
    erased[row : row + side, column : column + side] = 0.0
    return erased
