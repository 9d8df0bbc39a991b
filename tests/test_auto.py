"""Which engine `auto` takes, and that what the sweep adds is confirmed by the checker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_nets

import sureline as sl
from benchmarks.deep_stacks import stack


@pytest.fixture(scope="module")
def deep() -> tuple[sl.SelectiveInferenceModel, np.ndarray]:
    model, side = stack(7, 0)
    x = np.random.default_rng(1000).normal(size=(1, 1, side, side)).astype(np.float32)
    return sl.load(model, sl.BackMeanDiff(0.5, use_norm=True)), x


def test_bounds_where_they_pay() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    result = sl.load(small_nets.convolutional(), sl.BackMeanDiff(0.2)).inference(x, 1)
    assert result.engine == "search"


def test_the_sweep_where_bounds_decide_nothing(deep: tuple[sl.SelectiveInferenceModel, np.ndarray]) -> None:
    test, x = deep
    auto = test.inference(x, 1, precision=1e-3, exact_ends=False)
    assert auto.engine == "sweep" and auto.ended_by == "precision"
    other = test.inference(x, 1, precision=0.1, engine="search", exact_ends=False)
    assert other.engine == "search"
    assert max(auto.inf_p, other.inf_p) <= min(auto.sup_p, other.sup_p)


def test_the_checker_confirms_what_is_swept(
    deep: tuple[sl.SelectiveInferenceModel, np.ndarray], tmp_path: Path
) -> None:
    """The cells at the ends too: they are proved by double-double numbers, and confirmed by integers."""
    test, x = deep
    result = test.inference(x, 1, precision=0.1, engine="sweep", exact_ends=False)
    assert all(end.hi - end.lo < 1e-5 for end in result.end_points)
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit")
    assert report.valid and report.inside > 0
