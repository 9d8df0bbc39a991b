"""Shapley values and LIME: orders, axioms and regressions done slowly."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from explained_nets import convolutional
from perturbed import COLOURS, GROUPS, IMAGES, TYPES, Scores, close, coalition, coloured, linear, score_of

import sureline as sl
from symbolic.explanations.methods.shapley import all_coalitions

HALVES = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)


def naive_shapley(score: Any, x: np.ndarray, labels: np.ndarray, baseline: Any) -> np.ndarray:
    """The mean over all orders of what a region adds to those before it."""
    players = sorted(set(labels.ravel().tolist()))
    known: dict[frozenset[int], float] = {}

    def value(members: frozenset[int]) -> float:
        if members not in known:
            known[members] = score(coalition(x, labels, members, baseline))
        return known[members]

    total, orders = dict.fromkeys(players, 0.0), list(permutations(players))
    for order in orders:
        for k, player in enumerate(order):
            total[player] += value(frozenset(order[: k + 1])) - value(frozenset(order[:k]))
    return np.vectorize(lambda n: total[n] / len(orders))(np.broadcast_to(labels, x.shape))


@TYPES
@pytest.mark.parametrize("labels", [HALVES, GROUPS, GROUPS[None]])
def test_exact_shapley_values(dtype: type, labels: np.ndarray) -> None:
    baseline = np.random.default_rng(4).normal(size=(1, 6, 6)) / 3
    _, found = sl.explain(convolutional(dtype=dtype), sl.ExactShapley(labels, baseline))(IMAGES)
    net = convolutional(dtype=np.float64)
    expected = [naive_shapley(score_of(net, "l", x), x, labels, baseline) for x in IMAGES]
    close(found, np.array(expected), dtype)


def quarters(values: np.ndarray, cells: int = 2) -> np.ndarray:
    """One place of every cell of a grid over 6 x 6."""
    step = 6 // cells
    return values[..., ::step, ::step]


@pytest.mark.parametrize("target", ["predicted", 1, "2-0"])
@pytest.mark.parametrize(
    "method",
    [
        sl.ExactShapley(2, 0.2),
        sl.ExactShapley(3, 0.2),
        sl.KernelShap(2, baseline=0.2),
        sl.KernelShap(3, 40, baseline=0.2),
        sl.KernelShap(6, 200, baseline=0.2),
    ],
)
def test_shapley_values_sum_to_what_the_score_gains(method: Any, target: object) -> None:
    net = convolutional(dtype=np.float64)
    _, found = sl.explain(net, method, target)(IMAGES)
    scores = Scores(net, "l")
    for x, row in zip(IMAGES, found, strict=True):
        gains = scores(x) - scores(np.full_like(x, 0.2))
        weights = {"predicted": np.eye(3)[scores(x).argmax()], 1: np.eye(3)[1], "2-0": np.array([-1, 0, 1])}
        total = quarters(row, method.regions).sum()
        np.testing.assert_allclose(total, gains @ weights[target], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("regions", "samples"), [(2, 16), (GROUPS, 32), ((3, 3), 512), (1, 2)])
def test_kernel_shap_on_all_coalitions_is_exact(regions: Any, samples: int) -> None:
    net = convolutional(dtype=np.float64)
    exact = sl.explain(net, sl.ExactShapley(regions, 0.1))(IMAGES)[1]
    close(sl.explain(net, sl.KernelShap(regions, samples, baseline=0.1))(IMAGES)[1], exact)


def test_kernel_shap_solves_its_least_squares() -> None:
    """Against the optimality conditions of the problem with its constraint, solved as one system."""
    method = sl.KernelShap(3, samples=60, seed=2)
    net = convolutional(dtype=np.float64)
    inside, times = method.drawn(9)
    found = quarters(sl.explain(net, method)(IMAGES)[1], 3)[:, 0].reshape(5, 9)
    labels = np.arange(9).reshape(3, 3).repeat(2, 0).repeat(2, 1)
    for x, row in zip(IMAGES, found, strict=True):
        score = score_of(net, "l", x)
        values = np.array([score(coalition(x, labels, np.flatnonzero(z), 0)) for z in inside])
        z, gains = inside[1:-1], values[1:-1] - values[0]
        system = np.block([[z.T * times @ z, np.ones((9, 1))], [np.ones((1, 9)), np.zeros((1, 1))]])
        solved = np.linalg.solve(system, [*(z.T * times @ gains), values[-1] - values[0]])
        np.testing.assert_allclose(row, solved[:9], rtol=1e-8, atol=1e-10)


def test_kernel_shap_of_a_linear_score_needs_few_samples() -> None:
    net, weights = linear([1, 6, 6])
    _, found = sl.explain(net, sl.KernelShap(3, samples=40))(IMAGES)
    gains = (weights * IMAGES).reshape(5, 3, 2, 3, 2).sum(axis=(2, 4))
    close(quarters(found, 3), gains[:, None])


def test_coalitions_of_kernel_shap_come_in_pairs_of_the_kernels_sizes() -> None:
    inside, times = sl.KernelShap(samples=20_000).drawn(16)
    inside = inside[1:-1].astype(int)
    by_bits = {tuple(z): t for z, t in zip(inside, times, strict=True)}
    assert len(by_bits) == len(inside) and times.sum() == 20_000
    assert all(by_bits[tuple(1 - z)] == t for z, t in by_bits.items() for z in [np.array(z)])
    sizes = np.arange(1, 16)
    expected = 1 / (sizes * (16 - sizes))
    seen = np.bincount(inside.sum(axis=1), times, minlength=16)[1:] / times.sum()
    np.testing.assert_allclose(seen, expected / expected.sum(), atol=0.015)


def test_all_coalitions_are_all() -> None:
    assert sorted(map(tuple, all_coalitions(4))) == sorted(product((0, 1), repeat=4))


def test_labels_may_tell_channels_apart() -> None:
    labels = np.arange(40).reshape(2, 5, 4) % 3
    found = sl.explain(coloured(), sl.ExactShapley(labels))(COLOURS)[1]
    expected = [naive_shapley(score_of(coloured(), "y", x), x, labels, 0.0) for x in COLOURS]
    close(found, np.array(expected))


@TYPES
@pytest.mark.parametrize(("regions", "alpha", "width"), [(2, 1.0, 0.25), (3, 0.0, 0.6), (GROUPS, 5.0, 0.1)])
def test_lime(dtype: type, regions: Any, alpha: float, width: float) -> None:
    """Against a least-squares problem with a row for every sample and a row for every penalty."""
    method = sl.Lime(regions, 60, seed=3, width=width, alpha=alpha, baseline=0.3)
    _, found = sl.explain(convolutional(dtype=dtype), method)(IMAGES)
    if isinstance(regions, int):
        labels = np.arange(regions**2).reshape(regions, regions)
        labels = labels.repeat(6 // regions, 0).repeat(6 // regions, 1)
    else:
        labels = np.unique(regions, return_inverse=True)[1].reshape(6, 6)
    count = labels.max() + 1
    kept, _ = method.drawn(count)
    assert kept[0].all() and set(np.unique(kept)) == {0, 1} and 0.35 < kept.mean() < 0.65
    weights = []
    for z in kept:
        cosine = z.sum() / (np.linalg.norm(z) * np.sqrt(count)) if z.any() else 0.0
        weights.append(np.exp(-((1 - cosine) ** 2) / (2 * width**2)))
    roots = np.sqrt(weights)[:, None]
    rows = np.concatenate([kept, np.ones((len(kept), 1))], axis=1) * roots
    penalties = np.concatenate([np.sqrt(alpha) * np.eye(count), np.zeros((count, 1))], axis=1)
    net = convolutional(dtype=np.float64)
    expected = []
    for x in IMAGES:
        score = score_of(net, "l", x)
        values = np.array([score(coalition(x, labels, np.flatnonzero(z), 0.3)) for z in kept])
        wanted = np.concatenate([values * roots[:, 0], np.zeros(count)])
        solved = np.linalg.lstsq(np.concatenate([rows, penalties]), wanted, rcond=None)[0]
        expected.append(solved[:-1][labels][None])
    close(found, np.array(expected), dtype)
