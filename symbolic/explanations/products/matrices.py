"""Products of matrices: MatMul, Gemm, Einsum."""

from __future__ import annotations

import string
from collections.abc import Sequence

from symbolic.explanations.backward import Gradients, Step, product, unbroadcast
from symbolic.explanations.graph import Graph, Shape, Tensor
from symbolic.operators.einsum import ELLIPSIS

__all__ = ["matmul", "swapped"]


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a b, of two axes at least."""
    shape: Shape | None = None
    if a.shape is not None and b.shape is not None:
        longer = a.shape if len(a.shape) >= len(b.shape) else b.shape
        shape = (*longer[:-2], a.shape[-2], b.shape[-1])
    return a.graph.node("MatMul", [a, b], shape=shape)


def swapped(x: Tensor) -> Tensor:
    """x with its last two axes exchanged."""
    order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return x.graph.transpose(x, order)


def _column(x: Tensor, axis: int) -> Tensor:
    """x with a further axis of length 1 (the last or the one before)."""
    at = x.rank + 1 + axis
    shape = (*x.known_shape[:at], 1, *x.known_shape[at:])
    return x.graph.node("Unsqueeze", [x, x.graph.integers([at])], shape=shape)


def _without(x: Tensor, axis: int) -> Tensor:
    at = x.rank + axis
    shape = (*x.known_shape[:at], *x.known_shape[at + 1 :])
    return x.graph.node("Squeeze", [x, x.graph.integers([at])], shape=shape)


@product("MatMul")
def matrix_product(step: Step, gradients: Gradients) -> Gradients:
    """Of vectors as of matrices with one row or one column."""
    gradient = gradients[0]
    if gradient is None:
        return []
    a, b = step.given(0), step.given(1)
    row, column = a.rank == 1, b.rank == 1
    first = _column(a, -2) if row else a
    second = _column(b, -1) if column else b
    if column:
        gradient = _column(gradient, -1)
    if row:
        gradient = _column(gradient, -2)
    found: list[Tensor | None] = [None, None]
    if step.wants(0):
        mine = unbroadcast(matmul(gradient, swapped(second)), first)
        found[0] = _without(mine, -2) if row else mine
    if step.wants(1):
        mine = unbroadcast(matmul(swapped(first), gradient), second)
        found[1] = _without(mine, -1) if column else mine
    return found


@product("Gemm")
def gemm(step: Step, gradients: Gradients) -> Gradients:
    """alpha A' B' + beta C."""
    gradient = gradients[0]
    if gradient is None:
        return []
    alpha, beta = step.node.number("alpha"), step.node.number("beta")
    trans_a, trans_b = step.node.flag("transA"), step.node.flag("transB")
    a, b = step.given(0), step.given(1)
    scaled = gradient if alpha == 1 else gradient * alpha
    found: list[Tensor | None] = [None, None, None]
    if step.wants(0):
        found[0] = _gemm(b, scaled, trans_b, True) if trans_a else _gemm(scaled, b, False, not trans_b)
    if step.wants(1):
        found[1] = _gemm(scaled, a, True, trans_a) if trans_b else _gemm(a, scaled, not trans_a, False)
    if step.wants(2):
        found[2] = unbroadcast(gradient if beta == 1 else gradient * beta, step.given(2))
    return found


def _gemm(a: Tensor, b: Tensor, trans_a: bool, trans_b: bool) -> Tensor:
    shape = (a.known_shape[1 if trans_a else 0], b.known_shape[0 if trans_b else 1])
    return a.graph.node("Gemm", [a, b], shape=shape, transA=int(trans_a), transB=int(trans_b))


@product("Einsum")
def einsum(step: Step, gradients: Gradients) -> Gradients:
    """The gradient takes the place of the operand: another Einsum with the others."""
    gradient = gradients[0]
    if gradient is None:
        return []
    terms, output = _equation(step)
    found: list[Tensor | None] = []
    for k, term in enumerate(terms):
        found.append(_operand(step, gradient, terms, output, k) if step.wants(k) else None)
        if len(set(term)) < len(term) and step.wants(k):
            raise step.refuse("takes a diagonal, which has no derivative here")
    return found


def _operand(step: Step, gradient: Tensor, terms: Sequence[str], output: str, k: int) -> Tensor:
    """The gradient of operand k."""
    mine = step.given(k)
    others = [(terms[j], step.given(j)) for j in range(len(terms)) if j != k]
    words, tensors = [w for w, _ in others], [t for _, t in others]
    if output:  # a scalar gradient only scales
        words, tensors = [output, *words], [gradient, *tensors]
    # an axis of length 1 that broadcasts is summed over; one that only this operand has is repeated
    broadcasts = [
        letter
        for letter, n in zip(terms[k], mine.known_shape, strict=True)
        if n == 1 and any(letter in w and t.known_shape[w.index(letter)] != 1 for w, t in others)
    ]
    alone = [c for c in terms[k] if all(c not in w for w in words)]
    wanted = "".join(c for c in terms[k] if c not in broadcasts and c not in alone)
    graph = step.graph
    lengths = {
        c: t.known_shape[w.index(c)] for w, t in zip(words, tensors, strict=True) for c in wanted if c in w
    }
    if tensors:
        shape = tuple(lengths[c] for c in wanted)
        made = graph.node("Einsum", tensors, shape=shape, equation=f"{','.join(words)}->{wanted}")
        made = made if output else made * gradient
    else:
        made = gradient
    missing = [axis for axis, c in enumerate(terms[k]) if c in broadcasts or c in alone]
    if missing:
        made = graph.node("Unsqueeze", [made, graph.integers(missing)], shape=_opened(made, missing))
    return graph.expand(made, mine)


def _opened(x: Tensor, axes: Sequence[int]) -> Shape:
    shape = list(x.known_shape)
    for axis in axes:
        shape.insert(axis, 1)
    return tuple(shape)


def _equation(step: Step) -> tuple[list[str], str]:
    """Letters of every axis of the operands and of the result; an ellipsis gets letters of its own."""
    text = step.node.text("equation").replace(" ", "")
    left, arrow, right = text.partition("->")
    words = left.split(",")
    ranks = [step.given(k).rank for k in range(len(words))]
    free = [
        r - len(w.replace(ELLIPSIS, "")) if ELLIPSIS in w else 0 for w, r in zip(words, ranks, strict=True)
    ]
    unused = [c for c in string.ascii_letters if c not in text]
    most = max(free)
    spare = unused[:most]
    terms = [w.replace(ELLIPSIS, "".join(spare[most - n :])) for w, n in zip(words, free, strict=True)]
    if arrow:
        return terms, right.replace(ELLIPSIS, "".join(spare))
    letters = "".join(words).replace(ELLIPSIS, "")
    return terms, "".join(spare) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))


def times_matrix(graph: Graph, x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """x with one axis multiplied by a constant matrix: sum over k of matrix[j, k] x[..., k, ...]."""
    rank, axis = x.rank, axis % x.rank
    order = [k for k in range(rank) if k != axis] + [axis]
    moved = x if axis == rank - 1 else graph.transpose(x, order)
    made = matmul(moved, graph.transpose(matrix, [1, 0])) if rank > 1 else _vector(moved, matrix)
    back = [order.index(k) for k in range(rank)]
    return made if axis == rank - 1 else graph.transpose(made, back)


def _vector(x: Tensor, matrix: Tensor) -> Tensor:
    return x.graph.node("MatMul", [matrix, x], shape=(matrix.known_shape[0],))
