"""The two scans of one head that nibabel ships, cut into windows.

The scan is read from the installed nibabel package; this project does not contain it. Follow-up is its
second volume, baseline its first. Nothing happened to the head in between, so any change that is found is
noise. Every rule below looks away from the audited window: being on the list says nothing about a window's
own noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files

import numpy as np

import sureline as sl

__all__ = [
    "MARGIN",
    "NOISE_SAMPLE",
    "PLACES",
    "SIDE",
    "TRAINING_SLICES",
    "Window",
    "audited_windows",
    "correlation",
    "lesion",
    "load_scans",
    "noise",
    "quiet_windows",
]

SIDE = 12
"""Windows are SIDE x SIDE pixels."""
MARGIN = 2
"""The network looks at 5 x 5 pixels, so it points at places at least MARGIN pixels from the edge."""
PLACES = SIDE - 2 * MARGIN
"""It points at one of PLACES x PLACES places."""
TRAINING_SLICES = (3, 7, 11, 15, 19, 23)
"""The network and the shape of the noise were learned from these slices; none of them is audited."""
HEAD = 80.0
"""A window is inside the head if every pixel of the two neighbouring slices is at least this bright."""
QUIET = 14.0
"""Windows that change more than this (root mean square) two slices away are left out: vessels pulse. The
slices beside have no say, as the variance comes from them: without the large ones it would be too small."""
SHAPE = " The correlation was measured on six other slices: the law is conditional on it."
NOISE_SAMPLE = 1376
"""Separate 3 x 3 squares of the training slices (noise_shape.py): they cannot vouch for p below 1/1376."""


@dataclass(frozen=True)
class Window:
    """One window of one slice.

    Attributes
    ----------
    slice_index, row, column:
        Position of its first pixel in the volume.
    scans:
        Follow-up and baseline, grey levels, float32 of shape (1, 2, SIDE, SIDE).
    beside:
        Follow-up minus baseline in the same window of the two neighbouring slices, float64 of shape
        (2, SIDE * SIDE): the noise sample. Neither network nor contrast sees it.
    """

    slice_index: int
    row: int
    column: int
    scans: np.ndarray
    beside: np.ndarray


def load_scans() -> np.ndarray:
    """Read the two volumes, float64 of shape (2, 128, 96, 24): follow-up first."""
    import nibabel

    with as_file(files("nibabel") / "tests" / "data" / "example4d.nii.gz") as path:
        volumes = np.asarray(nibabel.load(path).dataobj).astype(np.float64)
    return np.stack([volumes[..., 1], volumes[..., 0]])


def audited_windows(scans: np.ndarray) -> list[Window]:
    """All windows that may be audited."""
    slices = [z for z in range(1, scans.shape[3] - 1) if z not in TRAINING_SLICES]
    return quiet_windows(scans, slices)


def quiet_windows(scans: np.ndarray, slice_indices: Sequence[int]) -> list[Window]:
    """Windows of these slices inside the head and quiet, judged by the slices around."""
    windows = []
    _, rows, columns, slices = scans.shape
    for z in slice_indices:
        around = [k for k in (z - 2, z + 2) if 0 <= k < slices]
        for i in range(0, rows - SIDE + 1, SIDE):
            for j in range(0, columns - SIDE + 1, SIDE):
                column = scans[:, i : i + SIDE, j : j + SIDE]
                brightness = column[..., [z - 1, z + 1]].mean(axis=(0, 3))
                change = column[0] - column[1]
                if brightness.min() < HEAD or np.mean(change[..., around] ** 2) > QUIET**2:
                    continue
                beside = change[..., [z - 1, z + 1]].reshape(-1, 2).T
                windows.append(Window(z, i, j, column[None, ..., z].astype(np.float32), beside))
    return windows


def correlation() -> np.ndarray:
    """Correlation of the change between the pixels of a window, float64 of shape (144, 144).

    It was measured on the training slices: neighbouring pixels correlate 1/8 down a column and 5/16
    along a row and not beyond, and 1/128 of the variance is common to a whole window (the brightness of a
    slice drifts from one volume to the next).
    """
    eye, beside = np.eye(SIDE), np.eye(SIDE, k=1) + np.eye(SIDE, k=-1)
    return np.asarray(np.kron(eye + beside / 8, eye + beside * 5 / 16) + 1 / 128)


def noise(window: Window, *, correlated: bool = True) -> sl.EstimatedNoise:
    """Covariance of the noise in both scans of a window, shape (288, 288), follow-up first.

    The two scans are independent and share the variance equally; only their difference reaches the network
    and the contrast, so another split would give the same p-value. ``correlated=False`` forgets the
    correlation, to show what that does.
    """
    shape = correlation() if correlated else np.eye(SIDE**2)
    change = sl.correlated_noise(window.beside, shape, mean="zero", what="neighbouring slices")
    return replace(change, shape=np.kron(np.eye(2), shape) / 2, source=change.source + SHAPE)


def lesion(row: float, column: float, radius: float) -> np.ndarray:
    """A round lesion of height 1 with an edge one pixel wide, shape (SIDE, SIDE)."""
    i, j = np.mgrid[:SIDE, :SIDE]
    return np.clip(radius + 0.5 - np.hypot(i - row, j - column), 0.0, 1.0)
