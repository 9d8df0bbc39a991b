"""Einsum: operands are contracted one after the other, each time by one batched matrix product."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from symbolic.enclosures.linear import Weights, bilinear_map, each, linear_map
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.values import Affine, Batch, Const, Value, is_integer, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, one_moves, operator, required
from symbolic.operators.arithmetic import exact_integers
from symbolic.operators.matrix import sum_over
from symbolic.operators.shapes import bounded

Label = str | int
"""A letter, or an axis of the ellipsis counted from its end (-1 is the last)."""
Labels = tuple[Label, ...]
ELLIPSIS = "..."


@dataclass(frozen=True)
class Equation:
    """The labels of every axis of the operands and of the result, and their lengths.

    ``full`` holds the labels of every operand that do not broadcast.
    """

    terms: tuple[Labels, ...]
    full: tuple[frozenset[Label], ...]
    output: Labels
    sizes: dict[Label, int]

    @classmethod
    def of(cls, node: Node, shapes: Sequence[tuple[int, ...]]) -> Equation:
        """Read the attribute `equation` for operands of some shapes."""
        text = node.text("equation").replace(" ", "")
        left, arrow, right = text.partition("->")
        words = left.split(",")
        if not all(re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", word) for word in (*words, right)):
            raise ModelError(f"{node.label}: {text!r} is no equation.")
        if len(words) != len(shapes):
            raise ModelError(f"{node.label}: its equation is for {len(words)} operands, not {len(shapes)}.")
        free = [len(s) - len(w.replace(ELLIPSIS, "")) for w, s in zip(words, shapes, strict=True)]
        if any(n < 0 or (n > 0 and ELLIPSIS not in w) for w, n in zip(words, free, strict=True)):
            raise ModelError(f"{node.label}: its equation does not fit operands of shapes {list(shapes)}.")
        longest = max(free)
        terms = tuple(_labels(word, n) for word, n in zip(words, free, strict=True))
        if arrow:
            output = _labels(right, longest)
        else:
            once = Counter(label for term in terms for label in term if isinstance(label, str))
            letters = sorted(label for label, count in once.items() if count == 1)
            output = (*range(-longest, 0), *letters)
        sizes = _sizes(node, terms, output, shapes)
        full = tuple(
            frozenset(label for label, n in zip(term, shape, strict=True) if n == sizes[label])
            for term, shape in zip(terms, shapes, strict=True)
        )
        return cls(terms, full, output, sizes)


def _labels(word: str, free: int) -> Labels:
    before, dots, after = word.partition(ELLIPSIS)
    return (*before, *(range(-free, 0) if dots else ()), *after)


def _sizes(
    node: Node, terms: Sequence[Labels], output: Labels, shapes: Sequence[tuple[int, ...]]
) -> dict[Label, int]:
    """The length of every label; an axis of length 1 broadcasts."""
    sizes: dict[Label, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        mine: dict[Label, int] = {}
        for label, n in zip(term, shape, strict=True):
            known = sizes.get(label, 1)
            if mine.setdefault(label, n) != n or 1 not in (known, n) and known != n:
                raise ModelError(f"{node.label}: the lengths of its index {label!r} differ.")
            sizes[label] = n if known == 1 else known
    named = {label for label in sizes if isinstance(label, str)}
    if not set(output) <= set(sizes) or len(set(output)) < len(output):
        raise ModelError(f"{node.label}: its output has an index twice, or one that no operand has.")
    if not set(sizes) - named <= set(output):
        raise ModelError(f"{node.label}: its output lacks the ellipsis.")
    return sizes


@dataclass(frozen=True)
class Operand:
    """A value whose axes have labels, each once."""

    value: Value
    labels: Labels


@operator("Einsum", exact=one_moves, homogeneous=one_moves, wraps=True)
def einsum(node: Node, inputs: Inputs) -> Rule:
    """Sums of products of elements with equal indices."""
    shapes = [required(node, inputs, k).shape for k in range(len(inputs))]
    equation = Equation.of(node, shapes)
    bounded(node, [equation.sizes[label] for label in equation.output])
    if all(is_integer(v) for v in inputs):
        bounded(node, list(equation.sizes.values()))
        return lambda batch, values: exact_integers(node, values)
    constants = {
        k: _prepared(Batch(1), equation, k, value)
        for k, value in enumerate(inputs)
        if isinstance(value, Const)
    }
    weights: dict[int, Weights] = {}

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        result: Operand | None = None
        for k in range(len(values)):
            new = constants.get(k) or _prepared(batch, equation, k, required(node, values, k))
            later = set(equation.output).union(*equation.full[k + 1 :])
            result = new if result is None else _contracted(node, batch, (result, new), later, weights, k)
        if result is None:
            raise ModelError(f"{node.label} has no operands.")
        order = [result.labels.index(label) for label in equation.output if label in result.labels]
        return (
            map_value(result.value, lambda a, lead: a.transpose(*range(lead), *(lead + i for i in order))),
        )

    return rule


def _prepared(batch: Batch, equation: Equation, k: int, value: Value) -> Operand:
    """Operand ``k`` with every label once, of its full length, and only those that others have too."""
    operand = Operand(value if isinstance(value, Const) else batch.lift(value), equation.terms[k])
    while len(set(operand.labels)) < len(operand.labels):
        operand = _diagonal(operand)
    elsewhere = set(equation.output).union(*(full for i, full in enumerate(equation.full) if i != k))
    broadcast = [i for i, label in enumerate(operand.labels) if label not in equation.full[k]]
    operand = _without(operand, broadcast, operand.value)
    alone = [i for i, label in enumerate(operand.labels) if label not in elsewhere]
    return _without(operand, alone, _summed(operand.value, alone))


def _diagonal(operand: Operand) -> Operand:
    """The first label that occurs twice, on the diagonal: it becomes the last axis."""
    labels = operand.labels
    i, j = next((i, j) for j in range(len(labels)) for i in range(j) if labels[i] == labels[j])
    value = map_value(operand.value, lambda a, lead: np.diagonal(a, axis1=lead + i, axis2=lead + j))
    return Operand(value, (*(label for k, label in enumerate(labels) if k not in (i, j)), labels[i]))


def _summed(value: Value, axes: Sequence[int]) -> Value:
    """Sums over axes, which are kept."""
    if not axes:
        return value
    form = Batch(1).lift(value)
    total = sum_over(form, tuple(a + 1 for a in axes), prod(value.shape[a] for a in axes))
    kept = Affine(*(np.expand_dims(v, [a + 1 for a in axes]) for v in (total.c, total.d, total.r)))
    return _as_constant(kept) if isinstance(value, Const) else kept


def _as_constant(form: Affine) -> Const:
    return Const(form.c[0], form.r[0] if form.r.any() else None)


def _without(operand: Operand, axes: Sequence[int], value: Value) -> Operand:
    """Drop axes of length 1 of ``value``, the operand's own or another of its shape."""
    kept = [label for i, label in enumerate(operand.labels) if i not in axes]
    return Operand(
        map_value(value, lambda a, lead: np.squeeze(a, tuple(lead + i for i in axes))), tuple(kept)
    )


def _contracted(
    node: Node,
    batch: Batch,
    pair: tuple[Operand, Operand],
    later: set[Label],
    weights: dict[int, Weights],
    k: int,
) -> Operand:
    """The product of two operands, summed over the labels that are not needed later."""
    a, b = pair
    sizes = {
        **dict(zip(a.labels, a.value.shape, strict=True)),
        **dict(zip(b.labels, b.value.shape, strict=True)),
    }
    shared = [label for label in a.labels if label in b.labels]
    groups = {
        "batch": [label for label in shared if label in later],
        "sum": [label for label in shared if label not in later],
        "left": [label for label in a.labels if label not in shared],
        "right": [label for label in b.labels if label not in shared],
    }
    length = {name: prod(sizes[label] for label in labels) for name, labels in groups.items()}
    labels = (*groups["batch"], *groups["left"], *groups["right"])
    bounded(node, [sizes[label] for label in labels])
    x, y = (
        _arranged(
            operand, [label for name in names for label in groups[name]], [length[name] for name in names]
        )
        for operand, names in ((a, ("batch", "left", "sum")), (b, ("batch", "sum", "right")))
    )
    factor = x if isinstance(x, Const) else y
    if isinstance(factor, Const) and k not in weights:
        weights[k] = Weights.of(factor)
    made = _multiplied(batch, x, y, length["sum"], weights.get(k))
    shape = [sizes[label] for label in labels]
    return Operand(map_value(made, lambda v, lead: v.reshape(*v.shape[:lead], *shape)), labels)


def _arranged(operand: Operand, labels: Sequence[Label], shape: Sequence[int]) -> Value:
    order = [operand.labels.index(label) for label in labels]
    return map_value(
        operand.value,
        lambda v, lead: v.transpose(*range(lead), *(lead + i for i in order)).reshape(
            *v.shape[:lead], *shape
        ),
    )


def _multiplied(batch: Batch, x: Value, y: Value, terms: int, weights: Weights | None) -> Value:
    """Matrix products x @ y, for any mixture of constants and moving factors."""
    apply: Callable[[Array, Array], Array] = np.multiply if terms == 1 else np.matmul
    if isinstance(x, Const) and isinstance(y, Const):
        one = Batch(1)
        return _as_constant(bilinear_map(one.lift(x), one.lift(y), apply, terms))
    if isinstance(y, Const) and weights is not None:
        return linear_map(batch.lift(x), weights, each(apply), terms, batch, None)
    if isinstance(x, Const) and weights is not None:
        return linear_map(batch.lift(y), weights, each(lambda v, w: apply(w, v)), terms, batch, None)
    return bilinear_map(batch.lift(x), batch.lift(y), apply, terms)
