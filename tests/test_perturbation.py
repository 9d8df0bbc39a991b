"""Occlusion and RISE done slowly; what holds of all explanations by perturbation, and what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from explained_nets import convolutional, dense, model
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from perturbed import COLOURS, IMAGES, ROWS, TYPES, Scores, close, coloured, linear, score_of

import sureline as sl
from symbolic.explanations.method import Method

METHODS: dict[str, Method] = {
    "occlusion": sl.Occlusion(3, 2, baseline=0.3),
    "rise": sl.Rise(12, cells=3, keep=0.4),
    "shapley": sl.ExactShapley(2),
    "kernel-shap": sl.KernelShap(3, samples=60),
    "lime": sl.Lime(3, samples=40, alpha=0.1),
    "sobol": sl.Sobol(2, samples=8),
    "sobol-glen": sl.Sobol(2, samples=8, estimator="glen", design="halton", smooth=True),
    "sobol-blurred": sl.Sobol(2, samples=8, perturbation="blurring", blur=3, normalised=False),
}


def test_the_rows_are_of_several_classes() -> None:
    for net, name, rows in ((convolutional(dtype=np.float64), "l", IMAGES), (coloured(), "y", COLOURS)):
        assert len({int(Scores(net, name)(row).argmax()) for row in rows}) > 1


# occlusion


def naive_occlusion(score: Any, x: np.ndarray, window: Any, stride: Any, baseline: Any) -> np.ndarray:
    """Window by window, cut at the border."""
    total, times = np.zeros(x.shape), np.zeros(x.shape)
    begins = []
    for length, size, step in zip(x.shape, window, stride, strict=True):
        begins.append([0])
        while begins[-1][-1] + size < length:
            begins[-1].append(begins[-1][-1] + step)
    for corner in product(*begins):
        inside = tuple(slice(b, b + size) for b, size in zip(corner, window, strict=True))
        covered = x.copy()
        covered[inside] = np.broadcast_to(baseline, x.shape)[inside]
        total[inside] += score(x) - score(covered)
        times[inside] += 1
    return total / times


@TYPES
@pytest.mark.parametrize(
    ("window", "stride"), [(1, 1), (2, 2), (3, 1), ((4, 3), (3, 2)), (6, 6), ((2, 6), 2)]
)
def test_occlusion_of_images(dtype: type, window: Any, stride: Any) -> None:
    baseline = np.random.default_rng(4).normal(size=(1, 6, 6))
    _, found = sl.explain(convolutional(dtype=dtype), sl.Occlusion(window, stride, baseline))(IMAGES)
    net = convolutional(dtype=np.float64)
    full = [(1, *np.broadcast_to(sizes, 2).tolist()) for sizes in (window, stride)]
    expected = [naive_occlusion(score_of(net, "l", x), x, *full, baseline) for x in IMAGES]
    close(found, np.array(expected), dtype)


@pytest.mark.parametrize(
    ("window", "stride", "full_window", "full_stride"),
    [
        (2, 1, (2, 2, 2), (2, 1, 1)),
        ((1, 2, 3), (1, 2, 1), (1, 2, 3), (1, 2, 1)),
        ((2, 3, 2), 1, (2, 3, 2), (1, 1, 1)),
    ],
)
def test_occlusion_with_and_without_channels(
    window: Any, stride: Any, full_window: Any, full_stride: Any
) -> None:
    _, found = sl.explain(coloured(), sl.Occlusion(window, stride, -0.4))(COLOURS)
    expected = [
        naive_occlusion(score_of(coloured(), "y", x), x, full_window, full_stride, -0.4) for x in COLOURS
    ]
    close(found, np.array(expected))


def test_occlusion_of_features() -> None:
    net = dense(dtype=np.float64)
    expected = [naive_occlusion(score_of(net, "l", x), x, (2,), (1,), 0.0) for x in ROWS]
    close(sl.explain(net, sl.Occlusion(2))(ROWS)[1], np.array(expected))


# RISE


def naive_mask(bits: np.ndarray, shift: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bits enlarged to (cells + 1) whole cells, value by value, and cut out at the shift."""
    mask = np.zeros(size)
    for i, j in product(range(size[0]), range(size[1])):
        around = []
        for place, by, length, cells in zip((i, j), shift, size, bits.shape, strict=True):
            enlarged = (cells + 1) * -(-length // cells)
            at = min(max((place + by + 0.5) * cells / enlarged - 0.5, 0), cells - 1)
            low = min(int(at), max(cells - 2, 0))
            around.append([(low, 1 - (at - low)), (min(low + 1, cells - 1), at - low)])
        mask[i, j] = sum(u * v * bits[a, b] for (a, u), (b, v) in product(*around))
    return mask


@TYPES
@pytest.mark.parametrize(
    ("masks", "cells", "keep", "baseline"), [(9, 2, 0.5, 0.0), (20, 3, 0.3, 0.7), (6, 9, 0.5, 0.0)]
)
def test_rise(dtype: type, masks: int, cells: int, keep: float, baseline: float) -> None:
    method = sl.Rise(masks, cells, keep, seed=5, baseline=baseline)
    _, found = sl.explain(convolutional(dtype=dtype), method)(IMAGES)
    bits, shifts = method.drawn([6, 6])
    drawn = [naive_mask(b, s, (6, 6)) for b, s in zip(bits, shifts.T, strict=True)]
    net = convolutional(dtype=np.float64)
    expected = []
    for x in IMAGES:
        score = score_of(net, "l", x)
        expected.append(sum(score(m * x + (1 - m) * baseline) * m for m in drawn)[None] / (masks * keep))
    close(found, np.array(expected), dtype)


@pytest.mark.parametrize("keep", [0.2, 0.5])
def test_masks_of_rise_are_unbiased_at_every_place(keep: float) -> None:
    """So the map of a score that never changes is the score."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
    ]
    net = model(nodes, {"w": np.zeros((35, 1)), "b": np.full(1, 2.0)}, ["N", 1, 5, 7], ["N", 1], np.float64)
    count = 4000
    _, found = sl.explain(net, sl.Rise(count, cells=3, keep=keep))(np.ones((1, 1, 5, 7)))
    deviation = 2 * np.sqrt((1 - keep) / keep / count)  # of a bit's mean, the most of all
    assert np.abs(found - 2).max() < 4.5 * deviation
    assert np.abs(found - 2).max() > 0


def test_rise_without_masking_gives_the_score_everywhere() -> None:
    _, found = sl.explain(convolutional(dtype=np.float64), sl.Rise(3, keep=1))(IMAGES)
    for x, row in zip(IMAGES, found, strict=True):
        np.testing.assert_allclose(row, score_of(convolutional(dtype=np.float64), "l", x)(x), rtol=1e-12)


def test_rise_of_signals_and_volumes() -> None:
    for shape in ([2, 7], [1, 3, 4, 5]):
        net, weights = linear(shape)
        x = np.random.default_rng(0).normal(size=(2, *shape))
        _, found = sl.explain(net, sl.Rise(2, cells=2, seed=1))(x)
        method, places = sl.Rise(2, cells=2, seed=1), shape[1:]
        bits, shifts = method.drawn(places)
        expected = np.zeros(x.shape)
        for k in range(2):
            mask = bits[k]
            for axis, length in enumerate(places):
                size = -(-length // 2)
                matrix = np.zeros((length, 2))
                for place in range(length):
                    at = np.clip((place + shifts[axis][k] + 0.5) * 2 / (3 * size) - 0.5, 0, 1)
                    matrix[place] = 1 - at, at
                mask = np.moveaxis(np.tensordot(matrix, mask, (1, axis)), 0, axis)
            scores = (weights * x * mask).sum(axis=tuple(range(1, x.ndim)))
            expected += scores.reshape(-1, *[1] * len(shape)) * mask / (2 * 0.5)
        close(found, expected)


# all of them


@TYPES
@pytest.mark.parametrize("name", METHODS)
def test_runs_everywhere_and_row_by_row(name: str, dtype: type) -> None:
    method, net, rows = METHODS[name], convolutional(), IMAGES
    if dtype is np.float64:  # for which ONNX Runtime has no convolutions
        net, rows = dense(dtype=dtype), ROWS
    made = sl.explain(net, method)
    session = InferenceSession(made.proto.SerializeToString())
    tolerance = 2e-5 if dtype is np.float32 else 1e-11
    for count in (1, 2, 4):
        x = rows[:count].astype(dtype)
        together = session.run(None, {"x": x})[1]
        assert together.shape == x.shape and together.dtype == dtype
        scale = np.abs(together).max()
        alone = np.concatenate([session.run(None, {"x": row[None]})[1] for row in x])
        np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance * scale)
        evaluated = ReferenceEvaluator(made.proto).run(None, {"x": x})[1]
        np.testing.assert_allclose(evaluated, together, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_options_give_the_same_graph(name: str) -> None:
    one, two = (sl.explain(convolutional(), METHODS[name]).proto for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


def test_seeds_draw_anew() -> None:
    drawn: list[tuple[Any, dict[str, Any]]] = [
        (sl.Rise, {"masks": 6}),
        (sl.Lime, {"regions": 2, "samples": 9}),
        (sl.KernelShap, {"regions": 3, "samples": 50}),
        (sl.Sobol, {"regions": 2, "samples": 8, "design": "latin-hypercube"}),
    ]
    for kind, options in drawn:
        one, two = (sl.explain(convolutional(), kind(seed=s, **options))(IMAGES)[1] for s in (0, 1))
        assert np.abs(one - two).max() > 1e-4


@pytest.mark.parametrize("method", [sl.Occlusion(2), sl.IntegratedGradients(3), sl.ExactShapley(3)])
def test_other_inputs_keep_their_rows(method: Method) -> None:
    """A second input that is added row by row, and a mask: both have the batch axis too."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Exp", ["z"], ["e"]),
        helper.make_node("Add", ["x", "e"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Where", ["m", "r", "o"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    net = model(nodes, {"w": rng.normal(size=(6, 3)), "o": np.zeros(())}, ["N", 6], ["N", 3], np.float64)
    net.graph.input.append(helper.make_tensor_value_info("z", onnx.TensorProto.DOUBLE, ["N", 6]))
    net.graph.input.append(helper.make_tensor_value_info("m", onnx.TensorProto.BOOL, ["N", 1]))
    x, z, mask = rng.normal(size=(3, 6)), rng.normal(size=(3, 6)), np.array([[True], [False], [True]])
    made = sl.explain(net, method)
    _, together = made(x, z, mask)
    alone = [made(x[k : k + 1], z[k : k + 1], mask[k : k + 1])[1] for k in range(3)]
    close(together, np.concatenate(alone))
    assert not together[1].any() and together[0].any() and together[2].any()


def test_scores_without_an_axis_of_classes() -> None:
    net, weights = linear([2, 3])
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    found = sl.explain(net, sl.Occlusion((1, 1)))(x)[1]
    close(found, weights * x)


def test_a_score_without_a_batch_axis_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    net = model(nodes, {}, ["N", 4], [])
    with pytest.raises(sl.ModelError, match="no batch axis"):
        sl.explain(net, sl.Occlusion())


BAD: list[tuple[type[Method], dict[str, Any], str]] = [
    (sl.Occlusion, {"window": 0}, "window is 0"),
    (sl.Occlusion, {"window": 2.0}, "whole number"),
    (sl.Occlusion, {"window": 7}, "longer than an axis of 6"),
    (sl.Occlusion, {"window": (1, 2, 3, 4)}, "window has 4 numbers"),
    (sl.Occlusion, {"window": 2, "stride": 3}, "jumps over places"),
    (sl.Occlusion, {"window": None}, "window is None"),
    (sl.Occlusion, {"baseline": np.zeros(3)}, r"shape \(3,\); one input has \(1, 6, 6\)"),
    (sl.Occlusion, {"baseline": "black"}, "baseline is no finite number"),
    (sl.Occlusion, {"baseline": None}, "baseline is no finite number"),
    (sl.Occlusion, {"baseline": float("inf")}, "baseline is no finite number"),
    (sl.Rise, {"keep": 0}, "keep is 0"),
    (sl.Rise, {"keep": 1.5}, "probability"),
    (sl.Rise, {"keep": "half"}, "keep is 'half'; it must be a finite number"),
    (sl.Rise, {"masks": 10**6}, "take fewer masks"),
    (sl.Rise, {"seed": -1}, "seed is -1"),
    (sl.Rise, {"cells": 0}, "cells is 0"),
    (sl.ExactShapley, {"regions": 4}, "16 regions need 2.16 runs"),
    (sl.ExactShapley, {"regions": 0}, "one cell along every axis"),
    (sl.ExactShapley, {"regions": (2, 2, 2)}, "regions has 3 numbers"),
    (sl.ExactShapley, {"regions": [[1, 2], [3]]}, "whole numbers"),
    (sl.ExactShapley, {"regions": 2.5}, "whole numbers"),
    (sl.ExactShapley, {"regions": np.zeros((5, 5), int)}, r"shape \(5, 5\)"),
    (sl.KernelShap, {"regions": 6, "samples": 20}, "do not determine 36 regions"),
    (sl.KernelShap, {"samples": 1}, "samples is 1"),
    (sl.KernelShap, {"regions": 6, "samples": 10**6}, "take fewer samples"),
    (sl.Lime, {"width": 0}, "width is 0"),
    (sl.Lime, {"width": "wide"}, "width is 'wide'"),
    (sl.Lime, {"alpha": -1}, "alpha is -1"),
    (sl.Lime, {"alpha": float("nan")}, "alpha is nan"),
    (sl.Lime, {"regions": 6, "alpha": 0, "samples": 20}, "take more, or a larger alpha"),
]


@pytest.mark.parametrize(("kind", "options", "words"), BAD)
def test_options_without_meaning_are_refused(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.OptionError, match=words):
        sl.explain(convolutional(), kind(**options))
