"""Operators that act on each element by itself."""

from __future__ import annotations

import math
from typing import Any

from onnx import TensorProto
from quicktions import Fraction

from .call import Call, operator
from .exact import (
    UNKNOWN,
    Array,
    Bracket,
    Unknown,
    absolute,
    bounds,
    divide,
    elementwise,
    equal,
    exponential,
    float32,
    greater,
    greatest,
    hull,
    least,
    less_equal,
)
from .narrow import NARROW, round_to

ZERO, ONE = Fraction(0), Fraction(1)
WIDEST = float.fromhex("0x1.fffffep+127")
"""The largest float32: the default of the bounds of Clip from opset 6 to 10."""


@operator("Identity")
def identity(call: Call) -> list[Array]:
    return [call[0]]


# --- one input ---


@operator("Relu")
def relu(call: Call) -> list[Array]:
    return [elementwise(lambda x: greatest([x, 0 if isinstance(x, int) else ZERO]), call[0])]


def _leaky(x: Any, slope: Any) -> Any:
    """x for x >= 0, slope * x for x < 0."""
    if isinstance(x, Unknown) or isinstance(slope, Unknown):
        return UNKNOWN
    lo, hi = bounds(x)
    if lo >= 0:
        return x
    return slope * x if hi < 0 else hull([ZERO, hi, slope * lo])


@operator("LeakyRelu")
def leaky_relu(call: Call) -> list[Array]:
    alpha = call.attribute("alpha", float32(0.01))
    return [elementwise(lambda x: _leaky(x, alpha), call[0])]


@operator("PRelu")
def prelu(call: Call) -> list[Array]:
    return [elementwise(_leaky, call[0], call[1])]


@operator("Abs")
def absolute_value(call: Call) -> list[Array]:
    return [elementwise(absolute, call[0])]


@operator("Neg")
def negative(call: Call) -> list[Array]:
    return [elementwise(lambda x: -x, call[0])]


@operator("Sign")
def sign(call: Call) -> list[Array]:
    def scalar(x: Any) -> Any:
        if isinstance(x, Unknown):
            return UNKNOWN
        lo, hi = bounds(x)
        ends = [ZERO + (end > 0) - (end < 0) for end in (lo, hi)]
        if ends[0] != ends[1]:
            return Bracket(ends[0], ends[1])
        return int(ends[0]) if isinstance(x, int) else ends[0]

    return [elementwise(scalar, call[0])]


@operator("Exp")
def exp(call: Call) -> list[Array]:
    return [elementwise(exponential, call[0])]


@operator("Sigmoid")
def sigmoid(call: Call) -> list[Array]:
    def end(x: Fraction) -> Any:
        """1 / (1 + exp(-x)), in the form that does not overflow."""
        if x >= 0:
            return divide(ONE, ONE + exponential(-x))
        return divide(exponential(x), ONE + exponential(x))

    def scalar(x: Any) -> Any:
        if isinstance(x, Unknown):
            return UNKNOWN
        lo, hi = bounds(x)
        return hull([end(lo), end(hi)])

    return [elementwise(scalar, call[0])]


@operator("Reciprocal")
def reciprocal(call: Call) -> list[Array]:
    return [elementwise(lambda x: divide(ONE, x), call[0])]


def _hard_sigmoid(x: Any, alpha: Fraction, beta: Fraction) -> Any:
    return greatest([ZERO, least([ONE, alpha * x + beta])])


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> list[Array]:
    alpha, beta = call.attribute("alpha", float32(0.2)), call.attribute("beta", float32(0.5))
    return [elementwise(lambda x: _hard_sigmoid(x, alpha, beta), call[0])]


@operator("HardSwish")
def hard_swish(call: Call) -> list[Array]:
    return [elementwise(lambda x: x * _hard_sigmoid(x, Fraction(1, 6), Fraction(1, 2)), call[0])]


@operator("Clip")
def clip(call: Call) -> list[Array]:
    if call.opset < 11:
        widest = WIDEST if call.opset >= 6 else None
        low = call.attribute("min", None if widest is None else -widest)
        high = call.attribute("max", widest)
    else:
        low = call[1].reshape(-1)[0] if call.has(1) else None
        high = call[2].reshape(-1)[0] if call.has(2) else None

    def scalar(x: Any) -> Any:
        x = x if low is None else greatest([x, low])
        return x if high is None else least([x, high])

    return [elementwise(scalar, call[0])]


# --- several inputs ---


@operator("Add")
def add(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: a + b, call[0], call[1])]


@operator("Sub")
def subtract(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: a - b, call[0], call[1])]


@operator("Mul")
def multiply(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: a * b, call[0], call[1])]


@operator("Div")
def quotient(call: Call) -> list[Array]:
    return [elementwise(divide, call[0], call[1])]


@operator("Sum")
def total(call: Call) -> list[Array]:
    def scalar(first: Any, *rest: Any) -> Any:
        for value in rest:
            first = first + value
        return first

    return [elementwise(scalar, *call.inputs)]


@operator("Max")
def maximum(call: Call) -> list[Array]:
    return [elementwise(lambda *values: greatest(list(values)), *call.inputs)]


@operator("Min")
def minimum(call: Call) -> list[Array]:
    return [elementwise(lambda *values: least(list(values)), *call.inputs)]


@operator("Greater")
def greater_than(call: Call) -> list[Array]:
    return [elementwise(greater, call[0], call[1])]


@operator("Less")
def less_than(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: greater(b, a), call[0], call[1])]


@operator("LessOrEqual")
def at_most(call: Call) -> list[Array]:
    return [elementwise(less_equal, call[0], call[1])]


@operator("GreaterOrEqual")
def at_least(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: less_equal(b, a), call[0], call[1])]


@operator("Equal")
def equality(call: Call) -> list[Array]:
    return [elementwise(equal, call[0], call[1])]


@operator("Where")
def where(call: Call) -> list[Array]:
    def scalar(condition: Any, x: Any, y: Any) -> Any:
        if isinstance(condition, Unknown):
            return hull([x, y])
        return x if condition else y

    return [elementwise(scalar, call[0], call[1], call[2])]


# --- logic with unknowns ---


def _truth(table: dict[tuple[bool, bool], bool], a: Any, b: Any) -> Any:
    choices = [[False, True] if isinstance(v, Unknown) else [v] for v in (a, b)]
    answers = {table[p, q] for p in choices[0] for q in choices[1]}
    return answers.pop() if len(answers) == 1 else UNKNOWN


PAIRS = [(False, False), (False, True), (True, False), (True, True)]


@operator("And")
def logical_and(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: _truth({p: p[0] and p[1] for p in PAIRS}, a, b), call[0], call[1])]


@operator("Or")
def logical_or(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: _truth({p: p[0] or p[1] for p in PAIRS}, a, b), call[0], call[1])]


@operator("Xor")
def logical_xor(call: Call) -> list[Array]:
    return [elementwise(lambda a, b: _truth({p: p[0] != p[1] for p in PAIRS}, a, b), call[0], call[1])]


@operator("Not")
def logical_not(call: Call) -> list[Array]:
    return [elementwise(lambda a: UNKNOWN if isinstance(a, Unknown) else not a, call[0])]


# --- Cast ---

INTEGERS = {
    TensorProto.INT2: (2, True),
    TensorProto.INT4: (4, True),
    TensorProto.UINT2: (2, False),
    TensorProto.UINT4: (4, False),
    TensorProto.INT8: (8, True),
    TensorProto.INT16: (16, True),
    TensorProto.INT32: (32, True),
    TensorProto.INT64: (64, True),
    TensorProto.UINT8: (8, False),
    TensorProto.UINT16: (16, False),
    TensorProto.UINT32: (32, False),
    TensorProto.UINT64: (64, False),
}


def cast_scalar(x: Any, to: int, saturate: bool = True, mode: str = "up") -> Any:
    """The value after Cast; float32 and float64 do not round."""
    if isinstance(x, Unknown):
        return UNKNOWN
    if to in (TensorProto.FLOAT, TensorProto.DOUBLE):
        return x if isinstance(x, Bracket) else Fraction(x)
    if to in NARROW:
        return round_to(x, to, saturate, mode)
    if to == TensorProto.BOOL:
        answer = equal(x, 0)
        return answer if isinstance(answer, Unknown) else not answer
    if to in INTEGERS:
        if isinstance(x, int):  # bool is an int
            bits, signed = INTEGERS[to]
            wrapped = int(x) % 2**bits
            return wrapped - 2**bits if signed and wrapped >= 2 ** (bits - 1) else wrapped
        ends = [math.trunc(end) for end in bounds(x)]
        bits, signed = INTEGERS[to]
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        # the standard leaves a number that is out of range undefined
        return ends[0] if ends[0] == ends[1] and least <= ends[0] <= most else UNKNOWN
    raise NotImplementedError(f"Cast to type {to}")


@operator("Cast")
def cast(call: Call) -> list[Array]:
    to, saturate = call.attribute("to"), bool(call.attribute("saturate", 1))
    mode = call.attribute("round_mode", "up")
    return [elementwise(lambda x: cast_scalar(x, to, saturate, mode), call[0])]
