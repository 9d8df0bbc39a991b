"""The checker's evaluation of a graph never contradicts the twin, on random networks and near-ties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import twin
from enclosure_checks import points_in
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case, cases, suite

from verifier.check.errors import InvalidCertificate
from verifier.check.graph.graph import CheckedGraph

COUNT, CHUNKS = 240, 4
WIDE = 200


def probed(case: Case, t: Fraction, rng: np.random.Generator) -> tuple[onnx.ModelProto, list[str]]:
    """The model, with every real tensor also compared with (about) its own value at t: nothing is as hard."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    exact, discrete = case.at(t), []
    for node in case.model.graph.node:
        for name in node.output:
            kinds = {type(v) for v in exact[name].reshape(-1)} - {twin.exact.Unknown}
            if not kinds:
                continue
            if kinds <= {bool, int}:
                discrete.append(name)
                continue
            level = np.nan_to_num(twin.to_float(exact[name]))
            level = level * (1 + rng.integers(-1, 2) * 2.0 ** -rng.integers(10, 54))
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(level), f"{name}/level"))
            model.graph.node.append(
                helper.make_node("Cast", [name], [f"{name}/double"], to=TensorProto.DOUBLE)
            )
            above = helper.make_node("Greater", [f"{name}/double", f"{name}/level"], [f"{name}/above"])
            model.graph.node.append(above)
            discrete.append(f"{name}/above")
    return model, discrete


def checked(case: Case, model: onnx.ModelProto, outputs: Sequence[str]) -> CheckedGraph:
    inputs = {case.moving: case.observed, **case.other}
    direction = list(twin.exact_array(case.direction).reshape(-1))
    return CheckedGraph.build(model, inputs, case.moving, direction, list(outputs))


def false_verdicts(
    case: Case, cells: list[tuple[Any, Any]], bits: int | None, rng: np.random.Generator
) -> tuple[list[str], int, int]:
    """What the checker says of the cells against the twin; how many elements it decided, and of how many."""
    centre = cells[-1][0]
    model, outputs = probed(case, Fraction(centre) if math.isfinite(centre) else Fraction(1), rng)
    failures, known, elements = [], 0, 0
    verdicts = checked(case, model, outputs).evaluate(cells, bits)
    for number, cell in enumerate(cells):
        for t in points_in(rng, cell, 2):
            exact = twin.evaluate(model, case.point(t))
            for name, (lo, hi) in zip(outputs, verdicts, strict=True):
                wanted = exact[name]
                assert lo[number].shape == wanted.shape
                known, elements = known + int((lo[number] == hi[number]).sum()), elements + wanted.size
                for index in np.ndindex(wanted.shape):
                    v, a, b = wanted[index], int(lo[number][index]), int(hi[number][index])
                    if v is not twin.UNKNOWN and not a <= v <= b:
                        failures.append(
                            f"{name}{index} is {v} at t = {t}, but {a}..{b} on {cell} with {bits} bits"
                        )
    return failures, known, elements


def dyadic(rng: np.random.Generator) -> Fraction:
    return Fraction(int(rng.integers(-(2**22), 2**22)), 2**20)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CHUNKS))
def test_cells(number: int) -> None:
    failures, refused, known, elements = [], [], 0, 0
    for k, case in enumerate(suite(COUNT)):
        if k % CHUNKS != number:
            continue
        rng = np.random.default_rng([5, k])
        a = dyadic(rng)
        cells = [(a, a + 1), (a, a + Fraction(1, 2**10)), (a, a + Fraction(1, 2**40)), (a, a)]
        for bits in (60, WIDE):
            try:
                text, decided, total = false_verdicts(case, cells, bits, rng)
            except InvalidCertificate as error:
                refused.append(f"network {k}: {error}")
                break
            known, elements = known + decided, elements + total
            failures += [f"network {k}: {t}" for t in text[:1]]
    print(f"\n{known / elements:.1%} of the elements decided; refused: {refused}")
    assert not failures, "\n".join(failures)
    assert len(refused) <= 0.05 * COUNT / CHUNKS


@pytest.mark.slow
def test_rays() -> None:
    failures, decided = [], 0
    for k, case in enumerate(suite(COUNT)[:150]):
        rng = np.random.default_rng([6, k])
        near = Fraction(2) ** int(rng.integers(-3, 12))
        for cell in ((near, math.inf), (-math.inf, -near)):
            try:
                text, known, _ = false_verdicts(case, [cell, (near, near)], 60, rng)
            except InvalidCertificate:
                continue
            decided += known
            failures += [f"network {k}: {t}" for t in text[:1]]
    assert not failures, "\n".join(failures)
    assert decided > 0


@pytest.mark.slow
def test_exact_points() -> None:
    """Without rounding, at points; what stays undecided there holds thirds, square roots and the like."""
    failures, undecided = [], []
    for k, case in enumerate(suite(120)):
        if case.smooth:
            continue
        rng = np.random.default_rng([7, k])
        a = dyadic(rng)
        try:
            text, known, elements = false_verdicts(case, [(a, a)], None, rng)
        except InvalidCertificate:
            continue
        failures += [f"network {k}: {t}" for t in text[:1]]
        if known < elements:
            undecided.append(k)
    print(f"\nnot decided at a point: {undecided}")
    assert not failures, "\n".join(failures)


@given(case=cases(), start=st.integers(-(2**12), 2**12), power=st.integers(-80, 2), seed=st.integers(0, 99))
def test_any_network(case: Case, start: int, power: int, seed: int) -> None:
    a = Fraction(start, 2**10)
    try:
        found, _, _ = false_verdicts(case, [(a, a + Fraction(2) ** power)], 60, np.random.default_rng(seed))
    except InvalidCertificate:
        return
    assert not found
