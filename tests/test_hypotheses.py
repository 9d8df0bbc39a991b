"""Every hypothesis from audit to check: the contrast by hand, the certificate confirmed, mutants refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from scipy import ndimage, stats
from scipy.linalg import toeplitz

import sureline as sl

SCHEMA = json.loads((Path(__file__).parent.parent / "verifier" / "certificate.schema.json").read_text())
RNG = np.random.default_rng(4)
X = RNG.normal(size=(1, 1, 6, 6))
X3 = RNG.normal(size=(1, 3, 6, 6))
REFERENCE = RNG.normal(size=(1, 1, 6, 6))
SERIES = RNG.normal(size=(1, 12))
MASK = np.ones((6, 6), dtype=bool)
MASK[:2] = False


def convolutions(channels: int = 1, out: int = 1) -> onnx.ModelProto:
    """Two convolutions on images of 6x6."""
    rng = np.random.default_rng(channels + 10 * out)
    weights = {
        "w": rng.normal(size=(4, channels, 3, 3)).astype(np.float32) / 2,
        "v": rng.normal(size=(out, 4, 3, 3)).astype(np.float32) / 2,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], pads=[1] * 4),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["y"], pads=[1] * 4),
    ]
    return _model(nodes, [1, channels, 6, 6], [1, out, 6, 6], weights)


def dense() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.normal(size=(16, 12)).astype(np.float32),
        "v": rng.normal(size=(12, 16)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v"], ["y"], transB=1),
    ]
    return _model(nodes, [1, 12], [1, 12], weights)


def _model(
    nodes: list[onnx.NodeProto], x: list[int], y: list[int], weights: dict[str, np.ndarray]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, x)],
        [helper.make_tensor_value_info("y", 1, y)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def score(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"x": x.astype(np.float32)})[0])


Case = tuple[onnx.ModelProto, Any, Any, dict[str, Any], Callable[[np.ndarray], Any]]


def difference(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    return float(x[first].mean() - x[second].mean())


def cases() -> dict[str, Case]:
    one, three, labels, series = convolutions(), convolutions(3, 3), convolutions(1, 3), dense()
    places = np.arange(12)

    def top(s: np.ndarray) -> np.ndarray:
        return s > np.sort(s.reshape(-1))[-8]

    def within(s: np.ndarray) -> np.ndarray:
        return (s > np.sort(s[0, 0][MASK])[-8]) & MASK

    def biggest(s: np.ndarray) -> np.ndarray:
        return (ndimage.label((s > 0.3).squeeze())[0] == 1).reshape(s.shape)

    def at(s: np.ndarray) -> np.ndarray:
        return places < int(s.argmax()) + 3

    c1 = np.zeros((1, 3, 6, 6), dtype=bool)
    c1[:, 1] = True
    return {
        "top": (one, sl.BackMeanDiff(top=7), X, {}, lambda s: difference(X, top(s), ~top(s))),
        "top in a mask": (
            one,
            sl.BackMeanDiff(top=7),
            X,
            {"mask": MASK},
            lambda s: difference(X, within(s), ~within(s) & MASK),
        ),
        "one sign": (
            one,
            sl.BackMeanDiff(0.3, signed=True, sign="-"),
            X,
            {},
            lambda s: difference(X, s < -0.3, abs(s) <= 0.3),
        ),
        "component": (
            one,
            sl.BackMeanDiff(0.3, component=0),
            X,
            {},
            lambda s: difference(X, biggest(s), s <= 0.3),
        ),
        "channel": (
            three,
            sl.BackMeanDiff(0.3, channel=1),
            X3,
            {},
            lambda s: difference(X3, (s > 0.3) & c1, (s <= 0.3) & c1),
        ),
        "two thresholds": (
            one,
            sl.TwoThresholdMeanDiff(0.3, lower=-0.2),
            X,
            {},
            lambda s: difference(X, s > 0.3, s < -0.2),
        ),
        "template": (
            one,
            sl.ReferenceMeanDiff(0.3, reference_scale=0),
            (X, REFERENCE),
            {},
            lambda s: float((X - REFERENCE)[s > 0.3].mean()),
        ),
        "cohort": (
            one,
            sl.ReferenceMeanDiff(0.3, reference_scale="1/10"),
            (X, REFERENCE),
            {},
            lambda s: float((X - REFERENCE)[s > 0.3].mean()),
        ),
        "labels": (
            labels,
            sl.LabelMeanDiff(1, 2),
            X,
            {},
            lambda s: difference(X, s.argmax(1, keepdims=True) == 1, s.argmax(1, keepdims=True) == 2),
        ),
        "a label in a mask": (
            labels,
            sl.LabelMeanDiff(0),
            X,
            {"mask": MASK},
            lambda s: difference(X[0, 0], (s[0].argmax(0) == 0) & MASK, (s[0].argmax(0) != 0) & MASK),
        ),
        "change point": (
            series,
            sl.ChangePoint(offset=3),
            SERIES,
            {},
            lambda s: difference(SERIES[0], at(s), ~at(s)),
        ),
        "class": (
            series,
            sl.ClassDecision(places - 5),
            SERIES,
            {},
            lambda s: float(SERIES[0] @ (places - 5)),
        ),
        "all channels": (three, sl.BackMeanDiff(0.3, contrasts="channels"), X3, {}, lambda s: _length(s)),
        "all elements": (
            one,
            sl.ReferenceMeanDiff(0.3, contrasts="elements"),
            (X, REFERENCE),
            {"degrees_of_freedom": 12},
            lambda s: float(np.linalg.norm((X - REFERENCE)[s > 0.3]) / 2**0.5),
        ),
    }


def _length(s: np.ndarray) -> float:
    """Of independent differences of means, in standard deviations."""
    total = 0.0
    for values, mine in zip(X3[0], s[0] > 0.3, strict=True):
        sd = (1 / mine.sum() + 1 / (~mine).sum()) ** 0.5
        total += (difference(values, mine, ~mine) / sd) ** 2
    return float(total**0.5)


@pytest.mark.parametrize("name", cases())
def test_from_audit_to_check(name: str, tmp_path: Path) -> None:
    model, hypothesis, given, options, stat = cases()[name]
    x = given[0] if isinstance(given, tuple) else given
    result = sl.load(model, hypothesis).inference(given, 1, **options)
    assert result.stat == pytest.approx(stat(score(model, x)), abs=1e-5)
    assert 0 <= result.inf_p <= result.sup_p <= 1 and result.sup_p - result.inf_p < 1e-5
    result.certificate.save(tmp_path / "audit")
    jsonschema.validate(result.certificate.document, SCHEMA)
    report = sl.check(tmp_path / "audit", model=model)
    assert report.valid and report.eta_rederived == (name != "class")


MUTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one element more": ("top", {"top": 8}),
    "the other sign": ("one sign", {"sign": "+"}),
    "both signs": ("one sign", {"sign": None}),
    "another component": ("component", {"component": 1}),
    "another channel": ("channel", {"channel": 0}),
    "all channels": ("channel", {"channel": None}),
    "another lower threshold": ("two thresholds", {"lower": "-1/4"}),
    "a noisy template": ("template", {"reference_scale": None}),
    "a smaller cohort": ("cohort", {"reference_scale": "1/2"}),
    "another label": ("labels", {"second": "0"}),
    "another axis": ("labels", {"axis": "2"}),
    "no mask": ("a label in a mask", {"mask": False}),
    "another place": ("change point", {"offset": "1"}),
    "a shorter reach": ("change point", {"reach": 1}),
    "a single contrast": ("all channels", {"contrasts": None}),
    "other contrasts": ("all channels", {"contrasts": "elements"}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_another_question_is_refused(mutant: str, tmp_path: Path) -> None:
    name, change = MUTANTS[mutant]
    model, hypothesis, given, options, _ = cases()[name]
    sl.load(model, hypothesis).inference(given, 1, **options).certificate.save(tmp_path / "audit")
    path = tmp_path / "audit" / "certificate.json"
    document = json.loads(path.read_text())
    for key, value in change.items():
        if value is None:
            del document["hypothesis"][key]
        else:
            document["hypothesis"][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate)):
        sl.check(tmp_path / "audit")


LAWS: dict[str, dict[str, Any]] = {
    "t": {"degrees_of_freedom": 9, "confidence_level": "0.9"},
    "plug-in": {"degrees_of_freedom": 9, "law": "normal", "robustness": True},
    "berger-boos": {"degrees_of_freedom": 30, "law": "berger-boos", "inference_mode": "exhaustive"},
    "margin": {"null_margin": "1/10"},
    "margin of a t law": {"null_margin": "1/10", "degrees_of_freedom": 9},
    "randomised": {"randomisation": sl.Randomised("1/2", 3), "confidence_level": "0.9"},
    "fission": {"randomisation": sl.Fission(1, 3), "confidence_level": "0.9", "robustness": True},
    "everything": {"confidence_level": "0.95", "robustness": True, "alternative": "greater"},
    "decision": {"termination_criterion": "decision", "significance_level": "1/10"},
}


def _smaller(text: str) -> str:
    return str(Fraction(text) * Fraction(999, 1000))


LAW_MUTANTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "t": lambda d: d["noise"].update(degrees_of_freedom="90"),
    "plug-in": lambda d: d["robustness"].update(factors=["1/64", "64"], decision="reject"),
    "berger-boos": lambda d: d["law"].update(gamma="1/100000"),
    "margin": lambda d: d["law"].update(null_margin="2"),
    "margin of a t law": lambda d: d["law"].update(null_margin="2"),
    "randomised": lambda d: d["randomisation"].update(scale="1/3"),
    "fission": lambda d: d["randomisation"].update(test="selection"),
    "everything": lambda d: d["estimates"].update(lower=["0", "1/1000"]),
    "decision": lambda d: d["decision"].update(verdict="reject"),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_from_audit_to_check(name: str, tmp_path: Path) -> None:
    model = convolutions()
    result = sl.load(model, sl.BackMeanDiff(0.3)).inference(X, 1, **LAWS[name])
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit", model=model)
    assert report.valid and str(result)
    path = tmp_path / "audit" / "certificate.json"
    document = json.loads(path.read_text())
    jsonschema.validate(document, SCHEMA)
    claim = dict(document["claim"])
    for key, wrong in (("sup_p", _smaller(claim["sup_p"])), ("inf_p", str(Fraction(claim["inf_p"]) * 2))):
        digits = f"{float(Fraction(wrong)):.15e}"
        document["claim"] = claim | {key: digits}
        path.write_text(json.dumps(document))
        with pytest.raises(sl.InvalidCertificate):
            sl.check(tmp_path / "audit")
    document["claim"] = claim
    LAW_MUTANTS[name](document)
    path.write_text(json.dumps(document))
    with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate)):
        sl.check(tmp_path / "audit")


@pytest.mark.parametrize("name", ["margin", "berger-boos", "fission"])
def test_no_sample_where_it_would_say_nothing(name: str, tmp_path: Path) -> None:
    result = sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, **LAWS[name])
    result.certificate.save(tmp_path / "audit")
    with pytest.raises(sl.UnusableCertificate):
        sl.check(tmp_path / "audit", sample=10)


@pytest.mark.parametrize("name", ["t", "randomised"])
def test_a_sample_under_other_laws(name: str, tmp_path: Path) -> None:
    result = sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, **LAWS[name])
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit", sample=50, seed=1)
    assert report.sampled is not None and not report.valid
    low, high = float(report.sampled.inf_p), float(report.sampled.sup_p)
    assert low <= result.inf_p and result.sup_p <= high


def test_fission_is_a_plain_test_of_independent_data() -> None:
    model = convolutions()
    result = sl.load(model, sl.BackMeanDiff(0.3)).inference(X, 1, randomisation=sl.Fission(1, 3))
    roi = result.roi.reshape(X.shape)
    sd = (2 * (1 / roi.sum() + 1 / (~roi).sum())) ** 0.5
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(result.stat) / sd))
    again = sl.load(model, sl.BackMeanDiff(0.3)).inference(X, 1, randomisation=sl.Fission(1, 3))
    assert again.p_value == result.p_value


def test_a_structured_background_is_pointed_out() -> None:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.3))
    assert not any("flat field" in w for w in test.inference(X, 1).warnings)
    slope = X + 20 * np.arange(6)
    result = test.inference(slope, 1, max_iter=20)
    assert any("flat field" in w for w in result.warnings)
    reference = sl.load(convolutions(), sl.ReferenceMeanDiff(0.3))
    assert not any("flat field" in w for w in reference.inference((slope, slope), 1, max_iter=20).warnings)


def test_other_covariances_are_reported_as_sampled() -> None:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.3))
    far = toeplitz(0.4 ** np.arange(36))
    found = sl.under_other_noise(test, X, {"independent": 1, "AR(0.4)": far, "tiny": "1/1000"})
    assert found.results["AR(0.4)"].p_value != found.results["independent"].p_value
    assert found.agree == (len(set(found.decisions.values())) == 1) and "sampled" in str(found)
    with pytest.raises(sl.OptionError):
        sl.under_other_noise(test, X, {})


def test_every_part_of_a_region() -> None:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.6))
    parts = test.inference_each(X, 1)
    marked = ndimage.label((score(convolutions(), X) > 0.6).squeeze())[1]
    assert len(parts) == marked and sum(int(p.roi.sum()) for p in parts) == int(
        (score(convolutions(), X) > 0.6).sum()
    )
    adjusted = sl.adjust(parts, "holm")
    assert all(a >= p.sup_p for a, p in zip(adjusted.adjusted, parts, strict=True))
    with pytest.raises(sl.OptionError):
        test.inference_each(X, 1, by="sign")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sl.BackMeanDiff(),
        lambda: sl.BackMeanDiff(0.3, top=3),
        lambda: sl.BackMeanDiff(top=0),
        lambda: sl.BackMeanDiff(0.3, sign="+"),
        lambda: sl.BackMeanDiff(-0.3, signed=True),
        lambda: sl.BackMeanDiff(0.3, component=-1),
        lambda: sl.BackMeanDiff(0.3, contrasts="rows"),  # type: ignore[arg-type]
        lambda: sl.TwoThresholdMeanDiff(0.3, lower=0.4),
        lambda: sl.ReferenceMeanDiff(0.3, reference_scale=-1),
        lambda: sl.ChangePoint(reach=0),
        lambda: sl.Randomised(0, 1),
        lambda: sl.Randomised(1, -1),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(top=36)).inference(X, 1),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(0.3, component=99)).inference(X, 1),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(0.3, channel=3)).inference(X, 1),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, law="t"),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, degrees_of_freedom=0),
        lambda: sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, confidence_level=2),
        lambda: sl.load(convolutions(), sl.LabelMeanDiff(9)).inference(X, 1),
        lambda: sl.load(dense(), sl.ClassDecision(np.zeros(12))).inference(SERIES, 1),
        lambda: sl.load(dense(), sl.ClassDecision(np.zeros(3))).inference(SERIES, 1),
    ],
)
def test_bad_input_is_refused_in_a_sentence(wrong: Callable[[], Any]) -> None:
    with pytest.raises(sl.SurelineError) as error:
        wrong()
    assert str(error.value).endswith(".")
