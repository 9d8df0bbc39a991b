"""The two scans of one head that nibabel ships, cut into windows; every rule here looks away from the audited window.

The scan is read from the installed nibabel package; this project does not contain it. Follow-up is its second volume,
baseline its first. Nothing happened to the head in between: any change that is found is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np

__all__ = ["SIDE", "TRAINING_SLICES", "Window", "audited_windows", "covariance", "lesion", "load_scans"]

SIDE = 12
"""Windows are SIDE x SIDE pixels (2 x 2 mm each)."""
MARGIN = 2
"""The network looks at 5 x 5 pixels, so it points at places at least MARGIN pixels from the window's edge."""
PLACES = SIDE - 2 * MARGIN
"""It points at one of PLACES x PLACES places."""
TRAINING_SLICES = (3, 7, 11, 15, 19, 23)
"""Slices the network and the noise's shape were learned from; no window of these is ever audited."""
HEAD = 80.0
"""A window counts as inside the head if every pixel of the two neighbouring slices is at least this bright."""
QUIET = 14.0
"""Windows whose neighbours change by more than this (root mean square) are left out: pulsing vessels and ventricles."""


@dataclass(frozen=True)
class Window:
    """One audited window.

    Attributes
    ----------
    slice_index, row, column:
        Position of its first pixel in the volume.
    scans:
        float32, shape (2, SIDE, SIDE): follow-up and baseline, in the scanner's grey units.
    variance:
        Variance of follow-up minus baseline at one pixel, grey units squared, from the same window of the two
        neighbouring slices (288 pixels), which the contrast does not use.
    """

    slice_index: int
    row: int
    column: int
    scans: np.ndarray
    variance: float


def load_scans() -> np.ndarray:
    """Read the two volumes, float64 of shape (2, 128, 96, 24): follow-up first."""
    import nibabel

    with as_file(files("nibabel") / "tests" / "data" / "example4d.nii.gz") as path:
        image = nibabel.load(path)
        volumes = np.asarray(image.dataobj).astype(np.float64)
    return np.stack([volumes[..., 1], volumes[..., 0]])


def audited_windows(scans: np.ndarray) -> list[Window]:
    """Cut every slice that was not trained on into windows; keep those inside the head and quiet in BOTH NEIGHBOURS.

    The window's own values decide nothing here, so being on this list says nothing about its noise.
    """
    windows = []
    _, rows, columns, slices = scans.shape
    for z in range(1, slices - 1):
        if z in TRAINING_SLICES:
            continue
        for i in range(0, rows - SIDE + 1, SIDE):
            for j in range(0, columns - SIDE + 1, SIDE):
                beside = scans[:, i : i + SIDE, j : j + SIDE, [z - 1, z + 1]]
                if beside.mean(axis=(0, 3)).min() < HEAD:
                    continue
                variance = round(8 * float(np.mean((beside[0] - beside[1]) ** 2))) / 8  # short exact numbers
                if variance > QUIET**2:
                    continue
                here = scans[:, i : i + SIDE, j : j + SIDE, z].astype(np.float32)
                windows.append(Window(z, i, j, here, variance))
    return windows


def covariance(variance: float) -> np.ndarray:
    """Covariance of the noise in both scans of a window, float64 of shape (2 SIDE^2, 2 SIDE^2), follow-up first.

    Shape measured on the training slices: neighbouring pixels correlate 1/8 down a column and 5/16 along a row and not beyond
    (the scanner's own interpolation), and 1/128 of the variance is common to a whole window (the slice's brightness drifts
    between two volumes). The two scans are independent and share the variance equally; only their difference reaches the
    network and the contrast, so another split would give the same p-value.
    """
    eye, beside = np.eye(SIDE), np.eye(SIDE, k=1) + np.eye(SIDE, k=-1)
    down, along = eye + beside / 8, eye + beside * 5 / 16
    one_scan = variance / 2 * (np.kron(down, along) + 1 / 128)
    zero = np.zeros_like(one_scan)
    return np.block([[one_scan, zero], [zero, one_scan]])


def lesion(row: float, column: float, radius: float) -> np.ndarray:
    """A round lesion of height 1 with an edge one pixel wide, shape (SIDE, SIDE)."""
    i, j = np.mgrid[:SIDE, :SIDE]
    return np.clip(radius + 0.5 - np.hypot(i - row, j - column), 0.0, 1.0)


def region(place: int) -> np.ndarray:
    """The 21 pixels within about two pixels of the place that the network points at, bool of shape (SIDE, SIDE)."""
    row, column = divmod(int(place), PLACES)
    i, j = np.mgrid[:SIDE, :SIDE]
    return (i - row - MARGIN) ** 2 + (j - column - MARGIN) ** 2 <= 5
