"""The checker's bounds over boxes: exact values lie in them, and they are as good as the engine's."""

from __future__ import annotations

from fractions import Fraction

import explained_nets
import numpy as np
import onnx
import pytest
import twin
from box_checks import points_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_graphs import random_case
from test_boxes import attention, deep

from symbolic.boxes.ball import Ball
from symbolic.boxes.form import Form
from symbolic.boxes.propagation import Passing
from symbolic.network import Network
from verifier.check.boxes.passing import bounds_over, value_at
from verifier.check.boxes.zones import Zone, added, larger, lifted, weighted
from verifier.check.errors import InvalidCertificate, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Form as Cell

NETS = {
    "dense": explained_nets.dense,
    "convolutional": explained_nets.convolutional,
    "relu": lambda: deep("Relu"),
    "sigmoid": lambda: deep("Sigmoid"),
    "tanh": lambda: deep("Tanh"),
    "leaky": lambda: deep("LeakyRelu"),
    "attention": attention,
}
INTEGERS = st.integers(-40, 40)


def case(name: str) -> tuple[onnx.ModelProto, np.ndarray, CheckedGraph, str]:
    """A network, an input, the checker's graph, which wants a discrete output, and the scores."""
    model = NETS[name]()
    value = model.graph.input[0]
    shape = [max(d.dim_value, 1) for d in value.type.tensor_type.shape.dim]
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    x = np.random.default_rng(4).normal(size=shape).astype(kind)
    audited = onnx.ModelProto()
    audited.CopyFrom(model)
    last = model.graph.node[-1]
    y = last.input[0] if last.op_type == "Softmax" else last.output[0]
    audited.graph.initializer.append(numpy_helper.from_array(np.array(0, kind), "level"))
    audited.graph.node.append(helper.make_node("Greater", [y, "level"], ["above"]))
    del audited.graph.output[:]
    audited.graph.output.append(helper.make_tensor_value_info("above", TensorProto.BOOL, None))
    slopes = [Fraction(k + 1) for k in range(x.size)]
    return model, x, CheckedGraph.build(audited, {value.name: x}, value.name, slopes, ["above"]), y


@pytest.mark.parametrize("zones", [False, True])
@pytest.mark.parametrize("name", sorted(NETS))
def test_exact_values_lie_within(name: str, zones: bool) -> None:
    model, x, graph, y = case(name)
    source = model.graph.input[0].name
    exact = twin.exact_array(x)
    rng = np.random.default_rng(0)
    for radius in (Fraction(1, 64), Fraction(1, 4), Fraction(2)):
        lo, hi = bounds_over(graph, y, exact - radius, exact + radius, zones)
        for k in range(12):
            shares = rng.integers(-8, 8, size=x.shape, endpoint=True)
            shares = np.where(shares > 0, 8, -8) if k % 2 else shares
            move = np.vectorize(lambda s, r=radius: Fraction(int(s), 8) * r, otypes=[object])(shares)
            for v, low, high in zip(
                twin.evaluate(model, {source: exact + move})[y].flat, lo, hi, strict=True
            ):
                least, most = (Fraction(b) for b in twin.bounds(v))
                assert low <= most and least <= high
                assert low <= least + Fraction(1, 10**9) and most - Fraction(1, 10**9) <= high


@pytest.mark.parametrize("name", sorted(set(NETS) - {"attention"}))
def test_as_good_as_the_engine(name: str) -> None:
    """Within one in a hundred. Attention has products of moving tensors: the checker keeps bounds alone."""
    model, x, graph, y = case(name)
    source = model.graph.input[0].name
    radius = Fraction(1, 32)
    exact = twin.exact_array(x)
    ball = Ball.of(x, radius, None)
    network = Network(model, {source: x.astype(np.float64)}, source, [y])
    for zones in (False, True):
        found = Passing(network, linear=zones)(ball.form(1 << 28) if zones else ball.box())[y]
        assert isinstance(found, Form)
        lo, hi = bounds_over(graph, y, exact - radius, exact + radius, zones)
        width = np.array([float(b - a) for a, b in zip(lo, hi, strict=True)])
        assert (width <= (found.hi - found.lo).reshape(-1) * 1.01).all()


def test_a_point_is_its_value() -> None:
    model, x, graph, y = case("dense")
    lo, hi = value_at(graph, y, twin.exact_array(x))
    wanted = twin.evaluate(model, {model.graph.input[0].name: twin.exact_array(x)})[y]
    assert all(
        a <= v <= b and b - a < Fraction(1, 2**60) for a, v, b in zip(lo, wanted.flat, hi, strict=True)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), smooth=st.booleans(), exponent=st.integers(1, 14))
def test_random_graphs_of_all_operators(seed: int, smooth: bool, exponent: int) -> None:
    """Every tensor, at points of the ball."""
    rng = np.random.default_rng(seed)
    one = random_case(rng, smooth=smooth, wild=seed % 7 == 0, restless=seed % 5 == 0)
    radius = Fraction(int(rng.integers(1, 16)), 2**exponent)
    slopes = [Fraction(k + 1) for k in range(one.observed.size)]
    inputs = {one.moving: one.observed, **one.other}
    try:
        graph = CheckedGraph.build(
            one.model, inputs, one.moving, slopes, [v.name for v in one.model.graph.output]
        )
    except InvalidCertificate:  # an operator that the checker does not know
        assume(False)
    x = np.array([Fraction(v) for v in one.observed.reshape(-1).tolist()], dtype=object).reshape(
        one.observed.shape
    )
    points = points_of(None, radius, one.observed, rng, 3)
    exact = [twin.evaluate(one.model, {one.moving: point, **one.other}) for point in points]
    for name in sorted(graph.moves - {one.moving}):
        for zones in (False, True):
            try:
                lo, hi = bounds_over(graph, name, x - radius, x + radius, zones)
            except (InvalidCertificate, Undecided):  # no real numbers, or none everywhere
                continue
            for values in exact:
                for low, v, high in zip(lo, np.asarray(values.get(name, [])).flat, hi, strict=False):
                    if v is twin.UNKNOWN or isinstance(v, (bool, np.bool_, str)):
                        continue
                    least, most = twin.bounds(v)
                    assert low <= most and least <= high, (name, low, high, v)


def zone(c: int, d: list[int], r: int, e: int) -> Zone:
    return Zone(np.array([c], dtype=object), np.array(d, dtype=object), np.array([r], dtype=object), e)


def holds(z: Zone, symbols: list[Fraction], value: Fraction) -> bool:
    """Whether a value is within a zone of one element, at these symbols."""
    unit = Fraction(2) ** z.e
    middle = (int(z.c[0]) + sum((int(a) * s for a, s in zip(z.d, symbols, strict=False)), Fraction(0))) * unit
    return abs(value - middle) <= int(z.r[0]) * unit


SHARES = st.lists(st.fractions(-1, 1, max_denominator=8), min_size=3, max_size=3)
ZONES = st.builds(
    lambda c, d, r, e: zone(c, d, r, e),
    INTEGERS,
    st.lists(INTEGERS, min_size=0, max_size=3),
    st.integers(0, 9),
    st.integers(-6, 2),
)


def inside(z: Zone, symbols: list[Fraction], share: Fraction) -> Fraction:
    unit = Fraction(2) ** z.e
    linear = sum((int(a) * s for a, s in zip(z.d, symbols, strict=False)), Fraction(0))
    return (int(z.c[0]) + linear + share * int(z.r[0])) * unit


@settings(max_examples=300, deadline=None)
@given(ZONES, ZONES, SHARES, st.fractions(-1, 1), st.fractions(-1, 1), st.integers(-(2**31), 2**31))
def test_zones_hold(a: Zone, b: Zone, symbols: list[Fraction], p: Fraction, q: Fraction, s: int) -> None:
    """Sums, multiples, maxima and remainders that become symbols."""
    x, y = inside(a, symbols, p), inside(b, symbols, q)
    assert holds(added(a, b), symbols, x + y)
    assert holds(weighted(a, np.array([s], dtype=object)), symbols, x * Fraction(s, 2**30))
    everything = Cell(*(np.array([v], dtype=object) for v in (0, 0, 2**20)), 0)
    assert holds(larger(a, b, everything), symbols, max(x, y))
    apart = a.told_apart(3)
    assert holds(apart, [*symbols, p], x)


@settings(max_examples=300, deadline=None)
@given(ZONES, SHARES, st.fractions(-1, 1), st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 5))
def test_functions_of_single_elements_hold(
    x: Zone, symbols: list[Fraction], share: Fraction, c: int, d: int, r: int
) -> None:
    """Any function that a rule encloses on the segment is enclosed at the symbols."""
    lo, hi = x.bounds()
    segment = Cell(lo + hi, hi - lo, np.zeros_like(lo), x.e - 1)
    value = Cell(*(np.array([v], dtype=object) for v in (c, d, r)), -3)
    at = inside(x, symbols, share)
    width = Fraction(int((hi - lo)[0])) * Fraction(2) ** (x.e - 1)
    middle = Fraction(int((lo + hi)[0])) * Fraction(2) ** (x.e - 1)
    t = (at - middle) / width if width else Fraction(0)
    out = lifted(x, segment, value)
    for end in (-1, 1):
        assert holds(out, symbols, (c + d * t + end * r) * Fraction(2) ** -3)
