"""The question that is asked of the network, fixed before any audited cell is looked at.

H0: the pixels that the network marks as too dark are, against the rest of the cell, as bright as in the
healthy population.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from data import RANK, noise_cells
from train import MODEL, main

import sureline as sl

__all__ = ["ask", "load", "noise"]

THRESHOLD = 0.8
"""Marked: where (redrawn - input), scaled to 0..1 over the cell, is above this."""
MOST = 5000
"""Evaluations after which a hard search ends; its bounds are then valid, and a little wider."""


@cache
def noise() -> sl.EstimatedNoise:
    """Variation between healthy cells, not of the sensor; of a cell less the mean of the noise cells."""
    sample = noise_cells().reshape(len(noise_cells()), -1)
    found = sl.low_rank_noise(sample, RANK)
    return replace(found, shape=found.shape * (1 + 1 / len(sample)))  # the mean is estimated, too


def load() -> sl.SelectiveInferenceModel:
    """The network (trained first if need be) and the question."""
    path: Path = MODEL if MODEL.exists() else main()
    question = sl.BackMeanDiff(threshold=THRESHOLD, post_process=[sl.InputDiff()], use_norm=True)
    return sl.load(str(path), question)


def ask(test: sl.SelectiveInferenceModel, cell: np.ndarray) -> sl.InferenceResult:
    """Audit one cell, shape (SIDE, SIDE)."""
    deviation = (cell - noise_cells().mean(axis=0)).astype(np.float32).reshape(1, -1)
    return test.inference(deviation, var=noise(), max_iter=MOST)
