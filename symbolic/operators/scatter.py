"""Elements put in places named by indices, alone or together with what is there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures import forms
from symbolic.enclosures.hulls import Candidates, Integers, explicit, grouped_hull, unknown_where
from symbolic.enclosures.moves import gather_map, joined
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, is_discrete, map_value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, constant, moves_integers, operator, required
from symbolic.operators.gathering import reshaped
from symbolic.operators.integer_arithmetic import on_integers
from symbolic.operators.places import Indexed, Places, by_element, by_tuple
from symbolic.operators.shapes import bounded

Merge = Callable[[Any, Any], Any]

FORMS: dict[str, Merge] = {
    "add": forms.add,
    "mul": forms.product,
    "max": forms.maximum,
    "min": lambda a, b: forms.negative(forms.maximum(forms.negative(a), forms.negative(b))),
}
NUMBERS: dict[str, Merge] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@dataclass(frozen=True)
class Knockout:
    """How to merge the elements of one array that go to the same place, two at a time: in every round the
    elements that stay, and the pairs (numbers among those, in the array of the last round)."""

    rounds: list[tuple[Integers, Integers, Integers]]

    @classmethod
    def of(cls, target: Integers) -> Knockout:
        """For elements with these targets; what remains is in the order of the targets."""
        stay = np.argsort(target, kind="stable")
        rounds: list[tuple[Integers, Integers, Integers]] = []
        target = target[stay]
        while True:
            first = np.flatnonzero(np.diff(target, prepend=-1))
            within = np.arange(len(target)) - np.repeat(first, np.diff(first, append=len(target)))
            even = np.flatnonzero(within % 2 == 0)
            has = even + 1 < len(target)
            has[has] = target[even[has] + 1] == target[even[has]]
            if not has.any():
                return cls([*rounds, (stay, np.zeros(0, dtype=np.int64), stay[:0])])
            rounds.append((stay[even], np.flatnonzero(has), stay[even[has] + 1]))
            target, stay = target[even], np.arange(len(even))

    def merge(self, value: Affine | Range, how: str) -> Affine | Range:
        """The merged elements of a flat value."""
        for stay, at, other in self.rounds:
            kept, partner = _taken(value, stay), _taken(value, other)
            if len(at):
                both = _merged(_taken(kept, at), partner, how)
                kept = _put(kept, at, both)
            value = kept
        return value


def _arrays(value: Affine | Range) -> list[NDArray[Any]]:
    return [value.lo, value.hi] if isinstance(value, Range) else [value.c, value.d, value.r]


def _made(like: Affine | Range, arrays: list[NDArray[Any]]) -> Affine | Range:
    return Range(arrays[0], arrays[1]) if isinstance(like, Range) else Affine(*arrays)


def _taken(value: Affine | Range, numbers: Integers) -> Affine | Range:
    return _made(value, [v[:, numbers] for v in _arrays(value)])


def _put(value: Affine | Range, at: Integers, some: Affine | Range) -> Affine | Range:
    for whole, part in zip(_arrays(value), _arrays(some), strict=True):
        whole[:, at] = part
    return value


def _merged(a: Affine | Range, b: Affine | Range, how: str) -> Affine | Range:
    if isinstance(a, Affine):
        merged: Affine = FORMS[how](a, b)
        return merged
    return _made(a, [NUMBERS[how](x, y) for x, y in zip(_arrays(a), _arrays(b), strict=True)])


def _without_products(node: Node, inputs: Inputs) -> bool:
    return node.text("reduction", "none") != "mul" or moves_integers(inputs)


@operator("Scatter", "ScatterElements", "ScatterND", homogeneous=_without_products)
def scatter(node: Node, inputs: Inputs) -> Rule:
    """A copy of the data with updates put, added, ... in places."""
    data, indices, updates = (required(node, inputs, k) for k in range(3))
    if not is_discrete(indices):
        raise ModelError(f"{node.label}: its indices are no integers.")
    if node.op_type == "ScatterND":
        places = by_tuple(node, data.shape, indices.shape)
    else:
        if len(indices.shape) != len(data.shape):
            raise ModelError(f"{node.label}: its indices do not fit the data.")
        places = by_element(node, data.shape, indices.shape, node.axis(len(data.shape)))
    if updates.shape != places.start.shape:
        raise ModelError(f"{node.label}: its updates have shape {list(updates.shape)}.")
    how = node.text("reduction", "none")
    if how != "none" and how not in FORMS:
        raise ModelError(f"{node.label}: the reduction {how!r} is not known.")
    if how == "none":
        return _placed(node, inputs, (0, 1, 2), places, data.shape)
    if not isinstance(indices, Const):
        raise ModelError(f"{node.label}: its indices must not depend on the audited input.")
    targets = places.numbers(node, indices.value).reshape(-1)
    if how in ("add", "mul") and moves_integers(inputs):
        return on_integers(node, inputs, lambda node, values: _reduced(node, how, values, targets))
    return _reduced(node, how, inputs, targets)


def _reduced(node: Node, how: str, inputs: Inputs, targets: Integers) -> Rule:
    """Updates merged with the data, in places that are known."""
    size, shape = prod(required(node, inputs).shape), required(node, inputs).shape
    order = Knockout.of(np.concatenate([np.arange(size), targets]))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        whole = explicit(batch, joined([required(node, values, k) for k in (0, 2)], batch))
        flat = _made(whole, [v.reshape(batch.size, -1) for v in _arrays(whole)])
        return (reshaped(order.merge(flat, how), (batch.size, *shape)),)

    return rule


def _placed(
    node: Node, inputs: Inputs, where: tuple[int, int, int], places: Places, shape: tuple[int, ...]
) -> Rule:
    """Updates in place of the data; an element that several may hit, or that one may, takes the hull.

    ``where`` are the inputs that hold data (-1: zeros), indices and updates.
    """
    size = prod(shape)
    indices = required(node, inputs, where[1])

    def parts(values: Inputs) -> list[Value]:
        updates = required(node, values, where[2])
        kind = np.int64 if is_discrete(updates) else np.float64
        data = Const(np.zeros(shape, dtype=kind)) if where[0] < 0 else required(node, values, where[0])
        return [data, updates]

    if isinstance(indices, Const):
        targets = places.numbers(node, indices.value).reshape(-1)
        if len(np.unique(targets)) == len(targets):
            index = np.arange(size)
            index[targets] = size + np.arange(len(targets))
            move = gather_map(index.reshape(shape), size + len(targets))
            return lambda batch, values: (map_value(joined(parts(values), batch), move),)
    count = prod(places.start.shape)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        found, bad = places.candidates(batch, required(node, values, where[1]))
        segment, update = np.divmod(found.owner, max(1, count))
        target = segment * size + found.number
        hit = np.zeros(batch.size * size, dtype=bool)
        hit[target[np.bincount(found.owner, minlength=bad.size)[found.owner] == 1]] = True
        left = np.flatnonzero(~hit)
        target = np.concatenate([target, left])
        source = np.concatenate(
            [segment * (size + count) + size + update, left + left // max(1, size) * count]
        )
        order = np.argsort(target, kind="stable")
        whole = explicit(batch, joined(parts(values), batch))
        hull = grouped_hull(whole, Candidates(source[order], target[order]))
        lost = bad.reshape(batch.size, -1).any(axis=1).reshape(-1, *(1,) * len(shape))
        return (unknown_where(reshaped(hull, (batch.size, *shape)), lost),)

    return rule


@operator("MaxUnpool")
def max_unpool(node: Node, inputs: Inputs) -> Rule:
    """Zeros, with elements put in the places that MaxPool took them from."""
    x, indices = required(node, inputs, 0), required(node, inputs, 1)
    wanted = constant(node, inputs, 2, "output shape")
    kernel = node.integers("kernel_shape", ())
    rank = len(kernel)
    if len(x.shape) != rank + 2 or indices.shape != x.shape:
        raise ModelError(f"{node.label}: its kernel, indices and input do not fit.")
    strides, pads = node.integers("strides", [1] * rank), node.integers("pads", [0] * 2 * rank)
    size = [
        (n - 1) * stride - pads[k] - pads[rank + k] + kernel[k]
        for k, (n, stride) in enumerate(zip(x.shape[2:], strides, strict=True))
    ]
    shape = (*x.shape[:2], *size)
    if wanted is not None and tuple(int(v) for v in wanted.value) != shape:
        raise ModelError(
            f"{node.label}: an index into an output shape other than {list(shape)} means different things."
        )
    bounded(node, shape)
    places = Places(np.zeros(x.shape, dtype=np.int64), (Indexed(1, prod(shape)),))
    return _placed(node, inputs, (-1, 1, 0), places, shape)
