"""Noise of the auditor's own, added before the selection: drawn again from its seed, where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.integers import Array

__all__ = ["confirm_drawn", "is_redrawn"]


def is_redrawn(document: dict[str, Any]) -> bool:
    """Whether what was added can be drawn again: other covariances need a matrix factor, which another
    machine may round otherwise."""
    return document["noise"]["kind"] in ("scalar", "diagonal")


def confirm_drawn(
    document: dict[str, Any],
    var: Array | None,
    before: Sequence[Array],
    after: Sequence[Array],
    second: Fraction,
) -> None:
    """Refuse a certificate whose noise is not that of its seed; of the reference it has `second` times the
    variance.

    sqrt(scale) sqrt(variance) times the normal numbers of NumPy's default generator, added in doubles: every
    step is rounded as IEEE 754 says, so that the same numbers come out everywhere.
    """
    if not is_redrawn(document):
        return
    entry, noise = document["randomisation"], document["noise"]
    size = sum(part.size for part in before)
    normal = np.random.default_rng(entry["seed"]).standard_normal(size)
    if noise["kind"] == "scalar":
        omega = np.sqrt(float(Fraction(noise["value"]))) * normal
    else:
        if var is None or size % var.size:
            raise InvalidCertificate("the covariance does not have the shape of the noise vector")
        omega = (normal.reshape(-1, var.size) * np.sqrt(var.astype(np.float64))).reshape(-1)
    omega = np.sqrt(float(Fraction(entry["scale"]))) * omega
    omega[before[0].size :] *= np.sqrt(float(second))
    start = 0
    for old, new in zip(before, after, strict=True):
        added = old.astype(np.float64) + omega[start : start + old.size].reshape(old.shape)
        if not np.array_equal(added, new):
            raise InvalidCertificate("what was added to the input is not the noise of the stated seed")
        start += old.size
