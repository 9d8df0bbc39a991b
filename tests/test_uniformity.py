"""Uniformity of p-values: rates, intervals, tests and the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from inference.uniformity import clopper_pearson, dkw_band, mcnemar, uniformity
from symbolic.errors import InputError, OptionError


def uniform(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count)


def test_uniform_p_values_pass_and_naive_ones_do_not() -> None:
    good, bad = uniformity(uniform(4000)), uniformity(uniform(4000) ** 1.5)
    assert all(rate.holds for rate in good.rates) and good.inside_band
    assert min(good.kolmogorov_smirnov, good.cramer_von_mises, good.anderson_darling) > 0.01
    assert not bad.inside_band and bad.rates[0].exceeds
    assert max(bad.kolmogorov_smirnov, bad.cramer_von_mises, bad.anderson_darling) < 1e-6
    assert "OUTSIDE" in str(bad) and "inside" in str(good)


@pytest.mark.parametrize(("successes", "trials"), [(0, 50), (3, 50), (50, 50), (517, 10_000)])
def test_clopper_pearson_solves_the_binomial_tails(successes: int, trials: int) -> None:
    low, high = clopper_pearson(successes, trials, 0.99)
    if successes:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(0.005, rel=1e-9)
    else:
        assert low == 0
    if successes < trials:
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(0.005, rel=1e-9)
    else:
        assert high == 1


def test_rates_count_values_at_the_level() -> None:
    report = uniformity([0.05, 0.050001, 0.01, 1.0, 0.0], levels=(0.05,))
    assert report.rates[0].rejections == 3 and report.rate(0.01).rejections == 2
    assert report.as_dict()["rates"][0]["rejections"] == 3


@pytest.mark.parametrize("seed", range(4))
def test_anderson_darling_against_simulated_law(seed: int) -> None:
    p = uniform(60, seed)
    simulated = stats.goodness_of_fit(
        stats.uniform, p, known_params={"loc": 0, "scale": 1}, statistic="ad", n_mc_samples=1999,
        rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    assert uniformity(p).anderson_darling == pytest.approx(simulated, abs=0.04)


def test_the_band_holds_as_often_as_it_says() -> None:
    inside = [uniformity(uniform(200, seed), confidence=0.9).inside_band for seed in range(400)]
    low, high = clopper_pearson(sum(inside), len(inside), 0.999)
    assert high >= 0.9
    assert dkw_band(200, 0.9) == pytest.approx(math.sqrt(math.log(20) / 400))


def test_excess_has_both_sides_of_every_step() -> None:
    x, y = uniformity([0.25, 0.75]).excess
    assert x.tolist() == [0.25, 0.25, 0.75, 0.75] and y.tolist() == [-0.25, 0.25, -0.25, 0.25]


def test_mcnemar_is_a_sign_test() -> None:
    first, second = np.array([True] * 9 + [False] * 2), np.array([False] * 8 + [True] * 3)
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (8, 2)
    tail = sum(math.comb(10, k) for k in range(8, 11)) / 2**10
    assert found.first_more == pytest.approx(tail) and found.p_value == pytest.approx(2 * tail)
    assert mcnemar([True, False], [True, False]).p_value == 1


def test_it_draws(tmp_path: Path) -> None:
    uniformity(uniform(50)).plot(tmp_path / "p.png", "fifty")
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize("bad", [[0.5, math.nan], [-0.1], [1.1], [], ["a"]])
def test_what_is_no_p_value_is_refused(bad: list[object]) -> None:
    with pytest.raises(InputError):
        uniformity(bad)  # type: ignore[arg-type]


def test_options_are_checked() -> None:
    for wrong in ({"levels": (0.0,)}, {"confidence": 1.0}):
        with pytest.raises(OptionError):
            uniformity([0.5], **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        mcnemar([0.1], [True])  # type: ignore[list-item]
    with pytest.raises(OptionError):
        clopper_pearson(3, 2)
