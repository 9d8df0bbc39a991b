"""The checker's evaluation of graphs: what it says of a cell holds at every point of it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from check_values import contradictions, graph_of, values_on
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case, suite

import sureline as sl
from verifier.check.errors import InvalidCertificate, NotHomogeneous, Undecided
from verifier.check.graph.line import dyadic_above
from verifier.check.numbers.integers import EXACT, FAST

COUNT = 120
REFUSED = (
    "this mode is not supported",
    "aspect ratio policy",
    "tf_crop_and_resize beyond",
    "means different things",
    "indices in column order",
)


def built(case: Case) -> object:
    try:
        return graph_of(case.model, {case.moving: case.observed, **case.other}, case.moving, case.direction)
    except InvalidCertificate as error:
        if any(words in str(error) for words in REFUSED):
            return None
        raise


@pytest.mark.parametrize("part", range(4))
def test_values_of_random_graphs_are_enclosed(part: int) -> None:
    rng = np.random.default_rng(part)
    failures, built_graphs, undecided, rays = [], 0, 0, 0
    for number, case in list(enumerate(suite(COUNT)))[part::4]:
        graph = built(case)
        if graph is None:
            continue
        built_graphs += 1
        middle = Fraction(int(rng.integers(-300, 300)), 128)
        half = Fraction(1, 2 ** int(rng.choice([1, 4, 20])))
        cells = [(middle - half, middle + half), (middle, middle)]
        for bits in (FAST, int(rng.choice([128, 256])), EXACT)[: 3 if number % 3 == 0 else 1]:
            try:
                values = values_on(graph, cells, bits)
            except Undecided:
                undecided += 1
                continue
            for k, (lo, hi) in enumerate(cells):
                tau = Fraction(int(rng.integers(-64, 65)), 64)
                exact = case.at((lo + hi) / 2 + (hi - lo) / 2 * tau)
                failures += [
                    f"{number}, {bits} bits: {text}" for text in contradictions(values, exact, k, tau)
                ]
        start = Fraction(int(rng.integers(1, 400)), 2)
        for cell, sign in (((start, math.inf), 1), ((-math.inf, -start), -1)):
            try:
                values = values_on(graph, [cell], FAST)
            except (NotHomogeneous, Undecided):
                break
            rays += 1
            h = dyadic_above(1 / (2 * start))
            s = 1 / (start * Fraction(int(rng.integers(1, 50))))
            failures += [
                f"{number}, ray: {text}"
                for text in contradictions(values, case.at(sign / s), 0, s / h - 1, s)
            ]
    assert not failures, failures[:20]
    assert built_graphs > 0.9 * COUNT / 4 and undecided < 0.2 * COUNT and rays


SHARED = np.array([[0.5, -1.25, 0.75], [1.5, 0.25, -0.5], [-0.25, 1.0, 0.125]], dtype=np.float32)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Gemm", ["k", "w", "x"], ["y"])],
        [helper.make_node("Gemm", ["w", "w", "x"], ["y"], transA=1)],
        [
            helper.make_node("Gemm", ["x", "w"], ["h"]),
            helper.make_node("Gemm", ["k", "w", "h"], ["y"], alpha=0.5, beta=2.0),
        ],
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Gemm", ["w", "h", "x"], ["y"])],
    ],
    ids=["constant factors", "one factor twice", "a shared weight", "both sides"],
)
def test_constant_factors_are_kept_where_they_are_read(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    """Of a product of two constants that is added to something that moves, both factors are needed."""
    x = SHARED.T.copy()
    graph = helper.make_graph(
        [*nodes, helper.make_node("Greater", ["y", "t"], ["z"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("z", TensorProto.BOOL, x.shape)],
        [
            numpy_helper.from_array(value, name)
            for name, value in (("k", SHARED[::-1].copy()), ("w", SHARED), ("t", np.float32(0.1)))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    eta = np.arange(9.0).reshape(3, 3) - 3.5
    result = sl.audit(
        model, x, hypothesis=sl.Selection(output="z", eta=lambda s: eta), var=1.0, precision=1e-2
    )
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid
