"""What must hold of every audit: units, precision, and the two sides of a test."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
import small_nets
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import sureline as sl

LAWS: dict[str, dict[str, Any]] = {
    "normal": {"var": 1},
    "t": {"var": "1.25", "degrees_of_freedom": 6},
    "randomised": {"var": 1, "randomisation": sl.Randomised(1, seed=3)},
    "fission": {"var": 1, "randomisation": sl.Fission(1, seed=3)},
}
every_law = pytest.mark.parametrize("law", LAWS)
LAWS_OF_P = LAWS | {"berger-boos": LAWS["t"] | {"law": "berger-boos"}}


@cache
def marks() -> onnx.ModelProto:
    """The dense autoencoder and the mask of what it draws above a threshold."""
    network = small_nets.dense()
    graph = network.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(0.25), "threshold"))
    graph.node.append(helper.make_node("Greater", ["y", "threshold"], ["mask"]))
    graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, [1, 12]))
    return network


def contrast(mask: np.ndarray) -> list[Fraction]:
    """Mean of the marked pixels less mean of the others; of the first one if all or none are marked."""
    inside = mask.reshape(-1)
    if inside.all() or not inside.any():
        inside = np.arange(inside.size) == 0
    shares = (Fraction(1, int(inside.sum())), Fraction(-1, int((~inside).sum())))
    return [shares[0] if marked else shares[1] for marked in inside]


def audit(seed: int, law: str, factor: Fraction = Fraction(1), **asked: Any) -> sl.InferenceResult:
    def eta(mask: np.ndarray) -> np.ndarray:
        return np.array([factor * share for share in contrast(mask)], dtype=object)

    test = sl.load(marks(), sl.Selection(output="mask", eta=eta))
    x = np.random.default_rng(seed).normal(size=(1, 12)).astype(np.float32)
    return test.inference(x, **LAWS_OF_P[law], **asked)


def close(a: float, b: float) -> bool:
    return a == pytest.approx(b, rel=1e-9, abs=1e-300)


@every_law
@given(seed=st.integers(0, 10_000), over=st.integers(1, 10**6), under=st.integers(1, 10**6))
@settings(max_examples=5)
def test_units_of_the_contrast_do_not_matter(law: str, seed: int, over: int, under: int) -> None:
    """Replacing eta by c eta multiplies statistic and interval by c, and leaves p as it is."""
    c = Fraction(over, under)
    asked = {"confidence_level": "0.9"} if law in ("normal", "t") else {}
    plain, scaled = audit(seed, law, **asked), audit(seed, law, c, **asked)
    assert max(plain.inf_p, scaled.inf_p) <= min(plain.sup_p, scaled.sup_p)
    assert close(scaled.stat, float(c) * plain.stat) and close(scaled.sd, float(c) * plain.sd)
    with TemporaryDirectory() as folder:
        scaled.certificate.save(folder)
        assert sl.check(folder, model=marks()).valid
    if plain.estimates is not None and scaled.estimates is not None:
        for name in ("lower", "upper", "median_unbiased"):
            one, two = getattr(plain.estimates, name), getattr(scaled.estimates, name)
            assert max(float(c) * one.lo, two.lo) <= min(float(c) * one.hi, two.hi) + 1e-9 * abs(two.hi)


@every_law
@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_enclosures_nest_when_precision_grows(law: str, alternative: str) -> None:
    gaps = 0
    for seed in range(3):
        wide = (0.0, 1.0)
        for precision in (0.2, 1e-2, 1e-4, 1e-8):
            found = audit(seed, law, alternative=alternative, precision=precision, exact_ends=False)
            gaps += found.inf_p < found.sup_p - 1e-12
            assert wide[0] <= found.inf_p <= found.sup_p <= wide[1]
            wide = found.inf_p, found.sup_p
        assert wide[1] - wide[0] <= 1e-8
    assert gaps or law == "fission"  # the line of a fission is not searched twice


@every_law
def test_one_sided_p_values_add_to_one(law: str) -> None:
    for seed in range(3):
        for precision in (0.2, 1e-6):
            asked = {"precision": precision, "exact_ends": False}
            less, greater = (audit(seed, law, alternative=side, **asked) for side in ("less", "greater"))
            assert less.inf_p + greater.inf_p <= 1 + 1e-15
            assert less.sup_p + greater.sup_p >= 1 - 1e-15
            both = audit(seed, law, **asked)
            low = min(less.inf_p, greater.inf_p)
            assert 2 * low <= both.sup_p * (1 + 1e-12)


@pytest.mark.parametrize("law", ["normal", "t"])
def test_interval_and_test_agree(law: str) -> None:
    """Outside the brackets of its ends, the 90 % interval holds what the test at 10 % does not reject."""
    for seed in range(2):
        found = audit(seed, law, confidence_level="0.9").estimates
        assert found is not None
        span = found.upper.hi - found.lower.lo
        for value, rejected in (
            (found.lower.lo - span / 100, True), (found.lower.hi + span / 100, False),
            (found.upper.lo - span / 100, False), (found.upper.hi + span / 100, True),
        ):  # fmt: skip
            p = audit(seed, law, null_value=value)
            assert (p.sup_p <= 0.1) if rejected else (p.inf_p > 0.1)


@pytest.mark.parametrize("law", ["normal", "t"])
def test_ends_of_the_interval_are_known_well(law: str) -> None:
    """Although the null gives no mass to much of what matters there."""
    for seed in range(4):
        found = audit(seed, law, confidence_level="0.9")
        assert found.estimates is not None
        for end in (found.estimates.lower, found.estimates.upper, found.estimates.median_unbiased):
            assert end.lo <= end.hi <= end.lo + 1e-3 * found.sd


def test_berger_boos_has_no_interval(tmp_path: Path) -> None:
    """Its variance is known to an interval: one for the estimated variance alone would cover too little."""
    with pytest.raises(sl.OptionError, match="take the t law"):
        audit(0, "berger-boos", confidence_level="0.9")
    plain = audit(0, "berger-boos")
    normal = audit(0, "normal", confidence_level="0.9")
    plain.certificate.save(tmp_path / "plain")
    normal.certificate.save(tmp_path / "normal")
    document = json.loads((tmp_path / "plain" / "certificate.json").read_text())
    document["estimates"] = json.loads((tmp_path / "normal" / "certificate.json").read_text())["estimates"]
    (tmp_path / "plain" / "certificate.json").write_text(json.dumps(document))
    with pytest.raises(sl.InvalidCertificate, match="estimates do not go with the law"):
        sl.check(tmp_path / "plain", model=marks())
