"""Scores of ai.onnx.ml: their transform, and the label of the first class that has the greatest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from verifier.check.numbers.discrete import COMPARISONS, Discrete, first_best
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.smooth import smooth
from verifier.check.operators.registry import OPERATORS, Context, Node, Value

__all__ = ["labelled", "labels_of", "of_two", "post_transform", "transformed", "winner"]

CODES = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
UNKNOWN = 1 << 62  # a label that is a string is between -UNKNOWN and UNKNOWN


def post_transform(node: Node) -> str:
    """Its name."""
    given = node.get("post_transform")
    return CODES[given] if isinstance(given, int) else given.decode()


def transformed(ctx: Context, node: Node, scores: Form) -> Value:
    """The transform along the last axis; ONNX Runtime leaves a single score alone, so that is refused."""
    name = post_transform(node)
    if name == "NONE":
        return scores
    if name not in ("SOFTMAX", "LOGISTIC") or scores.shape[-1] < 2:
        raise node.refuse(f"the transform {name} of {scores.shape[-1]} scores")
    if name == "LOGISTIC":
        return smooth(ctx.ar, "Sigmoid", scores)
    last = replace(node, index=-1 - node.index, op="Softmax", opset=13, attributes={"axis": -1})
    return OPERATORS["Softmax"](ctx, last, [scores])  # type: ignore[no-any-return]


def labelled(ctx: Context, node: Node, label: Discrete, scores: Form) -> list[Value]:
    """Both outputs of a classifier. A transform is smooth, and in the way of exact numbers where only the
    label is read.
    """
    return [label, transformed(ctx, node, scores)] if any(node.outputs[1:]) else [label]


def labels_of(node: Node, name: str) -> tuple[int, Array | None]:
    """The number of classes, and their labels if these are integers."""
    whole, strings = node.get(name) or [], node.get("classlabels_strings") or []
    if bool(whole) == bool(strings):
        raise node.refuse("it needs labels of one type")
    return len(whole) + len(strings), np.array(whole, dtype=np.int64) if whole else None


def winner(ctx: Context, scores: Form, labels: Array | None) -> Discrete:
    """The label of the first greatest score along the last axis."""
    if labels is None:
        return _unknown(scores)
    possible = first_best(ctx.ar, scores.each(lambda a: np.moveaxis(a, -2, 0)))
    names = labels.reshape(-1, *(1,) * (possible.ndim - 1))
    return Discrete(
        np.where(possible, names, UNKNOWN).min(axis=0), np.where(possible, names, -UNKNOWN).max(axis=0)
    )


def of_two(ctx: Context, score: Form, labels: Array | None, level: float) -> tuple[Discrete, Form]:
    """One score (a last axis of one) is the second class's, which wins above `level`; the label, and both
    scores, the first class's being 2*level - score.
    """
    s, limit, twice = ctx.alike(score, ctx.number(level), ctx.number(2 * level))
    both = ctx.ar.aligned([ctx.ar.subtract(twice, s), s])
    cells = both[1].c.shape
    c, d, r = (np.concatenate([np.broadcast_to(getattr(f, k), cells) for f in both], axis=-2) for k in "cdr")
    pair = Form(c, d, r, both[0].e, both[0].degree)
    if labels is None:
        return _unknown(score), pair
    second = COMPARISONS["Greater"](ctx.ar, s, limit)
    ends = [labels[truth[..., 0, :]] for truth in (second.lo, second.hi)]
    return Discrete(np.minimum(*ends), np.maximum(*ends)), pair


def _unknown(scores: Form) -> Discrete:
    nothing = np.full((*scores.shape[:-1], 1), UNKNOWN)
    return Discrete(-nothing, nothing)
