"""Normalisation by constant statistics as layers."""

from __future__ import annotations

import numpy as np

from symbolic.node import Node
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import moving, standing

__all__: list[str] = []


@lowers("BatchNormalization")
def batch_normalization(b: Builder, node: Node, given: Given) -> list[Units]:
    """(x - mean) scale / sqrt(variance + epsilon) + bias: the root is a float, and no rational number."""
    x = moving(node, given)
    scale, bias, mean, variance = (
        b.exactly(v) for v in (standing(node, given, k) for k in range(1, 5)) if v is not None
    )
    shape = (-1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else (-1,)
    root = np.sqrt(variance + node.number("epsilon"))
    b.inexact.append(str(b.label))
    centred = b.affine([(x, 1.0)], -mean.reshape(shape))
    return b.tensor(b.affine([(centred, (scale / root).reshape(shape))], bias.reshape(shape)))
