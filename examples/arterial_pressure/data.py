"""Arterial pressure of an animal under anaesthesia, one beat at a time.

The recording (number 135 of the UCR anomaly archive, KDD-TSAD 2021) comes with the package aeon, from which
it is fetched when needed; it is not part of this project. In one of its beats the archive has labelled an
anomaly.
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
    "BLOCKS", "FOLDER", "LABELLED", "REFERENCE", "SD", "WIDTH", "audited_beats", "beats", "cut", "left_over",
    "mean_beat", "window",
]  # fmt: skip

FOLDER = CACHE / "arterial_pressure"
REFERENCE = 20
"""Beats from which the mean beat and the shapes of breathing are learned; the later ones are audited."""
SHAPES = 4
"""Shapes in which breathing and the length of the beat change the pressure, beat by beat."""
SAMPLES, BEFORE, BLOCKS = 3, 24, 60
"""A beat is 60 means of 3 samples, from 24 samples before the pressure rises through RISE."""
RISE = 75.0
LABELLED = (4187, 4198)
"""Samples that the archive labels as anomalous, first and last."""
WIDTH = 2
"""Blocks that the network points at."""
SD = 0.5
"""Standard deviation, in mmHg, of the noise that the audit adds to each block."""


@cache
def recording() -> tuple[np.ndarray, np.ndarray]:
    """Pressure in mmHg, and whether a sample is labelled: two arrays of 7,501."""
    name = "aeon/datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv"
    with wheel("aeon", "1.6.0") as opened:
        table = np.genfromtxt(io.BytesIO(opened.read(name)), delimiter=",", skip_header=1)
    return table[:, 1], table[:, 2] > 0


def cut(pressure: np.ndarray) -> tuple[list[int], np.ndarray]:
    """First samples of the whole beats of a recording, and the beats, shape (beats, BLOCKS)."""
    rises = np.flatnonzero((pressure[:-1] < RISE) & (pressure[1:] >= RISE)) + 1
    firsts: list[int] = []
    length = SAMPLES * BLOCKS
    for rise in rises.tolist():
        first = rise - BEFORE
        climbing = pressure[min(rise + 10, len(pressure) - 1)] > RISE + 5
        room = first >= 0 and first + length <= len(pressure)
        if climbing and room and (not firsts or first - firsts[-1] > 100):
            firsts.append(first)
    means = [pressure[f : f + length].reshape(BLOCKS, SAMPLES).mean(axis=1) for f in firsts]
    return firsts, np.array(means)


@cache
def beats() -> tuple[list[int], np.ndarray]:
    """The beats of the recording."""
    return cut(recording()[0])


def mean_beat() -> np.ndarray:
    """Mean of the reference beats, shape (BLOCKS,)."""
    return np.asarray(beats()[1][:REFERENCE].mean(axis=0))


@cache
def left_over() -> np.ndarray:
    """The projection that takes off what the SHAPES of the reference beats explain, (BLOCKS, BLOCKS)."""
    deviations = beats()[1][:REFERENCE] - mean_beat()
    shapes = np.linalg.svd(deviations, full_matrices=False)[2][:SHAPES]
    return np.asarray(np.eye(BLOCKS) - shapes.T @ shapes)


def audited_beats() -> list[tuple[bool, np.ndarray]]:
    """Whether a later beat holds the label, and its pressure less the mean beat, shape (BLOCKS,)."""
    firsts, found = beats()
    first, last = LABELLED
    length = SAMPLES * BLOCKS
    return [
        (f <= last and first < f + length, beat - mean_beat())
        for f, beat in zip(firsts[REFERENCE:], found[REFERENCE:], strict=True)
    ]


def window(place: int) -> np.ndarray:
    """The blocks that are pointed at, bool of shape (BLOCKS,)."""
    blocks = np.arange(BLOCKS)
    return np.asarray((blocks >= place) & (blocks < place + WIDTH))
