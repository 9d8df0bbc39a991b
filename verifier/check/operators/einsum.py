"""Einsum: two operands at a time become batches of matrices, by tables of the places of their elements."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from verifier.check.errors import NotHomogeneous
from verifier.check.numbers.contractions import contract
from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.products import Weights, linear
from verifier.check.operators.reduce import total
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node, Value, operator, whole_numbers
from verifier.check.operators.structure import bounded, gather
from verifier.check.operators.whole import held, like

__all__: list[str] = []

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
Labels = list[str]


@dataclass(frozen=True)
class Part:
    """An operand, or the product of the first ones: what its axes are called, and whether it moves."""

    form: Form
    labels: Labels
    moves: bool


@operator("Einsum")
def _einsum(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    terms, output = _equation(node, [v.shape for v in inputs])
    sizes: dict[str, int] = {}
    for term, value in zip(terms, inputs, strict=True):
        for label, n in zip(term, value.shape, strict=True):
            lengths = {m for x, m in zip(term, value.shape, strict=True) if x == label}
            if len(lengths) > 1 or n != 1 and sizes.get(label, 1) not in (1, n):
                raise node.refuse(f"the lengths of index {label!r} differ")
            sizes[label] = n if n != 1 else sizes.get(label, 1)
    bounded(node, [sizes[label] for label in output])
    if isinstance(inputs[0], Discrete) and not ctx.moves & set(node.inputs):
        return _of_constants(ctx, node, terms, output, sizes, inputs)
    forms = [to_form(ctx.ar, v) for v in inputs]
    return like(ctx, node, inputs[0], _summed(ctx, node, terms, output, sizes, forms))


def _summed(
    ctx: Context, node: Node, terms: list[Labels], output: Labels, sizes: dict[str, int], inputs: list[Form]
) -> Form:
    """The sums of products of real numbers."""
    # an axis of length 1 where the index is longer is not there at all
    full = [
        {label for label, n in zip(term, v.shape, strict=True) if n == sizes[label]}
        for term, v in zip(terms, inputs, strict=True)
    ]
    result: Part | None = None
    for k, (term, value) in enumerate(zip(terms, inputs, strict=True)):
        elsewhere = set(output).union(*(labels for i, labels in enumerate(full) if i != k))
        part = Part(value, term, node.inputs[k] in ctx.moves)
        part = _alone(ctx, part, full[k], elsewhere, sizes)
        later = set(output).union(*full[k + 1 :])
        result = part if result is None else _product(ctx, node, k, result, part, later, sizes)
    if result is None:
        raise node.refuse("it has no operands")
    return _taken(ctx, result, output, sizes)


def _equation(node: Node, shapes: list[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """The labels of the operands and of the output; the axes of an ellipsis are numbered from its end."""
    text = node.get("equation").decode().replace(" ", "")
    left, arrow, right = text.partition("->")
    words = left.split(",")
    pattern = re.compile(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*")
    if len(words) != len(shapes) or not all(pattern.fullmatch(w) for w in (*words, right)):
        raise node.refuse("its equation cannot be read, or is for another number of operands")
    extra = [len(s) - len(w.replace("...", "")) for w, s in zip(words, shapes, strict=True)]
    if min(extra) < 0 or any(n and "..." not in w for w, n in zip(words, extra, strict=True)):
        raise node.refuse("its equation does not fit its operands")

    def labels(word: str, n: int) -> Labels:
        before, dots, after = word.partition("...")
        return [*before, *([f"{k}" for k in range(-n, 0)] if dots else []), *after]

    terms = [labels(w, n) for w, n in zip(words, extra, strict=True)]
    if arrow:
        output = labels(right, max(extra))
    else:
        letters = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        output = labels("..." if max(extra) else "", max(extra)) + letters
    known = {label for term in terms for label in term}
    hidden = {label for label in known if not label.isalpha()} - set(output)
    if len(set(output)) < len(output) or not set(output) <= known or hidden:
        raise node.refuse("its output has an index twice, or one that is not there, or lacks the ellipsis")
    return terms, output


def _of_constants(
    ctx: Context,
    node: Node,
    terms: list[Labels],
    output: Labels,
    sizes: dict[str, int],
    inputs: list[Any],
) -> Discrete:
    """The sums of constants, in Python's integers."""
    if math.prod(sizes.values()) > LARGEST_TENSOR:
        raise node.refuse("too many products of integers")
    order = list(sizes)
    if len(order) > len(ALPHABET):
        raise node.refuse("too many indices")
    words = ["".join(ALPHABET[order.index(label)] for label in term) for term in (*terms, output)]
    values = [whole_numbers(node, v).astype(object) for v in inputs]
    found = np.asarray(np.einsum(f"{','.join(words[:-1])}->{words[-1]}", *values), dtype=object)
    return held(ctx, node, found[..., None], found[..., None])


def _places(part: Part, labels: Iterable[str], sizes: dict[str, int]) -> Array:
    """Where the elements stand, by the labels; equal labels are the same coordinate (the diagonal)."""
    labels = list(labels)
    shape = [sizes[label] for label in labels]
    table = np.zeros(shape, dtype=np.int64)
    for axis, label in enumerate(part.labels):
        if label in labels:
            stride = math.prod(part.form.shape[axis + 1 :])
            place = [1] * len(labels)
            place[labels.index(label)] = -1
            table = table + (np.arange(sizes[label]) * stride).reshape(place)
    return table


def _taken(ctx: Context, part: Part, labels: Iterable[str], sizes: dict[str, int]) -> Form:
    return gather(ctx, [part.form], _places(part, labels, sizes))  # type: ignore[return-value]


def _alone(ctx: Context, part: Part, full: set[str], elsewhere: set[str], sizes: dict[str, int]) -> Part:
    """The operand with each label once, summed over those that nothing else has."""
    here = [label for label in dict.fromkeys(part.labels) if label in full]
    kept = [label for label in here if label in elsewhere]
    summed = [label for label in here if label not in elsewhere]
    form = _taken(ctx, part, kept + summed, sizes)
    if summed:
        form = total(ctx, form, tuple(range(len(kept), len(here))))
        form = form.each(lambda a: a.reshape(*a.shape[: len(kept)], a.shape[-1]))
    return Part(form, kept, part.moves)


def _product(
    ctx: Context, node: Node, k: int, a: Part, b: Part, later: set[str], sizes: dict[str, int]
) -> Part:
    """The product of two parts, summed over what is not needed later."""
    batch = [x for x in a.labels if x in b.labels and x in later]
    inner = [x for x in a.labels if x in b.labels and x not in later]
    left, right = ([x for x in p.labels if x not in q.labels] for p, q in ((a, b), (b, a)))
    g, m, n, count = (math.prod(sizes[x] for x in labels) for labels in (batch, left, right, inner))
    bounded(node, [g, m, n])
    if a.moves and b.moves and a.form.degree + b.form.degree > 1:
        raise NotHomogeneous(node.op)
    if a.moves != b.moves:
        moving, still, rows, columns = (a, b, left, right) if a.moves else (b, a, right, left)
        weights = _weights(ctx, node, k, still, [*batch, *columns, *inner], (g, -1, count), sizes)
        index = _places(moving, [*batch, *inner, *rows], sizes).reshape(g, count, -1)
        form = linear(ctx.ar, weights, moving.form, index)  # (batch, still's own, moving's own)
        labels = [*batch, *columns, *rows]
    else:
        x, y = _taken(ctx, a, [*batch, *left, *inner], sizes), _taken(ctx, b, [*batch, *inner, *right], sizes)
        form = contract(ctx.ar, _shaped(x, (g, m, count)), _shaped(y, (g, count, n)))
        labels = [*batch, *left, *right]
    return Part(_shaped(form, tuple(sizes[x] for x in labels)), labels, a.moves or b.moves)


def _weights(
    ctx: Context, node: Node, k: int, part: Part, labels: Labels, shape: Any, sizes: dict[str, int]
) -> Weights:
    """A constant part as weights, made once for each place in the chain of products."""
    made = ctx.once(node, dict)
    if k not in made:
        made[k] = Weights.of(ctx.ar, _shaped(_taken(ctx, part, labels, sizes), shape))
    return made[k]  # type: ignore[no-any-return]


def _shaped(form: Form, shape: tuple[int, ...]) -> Form:
    return form.each(lambda a: a.reshape(*shape, a.shape[-1]))
