"""Products as layers: with constants, and with factors that are piecewise constant."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod

import numpy as np

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.casting import WHOLE
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import (
    equal,
    fractions,
    moving,
    scaled,
    standing,
    times,
    total,
    truncated,
    units,
)
from symbolic.pieces.program import Ids, Tap

__all__ = ["matrix_product"]

Factor = Units | Const
LARGEST_EXPONENT = 64
MOST_DIVISORS = 256
"""That one integer may be."""


@lowers("Mul")
def product(b: Builder, node: Node, given: Given) -> list[Units]:
    """Element by element."""
    first, second = (v for v in given if v is not None)
    return b.tensor(elementwise(b, first, second))


def elementwise(b: Builder, x: Factor, y: Factor) -> Ids:
    """x y, of which one is constant or piecewise constant."""
    if isinstance(x, Const):
        x, y = y, x
    if isinstance(x, Const):
        raise ModelError(f"{b.label} has no moving factor.")
    if isinstance(y, Units):
        return times(b, x.ids, y.ids)
    parts = b.parts(y)
    return b.affine([(x.ids, part) for part in parts])


@lowers("Div")
def quotient(b: Builder, node: Node, given: Given) -> list[Units]:
    """Over a constant; integers lose the rest, and their divisor may move."""
    if node.input_type(0) in WHOLE:
        return b.tensor(_whole_quotient(b, node, given, truncated))
    return b.tensor(_over_constant(b, node, given))


@lowers("Mod")
def remainder(b: Builder, node: Node, given: Given) -> list[Units]:
    """x - d floor(x / d), with the whole part for floor if fmod is set."""
    rounded = truncated if node.flag("fmod") else _floor
    whole, divisor = _whole_quotient(b, node, given, rounded), given[1]
    if divisor is None:
        raise ModelError(f"{node.label} lacks its divisor.")
    product_ = elementwise(b, Units(whole), divisor)
    return b.tensor(b.affine([(units(b, node, given, 0), 1.0), (product_, -1.0)]))


def _floor(b: Builder, ids: Ids) -> Ids:
    return b.staircase(ids, "floor")


def _over_constant(b: Builder, node: Node, given: Given) -> Ids:
    """The real quotient of the inputs."""
    divisor = standing(node, given, 1)
    if divisor is None:
        raise ModelError(f"{node.label} lacks its divisor.")
    numbers = fractions(b, divisor)
    if not numbers.all():
        raise ModelError(f"{node.label} divides by 0.")
    inverses = np.array([1 / v for v in numbers.reshape(-1).tolist()], dtype=object).reshape(numbers.shape)
    return scaled(b, moving(node, given), inverses)


def _whole_quotient(b: Builder, node: Node, given: Given, rounded: Callable[[Builder, Ids], Ids]) -> Ids:
    """The rounded quotient; by an integer that moves, the sum over all that it may be."""
    kind, divisor = WHOLE.get(node.input_type(1) or 0), given[1]
    if not isinstance(divisor, Units) or kind is None:
        return rounded(b, _over_constant(b, node, given))
    low, high = b.bounds(divisor.ids)
    least, most = max(low.min(initial=0), kind.least), min(high.max(initial=0), kind.most)
    if most - least > MOST_DIVISORS:
        raise ModelError(f"{node.label} has a divisor that moves, and may be too many numbers.")
    b.hold(equal(b, divisor.ids, np.zeros(1, dtype=np.int64)), 0, 0)
    numbers = np.array([n for n in range(int(least), int(most) + 1) if n], dtype=object)
    inverses = np.array([Fraction(1, n) for n in numbers], dtype=object)
    is_one = equal(b, divisor.ids[..., None], b.constants(numbers.astype(np.float64)))
    quotients = rounded(b, scaled(b, units(b, node, given, 0)[..., None], inverses))
    return total(b, times(b, is_one, quotients))


@lowers("Pow")
def power(b: Builder, node: Node, given: Given) -> list[Units]:
    """To a constant whole power, of what is piecewise constant; the first power of anything."""
    exponent = standing(node, given, 1)
    numbers = set() if exponent is None else set(b.exactly(exponent).reshape(-1).tolist())
    if len(numbers) != 1 or not numbers <= set(range(1, LARGEST_EXPONENT)) or exponent is None:
        raise ModelError(f"{node.label} is not piecewise linear.")
    made = x = np.broadcast_to(
        moving(node, given), np.broadcast_shapes(moving(node, given).shape, exponent.shape)
    )
    for _ in range(int(numbers.pop()) - 1):
        made = times(b, made, x)
    return b.tensor(made)


# ---- matrices ------------------------------------------------------------------------------------


@lowers("Gemm")
def gemm(b: Builder, node: Node, given: Given) -> list[Units]:
    """alpha A' B' + beta C."""
    factors = [_matrix(node, given, k, name) for k, name in enumerate(("transA", "transB"))]
    ids = b.affine([(matrix_product(b, *factors), node.number("alpha"))])
    addend = given[2] if len(given) > 2 else None
    beta = node.number("beta")
    if addend is None or beta == 0.0:
        return b.tensor(ids)
    if isinstance(addend, Const) and beta == 1.0:
        for part in b.parts(addend):
            ids = b.affine([(ids, 1.0)], part)
        return b.tensor(ids)
    return b.tensor(b.affine([(ids, 1.0), (b.ids(addend), beta)]))


def _matrix(node: Node, given: Given, index: int, flag: str) -> Factor:
    value = given[index]
    if value is None:
        raise ModelError(f"{node.label} lacks a matrix.")
    return _swapped(value) if node.flag(flag) else value


def _swapped(value: Factor) -> Factor:
    """Every matrix transposed."""
    if isinstance(value, Units):
        return Units(value.ids.swapaxes(-1, -2))
    radius = None if value.radius is None else value.radius.swapaxes(-1, -2)
    return Const(value.value.swapaxes(-1, -2), radius)


@lowers("MatMul")
def matmul(b: Builder, node: Node, given: Given) -> list[Units]:
    """numpy.matmul."""
    left, right = given[0], given[1]
    if left is None or right is None:
        raise ModelError(f"{node.label} lacks a matrix.")
    return b.tensor(matrix_product(b, left, right))


def matrix_product(b: Builder, left: Factor, right: Factor) -> Ids:
    """left @ right in the sense of numpy.matmul."""
    vectors = len(left.shape) == 1, len(right.shape) == 1
    left = _ranked(left, (1, *left.shape)) if vectors[0] else left
    right = _ranked(right, (*right.shape, 1)) if vectors[1] else right
    if isinstance(left, Units) and isinstance(right, Units):
        made = _of_two(b, left.ids, right.ids)
    elif isinstance(left, Units) and isinstance(right, Const):
        made = _by_constant(b, left.ids, right)
    elif isinstance(right, Units):
        flipped = _swapped(left)
        if not isinstance(flipped, Const):
            raise ModelError(f"{b.label} has no constant factor.")
        made = _by_constant(b, right.ids.swapaxes(-1, -2), flipped).swapaxes(-1, -2)
    else:
        raise ModelError(f"{b.label} has no moving factor.")
    made = made[..., 0, :] if vectors[0] else made
    return made[..., 0] if vectors[1] else made


def _ranked(value: Factor, shape: tuple[int, ...]) -> Factor:
    if isinstance(value, Units):
        return Units(value.ids.reshape(shape))
    return Const(value.value.reshape(shape), None if value.radius is None else value.radius.reshape(shape))


def _of_two(b: Builder, left: Ids, right: Ids) -> Ids:
    """Products of two moving matrices, one of which is piecewise constant."""
    x, y = left[..., :, None, :], right.swapaxes(-1, -2)[..., None, :, :]
    b.require_moderate(prod(np.broadcast_shapes(x.shape, y.shape)))
    return total(b, times(b, x, y))


def _by_constant(b: Builder, ids: Ids, factor: Const) -> Ids:
    """Rows times one matrix, or one for each."""
    w = b.exactly(factor)
    lead = np.broadcast_shapes(ids.shape[:-2], w.shape[:-2])
    rows, inner = ids.shape[-2:]
    ids = np.broadcast_to(ids, (*lead, rows, inner)).reshape(prod(lead), rows, inner)
    kernels = w.reshape(prod(w.shape[:-2]), *w.shape[-2:])
    which = np.broadcast_to(np.arange(len(kernels)).reshape(w.shape[:-2]), lead).reshape(-1)
    blocks = np.arange(len(ids) * rows).reshape(len(ids), rows)
    taps = []
    for k, kernel in enumerate(kernels):
        mine = which == k
        sources = ids[mine].reshape(blocks[mine].size, inner)
        taps.append(Tap(sources, blocks[mine].reshape(-1), np.ascontiguousarray(kernel)))
    return b.blocks(taps, blocks.size, w.shape[-1]).reshape(*lead, rows, w.shape[-1])
