"""Between which numbers all elements of a tensor are, whatever the moving input is.

A form cannot say that a square or a Relu is not negative; next to 0 a root, a logarithm or a quotient has no
value without it. Limits are pairs of Fractions, None where there is none; they hold wherever the graph has
a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import TensorProto

from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import Arithmetic, Array, Form, Limits
from verifier.check.operators.registry import Node

__all__ = ["limits_of", "of_constant"]

End = Fraction | None
Look = Callable[[str], Limits]
"""The limits of a constant, by name."""
Rule = Callable[[Node, Sequence[Limits]], Limits]

FREE: Limits = (None, None)
POSITIVE: Limits = (Fraction(0), None)  # or zero
NEGATIVE: Limits = (None, Fraction(0))
UNIT: Limits = (Fraction(0), Fraction(1))
SYMMETRIC: Limits = (Fraction(-1), Fraction(1))
BITS = 200  # longer numbers are not kept


def limits_of(nodes: Iterable[Node], moves: set[str], look: Look) -> dict[str, Limits]:
    """The limits of the tensors that move and have any; `look` tells those of a constant."""
    known: dict[str, Limits] = {}
    for node in nodes:
        rule = RULES.get(node.op)
        if rule is None or not moves & set(node.outputs):
            continue
        given = [known.get(name, FREE) if name in moves or not name else look(name) for name in node.inputs]
        low, high = rule(node, given)
        found = (_rounded(low), _mirrored(_rounded(_mirrored(high))))
        if found != FREE:
            known |= dict.fromkeys(node.outputs if node.op == "Split" else node.outputs[:1], found)
    return known


def of_constant(ar: Arithmetic, value: Form | Discrete | Array) -> Limits:
    """The limits of a constant tensor; an array is one of floats."""
    if isinstance(value, np.ndarray):
        ends = (value.min(), value.max()) if value.size else (math.nan, math.nan)
        return FREE if not np.isfinite(ends).all() else (Fraction(float(ends[0])), Fraction(float(ends[1])))
    low, high = ar.bounds(value) if isinstance(value, Form) else (value.lo, value.hi)
    if not low.size or (isinstance(value, Form) and value.special is not None):
        return FREE
    unit = Fraction(2) ** value.e if isinstance(value, Form) else 1
    return Fraction(int(low.min())) * unit, Fraction(int(high.max())) * unit


def _mirrored(end: End) -> End:
    return None if end is None else -end


def _rounded(low: End) -> End:
    """A lower end with few digits."""
    if low is None or max(low.numerator.bit_length(), low.denominator.bit_length()) <= BITS:
        return low
    return Fraction(0) if low >= 0 else None


def _is_positive(limits: Limits) -> bool:
    return limits[0] is not None and limits[0] >= 0


def _least(ends: Iterable[End]) -> End:
    """The least of lower ends."""
    known = list(ends)
    return None if None in known else min(known)  # type: ignore[type-var]


def _greatest(ends: Iterable[End]) -> End:
    """The greatest of upper ends."""
    return _mirrored(_least(map(_mirrored, ends)))


def _union(several: Sequence[Limits]) -> Limits:
    return _least(low for low, _ in several), _greatest(high for _, high in several)


def _total(several: Sequence[Limits]) -> Limits:
    lows, highs = ([limits[k] for limits in several] for k in (0, 1))
    return (
        None if None in lows else sum(filter(None, lows), Fraction(0)),
        None if None in highs else sum(filter(None, highs), Fraction(0)),
    )


def _opposite(limits: Limits) -> Limits:
    return _mirrored(limits[1]), _mirrored(limits[0])


def _at_least(limits: Limits, other: Limits) -> Limits:
    """Of the greater of two."""
    lows = [low for low in (limits[0], other[0]) if low is not None]
    return max(lows, default=None), _greatest([limits[1], other[1]])


def _at_most(limits: Limits, other: Limits) -> Limits:
    """Of the lesser of two."""
    return _opposite(_at_least(_opposite(limits), _opposite(other)))


def _absolute(limits: Limits) -> Limits:
    return _at_least(_at_least(limits, _opposite(limits)), (Fraction(0), Fraction(0)))


def _multiplied(a: Limits, b: Limits) -> Limits:
    if None not in a and None not in b:
        corners = [x * y for x in a for y in b]  # type: ignore[operator]
        return min(corners), max(corners)
    if _is_positive(a) and _is_positive(b):
        return a[0] * b[0], None  # type: ignore[operator]
    return FREE


def _divided(a: Limits, b: Limits) -> Limits:
    low, high = b
    if low is not None and low > 0:
        return _multiplied(a, (Fraction(0) if high is None else 1 / high, 1 / low))
    return POSITIVE if _is_positive(a) and _is_positive(b) else FREE


def _root(node: Node, given: Sequence[Limits]) -> Limits:
    low = given[0][0]
    if low is None or low <= 0:
        return POSITIVE
    return Fraction(math.isqrt((low.numerator << 2 * BITS) // low.denominator), 1 << BITS), None


def _product(node: Node, given: Sequence[Limits]) -> Limits:
    if node.inputs[0] == node.inputs[1]:
        given = [_absolute(given[0])] * 2
    return _multiplied(given[0], given[1])


def _power(node: Node, given: Sequence[Limits]) -> Limits:
    low, high = given[1]
    square = low is not None and low == high and low % 2 == 0
    return POSITIVE if square or _is_positive(given[0]) else FREE


def _sums_of_products(node: Node, given: Sequence[Limits]) -> Limits:
    used = [limits for name, limits in zip(node.inputs, given, strict=True) if name]
    if node.op == "Gemm" and min(node.get("alpha"), node.get("beta")) < 0:
        return FREE
    return POSITIVE if all(map(_is_positive, used)) else FREE


def _sum_of_some(node: Node, given: Sequence[Limits]) -> Limits:
    high = given[0][1]
    return POSITIVE if _is_positive(given[0]) else NEGATIVE if high is not None and high <= 0 else FREE


def _sizes(node: Node, given: Sequence[Limits]) -> Limits:
    return FREE if node.get("noop_with_empty_axes") else POSITIVE  # it may leave elements as they are


def _clipped(node: Node, given: Sequence[Limits]) -> Limits:
    if node.opset < 11:
        ends = [_of_number(node.get(name)) for name in ("min", "max")]
    else:
        ends = [given[k] if k < len(given) and node.inputs[k] else None for k in (1, 2)]
    low, high = ends
    found = given[0] if low is None else _at_least(given[0], low)
    return found if high is None else _at_most(found, high)


def _of_number(value: Any) -> Limits | None:
    return None if value is None or math.isinf(value) else (Fraction(value), Fraction(value))


def _cast(node: Node, given: Sequence[Limits]) -> Limits:
    """Only a type with as many digits keeps every number."""
    wide = (TensorProto.FLOAT, TensorProto.DOUBLE)
    kind = node.kinds[0] if node.kinds else 0
    narrow = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return given[0] if node.get("to") in wide and kind in wide + narrow else FREE


def _kept(node: Node, given: Sequence[Limits]) -> Limits:
    return given[0]


def _or_zero(node: Node, given: Sequence[Limits]) -> Limits:
    return _union([given[0], (Fraction(0), Fraction(0))])


def _always(limits: Limits) -> Rule:
    return lambda node, given: limits


PLACES = (
    "Identity Reshape Flatten Squeeze Unsqueeze Transpose Expand Tile Split Slice Gather GatherElements "
    "GatherND Compress ReverseSequence DepthToSpace SpaceToDepth TopK Dropout"
)
MEANS = "MaxPool GlobalMaxPool GlobalAveragePool ReduceMax ReduceMin ReduceMean"
RULES: dict[str, Rule] = {
    **dict.fromkeys([*PLACES.split(), *MEANS.split()], _kept),
    **dict.fromkeys(["Trilu", "AveragePool"], _or_zero),
    **dict.fromkeys(["Concat", "Mean"], lambda node, given: _union(given)),
    **dict.fromkeys(["Sum", "Add"], lambda node, given: _total(given)),
    **dict.fromkeys(["Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"], _sums_of_products),
    **dict.fromkeys(["Hardmax", "HardSigmoid", "Sigmoid", "Softmax"], _always(UNIT)),
    **dict.fromkeys(["Cos", "Erf", "Sign", "Sin", "Softsign", "Tanh"], _always(SYMMETRIC)),
    **dict.fromkeys(["Cosh", "Exp", "GlobalLpPool", "LpPool", "Softplus"], _always(POSITIVE)),
    **dict.fromkeys(["ReduceL1", "ReduceL2", "ReduceSumSquare"], _sizes),
    "Abs": lambda node, given: _absolute(given[0]),
    "Cast": _cast,
    "Clip": _clipped,
    "Div": lambda node, given: _divided(given[0], given[1]),
    "LogSoftmax": _always(NEGATIVE),
    "Max": lambda node, given: _reduced(_at_least, given),
    "Min": lambda node, given: _reduced(_at_most, given),
    "Mul": _product,
    "Neg": lambda node, given: _opposite(given[0]),
    "Pow": _power,
    "Reciprocal": lambda node, given: _divided((Fraction(1), Fraction(1)), given[0]),
    "ReduceSum": _sum_of_some,
    "Relu": lambda node, given: _at_least(given[0], (Fraction(0), Fraction(0))),
    "Sqrt": _root,
    "Sub": lambda node, given: _total([given[0], _opposite(given[1])]),
    "Where": lambda node, given: _union(given[1:]),
}


def _reduced(join: Callable[[Limits, Limits], Limits], several: Sequence[Limits]) -> Limits:
    found = several[0]
    for other in several[1:]:
        found = join(found, other)
    return found
