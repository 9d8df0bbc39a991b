"""Audits end to end: modes, hypotheses, noise, several inputs, bad input, and what the result says."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_nets
from onnx import TensorProto, helper, numpy_helper

import sureline as sl
from verifier.check.errors import InvalidCertificate

INF = float("inf")


def nested(inner: list[tuple[object, object]], outer: list[tuple[object, object]]) -> bool:
    """Whether every inner interval lies in the union of adjoining outer ones."""
    merged: list[list[object]] = []
    for lo, hi in outer:
        if merged and lo <= merged[-1][1]:  # type: ignore[operator]
            merged[-1][1] = hi
        else:
            merged.append([lo, hi])
    return all(any(a <= lo and hi <= b for a, b in merged) for lo, hi in inner)  # type: ignore[operator]


def back(**options: object) -> sl.BackMeanDiff:
    return sl.BackMeanDiff(
        **{"threshold": 0.5, "post_process": [sl.InputDiff(), sl.Abs()], "use_norm": True} | options
    )


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    return small_nets.convolutional()


@pytest.mark.parametrize("smooth", [False, True])
def test_result_certificate_and_check(tmp_path: Path, smooth: bool) -> None:
    model = small_nets.convolutional(smooth=smooth)
    result = sl.audit(model, small_nets.image(1), hypothesis=back(), var=1.0)
    assert result.sup_p - result.inf_p <= 1e-6 and result.p_value == result.sup_p
    assert result.runtime_agrees is True
    assert result.roi.shape == (8, 8) and (result.roi ^ result.non_roi).all()
    assert result.score_map.shape == (8, 8) and result.output.shape == (1, 1, 8, 8)
    x, roi = small_nets.image(1).reshape(8, 8).astype(float), result.roi
    assert result.stat == pytest.approx(x[roi].mean() - x[~roi].mean(), rel=1e-12)
    assert result.sd == pytest.approx(np.sqrt(1 / roi.sum() + 1 / (~roi).sum()))
    assert any(lo <= result.line.stat <= hi for lo, hi in result.truncated_intervals)
    result.certificate.save(tmp_path / "audit")
    report = sl.check(tmp_path / "audit")
    assert report.eta_rederived and report.cells == len(result.cell_list)
    assert "p-value" in str(result)


def test_modes_nest_and_agree(network: onnx.ModelProto) -> None:
    test = sl.load(network, back())
    x = small_nets.image(2)
    coarse = test.inference(x, 1.0, precision=1e-2)
    fine = test.inference(x, 1.0, precision=1e-9)
    whole = test.inference(x, 1.0, inference_mode="exhaustive")
    region = test.inference(x, 1.0, inference_mode="over_conditioning")
    assert coarse.inf_p <= fine.inf_p <= fine.sup_p <= coarse.sup_p
    assert fine.sup_p - fine.inf_p <= 1e-9
    assert nested(coarse.truncated_intervals, whole.truncated_intervals)
    assert nested(region.truncated_intervals, whole.truncated_intervals)
    assert region.line.stat == whole.line.stat
    assert whole.ended_by == "exhaustive" and whole.gap_mass < 1e-6
    # certified out to infinity: the graph is piecewise linear
    assert whole.searched_intervals[0][0] == -INF and whole.searched_intervals[-1][1] == INF


def test_over_conditioning_is_one_interval_with_one_pattern(network: onnx.ModelProto) -> None:
    result = sl.audit(
        network, small_nets.image(3), hypothesis=back(), var=1.0, inference_mode="over_conditioning"
    )
    runs = [(a, b) for a, b in result.truncated_intervals]
    low, high = runs[0][0], runs[-1][1]
    assert sum(float(b - a) for a, b in runs) == pytest.approx(float(high - low), rel=1e-5)
    assert low <= result.line.stat <= high


def test_decision_stops_early(network: onnx.ModelProto) -> None:
    test = sl.load(network, back())
    for seed in range(4):
        x = small_nets.image(seed)
        full, quick = test.inference(x, 1.0), test.inference(x, 1.0, termination_criterion="decision")
        assert quick.search_count <= full.search_count
        assert quick.inf_p <= full.sup_p and full.inf_p <= quick.sup_p
        assert quick.decision(0.05) == full.decision(0.05) != "undecided"


def test_budget_of_evaluations_gives_a_wider_valid_enclosure(network: onnx.ModelProto) -> None:
    test = sl.load(network, back())
    x = small_nets.image(4)
    short, full = test.inference(x, 1.0, max_iter=5), test.inference(x, 1.0)
    assert short.ended_by == "budget" and any("max_iter" in w for w in short.warnings)
    assert short.inf_p <= full.inf_p and full.sup_p <= short.sup_p
    none = test.inference(x, 1.0, budget=1000)
    assert (none.inf_p, none.sup_p, none.ended_by) == (0, 1, "budget")
    assert any("budget" in w for w in none.warnings)


def test_p_does_not_depend_on_units_of_the_noise(network: onnx.ModelProto) -> None:
    # one image, three ways to say the same covariance; and correlation changes the line
    x, n = small_nets.image(5), 64
    test = sl.load(network, back())
    scalar = test.inference(x, "0.5")
    diagonal = test.inference(x, np.full(n, 0.5))
    full = test.inference(x, 0.5 * np.eye(n))
    assert scalar.line.stat == diagonal.line.stat == full.line.stat
    assert scalar.inf_p <= diagonal.sup_p and diagonal.inf_p <= scalar.sup_p
    assert scalar.inf_p <= full.sup_p and full.inf_p <= scalar.sup_p
    correlated = 0.5 * np.power(0.5, np.abs(np.subtract.outer(range(n), range(n))))
    other = test.inference(x, correlated)
    assert other.line.beta != scalar.line.beta


def test_alternatives_and_null_value(network: onnx.ModelProto) -> None:
    test = sl.load(network, back())
    x = small_nets.image(6)
    less, greater = (test.inference(x, 1.0, alternative=a) for a in ("less", "greater"))
    both = test.inference(x, 1.0)
    assert less.inf_p + greater.inf_p <= 1 <= less.sup_p + greater.sup_p
    smaller = min(less, greater, key=lambda r: r.sup_p)
    assert both.sup_p == pytest.approx(2 * smaller.sup_p, abs=3e-6)
    shifted = test.inference(x, 1.0, null_value=Fraction(1, 2), alternative="greater")
    assert shifted.inf_p > greater.sup_p


def test_mask_neighbour_and_reference(network: onnx.ModelProto, tmp_path: Path) -> None:
    x = small_nets.image(7)
    mask = np.ones((8, 8), dtype=bool)
    mask[:3] = False
    masked = sl.audit(network, x, hypothesis=back(), var=1.0, mask=mask)
    assert not masked.roi[:3].any() and not masked.non_roi[:3].any()
    near = sl.audit(
        network,
        x,
        hypothesis=sl.NeighborMeanDiff(threshold=0.5, neighborhood_range=1, use_norm=True),
        var=1.0,
    )
    grown = np.zeros((8, 8), dtype=bool)
    for i, j in zip(*np.nonzero(near.roi), strict=True):
        grown[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] = True
    assert (near.non_roi == (grown & ~near.roi)).all()
    reference = small_nets.image(8)
    pair = sl.audit(
        network, (x, reference), hypothesis=sl.ReferenceMeanDiff(threshold=0.5, use_norm=True), var=1.0
    )
    difference = x.reshape(8, 8).astype(float) - reference.reshape(8, 8)
    assert pair.stat == pytest.approx(difference[pair.roi].mean(), rel=1e-9)
    for k, result in enumerate((masked, near, pair)):
        result.certificate.save(tmp_path / str(k))
        sl.check(tmp_path / str(k))


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 6]) for n in ("a", "b")]
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 6]) for n in ("s", "d")]
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Sub", ["a", "b"], ["d"])]
    graph = helper.make_graph(nodes, "two", info, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1, 6)).astype(np.float32) for _ in range(2))
    result = sl.audit(model, [a, b], hypothesis=sl.BackMeanDiff(threshold=0.0, i_idx=1, o_idx=1), var=1.0)
    assert (result.roi == (a > b).squeeze()).all() and len(result.output) == 2
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").eta_rederived
    with pytest.raises(sl.InputError, match="2 inputs"):
        sl.audit(model, a, hypothesis=sl.BackMeanDiff(threshold=0.0), var=1.0)


def test_a_rule_of_ones_own(network: onnx.ModelProto, tmp_path: Path) -> None:
    own = onnx.ModelProto()
    own.CopyFrom(network)
    own.graph.node.append(helper.make_node("Greater", ["y", "level"], ["roi"]))
    own.graph.initializer.append(numpy_helper.from_array(np.array(0.5, dtype=np.float32), "level"))
    own.graph.output.append(helper.make_tensor_value_info("roi", TensorProto.BOOL, [1, 1, 8, 8]))
    rule = sl.Selection(own, output="roi", eta=lambda roi: roi.astype(float) if roi.any() else None)
    result = sl.audit(None, small_nets.image(9), hypothesis=rule, var=1.0)
    assert result.line.stat == sum(
        Fraction(float(v)) for v in small_nets.image(9)[result.roi[None, None]].tolist()
    )
    result.certificate.save(tmp_path / "audit")
    assert not sl.check(tmp_path / "audit").eta_rederived


@pytest.mark.parametrize("mode", ["parametric", "exhaustive"])
def test_identities_do_not_stop_an_audit(mode: str, tmp_path: Path) -> None:
    # a noise-free picture on a constant background, threshold 0 of a normalised map: dozens of pixels tie
    # with the minimum, on the whole line, because they are the same function of the input
    constants = {
        "K1": np.array([0.3, 0.7, 1.1], dtype=np.float32).reshape(3, 1, 1, 1),
        "k1": np.array([0.1, -0.2, 0.3], dtype=np.float32),
        "K2": np.array([0.1, 0.3, 0.7], dtype=np.float32).reshape(1, 3, 1, 1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "K1", "k1"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "K2"], ["y"]),
    ]
    model = small_nets.model(nodes, constants, [1, 1, 8, 8], [1, 1, 8, 8])
    x = np.zeros((1, 1, 8, 8), dtype=np.float32)
    x[0, 0, 2:5, 3:6] = [[3, 7, 1], [9, 16, 4], [2, 8, 5]]
    hypothesis = sl.BackMeanDiff(threshold=0, use_norm=True, post_process=sl.Abs())
    result = sl.audit(model, x, hypothesis=hypothesis, var=1, inference_mode=mode)
    assert result.roi.sum() == 9 and result.sup_p - result.inf_p <= 1e-6
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")


def test_an_accidental_tie_is_refused() -> None:
    # selected iff x0 == 0: true at the observed input and nowhere else on the line
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    model = small_nets.model(nodes, {}, [1, 4], [1, 4])
    own = onnx.ModelProto()
    own.CopyFrom(model)
    own.graph.node.append(helper.make_node("GreaterOrEqual", ["y", "zero"], ["roi"]))
    own.graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"))
    own.graph.output.append(helper.make_tensor_value_info("roi", TensorProto.BOOL, [1, 4]))
    rule = sl.Selection(own, output="roi", eta=lambda roi: np.array([1.0, 0, 0, 0]))
    with pytest.raises(sl.TieError, match="tie"):
        sl.audit(None, np.array([[0, 1, 2, 3]], dtype=np.float32), hypothesis=rule, var=1)


def test_random_nodes_are_drawn_once_and_frozen(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["e"]),
        helper.make_node("Add", ["x", "e"], ["y"]),
    ]
    model = small_nets.model(nodes, {}, [1, 16], [1, 16])
    x = np.random.default_rng(3).normal(size=(1, 16)).astype(np.float32)
    test = sl.load(model, sl.BackMeanDiff(threshold=0.0), seed=7)
    one, two = test.inference(x, 1.0), test.inference(x, 1.0)
    assert one.line == two.line and (one.roi == two.roi).all()
    drawn = np.random.default_rng(7).normal(size=(1, 16))
    assert (one.roi == (x + drawn.astype(np.float32) > 0).squeeze()).all()
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    sl.load(path, sl.BackMeanDiff(threshold=0.0), seed=7).inference(x, 1.0).certificate.save(
        tmp_path / "audit"
    )
    assert sl.check(tmp_path / "audit", model=path).model_checked


def test_float_input_finer_than_the_model_is_audited_as_given(network: onnx.ModelProto) -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    result = sl.audit(network, x, hypothesis=back(), var=1.0)
    assert any("more precise" in w for w in result.warnings)
    assert result.line.observed == tuple(Fraction(v) for v in x.reshape(-1).tolist())


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"x": np.zeros((1, 1, 7, 8), dtype=np.float32)}, "InputError", "shape"),
        ({"x": np.full((1, 1, 8, 8), np.nan)}, "InputError", "NaN|finite"),
        ({"x": np.full((1, 1, 8, 8), np.inf)}, "InputError", "inf|finite"),
        ({"var": 0}, "NoiseError", "positive"),
        ({"var": "nonsense"}, "NoiseError", "var"),
        ({"hypothesis": back(threshold=1e6, use_norm=False)}, "NoHypothesisError", "no element|marks"),
        ({"hypothesis": back(threshold=-1.0, use_norm=False)}, "NoHypothesisError", "every"),
        ({"mask": np.zeros((8, 8), dtype=bool)}, "NoHypothesisError", "no element|marks"),
        ({"mask": np.ones((3, 3), dtype=bool)}, "InputError", "shape"),
        ({"precision": 0}, "OptionError", "precision"),
        ({"alternative": "bigger"}, "OptionError", "alternative"),
        ({"inference_mode": "fast"}, "OptionError", "inference_mode"),
        ({"hypothesis": back(i_idx=1)}, "OptionError", "i_idx"),
        ({"hypothesis": back(o_idx=3)}, "OptionError", "o_idx"),
        ({"surprise": 1}, "OptionError", "surprise"),
    ],
)
def test_bad_input_gets_one_sentence(
    network: onnx.ModelProto, change: dict[str, object], error: str, words: str
) -> None:
    given = {"x": 5 * small_nets.image(0), "hypothesis": back(), "var": 1.0} | change
    with pytest.raises(getattr(sl, error), match=words) as caught:
        sl.audit(network, given.pop("x"), **given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_unsupported_operators_are_listed_at_load() -> None:
    nodes = [
        helper.make_node("Bernoulli", ["x"], ["e"], name="first"),
        helper.make_node("Bernoulli", ["e"], ["y"], name="second"),
    ]
    model = small_nets.model(nodes, {}, [3, 3], [])
    with pytest.raises(sl.UnsupportedOperatorError, match=r"first.*second.*operators\.md"):
        sl.load(model, sl.BackMeanDiff(threshold=0))


def test_names_that_the_standard_does_not_have_are_listed_at_load() -> None:
    nodes = [
        helper.make_node("Erfc", ["x"], ["e"], name="first"),
        helper.make_node("Log1p", ["e"], ["y"], name="second"),
    ]
    model = small_nets.model(nodes, {}, [3, 3], [])
    with pytest.raises(sl.UnsupportedOperatorError, match=r"Erfc \(node 'first'\); Log1p \(node 'second'\)"):
        sl.load(model, sl.BackMeanDiff(threshold=0))


def test_nodes_without_a_meaning_are_listed_at_load() -> None:
    """Supported operators, but not of what moves."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"], name="first"),
        helper.make_node("Cast", ["x"], ["whole"], to=onnx.TensorProto.INT64),
        helper.make_node("ReduceMean", ["whole"], ["sum"], name="second", keepdims=0),
        helper.make_node("Cast", ["places"], ["p"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["sum"], ["s"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["p"], ["m"], keepdims=0),
        helper.make_node("Add", ["m", "s"], ["t"]),
        helper.make_node("Add", ["x", "t"], ["y"]),
    ]
    model = small_nets.model(nodes, {}, [3, 3], [])
    with pytest.raises(sl.ModelError, match=r"NonZero node 'first'.*ReduceMean node 'second'"):
        sl.load(model, sl.BackMeanDiff(threshold=0))


def test_mutated_certificates_are_rejected_or_still_true(network: onnx.ModelProto, tmp_path: Path) -> None:
    """Every number and word of a real certificate, changed one at a time."""
    import json

    result = sl.audit(network, small_nets.image(1), hypothesis=back(), var=1.0, precision=1e-3)
    result.certificate.save(tmp_path / "audit")
    path = tmp_path / "audit" / "certificate.json"
    original = path.read_text()
    still_true = {"versions", "source"}  # words, not claims
    rng = np.random.default_rng(0)

    def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        if isinstance(value, dict):
            return [p for k, v in value.items() for p in places(v, (*at, k))]
        if isinstance(value, list):
            return [p for k, v in enumerate(value) for p in places(v, (*at, k))]
        return [at]

    document = json.loads(original)
    every = [p for p in places(document) if not still_true & set(map(str, p))]
    cells = [p for p in every if p[0] == "cells"]
    chosen = [p for p in every if p[0] != "cells"] + [
        cells[k] for k in rng.choice(len(cells), 30, replace=False)
    ]
    accepted = []
    for place in chosen:
        changed = json.loads(original)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        before = holder[place[-1]]
        holder[place[-1]] = _changed(before)
        path.write_text(json.dumps(changed))
        try:
            sl.check(tmp_path / "audit")
        except (InvalidCertificate, sl.UnusableCertificate):
            continue
        accepted.append((place, before, holder[place[-1]]))
    for place, before, after in accepted:
        # what is accepted must still be true: a claim made weaker, or another exact name of the same number
        widened = place[0] == "claim" and (
            (str(place[1]).endswith("sup_p") and float(after) >= float(before))
            or (str(place[1]).endswith("inf_p") and float(after) <= float(before))
        )
        # without --model nothing is claimed of the model's file, and a seed is named where nothing was drawn
        unclaimed = place in {("model", "sha256"), ("model", "seed")}
        assert widened or unclaimed, f"{place}: {before} -> {after}"


def _changed(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return 3 if value is None else _nudged(str(value))


def _nudged(text: str) -> str:
    """A nearby number, or another word."""
    try:
        value = Fraction(text)
    except ValueError:
        return text[:-1] + ("0" if not text.endswith("0") else "1") if text else "x"
    return str(value + Fraction(1, 64))


def gated(*last: onnx.NodeProto, kind: int = TensorProto.INT32) -> onnx.ModelProto:
    """x, cast to integers, then the given nodes on "n", selecting where "m" is positive."""
    zero = numpy_helper.from_array(np.array(0, dtype=np.int32), "zero")
    big = numpy_helper.from_array(np.array(2**31 - 2, dtype=np.int32), "big")
    nodes = [
        helper.make_node("Cast", ["x"], ["n"], to=kind),
        *last,
        helper.make_node("Greater", ["m", "zero"], ["roi"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("roi", TensorProto.BOOL, [1, 2])],
        [zero, big],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_where_integers_could_wrap_around_nothing_is_claimed(tmp_path: Path) -> None:
    # the exact sum is positive for every x >= 2, the sum that a runtime computes in 32 bits is not
    rule = sl.Selection(gated(helper.make_node("Add", ["n", "big"], ["m"])), eta=lambda roi: [1.0, 0.0])
    result = sl.audit(None, np.array([[1.5, 0.5]], dtype=np.float32), hypothesis=rule, var=1)
    beyond = math.erfc(2 / math.sqrt(2)) / 2  # P(Z > 2)
    assert result.warnings and result.sup_p - result.inf_p > beyond
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")
    with pytest.raises(sl.ModelError, match="no value at the observed input"):
        sl.audit(None, np.array([[2.5, 0.5]], dtype=np.float32), hypothesis=rule, var=1)


def test_a_mask_times_a_value_is_real_arithmetic(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["b"]),
        helper.make_node("Cast", ["b"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    model = small_nets.model(nodes, {"zero": np.array(0, dtype=np.float32)}, [1, 6], [1, 6])
    x = np.array([[2, -1, 0.5, 3, -2, 1]], dtype=np.float32)
    result = sl.audit(model, x, hypothesis=sl.BackMeanDiff(threshold=0.75), var=1)
    assert result.roi.tolist() == [True, False, False, True, False, True] and result.runtime_agrees
    result.certificate.save(tmp_path / "audit")
    sl.check(tmp_path / "audit")


@pytest.mark.parametrize("null", [13, 40, 100])
def test_far_from_the_null_value_the_search_goes_on(network: onnx.ModelProto, null: int) -> None:
    result = sl.audit(network, small_nets.image(6), hypothesis=back(), var=1.0, null_value=null)
    assert 0 < result.inf_p <= result.sup_p <= result.inf_p + 1e-6
    assert result.sup_p >= 1e-3 or result.log_sup_p - result.log_inf_p <= np.log(1.01)
    assert not result.warnings


def test_integers_cannot_be_audited() -> None:
    """Noise is of real numbers: said at load."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["u"], to=TensorProto.FLOAT),
            helper.make_node("Relu", ["u"], ["y"]),
        ],
        "integers",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(sl.ModelError, match="INT32"):
        sl.load(model, sl.BackMeanDiff(threshold=0))


@pytest.mark.parametrize("mode", ["parametric", "over_conditioning"])
def test_a_tie_at_the_observed_input_is_said(mode: str) -> None:
    """On the edge of what is selected p is 0, which says nothing of data on a grid; the search ends early."""
    node = helper.make_node("GreaterOrEqual", ["x", "level"], ["s"])
    for level, tie in ((2.0, True), (1.5, False)):
        graph = helper.make_graph(
            [
                helper.make_node("Floor", ["x"], ["f"]),
                helper.make_node("GreaterOrEqual", ["f", "level"], ["s"]),
            ]
            if tie
            else [node],
            "tie",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1])],
            [helper.make_tensor_value_info("s", TensorProto.BOOL, [1])],
            [numpy_helper.from_array(np.array(level), "level")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        question = sl.Selection(output="s", eta=lambda s: np.ones(1))
        result = sl.audit(model, np.array([2.0]), hypothesis=question, var=1.0, inference_mode=mode)
        assert any("tie" in warning for warning in result.warnings) == tie
        assert result.search_count < 2000


def test_masks_that_are_scaled(tmp_path: Path) -> None:
    """As torch's older exporter writes attention masks: -inf times 1, added before a softmax."""
    mask = np.array([[0, -np.inf, 0, 0]], dtype=np.float32)
    nodes = [
        helper.make_node("Mul", ["mask", "one"], ["scaled"]),
        helper.make_node("Add", ["x", "scaled"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    constants = {"mask": mask, "one": np.float32([1]), "half": np.float32([0.5])}
    model = small_nets.model(nodes, constants, [1, 4], [1, 4])
    x = np.array([[0.5, 1, -1.5, 2]], dtype=np.float32)
    result = sl.audit(model, x, hypothesis=sl.BackMeanDiff(threshold=0.3), var=1.0, precision=1e-3)
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid
