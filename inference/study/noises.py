"""Noise of a study: what it really is, while the analysis takes it as independent and normal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from symbolic.errors import OptionError

__all__ = ["FAMILIES", "noise_of", "require_noise"]

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

FAMILIES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "laplace": lambda rng, shape: rng.laplace(size=shape) / np.sqrt(2),
    "uniform": lambda rng, shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
}
"""All of mean 0 and variance 1."""
WITH_NUMBER = ("rounded", "ar")


def require_noise(text: str) -> tuple[str, float]:
    """Read "normal", "t3", "laplace", "uniform", "exponential", "rounded:STEP" or "ar:RHO".

    Raises
    ------
    OptionError
    """
    name, _, number = str(text).partition(":")
    if name in FAMILIES and not number:
        return name, 0.0
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if name in WITH_NUMBER and 0 < value and (name == "rounded" or value < 1):
        return name, value
    raise OptionError(
        f"the noise is {text!r}; it should be one of {', '.join(FAMILIES)}, rounded:STEP or ar:RHO "
        "(STEP in standard deviations, RHO between 0 and 1)."
    )


def noise_of(text: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """One draw of variance 1 (before rounding to a step of so many standard deviations).

    "ar:RHO" is autoregressive along every axis longer than 1, from its stationary law.
    """
    name, value = require_noise(text)
    if name in FAMILIES:
        return np.asarray(FAMILIES[name](rng, shape))
    drawn = rng.standard_normal(shape)
    if name == "rounded":
        return np.asarray(drawn)  # rounded together with the mean
    for axis, length in enumerate(shape):
        if length > 1:
            moved = np.moveaxis(drawn, axis, 0)
            for k in range(1, length):
                moved[k] = value * moved[k - 1] + np.sqrt(1 - value * value) * moved[k]
    return np.asarray(drawn)
