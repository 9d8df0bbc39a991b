"""Measure, on the training slices only, how the noise of follow-up minus baseline is correlated.

    python examples/scanner_retest/noise_shape.py

Prints the correlation of two pixels by their distance; ``data.covariance`` holds the rounded result.
"""

from __future__ import annotations

import numpy as np
from data import QUIET, TRAINING_SLICES, load_scans
from scipy.ndimage import binary_erosion, uniform_filter

REACH = 4


def main() -> None:
    scans = load_scans()
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
    print("rows: 0 to 4 pixels down a column; columns: 0 to 4 pixels along a row")
    correlation = product / pairs
    print(np.array2string(correlation / correlation[0, 0], precision=3, suppress_small=True))


if __name__ == "__main__":
    main()
