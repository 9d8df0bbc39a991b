"""Inputs of a calibration: given ones, or simulated noise around a mean; and planted effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.noise import Noise
from symbolic.errors import InputError, OptionError

__all__ = ["Replicates", "listed", "with_effect"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replicates:
    """Gaussian noise around a mean; replicate k is drawn from (seed, k).

    Attributes
    ----------
    mean : ndarray
    law : Noise
    count, seed : int
    pair : bool
        Each replicate is a pair of independent copies (input and reference).
    """

    mean: Floats
    law: Noise
    count: int
    seed: int
    pair: bool

    @classmethod
    def of(cls, mean: Any, var: Any, count: int, seed: int, pair: bool) -> Replicates:
        """Read and check a mean and a covariance.

        Raises
        ------
        InputError, NoiseError
        """
        try:
            centre = np.asarray(mean, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("the mean must be an array of numbers.") from None
        if not centre.size or not np.isfinite(centre).all():
            raise InputError("the mean must be an array of finite numbers.")
        return cls(centre, Noise.of(var, centre.size), count, seed, pair)

    def noise(self, rng: np.random.Generator) -> Floats:
        """One draw of the noise, of the mean's shape."""
        return self.law.drawn(rng, self.mean.size).reshape(self.mean.shape)

    def one(self, k: int) -> Any:
        """Replicate k: float32 numbers, so that no runtime rounds them."""
        rng = np.random.default_rng([self.seed, k])
        drawn = [self._rounded(self.mean + self.noise(rng)) for _ in range(1 + self.pair)]
        return tuple(drawn) if self.pair else drawn[0]

    @staticmethod
    def _rounded(x: Floats) -> Floats:
        return x.astype(np.float32).astype(np.float64)

    def __iter__(self) -> Iterator[Any]:
        return (self.one(k) for k in range(self.count))

    def truth(self, effect: Any) -> Floats | None:
        """The true mean of the noise vector, where the effect is an array or none."""
        if callable(effect):
            return None
        moved = self._flat if effect is None else np.asarray(with_effect(self.mean, effect)).reshape(-1)
        return np.concatenate([moved, self._flat]) if self.pair else moved

    @cached_property
    def _flat(self) -> Floats:
        return self.mean.reshape(-1)


def listed(inputs: Any, most: int | None) -> tuple[Iterable[Any], int | None]:
    """Given inputs as an iterable, and how many they are, if that is known.

    Raises
    ------
    InputError, OptionError
    """
    if isinstance(inputs, np.ndarray) and (inputs.ndim < 2 or not len(inputs)):
        raise InputError(f"inputs has shape {inputs.shape}; an array of them has shape (replicates, ...).")
    try:
        iter(inputs)
    except TypeError:
        raise OptionError("inputs should be an array of shape (replicates, ...) or an iterable.") from None
    size = len(inputs) if hasattr(inputs, "__len__") else None
    if size is None or most is None:
        return inputs, size if most is None else None
    return inputs, min(size, most)


def with_effect(x: Any, effect: Any) -> Any:
    """The input with the effect: applied to it, or added (of a pair: to its first).

    Raises
    ------
    InputError
        An effect whose shape does not fit the input.
    """
    if effect is None:
        return x
    if isinstance(x, tuple):
        return (with_effect(x[0], effect), *x[1:])
    if callable(effect):
        return effect(x)
    base, added = np.asarray(x, dtype=np.float64), np.asarray(effect, dtype=np.float64)
    try:
        shape = np.broadcast_shapes(base.shape, added.shape)
    except ValueError:
        shape = ()
    if shape != base.shape:
        raise InputError(f"the effect has shape {added.shape}, but the input has shape {base.shape}.")
    return base + added
