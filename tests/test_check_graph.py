"""The checker's evaluation of graphs: what it says of a cell holds at every point of it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from check_values import contradictions, graph_of, values_on
from random_graphs import Case, suite

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
