"""Electroluminescence images of solar cells, from the package elpv-dataset.

The images (S. Deitsch and others; licence CC BY-NC-SA 4.0) are fetched when needed. They are not part of
this project, nor is anything made from them: the network that is trained on them stays in examples/.cache.
"""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.fetch import CACHE, wheel  # noqa: E402

__all__ = [
    "FOLDER",
    "RANK",
    "SIDE",
    "audited",
    "cells",
    "defective",
    "noise_cells",
    "shrink",
    "training_cells",
]

FOLDER = CACHE / "solar_cells"
SIDE = 20
"""An image of 300 x 300 grey levels becomes SIDE x SIDE means of 15 x 15."""
TRAINING, NOISE = 200, 200
"""Healthy cells for the network, and others for mean and covariance; the rest is audited."""
RANK = 20
"""Common factors of the covariance between cells; what they leave is independent between pixels."""


def shrink(image: np.ndarray) -> np.ndarray:
    """Block means, float64 of shape (SIDE, SIDE)."""
    side = len(image) // SIDE
    return np.asarray(image.astype(np.float64).reshape(SIDE, side, SIDE, side).mean(axis=(1, 3)))


@cache
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Monocrystalline cells, shape (cells, SIDE, SIDE), and the probability of a defect that experts gave."""
    from PIL import Image

    with wheel("elpv-dataset", "1.0.0.post1") as opened:
        rows = [line.split() for line in opened.read("elpv_dataset/data/labels.csv").decode().splitlines()]
        kept = [(name, float(defect)) for name, defect, kind in rows if kind == "mono"]
        images = []
        for name, _ in kept:
            with Image.open(io.BytesIO(opened.read(f"elpv_dataset/data/{name}"))) as image:
                images.append(shrink(np.asarray(image)))
    return np.array(images), np.array([defect for _, defect in kept])


@cache
def _healthy() -> np.ndarray:
    """Cells without a defect in an order fixed once, so that neither set is a part of the file."""
    images, defect = cells()
    found = images[defect == 0]
    return np.asarray(found[np.random.default_rng(0).permutation(len(found))])


def training_cells() -> np.ndarray:
    """Healthy cells for the network, shape (TRAINING, SIDE, SIDE)."""
    return _healthy()[:TRAINING]


def noise_cells() -> np.ndarray:
    """Healthy cells for mean and covariance, shape (NOISE, SIDE, SIDE)."""
    return _healthy()[TRAINING : TRAINING + NOISE]


def audited() -> np.ndarray:
    """Healthy cells that nothing has seen: placebos, shape (cells, SIDE, SIDE)."""
    return _healthy()[TRAINING + NOISE :]


def defective() -> np.ndarray:
    """Cells whose experts were certain of a defect, shape (cells, SIDE, SIDE)."""
    images, defect = cells()
    return np.asarray(images[defect == 1])
