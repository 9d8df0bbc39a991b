"""Cells that end exactly where an element flips: accepted up to the root itself, and not a hair beyond it."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
import small_nets
import twin
from check_values import contradictions, graph_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_graphs import suite

import sureline as sl
from inference.certificate import Certificate, Parts
from verifier.cells import covering
from verifier.check.checking import check
from verifier.check.claims.cells import _middle, _persist, _states
from verifier.check.claims.certificate import CellClaim
from verifier.check.errors import InvalidCertificate, NotHomogeneous, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.graph.line import Cell, MovingInput, is_dyadic, is_infinite
from verifier.check.numbers.discrete import Discrete
from verifier.check.numbers.integers import EXACT, FAST, FINE, RATIONAL, Arithmetic, Form
from verifier.check.operators.registry import Context

ROOT = Path(__file__).parent.parent
HAIRS = (Fraction(1, 10**6), Fraction(1, 10**40), Fraction(1, 3**400))
Nodes = list[tuple[str, list[str], list[str], dict[str, object]]]

HEADS: dict[str, Nodes] = {
    "Greater": [],
    "Abs": [("Sub", ["y", "x"], ["e"], {}), ("Abs", ["e"], ["s"], {})],
    "LeakyRelu": [("LeakyRelu", ["y"], ["s"], {"alpha": 0.1})],
    "PRelu": [("PRelu", ["y", "slope"], ["s"], {})],
    "Clip": [("Clip", ["y", "low", "high"], ["e"], {}), ("Mul", ["e", "slope"], ["s"], {})],
    "HardSigmoid": [("HardSigmoid", ["y"], ["s"], {"alpha": 0.25})],
    "Where": [
        ("Greater", ["y", "slope"], ["g"], {}),
        ("Where", ["g", "y", "x"], ["s"], {}),
    ],
    "Max": [("Max", ["y", "x", "slope"], ["s"], {})],
    "Sign": [("Sign", ["y"], ["g"], {}), ("Mul", ["g", "slope"], ["e"], {}), ("Add", ["e", "x"], ["s"], {})],
    "Floor": [("Floor", ["x"], ["g"], {}), ("Add", ["g", "y"], ["s"], {})],
    "ThresholdedRelu": [("ThresholdedRelu", ["y"], ["s"], {"alpha": 0.2})],
    "Shrink": [("Shrink", ["y"], ["s"], {"bias": 0.1, "lambd": 0.1})],
    "Mean": [("Mean", ["y", "x", "slope"], ["s"], {})],  # a third: only rationals know it
}
NETS = {"dense": small_nets.dense, "convolutional": small_nets.convolutional}


def audited(net: str, head: str, normalised: bool, threshold: float) -> onnx.ModelProto:
    """A network, a head (see HEADS), and `margin > 0` as its selection."""
    model = NETS[net](seed=1)
    graph = model.graph
    constants = {"slope": 0.3, "low": -0.5, "high": 0.75, "threshold": threshold, "rest": 1 - threshold}
    graph.initializer.extend(numpy_helper.from_array(np.float32(v), name) for name, v in constants.items())
    score = "s" if HEADS[head] else "y"
    nodes: Nodes = list(HEADS[head])
    if normalised:
        nodes += [
            ("ReduceMax", [score], ["top"], {"keepdims": 1}),
            ("ReduceMin", [score], ["bottom"], {"keepdims": 1}),
            ("Sub", [score, "bottom"], ["shifted"], {}),
            ("Mul", ["shifted", "rest"], ["over"], {}),
            ("Sub", ["top", score], ["missing"], {}),
            ("Mul", ["missing", "threshold"], ["under"], {}),
            ("Sub", ["over", "under"], ["margin"], {}),
            ("Greater", ["over", "under"], ["above"], {}),
        ]
    else:
        nodes += [("Sub", [score, "threshold"], ["margin"], {})]
        nodes += [("Greater", [score, "threshold"], ["above"], {})]
    graph.node.extend(helper.make_node(op, *names, **options) for op, *names, options in nodes)
    graph.output.append(helper.make_tensor_value_info("above", TensorProto.BOOL, None))
    return model


class Line:
    """A graph on a line whose direction is not dyadic, and what the twin knows of it."""

    def __init__(self, net: str, head: str, normalised: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.model = audited(net, head, normalised, 0)
        shape = [d.dim_value for d in self.model.graph.input[0].type.tensor_type.shape.dim]
        self.x = rng.normal(size=shape).astype(np.float32)
        numerators, denominators = rng.integers(1, 10, (2, self.x.size)) * rng.choice(
            [-1, 1], (2, self.x.size)
        )
        self.beta = [Fraction(int(n), int(d)) for n, d in zip(numerators, denominators, strict=True)]
        self.end = Fraction(int(rng.integers(1, 9)), 7)
        levels = [self.margins(t) for t in (Fraction(0), self.end)]  # one that some element crosses
        if normalised:
            levels = [(v - v.min()) / (v.max() - v.min()) for v in levels]
        k = np.abs(levels[1] - levels[0]).argmax()
        self.model = audited(net, head, normalised, float(levels[0][k] + levels[1][k]) / 2)
        self.graph = CheckedGraph.build(self.model, {"x": self.x}, "x", self.beta, ["above"])

    def margins(self, t: Fraction) -> np.ndarray:
        """The margins, exactly."""
        beta = np.array(self.beta, dtype=object).reshape(self.x.shape)
        return np.array(
            twin.evaluate(self.model, {"x": twin.exact_array(self.x) + beta * t})["margin"].reshape(-1)
        )

    def root(self) -> tuple[Fraction, Fraction, Fraction, int] | None:
        """a < root < b and the element that alone flips there, its margin being affine on [a, b]."""
        a, b = Fraction(0), self.end
        at_a, at_b = self.margins(a), self.margins(b)
        for _ in range(40):
            flips = np.flatnonzero((at_a > 0) != (at_b > 0))
            if not flips.size:
                return None
            k = int(flips[0])
            if flips.size == 1 and b - a < Fraction(1, 1000):
                t = a - at_a[k] * (b - a) / (at_b[k] - at_a[k])
                affine = all(
                    self.margins(s)[k] * (b - a) == at_a[k] * (b - s) + at_b[k] * (s - a)
                    for s in (t, (a + t) / 2, (t + b) / 2)
                )
                if affine and a < t < b:
                    return a, t, b, k
            middle = (a + b) / 2
            at = self.margins(middle)
            a, at_a, b, at_b = (
                (a, at_a, middle, at) if ((at > 0) != (at_a > 0)).any() else (middle, at, b, at_b)
            )
        return None

    def accepts(self, *claim: object) -> bool:
        """Whether the checker confirms the claim of one cell."""
        cell = CellClaim(*claim)  # type: ignore[arg-type]
        state = _states(self.graph, [(cell.lo, cell.hi)], [cell], [self.observed], FAST)[0]
        return (state or _persist(self.graph, cell, [self.observed])) == 1

    def assert_exact(self, a: Fraction, root: Fraction, b: Fraction, k: int) -> None:
        """Both cells are accepted, and none that reaches further."""
        self.observed = (self.margins(a) > 0).reshape(self.graph.shapes["above"])
        assert self.accepts(a, root, "inside") and self.accepts(root, b, "outside", 0, k)
        for hair in HAIRS if self.x.size < 20 else HAIRS[1:2]:
            hair *= min(root - a, b - root)
            assert not self.accepts(a, root + hair, "inside")
            assert not self.accepts(root - hair, b, "outside", 0, k)


CASES = [("dense", head, normalised) for head in HEADS for normalised in (False, True)]
CASES += [("convolutional", head, k % 2 == 0) for k, head in enumerate(HEADS)]


@pytest.mark.parametrize(("net", "head", "normalised"), CASES)
def test_cells_end_exactly_at_roots(net: str, head: str, normalised: bool) -> None:
    for seed in range(10):
        line = Line(net, head, normalised, seed)
        root = line.root()
        if root is not None:
            line.assert_exact(*root)
            return
    pytest.fail("no root was found")


NUMBERS = st.fractions(max_denominator=10**6)
DIRECTION = [Fraction(1, 3), Fraction(-5, 7), Fraction(2**400 + 1, 9 * 2**400), Fraction(0), Fraction(4)]
START = np.array([0.1, -3.0, 2.0**-60, 7.0, 0.0])


def value(form: Form, index: tuple[int, ...], tau: Fraction) -> tuple[Fraction, Fraction]:
    """The middle of a form's element at tau, and its radius."""
    c, d, r = (Fraction(int(a[index])) * Fraction(2) ** form.e for a in (form.c, form.d, form.r))
    return c + d * tau, r


@given(lo=NUMBERS, width=st.fractions(0, 3, max_denominator=10**9), tau=st.fractions(-1, 1))
@pytest.mark.parametrize("bits", [FAST, FINE, 128, EXACT])
def test_the_input_on_a_cell(bits: int | None, lo: Fraction, width: Fraction, tau: Fraction) -> None:
    """The outward cell holds every point of the cell, and whole multiples of the line are exact."""
    line = MovingInput.of(START, DIRECTION)
    t = lo + width * (1 + tau) / 2
    exact = [Fraction(float(x)) + b * t for x, b in zip(START, DIRECTION, strict=True)]
    *whole, (none, outward) = line.places(Arithmetic(bits), [(lo, lo + width)])
    assert none is None and bool(whole) == (bits is EXACT and (lo, width) != (0, 0))
    for k, wanted in enumerate(exact):
        c, d, r = (
            Fraction(int(a[k, 0])) * Fraction(2) ** outward.e for a in (outward.c, outward.d, outward.r)
        )
        assert c - abs(d) - r <= wanted <= c + abs(d) + r
    for scale, moving in whole:
        assert scale is not None
        factor, nothing = value(scale, (0,), tau)
        assert factor > 0 and not nothing and not scale.d.any() and scale.degree == moving.degree == 1
        assert all(value(moving, (k, 0), tau) == (factor * v, 0) for k, v in enumerate(exact))


@given(start=st.fractions(Fraction(1, 10**6), 10**6), tau=st.fractions(-1, 1), sign=st.sampled_from([-1, 1]))
def test_the_input_on_an_exact_ray(start: Fraction, tau: Fraction, sign: int) -> None:
    line = MovingInput.of(START, DIRECTION)
    ray: Cell = (start, math.inf) if sign > 0 else (-math.inf, -start)
    ((scale, moving),) = line.places(Arithmetic(EXACT), [ray])
    assert scale is not None and value(scale, (0,), Fraction(-1)) == (0, 0)  # at infinity
    s = (1 + tau) / (2 * start)
    factor, nothing = value(scale, (0,), tau)
    multiple = value(scale, (0,), Fraction(1))[0] * start
    assert multiple > 0 and nothing == 0 and factor == multiple * s
    for k, (x, b) in enumerate(zip(START, DIRECTION, strict=True)):
        assert value(moving, (k, 0), tau) == (multiple * (Fraction(float(x)) * s + sign * b), 0)


def test_an_input_whose_denominators_are_too_long_is_rounded() -> None:
    beta = [Fraction(1, 3**30000), Fraction(1, 5**60000), Fraction(1, 7**30000)]
    line = MovingInput.of(np.ones(3), beta)
    assert line.places(Arithmetic(EXACT), [(Fraction(1, 3), Fraction(1, 2))])[0][0] is None


@given(lo=NUMBERS, width=st.fractions(Fraction(1, 10**30), 10))
def test_halves_meet_at_a_short_number(lo: Fraction, width: Fraction) -> None:
    for cell in ((lo, lo + width), (lo, math.inf), (-math.inf, lo)):
        m = _middle(cell)[0]
        assert cell[0] < m < cell[1] and is_dyadic(Fraction(m))


@pytest.mark.parametrize("bits", [EXACT, RATIONAL])
def test_every_operator_on_cells_with_rational_ends(bits: int | None) -> None:
    """Random graphs with a scale of degree one, held against the twin."""
    scaled = 0
    cell, tau = (Fraction(1, 21), Fraction(1, 7)), Fraction(2, 5)
    t = (cell[0] + cell[1]) / 2 + tau * (cell[1] - cell[0]) / 2
    for case in suite(150):
        try:
            inputs = {case.moving: case.observed, **case.other}
            graph = graph_of(case.model, inputs, case.moving, np.asarray(case.direction))
        except InvalidCertificate:
            continue
        scale, moving = graph.line.places(Arithmetic(bits), [cell])[0]
        constants, known = graph._constants(bits)
        ctx = Context(constants.ar, graph.moves, scale, constants.cache, graph.maps)
        values = {**known, graph.moving: moving}
        try:
            graph._run(ctx, [n for n in graph.nodes if graph.moves & set(n.outputs)], values, keep=True)
        except (NotHomogeneous, Undecided):
            continue
        assert scale is not None
        scaled += 1
        moved = {name: v for name, v in values.items() if name in graph.moves and is_whole(v)}
        assert not contradictions(moved, case.at(t), 0, tau, value(scale, (0,), tau)[0])
    assert scaled >= 30


def is_whole(v: Form | Discrete) -> bool:
    return isinstance(v, Discrete) or all(
        isinstance(n, (int, np.integer)) for a in (v.c, v.d, v.r) for n in a.flat
    )


def test_numbers_beyond_all_floats() -> None:
    assert not is_infinite(Fraction(10) ** 5000) and is_infinite(math.inf) and is_infinite(-math.inf)


def exact_ends(parts: Parts) -> Parts:
    """The roots, found by the twin, where an inside cell and an outside cell meet, in place of gaps there."""
    beta = twin_direction(parts)

    def margins(t: Fraction) -> list[Fraction]:
        values = twin.evaluate(parts.audited, {"x": twin.exact_array(parts.inputs[0][1]) + beta * t})
        return list((values["sureline/score"] - Fraction(parts.hypothesis["threshold"])).reshape(-1))

    cells, ends = [c for c in parts.cells if c.verdict != "gap"], []
    for i, (left, right) in enumerate(itertools.pairwise(cells)):
        if {left.verdict, right.verdict} == {"inside", "outside"}:
            k, lo, hi = max(left.element, right.element), Fraction(left.hi), Fraction(right.lo)
            at_lo, at_hi = margins(lo)[k], margins(hi)[k]
            root = lo - (at_lo * (hi - lo) / (at_hi - at_lo) if lo < hi else 0)
            assert margins(root)[k] == 0
            cells[i : i + 2] = [replace(left, hi=root), replace(right, lo=root)]
            ends.append((root, 0, k))
    return replace(parts, cells=covering(cells), ends=ends)


def twin_direction(parts: Parts) -> np.ndarray:
    """scale * Sigma eta / q for the mean of the region less that of the rest, Sigma the unit matrix."""
    region = parts.observed[0][1].reshape(-1)
    marked = int(region.sum())
    eta = [Fraction(1, marked) if m else Fraction(-1, region.size - marked) for m in region]
    factor = parts.scale / sum(e * e for e in eta)
    return np.array([e * factor for e in eta], dtype=object).reshape(parts.inputs[0][1].shape)


CHANGES = {
    "t": lambda t, k, i: (t + Fraction(1, 10**30), k, i),
    "element": lambda t, k, i: (t, k, (i + 1) % 12),
    "output": lambda t, k, i: (t, k + 1, i),
}


@pytest.mark.parametrize("net", NETS)
def test_a_certificate_without_gaps_at_its_ends(net: str, tmp_path: Path) -> None:
    model = NETS[net](seed=3)
    x = np.random.default_rng(5).normal(size=(1, 12) if net == "dense" else (1, 1, 8, 8)).astype(np.float32)
    result = sl.audit(model, x, hypothesis=sl.BackMeanDiff(threshold=0.1), var=1, precision=1e-4)
    parts = exact_ends(result.certificate.parts)
    assert len(parts.ends) >= 2 and not all(is_dyadic(t) for t, _, _ in parts.ends)
    Certificate(parts).save(tmp_path / "true")
    report = check(tmp_path / "true", model=model, input=x)
    assert report.valid and report.gaps == sum(c.verdict == "gap" for c in parts.cells)
    schema = json.loads((ROOT / "verifier" / "certificate.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(Certificate(parts).document)
    for name, change in CHANGES.items():
        ends = [change(*parts.ends[0]), *parts.ends[1:]]
        Certificate(replace(parts, ends=ends)).save(tmp_path / name)
        with pytest.raises(InvalidCertificate):
            check(tmp_path / name)
    for sign in (-1, 1):
        t, moved = parts.ends[-1][0], parts.ends[-1][0] + sign * Fraction(1, 10**30)
        cells = [
            replace(c, lo=moved if c.lo == t else c.lo, hi=moved if c.hi == t else c.hi) for c in parts.cells
        ]
        for ends in ((), [*parts.ends[:-1], (moved, *parts.ends[-1][1:])]):
            Certificate(replace(parts, cells=cells, ends=ends)).save(tmp_path / "moved")
            with pytest.raises(InvalidCertificate):
                check(tmp_path / "moved")
