"""Measure, on the training slices only, how the noise of follow-up minus baseline is shaped.

    python examples/scanner_retest/noise_shape.py

Prints the correlation of two pixels by their distance (``data.correlation`` holds the rounded result), and
how often the mean of a 3 x 3 square is as large as the normal law with that covariance says.
"""

from __future__ import annotations

import numpy as np
from data import QUIET, SIDE, TRAINING_SLICES, load_scans, noise, quiet_windows
from scipy.ndimage import binary_erosion, uniform_filter
from scipy.stats import norm

REACH = 4


def measured(scans: np.ndarray) -> np.ndarray:
    """Correlation by distance, shape (REACH + 1, REACH + 1): pixels down, pixels along."""
    change, brightness = scans[0] - scans[1], scans.mean(axis=0)
    product = np.zeros((REACH + 1, REACH + 1))
    pairs = np.zeros_like(product)
    for z in TRAINING_SLICES:
        power = np.maximum(uniform_filter(change[..., z] ** 2, 15), 1e-6)
        inside = binary_erosion(brightness[..., z] > 150, iterations=3) & (power < QUIET**2)
        unit = np.where(inside, change[..., z] / np.sqrt(power), 0.0)
        rows, columns = unit.shape
        for a in range(REACH + 1):
            for b in range(REACH + 1):
                for left, right in ((unit, inside), (unit[:, ::-1], inside[:, ::-1])):  # both diagonals
                    both = right[a:, b:] & right[: rows - a, : columns - b]
                    product[a, b] += (left[a:, b:] * left[: rows - a, : columns - b])[both].sum()
                    pairs[a, b] += both.sum()
    return product / pairs / (product[0, 0] / pairs[0, 0])


def square_means(scans: np.ndarray) -> np.ndarray:
    """Means of separate 3 x 3 squares of follow-up minus baseline, in sd of the noise model."""
    means = []
    slices = TRAINING_SLICES[:-1]  # the last slice of the volume has only one neighbour
    for window in quiet_windows(scans, slices):
        square = np.zeros((SIDE, SIDE))
        square[3:6, 3:6] = 1 / 9
        eta = np.concatenate([square.ravel(), -square.ravel()])
        sd = np.sqrt(eta @ noise(window).var @ eta)
        change = (window.scans[0, 0] - window.scans[0, 1]).astype(np.float64)
        means.append(change.reshape(SIDE // 3, 3, SIDE // 3, 3).mean(axis=(1, 3)).ravel() / sd)
    return np.concatenate(means)


def main() -> None:
    scans = load_scans()
    print(f"rows: 0 to {REACH} pixels down a column; columns: 0 to {REACH} pixels along a row")
    print(np.array2string(measured(scans), precision=3, suppress_small=True))
    means = square_means(scans)
    print(f"{means.size} squares of 3 x 3: mean {means.mean():+.3f}, standard deviation {means.std():.3f}")
    for level in (0.05, 0.01, 0.001):
        share = (abs(means) > norm.isf(level / 2)).mean()
        print(f"  beyond the two-sided {level:.1%} point: {share:.2%}")


if __name__ == "__main__":
    main()
