"""Small ONNX graphs evaluated along a line as exact piecewise-linear functions of z: obvious and slow.

Every scalar is a list of knots and of affine functions between them; operators work on whole functions.
Values at the knots are not kept: they are null sets. No code is shared with the packages under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

INFINITY = float("inf")
Affine = tuple[Fraction, Fraction]


class Function:
    """a + b z between consecutive knots; the first and last knot are the ends of the part of the line."""

    def __init__(self, knots: list[Any], forms: list[Affine]) -> None:
        self.knots, self.forms = [knots[0]], []
        for end, form in zip(knots[1:], forms, strict=True):  # neighbours with one form are one piece
            if self.forms and self.forms[-1] == form:
                self.knots[-1] = end
            else:
                self.knots.append(end)
                self.forms.append(form)

    def pieces(self) -> Iterable[tuple[Any, Any, Affine]]:
        return zip(self.knots, self.knots[1:], self.forms, strict=False)

    def with_other(self, other: Any, rule: Callable[[Affine, Affine], Affine]) -> Function:
        """Piece by piece."""
        if not isinstance(other, Function):
            other = Function([self.knots[0], self.knots[-1]], [(Fraction(other), Fraction(0))])
        knots = sorted({*self.knots, *other.knots})
        return Function(knots, [rule(self.on(k), other.on(k)) for k in zip(knots, knots[1:], strict=False)])

    def on(self, part: tuple[Any, Any]) -> Affine:
        """The form on a part of a piece."""
        return next(form for lo, hi, form in self.pieces() if lo <= part[0] and part[1] <= hi)

    def by_piece(self, cuts: Callable[[Any, Any, Affine], list[Fraction]], rule: Any) -> Function:
        """Cut the pieces; what lies between two cuts follows from a value there and from the form."""
        knots, forms = [self.knots[0]], []
        for lo, hi, form in self.pieces():
            for end in [*sorted({c for c in cuts(lo, hi, form) if lo < c < hi}), hi]:
                inner = between(knots[-1], end)
                forms.append(rule(form[0] + form[1] * inner, form))
                knots.append(end)
        return Function(knots, forms)

    def __add__(self, other: Any) -> Function:
        return self.with_other(other, lambda f, g: (f[0] + g[0], f[1] + g[1]))

    def __sub__(self, other: Any) -> Function:
        return self.with_other(other, lambda f, g: (f[0] - g[0], f[1] - g[1]))

    def __mul__(self, other: Any) -> Function:
        return self.with_other(other, times)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Function:
        return self * -1 + other

    def relu(self) -> Function:
        return self.by_piece(root, lambda value, form: form if value > 0 else (Fraction(0), Fraction(0)))

    def positive(self, at_zero: int = 0) -> Function:
        """1 where it is positive, ``at_zero`` where it is identically zero, else 0."""
        return self.by_piece(root, lambda v, f: (Fraction(at_zero if v == 0 else int(v > 0)), Fraction(0)))

    def whole(self, rule: Callable[[Fraction], int]) -> Function:
        """Rounded to whole numbers."""
        return self.by_piece(halves, lambda value, form: (Fraction(rule(value)), Fraction(0)))

    def max(self, other: Function) -> Function:
        return (self - other).relu() + other


def times(f: Affine, g: Affine) -> Affine:
    if f[1] and g[1]:
        raise ValueError("not piecewise linear")
    return f[0] * g[0], f[0] * g[1] + f[1] * g[0]


def root(lo: Any, hi: Any, form: Affine) -> list[Fraction]:
    return [-form[0] / form[1]] if form[1] else []


def halves(lo: Any, hi: Any, form: Affine) -> list[Fraction]:
    """Where a form is a multiple of 1/2."""
    if not form[1]:
        return []
    ends = sorted(2 * (form[0] + form[1] * z) for z in (lo, hi))
    return [(Fraction(n, 2) - form[0]) / form[1] for n in range(floor(ends[0]), ceil(ends[1]) + 1)]


def between(lo: Any, hi: Any) -> Fraction:
    if lo == -INFINITY:
        return Fraction(0) if hi == INFINITY else Fraction(hi) - 1
    return Fraction(lo) + 1 if hi == INFINITY else (Fraction(lo) + Fraction(hi)) / 2


each = np.frompyfunc


def greatest(values: np.ndarray) -> Function:
    found = values[0]
    for value in values[1:]:
        found = found.max(value)
    return found


def conv(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    rows, columns = (x.shape[k] - kernel.shape[k] + 1 for k in (2, 3))
    out = np.empty((1, len(kernel), rows, columns), dtype=object)
    for c, i, j in np.ndindex(out.shape[1:]):
        seen = x[0, :, i : i + kernel.shape[2], j : j + kernel.shape[3]]
        out[0, c, i, j] = (seen * kernel[c]).sum()
    return out


def max_pool(x: np.ndarray, size: int) -> np.ndarray:
    out = np.empty((1, x.shape[1], x.shape[2] // size, x.shape[3] // size), dtype=object)
    for c, i, j in np.ndindex(out.shape[1:]):
        seen = x[0, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        out[0, c, i, j] = greatest(seen.reshape(-1))
    return out


def argmax(row: np.ndarray) -> Function:
    """The first of the greatest."""
    best, place = row[0], row[0] * 0
    for k, value in enumerate(row[1:], 1):
        wins = (value - best).positive()
        place, best = place + wins * (place * -1 + k), best.max(value)
    return place


def where(condition: Function, x: Any, y: Any) -> Function:
    return condition * x + (condition * -1 + 1) * y


def equal(x: Function, y: Any) -> Function:
    """Almost nowhere, unless it is identical."""
    return (x - y).positive(1) * ((x - y) * -1).positive(1)


def reduced(x: np.ndarray, sign: int) -> np.ndarray:
    return np.array(greatest((x * sign).reshape(-1)) * sign, dtype=object).reshape((1,) * x.ndim)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Gemm": lambda a, x, w, b=0: x @ w + b,
    "MatMul": lambda a, x, w: x @ w,
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "Flatten": lambda a, x: x.reshape(1, -1),
    "Relu": lambda a, x: each(Function.relu, 1, 1)(x),
    "Abs": lambda a, x: each(lambda f: f.relu() * 2 - f, 1, 1)(x),
    "Conv": lambda a, x, w: conv(x, w),
    "MaxPool": lambda a, x: max_pool(x, a["kernel_shape"][0]),
    "ReduceMax": lambda a, x: reduced(x, 1),
    "ReduceMin": lambda a, x: reduced(x, -1),
    "Floor": lambda a, x: each(lambda f: f.whole(floor), 1, 1)(x),
    "Ceil": lambda a, x: each(lambda f: f.whole(ceil), 1, 1)(x),
    "Round": lambda a, x: each(lambda f: f.whole(round), 1, 1)(x),
    "Greater": lambda a, x, y: each(Function.positive, 1, 1)(x - y),
    "GreaterOrEqual": lambda a, x, y: each(lambda f: f.positive(1), 1, 1)(x - y),
    "Equal": lambda a, x, y: each(equal, 2, 1)(x, y),
    "Where": lambda a, c, x, y: each(where, 3, 1)(c, x, y),
    "ArgMax": lambda a, x: np.array([[argmax(row)] for row in x], dtype=object),
}


def outputs_on(model: onnx.ModelProto, x: np.ndarray, lo: Any, hi: Any) -> list[np.ndarray]:
    """The outputs of a graph as functions; ``x`` holds (a, b) for a + b z."""
    values = {i.name: exact(numpy_helper.to_array(i)) for i in model.graph.initializer}
    moving = np.empty(x.shape[:-1], dtype=object)
    for place in np.ndindex(moving.shape):
        moving[place] = Function([lo, hi], [(Fraction(x[place][0]), Fraction(x[place][1]))])
    values[model.graph.input[0].name] = moving
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *(values[n] for n in node.input))
    return [values[o.name] for o in model.graph.output]


def exact(array: np.ndarray) -> np.ndarray:
    return (
        each(lambda v: Fraction(float(v)), 1, 1)(array.astype(float)) if array.size else array.astype(object)
    )


def agreeing(outputs: Iterable[Function], observed: Iterable[Fraction]) -> list[tuple[Any, Any]]:
    """Where piecewise constant functions have given values: maximal intervals, up to single points."""
    pairs = list(zip(outputs, observed, strict=True))
    knots = sorted({k for f, _ in pairs for k in f.knots})
    runs: list[tuple[Any, Any]] = []
    for part in zip(knots, knots[1:], strict=False):
        if all(f.on(part) == (value, 0) for f, value in pairs):
            if runs and runs[-1][1] == part[0]:
                runs[-1] = (runs[-1][0], part[1])
            else:
                runs.append(part)
    return runs
