"""A network at single points, as enclosures: what bounds a maximum from below."""

from __future__ import annotations

import numpy as np

from symbolic.enclosures.undefined import undefined_on
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.network import Network

__all__ = ["evaluate"]


def evaluate(network: Network, points: Affine) -> dict[str, Value]:
    """Enclose the outputs at points of the moving input.

    Parameters
    ----------
    network : Network
    points : Affine of shape (count, *shape)
        d = 0; r is how far the points that are meant may lie from c.

    Returns
    -------
    dict
        By output; NaN at a point where anything may be undefined.
    """
    batch = Batch(len(points.c))
    values: dict[str, Value] = {network.moving: points}
    undefined = np.zeros(batch.size, dtype=bool)
    with np.errstate(all="ignore"):
        for step in network.steps:
            given = [(network.constants.get(n) or values.get(n)) if n else None for n in step.inputs]
            for name, value, limits in zip(step.outputs, step.rule(batch, given), step.limits, strict=False):
                if name and name not in network.constants:
                    values[name] = limits.on(value)
                    undefined |= undefined_on(value)
            for name in step.last_uses:
                values.pop(name, None)
    made = {name: values.get(name) or network.constants[name] for name in network.outputs}
    if undefined.any():
        for name, value in made.items():
            if isinstance(value, Affine):
                bad = undefined.reshape(-1, *(1 for _ in value.shape))
                made[name] = Affine(np.where(bad, np.nan, value.c), value.d, value.r)
    return made
