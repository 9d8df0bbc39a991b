"""Whatever is asked for, alone or together, is answered with a certificate that the checker confirms, or is
refused in a sentence."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sureline as sl

SIZE = 8
AUDITS = 12


def same() -> onnx.ModelProto:
    """The input itself as the score: thresholds meet grid values exactly."""
    ports = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, [1, SIZE]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


QUESTIONS: dict[str, Callable[[random.Random], sl.Hypothesis]] = {
    "back": lambda r: sl.BackMeanDiff(threshold=1),
    "neighbor": lambda r: sl.NeighborMeanDiff(threshold=1),
    "reference": lambda r: sl.ReferenceMeanDiff(threshold=1, reference_scale=r.choice([1, "1/3", 0])),
    "two thresholds": lambda r: sl.TwoThresholdMeanDiff(threshold=1, lower=0),
    "top": lambda r: sl.BackMeanDiff(top=2),
    "elements": lambda r: sl.ReferenceMeanDiff(threshold=1, contrasts="elements"),
    "signed": lambda r: sl.BackMeanDiff(threshold="1/2", signed=True, sign=r.choice("+-")),
}
OPTIONS: list[tuple[float, str, Callable[[random.Random], Any]]] = [
    (0.4, "degrees_of_freedom", lambda r: r.choice([1, 2, 3, 8, "5/2", 100])),
    (0.3, "law", lambda r: r.choice(["normal", "t", "berger-boos"])),
    (0.3, "confidence_level", lambda r: r.choice(["0.5", "0.95", "0.999"])),
    (0.4, "alternative", lambda r: r.choice(["less", "greater", "two-sided"])),
    (0.2, "null_value", lambda r: r.choice(["1/2", -3, 10])),
    (0.2, "null_margin", lambda r: r.choice(["1/10", 1])),
    (0.3, "robustness", lambda r: True),
    (0.2, "randomisation", lambda r: r.choice([sl.Randomised, sl.Fission])(r.choice(["1/4", 1]), 7)),
    (0.2, "inference_mode", lambda r: "over_conditioning"),
    (0.3, "termination_criterion", lambda r: "decision"),
    (0.25, "max_iter", lambda r: r.choice([1, 3, 10])),
    (0.1, "budget", lambda r: 1),
    (0.2, "search_strategy", lambda r: r.choice(["pi1", "pi2", "pi3"])),
    (0.2, "exact_ends", lambda r: False),
]


@pytest.mark.parametrize("seed", range(12))
def test_every_answer_is_confirmed(seed: int, tmp_path: Path) -> None:
    choose, answered = random.Random(seed), 0
    for k in range(AUDITS):
        rng = np.random.default_rng([seed, k])
        x = np.round(rng.normal(size=(1, SIZE)), choose.choice([0, 1, 3]))  # on a grid there are ties
        x[0, :3] += choose.choice([0, 1, 2, 5])
        name = choose.choice(list(QUESTIONS))
        question = QUESTIONS[name](choose)
        options = {key: of(choose) for share, key, of in OPTIONS if choose.random() < share}
        var = choose.choice([1, "1/3", np.full(SIZE, 2.0), np.eye(SIZE) + 0.3])
        given = (x, np.round(rng.normal(size=(1, SIZE)), 2)) if question.takes_reference else x
        try:
            result = sl.load(same(), question).inference(given, var, **options)
        except sl.SurelineError as error:
            assert str(error).endswith(".")
            continue
        assert 0 <= result.inf_p <= result.sup_p <= 1, (name, options)
        assert str(result)
        folder = tmp_path / str(k)
        result.certificate.save(folder)
        assert sl.check(folder).valid, (name, options)
        answered += 1
    assert answered


def tied(**options: Any) -> sl.InferenceResult:
    x = np.array([[1.0, 2.57, 1.16, -0.28, -0.75, -0.34, -1.02, -0.59]])
    return sl.load(same(), sl.BackMeanDiff(threshold=1)).inference(x, np.eye(SIZE) + 0.3, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"alternative": "greater", "termination_criterion": "decision"},
        {"alternative": "less"},
        {"robustness": True, "exact_ends": False},  # an end in a sliver of 1e-17
        {"degrees_of_freedom": 8, "law": "berger-boos"},
    ],
)
def test_a_tie_is_confirmed(options: dict[str, Any], tmp_path: Path) -> None:
    result = tied(**options)
    assert any("tie" in text for text in result.warnings)
    result.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


@pytest.mark.parametrize("seed", range(4))
def test_a_bound_by_berger_and_boos_is_at_most_one(seed: int, tmp_path: Path) -> None:
    x = np.random.default_rng(seed).normal(size=(1, SIZE))
    x[0, :3] += 2
    test = sl.load(same(), sl.BackMeanDiff(threshold=1))
    result = test.inference(x, 1, degrees_of_freedom=3, law="berger-boos")
    assert result.inf_p <= result.sup_p <= 1
    result.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid
