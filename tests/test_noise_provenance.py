"""An estimate of the noise is refused where the audited input is part of it, and never used in silence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import sureline as sl

RNG = np.random.default_rng(5)
SIZE = 12


def audit(x: NDArray[np.float64], noise: sl.EstimatedNoise) -> sl.InferenceResult:
    """The input itself is the score map; its positive elements are marked."""
    port = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SIZE])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [port],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, SIZE])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return sl.load(model, sl.BackMeanDiff(threshold=0)).inference(x.astype(np.float32)[None], noise)


def of_x(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


X = of_x(RNG.normal(size=SIZE))
OTHERS = of_x(RNG.normal(size=200))


@pytest.mark.parametrize(
    "estimate",
    [
        lambda: sl.iid_noise(X),
        lambda: sl.iid_noise(X[3:9]),
        lambda: sl.iid_noise(np.concatenate([OTHERS, X]), mean="zero"),
        lambda: sl.ar1_noise(np.concatenate([OTHERS, X[::-1]]), SIZE),
        lambda: sl.correlated_noise(np.stack([X, OTHERS[:SIZE]]), np.eye(SIZE)),
        lambda: sl.low_rank_noise(np.stack([*OTHERS[:180].reshape(15, SIZE), X]), 2),
    ],
)
def test_numbers_of_the_input_are_refused(estimate: Callable[[], sl.EstimatedNoise]) -> None:
    with pytest.raises(sl.NoiseError, match="belong to the audited input"):
        audit(X, estimate())


def test_the_input_on_a_lattice_is_recognised_by_its_order() -> None:
    rounded = of_x(np.round(RNG.normal(size=SIZE), 1))
    others = of_x(np.round(RNG.normal(size=3000), 1))  # holds each of these numbers, elsewhere
    assert np.isin(rounded, others).mean() > 0.9
    audit(rounded, sl.iid_noise(others))
    with pytest.raises(sl.NoiseError, match="belong to the audited input"):
        audit(rounded, sl.iid_noise(np.concatenate([others, rounded])))


def test_noise_outside_says_it_and_is_taken() -> None:
    noise = sl.noise_outside(X, np.arange(SIZE) > 5)
    assert "audited input itself" in noise.source
    assert audit(X, noise).certificate.document["noise"]["degrees_of_freedom"] is None


def test_independence_is_called_a_declaration() -> None:
    source = sl.iid_noise(OTHERS).source
    assert "declared independent of the audited input" in source
    assert "declared zero" in sl.iid_noise(OTHERS, mean="zero").source


def test_a_coarse_lattice_is_refused() -> None:
    noise = sl.iid_noise(np.round(RNG.normal(0, 0.3, 200)))
    assert noise.sample.refused
    with pytest.raises(sl.NoiseError, match="too coarse"):
        audit(X, noise)


def test_what_the_sample_shows_stands_beside_the_p_value() -> None:
    heavy = sl.iid_noise(RNG.standard_t(2, size=4000))
    assert heavy.sample.warnings
    said = " ".join(audit(X, heavy).warnings)
    assert all(words in said for words in heavy.sample.warnings)
    assert "auditor's noise" in said.lower()


def test_a_tail_beyond_the_sample_is_reported_as_such() -> None:
    noise = sl.iid_noise(OTHERS / 1000)
    clear = of_x(RNG.normal(size=SIZE) / 1000)
    clear[:4] += 1
    warned = [w for w in audit(clear, noise).warnings if "p < 1/200 (model value" in w]
    assert len(warned) == 1
    mild = audit(X, sl.iid_noise(OTHERS))
    assert mild.p_value > 1 / 200 and not any("1/200" in w for w in mild.warnings)


def test_a_declared_mean_of_zero_that_is_not_is_reported() -> None:
    noise = sl.iid_noise(OTHERS + 900, mean="zero")
    assert any("standard errors from the zero" in w for w in noise.sample.warnings)
    assert not any("standard errors" in w for w in sl.iid_noise(OTHERS, mean="zero").sample.warnings)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sl.spatial_ar_noise(RNG.normal(size=(3, 4, 4)), 4),  # type: ignore[arg-type]
        lambda: sl.correlated_noise(RNG.normal(size=(4, 3)), np.triu(np.ones((3, 3)))),
        lambda: sl.NoiseSample.of(OTHERS, recorded=[1, 2]),
        lambda: sl.require_disjoint([1, 2], [3, 4]),
        lambda: sl.truncated_normal_p_value(stat=1, intervals=None, var=1),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_one_sentence(wrong: Callable[[], object]) -> None:
    with pytest.raises(sl.SurelineError) as error:
        wrong()
    assert str(error.value).endswith(".")
