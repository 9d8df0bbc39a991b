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


def noisy_pair(digits: np.ndarray, number: int, side: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One audited input and its reference, float64 of shape (1, 1, 8, 8) each.

    Parameters
    ----------
    digits:
        The digits, shape (..., 8, 8).
    number:
        Which of them; also the seed of both noises, so that nobody can choose a seed.
    side:
        Side of the square of ink that is erased in the input before the noise; 0 for none.
    """
    noise = np.random.default_rng(number).normal(0.0, SIGMA, (2, 1, 1, 8, 8))
    digit = digits[number]
    seen = erase(digit, np.random.default_rng([number, side]), side) if side else digit
    return seen + noise[0], digit + noise[1]


def erase(digit: np.ndarray, rng: np.random.Generator, side: int = 3) -> np.ndarray:
    """The digit without the ink of a side x side square: of three random squares the one with most ink."""
    corners = rng.integers(0, 9 - side, size=(3, 2))
    row, column = max(corners, key=lambda c: digit[c[0] : c[0] + side, c[1] : c[1] + side].sum())
    erased = digit.copy()
    erased[row : row + side, column : column + side] = 0.0
    return erased
