"""The question that is asked of the network, fixed before any audited window is looked at.

H0: at the nine pixels that the network points at, follow-up and baseline have the same mean.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from data import MARGIN, PLACES, SIDE, Window, lesion, noise

import sureline as sl

__all__ = ["BRIGHTER", "MODEL", "ask", "contrast", "load", "planted", "region"]

MODEL = Path(__file__).with_name("model.onnx")
BRIGHTER = 30
"""Grey levels by which a planted lesion is brighter in the follow-up; the windows have a median of 480."""
MOST = 5000
"""Evaluations after which a hard search ends; its bounds are then valid, and a little wider."""


def region(place: np.ndarray) -> np.ndarray:
    """The 3 x 3 pixels that the network points at, bool of shape (SIDE, SIDE)."""
    row, column = divmod(int(place.item()), PLACES)
    marked = np.zeros((SIDE, SIDE), dtype=bool)
    marked[row + MARGIN - 1 : row + MARGIN + 2, column + MARGIN - 1 : column + MARGIN + 2] = True
    return marked


def contrast(place: np.ndarray) -> np.ndarray:
    """Mean over the region in the follow-up minus mean over the region in the baseline, exact fractions."""
    marked = region(place)
    share = np.where(marked, Fraction(1, int(marked.sum())), Fraction(0))
    return np.stack([share, -share])


def load() -> sl.SelectiveInferenceModel:
    """The network, and the event "it points at this place"."""
    return sl.load(str(MODEL), sl.Selection(output="place", eta=contrast))


def ask(test: sl.SelectiveInferenceModel, window: Window, *, correlated: bool = True) -> sl.InferenceResult:
    """Audit one window."""
    return test.inference(window.scans, var=noise(window, correlated=correlated), max_iter=MOST)


def planted(window: Window, row: int, column: int, brighter: float = BRIGHTER) -> Window:
    """The window with a lesion three pixels wide painted into the follow-up, centred on one of the places."""
    scans = window.scans.copy()
    scans[0, 0] += np.float32(brighter) * lesion(row + MARGIN, column + MARGIN, radius=1.5).astype(np.float32)
    return replace(window, scans=scans)
