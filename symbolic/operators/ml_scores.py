"""Scores of classifiers and regressors: the transform behind them, and the class that has the greatest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from symbolic.enclosures import forms
from symbolic.enclosures.values import ANYTHING, Affine, Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operators
from symbolic.operators.extremum import contenders
from symbolic.operators.logic import compare

__all__ = [
    "class_labels",
    "is_untransformed",
    "of_two",
    "scores_are_exact",
    "standard",
    "transform",
    "winner",
]

STANDARD = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
"""What a transform is called in the default domain."""
NAMES = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

Transform = Callable[[Batch, Affine], Value]


def _name(node: Node) -> str:
    given = node.attributes.get("post_transform", b"NONE")
    return NAMES[given] if isinstance(given, int) else node.text("post_transform")


def is_untransformed(node: Node, inputs: Inputs) -> bool:
    """Whether the scores are given as they are; sums of constants scale like constants."""
    return _name(node) == "NONE"


def scores_are_exact(node: Node, inputs: Inputs) -> bool:
    """Whether the scores are given as they are, or nobody asks for any: labels are always exact."""
    place = 1 if node.op_type.endswith("Classifier") else 0
    return is_untransformed(node, inputs) or not any(node.proto.output[place:])


def standard(node: Node, op_type: str, inputs: Inputs, opset: int = 22, **attributes: Any) -> Rule:
    """The rule of an operator of the default domain, for inputs like these."""
    names = [f"in{k}" for k in range(len(inputs))]
    proto = helper.make_node(op_type, names, ["out"], name=node.proto.name, **attributes)
    return operators[op_type].build(Node.of(proto, opset), inputs)


def transform(node: Node, shape: tuple[int, ...]) -> Transform:
    """The post_transform of a node, for scores of this shape.

    A single score is not transformed by ONNX Runtime, whatever the standard says: it is refused.
    """
    name = _name(node)
    if name == "NONE":
        return lambda batch, scores: scores
    if name not in STANDARD or shape[-1] < 2:
        raise ModelError(f"{node.label}: post_transform {name} of {shape[-1]} scores is not supported.")
    rule = standard(node, STANDARD[name], [Const(np.zeros(shape))])
    return lambda batch, scores: rule(batch, [scores])[0]


def class_labels(node: Node, name: str) -> NDArray[np.int64] | int:
    """The integers that classes are called by, or the number of classes that are called by strings."""
    whole, strings = node.integers(name, ()), node.attributes.get("classlabels_strings", ())
    if bool(whole) == bool(strings):
        raise ModelError(f"{node.label} needs class labels, of one type.")
    return np.array(whole, dtype=np.int64) if whole else len(strings)


def winner(scores: Affine, labels: NDArray[np.int64] | int) -> Range:
    """The label of the greatest score along the last axis (of the first one that is); strings are unknown."""
    if isinstance(labels, int):
        nothing = np.full(scores.c.shape[:-1], ANYTHING)
        return Range(-nothing, nothing)
    possible = contenders(Affine(*(np.moveaxis(v, -1, 0) for v in (scores.c, scores.d, scores.r))))
    column = labels.reshape(-1, *(1,) * (possible.ndim - 1))
    return Range(
        np.where(possible, column, ANYTHING).min(axis=0), np.where(possible, column, -ANYTHING).max(axis=0)
    )


def of_two(
    batch: Batch, score: Affine, labels: NDArray[np.int64] | int, level: float
) -> tuple[Range, Affine]:
    """The label, and both scores: one (with a last axis of length 1) is the second class's, which wins above
    the level; the first class's is twice the level minus it."""
    difference = forms.subtract(score, batch.lift(Const(np.array(level))))
    if isinstance(labels, int):
        label = winner(score, labels)
    else:
        truth = compare(Affine(*(v[..., 0] for v in (difference.c, difference.d, difference.r))), True)
        sides = labels[truth.lo.astype(np.int64)], labels[truth.hi.astype(np.int64)]
        label = Range(np.minimum(*sides), np.maximum(*sides))
    rest = forms.subtract(batch.lift(Const(np.array(2 * level))), score)
    pairs = ((rest.c, score.c), (rest.d, score.d), (rest.r, score.r))
    return label, Affine(*(np.concatenate(pair, axis=-1) for pair in pairs))
