"""Audits of what an explanation highlights: the truncation set against plain runs, the event, the checker."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from explained_nets import convolutional

import sureline as sl
from symbolic.explanations.method import Method

X = np.random.default_rng(6).normal(size=(1, 1, 6, 6)).astype(np.float32)
BACKGROUND = np.random.default_rng(2).normal(size=(2, 1, 6, 6)) / 5
EXPLANATIONS: dict[str, Method] = {
    "gradient": sl.Gradient("abs"),
    "input-x-gradient": sl.InputXGradient(),
    "integrated-gradients": sl.IntegratedGradients(3),
    "guided-backprop": sl.GuidedBackprop(),
    "deeplift": sl.DeepLift(0.1),
    "deepshap": sl.DeepShap(BACKGROUND),
    "grad-cam": sl.GradCam(),
    "occlusion": sl.Occlusion(window=2, stride=2),
    "sobol": sl.Sobol(regions=2, samples=4, normalised=False),
}


def audited(method: Method, **options: Any) -> tuple[sl.Explained, sl.InferenceResult]:
    """The region where the attribution is in its upper fifth."""
    made = sl.explain(convolutional(), method)
    values = np.unique(made(X)[1])
    k = min(int(0.8 * len(values)), len(values) - 2)
    threshold = float(values[k] + values[k + 1]) / 2
    return made, sl.audit(made, X, hypothesis=sl.BackMeanDiff(threshold, **options), var=1)


def at(result: sl.InferenceResult, made: sl.Explained, z: float) -> tuple[np.ndarray, int]:
    """Region and class at a place of the line, by ONNX Runtime."""
    roi = result.roi.astype(bool)
    contrast = np.where(roi, 1 / roi.sum(), -1 / (~roi).sum()).reshape(X.shape)
    moved = X + (z - result.stat) * contrast / (contrast**2).sum()
    session = onnxruntime.InferenceSession(made.proto.SerializeToString())
    _, attribution, chosen = session.run(None, {"x": moved.astype(np.float32)})
    return attribution, int(chosen[0])


@pytest.mark.parametrize("name", sorted(EXPLANATIONS))
def test_the_truncation_set_is_where_region_and_class_are_the_same(name: str, tmp_path: Path) -> None:
    made, result = audited(EXPLANATIONS[name])
    threshold = float(Fraction(result.certificate.document["hypothesis"]["threshold"]))
    roi = result.roi.reshape(X.shape).astype(bool)
    observed = at(result, made, result.stat)[1]
    sd = float(np.sqrt(1 / roi.sum() + 1 / (~roi).sum()))
    inside = [(float(a), float(b)) for a, b in result.truncated_intervals]
    searched = [(float(a), float(b)) for a, b in result.searched_intervals]
    seen = {True: 0, False: 0}
    for z in np.random.default_rng(0).normal(0, 2 * sd, 150):
        if any(abs(z - end) < 1e-3 * sd for pair in inside for end in pair):
            continue
        if not any(a < z < b for a, b in searched):
            continue
        attribution, chosen = at(result, made, float(z))
        margin = np.abs(attribution - threshold).min()
        if margin < 1e-5 * np.abs(attribution).max():
            continue
        same = bool(((attribution > threshold) == roi).all()) and chosen == observed
        assert same == any(a < z < b for a, b in inside), z
        seen[same] += 1
    assert seen[False] > 10
    result.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


def test_the_class_belongs_to_the_event_unless_told_otherwise() -> None:
    _, both = audited(sl.InputXGradient())
    _, alone = audited(sl.InputXGradient(), condition_on_class=False)
    assert "explained_class = " in both.event and "input-x-gradient of the predicted class" in both.event
    assert alone.event.endswith("whichever class was explained")
    assert both.certificate.document["hypothesis"]["given"] == ["explained_class"]
    assert "given" not in alone.certificate.document["hypothesis"]
    wide = [(float(a), float(b)) for a, b in alone.truncated_intervals]
    for a, b in both.truncated_intervals:
        assert any(lo <= float(a) and float(b) <= hi for lo, hi in wide)


def test_a_fixed_class_adds_nothing_to_the_event() -> None:
    made = sl.explain(convolutional(), sl.Gradient("abs"), 1)
    threshold = float(np.quantile(made(X)[1], 0.8))
    result = sl.audit(made, X, hypothesis=sl.BackMeanDiff(threshold), var=1)
    assert "given" not in result.certificate.document["hypothesis"]
    assert "gradient of the target 1" in result.event


def test_outputs_by_name() -> None:
    made = sl.explain(convolutional(), sl.Gradient("abs"))
    by_name = sl.audit(made, X, hypothesis=sl.BackMeanDiff(0.1, o_idx="attribution"), var=1)
    by_default = sl.audit(made, X, hypothesis=sl.BackMeanDiff(0.1), var=1)
    assert by_name.p_value == by_default.p_value
    with pytest.raises(sl.OptionError, match="no output 'nothing'"):
        sl.audit(made, X, hypothesis=sl.BackMeanDiff(0.1, o_idx="nothing"), var=1)


@pytest.mark.parametrize("given", [[], ["y"], ["attribution"], ["nothing"], None])
def test_another_event_is_refused_by_the_checker(given: list[str] | None, tmp_path: Path) -> None:
    _, result = audited(sl.InputXGradient())
    result.certificate.save(tmp_path / "c")
    path = tmp_path / "c" / "certificate.json"
    document = json.loads(path.read_text())
    if given is None:
        del document["hypothesis"]["given"]
    else:
        document["hypothesis"]["given"] = given
    path.write_text(json.dumps(document))
    with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate)):
        sl.check(tmp_path / "c")


@pytest.mark.parametrize("name", ["gradient", "integrated-gradients", "grad-cam", "occlusion"])
def test_over_conditioning_holds_the_class_and_the_pieces(name: str, tmp_path: Path) -> None:
    """What multiplies is a constant of the piece: the attribution is affine on it, as plain runs say too."""
    made, result = audited(EXPLANATIONS[name])
    threshold = Fraction(result.certificate.document["hypothesis"]["threshold"])
    narrow = sl.audit(
        made, X, hypothesis=sl.BackMeanDiff(float(threshold)), var=1, inference_mode="over_conditioning"
    )
    wide = [(float(a), float(b)) for a, b in result.truncated_intervals]
    ((lo, hi),) = narrow.truncated_intervals
    assert any(a <= float(lo) and float(hi) <= b for a, b in wide)
    assert narrow.event.endswith("through the same linear piece")
    lo, hi = max(float(lo), narrow.stat - 50), min(float(hi), narrow.stat + 50)
    shares = np.array([0.001, 0.3, 0.5, 0.8, 0.999])
    maps = np.array([at(narrow, made, lo + (hi - lo) * s)[0] for s in shares])
    chord = maps[0] + (maps[-1] - maps[0]) * ((shares - shares[0]) / np.ptp(shares)).reshape(-1, 1, 1, 1, 1)
    np.testing.assert_allclose(maps, chord, atol=1e-5 * np.abs(maps).max())
    narrow.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


@pytest.mark.parametrize("method", [sl.LrpEpsilon(), sl.DeepLift(0.1), sl.Sobol(regions=2, samples=4)])
def test_what_has_no_linear_pieces_is_not_over_conditioned(method: Method) -> None:
    with pytest.raises(sl.OptionError, match="no activation pattern"):
        sl.audit(
            sl.explain(convolutional(), method),
            X,
            hypothesis=sl.BackMeanDiff(0.01),
            var=1,
            inference_mode="over_conditioning",
        )
