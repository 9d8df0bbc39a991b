"""Estimated noise: the chi-square law of s², the shapes, the t law in an audit, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import toeplitz
from test_hypotheses import X, convolutions

import sureline as sl
from inference.noise_sample import NoiseSample

RNG = np.random.default_rng(0)
PHI = toeplitz(0.6 ** np.arange(12))
ROOT = np.linalg.cholesky(PHI)


def correlated(rng: np.random.Generator) -> np.ndarray:
    return 3 + 2 * (ROOT @ rng.normal(size=12))


ESTIMATORS: dict[str, Callable[[np.random.Generator], Any]] = {
    "constant mean": lambda rng: sl.iid_noise(rng.normal(5, 2, 9)),
    "zero mean": lambda rng: sl.iid_noise(rng.normal(0, 2, 9), mean="zero"),
    "two means": lambda rng: sl.iid_noise(rng.normal([5] * 4 + [9] * 5, 2), groups=[0] * 4 + [1] * 5),
    "known correlation": lambda rng: sl.correlated_noise(correlated(rng), PHI),
    "series": lambda rng: sl.ar1_noise(correlated(rng), 5, correlation=0.6),
    "patches": lambda rng: sl.spatial_ar_noise(rng.normal(1, 2, (2, 3, 4)), (5, 6), correlations=(0.0, 0.0)),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_scale_is_chi_square(name: str) -> None:
    rng = np.random.default_rng(7)
    found = [ESTIMATORS[name](rng) for _ in range(700)]
    nu = found[0].degrees_of_freedom
    scaled = [nu * float(one.variance) / 4 for one in found]
    assert stats.kstest(scaled, stats.chi2(nu).cdf).pvalue > 0.001
    # with one more degree of freedom it would be noticed
    assert stats.kstest(scaled, stats.chi2(nu + 1).cdf).pvalue < 0.01


def test_shapes() -> None:
    series = sl.ar1_noise(correlated(RNG), 5, correlation=0.6)
    np.testing.assert_allclose(series.var, float(series.variance) * toeplitz(0.6 ** np.arange(5)))
    patches = sl.spatial_ar_noise(RNG.normal(size=(4, 3, 4)), (2, 3), correlations=(0.5, 0.25))
    assert patches.shape[0, 4] == pytest.approx(0.5 * 0.25) and patches.shape.shape == (6, 6)
    assert sl.iid_noise([1.0, 2.0, 4.0]).variance == sl.iid_noise([1, 2, 4]).var


def test_estimated_correlations_are_found_and_said() -> None:
    rng = np.random.default_rng(1)
    long = toeplitz(0.6 ** np.arange(2000))
    series = sl.ar1_noise(np.linalg.cholesky(long) @ rng.normal(size=2000), 5)
    assert series.shape[0, 1] == pytest.approx(0.6, abs=0.06)
    assert not series.correlation_known and "conditional" in series.source
    images = np.einsum("ij,mjk,lk->mil", ROOT, rng.normal(size=(80, 12, 12)), ROOT)
    found = sl.spatial_ar_noise(images, (3, 3))
    assert found.shape[0, 1] == pytest.approx(0.6, abs=0.05) == found.shape[0, 3]


def test_factors_are_found() -> None:
    rng = np.random.default_rng(2)
    factor = rng.normal(size=20)
    samples = rng.normal(size=(4000, 1)) * factor + rng.normal(size=(4000, 20)) * 0.5
    found = sl.low_rank_noise(samples, 1)
    truth = np.outer(factor, factor) + 0.25 * np.eye(20)
    assert np.abs(found.var - truth).max() < 0.15
    assert found.degrees_of_freedom is None and "conditional" in found.source


def test_an_audit_takes_the_t_law_and_says_so(tmp_path: Any) -> None:
    noise = sl.iid_noise(RNG.normal(size=30))
    result = sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, noise)
    assert result.law.family == "t"
    document = result.certificate.document["noise"]
    assert document["degrees_of_freedom"] == "29" and "29 degrees of freedom" in document["source"]
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid
    plain = sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, noise.var, degrees_of_freedom=29)
    assert plain.p_value == result.p_value
    samples = sl.low_rank_noise(RNG.normal(size=(60, 36)), 2)
    assert sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, samples).law.family == "normal"


def test_from_the_audited_input_only_as_known() -> None:
    outside = np.zeros(X.shape, dtype=bool)
    outside[..., :2, :] = True
    found = sl.noise_outside(X, outside)
    assert found.degrees_of_freedom is None and "overlapping" in found.source
    assert float(found.variance) == pytest.approx(X[..., :2, :].var(ddof=1))


def test_auditors_noise() -> None:
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=4000))  # grey levels
    noisy = sl.auditors_noise(x, "1/2", "1/4", 5)
    assert noisy.var == 0.75 and noisy.seed == 5
    assert np.array_equal(noisy.x, sl.auditors_noise(x, "1/2", "1/4", 5).x)
    added = noisy.x - x
    assert stats.kstest(added, stats.norm(0, 0.5).cdf).pvalue > 0.001
    assert NoiseSample.of(x).step is not None and NoiseSample.of(noisy.x).step is None
    np.testing.assert_allclose(
        sl.auditors_noise(x[:3], np.eye(3) + 1, 2, 0).var, 3 * np.eye(3) + 1 - 0 * x[0]
    )
    np.testing.assert_array_equal(sl.auditors_noise(x[:3], [1.0, 2.0, 3.0], 2, 0).var, [3.0, 4.0, 5.0])


def test_diagnostics_see_the_traps_and_do_not_cry_wolf() -> None:
    rng = np.random.default_rng(4)
    quiet = sum(not NoiseSample.of(rng.normal(size=m)).warnings for m in (30, 100, 300, 1000, 3000) * 4)
    assert quiet >= 18
    assert NoiseSample.of(np.round(rng.normal(size=500) * 0.8)).refused
    assert NoiseSample.of(rng.standard_t(3, size=2000)).warnings
    assert NoiseSample.of(np.clip(rng.normal(size=2000), -1, 9)).warnings
    assert NoiseSample.of(np.linalg.cholesky(toeplitz(0.5 ** np.arange(500))) @ rng.normal(size=500)).warnings
    sample = NoiseSample.of(rng.normal(size=73))
    assert sample.smallest_p == pytest.approx(1 / 73) and "1/73" in sample.supported(1e-5)
    assert str(sample)


def test_the_picture(tmp_path: Any) -> None:
    NoiseSample.of(RNG.normal(size=(20, 20))).plot(tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sl.iid_noise([]),
        lambda: sl.iid_noise([1.0]),
        lambda: sl.iid_noise([2.0, 2.0, 2.0]),
        lambda: sl.iid_noise([1.0, np.nan]),
        lambda: sl.iid_noise([1.0, 2.0], groups=[0, 1]),
        lambda: sl.iid_noise([1.0, 2.0], mean="median"),  # type: ignore[arg-type]
        lambda: sl.correlated_noise(np.ones((2, 3)), np.eye(2)),
        lambda: sl.correlated_noise(RNG.normal(size=(2, 2)), [[1, 2], [2, 1]]),
        lambda: sl.ar1_noise(RNG.normal(size=9), 4, correlation=1.0),
        lambda: sl.ar1_noise(RNG.normal(size=9), 0),
        lambda: sl.spatial_ar_noise(RNG.normal(size=9), (2, 2)),
        lambda: sl.low_rank_noise(RNG.normal(size=(4, 9)), 3),
        lambda: sl.auditors_noise([1.0], 1, 0, 0),
        lambda: sl.auditors_noise([1.0], 1, 1, -1),
        lambda: sl.auditors_noise([1.0, 2.0, 4.0], sl.iid_noise([1.0, 2.0, 4.0]), 1, 0),
        lambda: sl.require_disjoint([True, False], [1, 0]),
    ],
)
def test_bad_input_is_refused_in_a_sentence(wrong: Callable[[], Any]) -> None:
    with pytest.raises(sl.SurelineError) as error:
        wrong()
    assert str(error.value).endswith(".")


def test_disjoint_is_fine() -> None:
    sl.require_disjoint([True, False], [0, 1])
