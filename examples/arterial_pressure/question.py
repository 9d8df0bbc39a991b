"""The question that is asked of the network, fixed before any audited beat is looked at.

H0: in the two blocks that the network points at, the recorded beat, less what the mean beat and breathing
explain, is within TOLERANCE of zero on average. The noise is the audit's own, so its variance is known.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from data import BLOCKS, SD, left_over, window
from train import MODEL, main

import sureline as sl

__all__ = ["TOLERANCE", "ask", "contrast", "load", "seen"]

TOLERANCE = 1
"""mmHg: monitors show whole ones. No two beats are the same: without a tolerance H0 would never be true."""
NOISE = (
    "Known exactly: the audit added independent normal noise, sd 0.5 mmHg, to the recorded beat (seed {})."
)
MOST = 5000
"""Evaluations after which a hard search ends; its bounds are then valid, and a little wider."""


def contrast(place: np.ndarray) -> np.ndarray:
    """Mean over the blocks pointed at, of what is left over."""
    marked = window(int(place.item()))
    return np.asarray(left_over() @ marked / marked.sum())


def load() -> sl.SelectiveInferenceModel:
    """The network (trained first if need be), and the event "it points at this place"."""
    path: Path = MODEL if MODEL.exists() else main()
    return sl.load(str(path), sl.Selection(output="place", eta=contrast))


def seen(beat: np.ndarray, seed: int) -> np.ndarray:
    """The beat with the noise of the audit, float32 of shape (1, BLOCKS)."""
    return (beat + np.random.default_rng(seed).normal(0.0, SD, BLOCKS)).astype(np.float32)[None]


def ask(
    test: sl.SelectiveInferenceModel, beat: np.ndarray, seed: int, tolerance: float = TOLERANCE
) -> sl.InferenceResult:
    """Audit one beat (less the mean beat, shape (BLOCKS,)) with noise from a seed."""
    noise = NOISE.format(seed)
    return test.inference(
        seen(beat, seed), var=Fraction(SD) ** 2, null_margin=tolerance, noise_source=noise, max_iter=MOST
    )
