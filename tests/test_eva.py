"""Verified perturbation analysis: importances contain the true ones, and every refusal is one sentence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import explained_nets
import numpy as np
import onnx
import pytest
from onnx import helper
from scipy.optimize import linprog
from test_boxes import NETS, attention, inputs_of, made

import sureline as sl
from sureline.cli import main
from symbolic.errors import BudgetError, InputError, ModelError, OptionError, UnsupportedOperatorError
from symbolic.explanations import eva_report

MARGIN = 1e-7
"""Of the linear programs, which are solved in floats."""


class Tiny:
    """Inputs -> ReLUs -> classes, whose greatest leads are found pattern by pattern."""

    def __init__(self, seed: int, inputs: int = 3, hidden: int = 6, classes: int = 3) -> None:
        rng = np.random.default_rng(seed)
        sizes = ((inputs, hidden), (hidden,), (hidden, classes), (classes,))
        self.w, self.b, self.v, self.a = (rng.normal(size=size).round(3) for size in sizes)
        self.x = rng.normal(size=(1, inputs)).round(3)
        nodes = [
            made("Gemm", ["x", "w", "b"], "h"),
            made("Relu", ["h"], "r"),
            made("Gemm", ["r", "v", "a"], "y"),
        ]
        weights = {"w": self.w, "b": self.b, "v": self.v, "a": self.a}
        self.model = explained_nets.model(nodes, weights, [1, inputs], [1, classes], np.float64)
        self.chosen = int(np.argmax(self.scores(self.x)))

    def scores(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ self.w + self.b, 0) @ self.v + self.a

    def overlap(self, lo: np.ndarray, hi: np.ndarray) -> float:
        """The greatest lead of another class over a box, by all activation patterns."""
        best = -np.inf
        for pattern in itertools.product((0.0, 1.0), repeat=len(self.b)):
            gate = np.array(pattern)
            sign = np.where(gate > 0, -1.0, 1.0)  # gates hold: sign (w x + b) <= 0
            for other in range(len(self.a)):
                if other == self.chosen:
                    continue
                lead = (self.v[:, other] - self.v[:, self.chosen]) * gate
                found = linprog(
                    -self.w @ lead,
                    A_ub=(self.w * sign).T,
                    b_ub=-sign * self.b,
                    bounds=list(zip(lo, hi, strict=True)),
                )
                if found.status == 0:
                    best = max(best, -found.fun + lead @ self.b + self.a[other] - self.a[self.chosen])
        return float(best)


# ---- what is proved ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", ["interval", "linear", "zonotope"])
def test_importances_contain_those_of_all_activation_patterns(seed: int, bounds: str) -> None:
    net = Tiny(seed)
    radius = (0.05, 0.4, 1.0, 0.2)[seed]
    report = sl.eva(net.model, net.x, radius, regions=3, bounds=bounds)
    assert report.chosen == net.chosen
    lo, hi = net.x[0] - radius, net.x[0] + radius
    whole = net.overlap(lo, hi)
    assert report.overlap[0] <= whole + MARGIN and whole <= report.overlap[1] + MARGIN
    assert whole - report.overlap[0] < 0.05  # the search comes near the strongest point of so small a network
    for n in range(3):
        held = np.arange(3) == n
        part = net.overlap(np.where(held, net.x[0], lo), np.where(held, net.x[0], hi))
        assert report.held_lower[n] <= part + MARGIN and part <= report.held_upper[n] + MARGIN
        assert report.lower[n] <= whole - part + MARGIN and whole - part <= report.upper[n] + MARGIN


def test_clipped_importances() -> None:
    net = Tiny(5)
    clip = (float(net.x.min()), float(net.x.max()) + 0.1)
    report = sl.eva(net.model, net.x, "3/10", regions=3, clip=clip)
    lo, hi = np.maximum(net.x[0] - 0.3, clip[0]), np.minimum(net.x[0] + 0.3, clip[1])
    whole = net.overlap(lo, hi)
    assert report.overlap[0] - MARGIN <= whole <= report.overlap[1] + MARGIN
    assert whole < net.overlap(net.x[0] - 0.3, net.x[0] + 0.3) - 0.01
    assert report.clip == tuple(map(Fraction, clip)) and report.radius == Fraction(3, 10)


@pytest.mark.parametrize("name", ["convolutional", "averaging", "pooled", "attention"])
def test_better_bounds_are_within_worse_ones(name: str) -> None:
    x = np.random.default_rng(3).normal(size=inputs_of(NETS[name]))
    division = 2 if x.ndim < 4 else [2, 1]
    plain, linear, zonotope = (
        sl.eva(NETS[name], x, "1/50", regions=division, bounds=kind)
        for kind in ("interval", "linear", "zonotope")
    )
    for tight, loose in ((linear, plain), (zonotope, plain)):
        assert tight.overlap[1] <= loose.overlap[1]
        assert (tight.upper <= loose.upper).all() and (tight.held_upper <= loose.held_upper).all()
    for report in (plain, linear, zonotope):
        assert (report.lower <= report.upper).all() and (report.held_lower <= report.held_upper).all()
        assert report.overlap[0] <= report.overlap[1]
        assert (report.held_upper <= report.overlap[1]).all() and (report.lower >= 0).all()
    if name != "pooled":  # where both are nearly exact
        assert zonotope.overlap[1] - zonotope.overlap[0] < 0.5 * (plain.overlap[1] - plain.overlap[0])


def test_robust_balls_and_counterexamples() -> None:
    net = Tiny(1)
    near = sl.eva(net.model, net.x, "1/1000", regions=3)
    assert near.robust and not near.counterexample and near.point is None and "proved: class" in str(near)
    far = sl.eva(net.model, net.x, 2, regions=3)
    assert far.counterexample and not far.robust and far.point is not None
    assert "proved: another class" in str(far)
    for moved, start in zip(far.point.ravel().tolist(), net.x.ravel().tolist(), strict=True):
        assert abs(Fraction(moved) - Fraction(start)) <= 2  # exactly
    assert int(np.argmax(net.scores(far.point))) != net.chosen


def test_a_class_behind_a_softmax_is_compared_by_its_logits() -> None:
    x = np.random.default_rng(0).normal(size=(1, 6)).astype(np.float32)
    by_logit = sl.eva(explained_nets.dense(1), x, "1/10", regions=6)
    plain = sl.eva(explained_nets.dense(1, None), x, "1/10", regions=6)
    assert by_logit.overlap == plain.overlap and (by_logit.lower == plain.lower).all()
    by_output = sl.eva(explained_nets.dense(1), x, "1/10", regions=6, head="output")
    assert -1 <= by_output.overlap[0] <= by_output.overlap[1] <= 1 + 1e-12
    assert by_output.counterexample == by_logit.counterexample


def test_targets() -> None:
    net = Tiny(2)
    for chosen in range(3):
        report = sl.eva(net.model, net.x, "1/10", regions=3, target=chosen)
        assert report.chosen == chosen and report.others == tuple(n for n in range(3) if n != chosen)
    pair = sl.eva(net.model, net.x, "1/10", regions=3, target="0-2")
    assert (pair.chosen, pair.others) == (0, (2,))
    assert pair.overlap[0] <= sl.eva(net.model, net.x, "1/10", regions=3, target=0).overlap[1]


def test_what_may_be_undefined_is_not_bounded() -> None:
    weights = {"w": np.array([[1.0, 2.0], [2.0, 1.0]])}
    nodes = [made("Log", ["x"], "l"), made("MatMul", ["l", "w"], "y")]
    model = explained_nets.model(nodes, weights, [1, 2], [1, 2], np.float64)
    x = np.array([[1.0, 3.0]])
    report = sl.eva(model, x, 2, regions=2)
    assert report.overlap[1] == np.inf and np.isinf(report.upper).all() and not report.ranked.any()
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["upper"] == [None, None]
    assert sl.eva(model, x, "1/2", regions=2).overlap[1] < np.inf


def test_a_network_without_derivatives_is_bounded_too() -> None:
    """No gradient leads the search: corners and, of linear bounds, the corner where they point."""
    weights = {"w": np.random.default_rng(0).normal(size=(4, 3))}
    nodes = [made("Det", ["x"], "d"), made("Floor", ["x"], "f"), made("Flatten", ["f"], "g")]
    nodes += [made("MatMul", ["g", "w"], "m"), made("Add", ["m", "d"], "y")]
    model = explained_nets.model(nodes, weights, [1, 2, 2], [1, 3], np.float64)
    report = sl.eva(model, np.random.default_rng(1).normal(size=(1, 2, 2)), "1/2", regions=2)
    assert np.isfinite(report.upper).all() and (report.lower <= report.upper).all()


# ---- the report ----------------------------------------------------------------------------------


def report_of(lower: list[float], upper: list[float], held: list[tuple[float, float]]) -> sl.EvaReport:
    ends = np.array(held, dtype=float)
    return sl.EvaReport(
        labels=np.arange(len(lower)).reshape(1, -1),
        lower=np.array(lower, dtype=float),
        upper=np.array(upper, dtype=float),
        overlap=(-1.0, 1.0),
        held_lower=ends[:, 0],
        held_upper=ends[:, 1],
        point=None,
        chosen=0,
        others=(1,),
        radius=Fraction(1, 10),
        clip=None,
        bounds="linear",
        model_sha256="0" * 64,
    )


def test_ranked_means_disjoint_from_all_others() -> None:
    held = [(0.0, 0.5), (2.0, 3.0), (0.6, 0.7), (0.55, 0.65)]
    report = report_of([5, 0, 3, 2], [6, 1, 4, 3], held)
    assert report.ranked.tolist() == [True, True, False, False]  # [3, 4] and [2, 3] share a point
    assert report.placed.tolist() == [True, True, False, False]
    assert report.order.tolist() == [0, 2, 3, 1]
    assert report.midpoint.tolist() == [5.5, 0.5, 3.5, 2.5]
    inner = report_of([0, 1, 8], [9, 2, 10], [(0, 1), (1.5, 2), (3, 4)])
    assert not inner.ranked.any()  # one interval holds another, and overlaps the third
    assert inner.placed.all()  # AO(B) cancels between them
    assert report_of([1], [2], [(0, 1)]).ranked.tolist() == [True]
    assert report_of([0, 0], [np.inf, np.inf], [(-np.inf, np.inf)] * 2).ranked.tolist() == [False, False]


def test_what_is_ranked_or_placed_is_in_its_true_place() -> None:
    """Against the exact importances of all activation patterns."""
    proved = 0
    for seed in range(6):
        net = Tiny(seed)
        report = sl.eva(net.model, net.x, "1/5", regions=3, bounds="zonotope")
        lo, hi = net.x[0] - 0.2, net.x[0] + 0.2
        parts = [
            net.overlap(*(np.where(np.arange(3) == n, net.x[0], end) for end in (lo, hi))) for n in range(3)
        ]
        places = np.empty(3, dtype=int)
        places[np.argsort(parts)] = range(3)
        mine = np.empty(3, dtype=int)
        mine[report.order] = range(3)
        assert (report.placed | ~report.ranked).all()
        assert (mine == places)[report.placed].all()
        proved += int(report.placed.sum())
    assert proved > 6


def test_text_json_and_pictures(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)
    model = explained_nets.convolutional()
    report = sl.eva(model.SerializeToString(), x, "1/100", regions=6)
    assert report.heatmap.shape == x.shape and (report.heatmap == report.midpoint[report.regions]).all()
    assert len(str(report).splitlines()) == 3 + eva_report.SHOWN + 1 and "and 26 more" in str(report)
    assert repr(report).startswith("EvaReport(class 0, 36 regions, ")
    report.save(tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored["radius"] == "1/100" and stored["labels"] == report.labels.tolist()
    assert stored["lower"] == report.lower.tolist() and stored["robust"] is report.robust
    for one in (report, sl.eva(explained_nets.dense(1), np.ones((1, 6)), "1/10", regions=3)):
        one.plot(tmp_path / "r.png")
        assert (tmp_path / "r.png").stat().st_size > 5000
    again = sl.eva(model, x, "1/100", regions=6)
    assert again.to_json() == report.to_json()


def test_printed_digits_are_rounded_outward() -> None:
    assert eva_report.digits(0.1234567, False) == "0.123456"
    assert eva_report.digits(0.1234561, True) == "0.123457"
    assert eva_report.digits(-0.1234561, False) == "-0.123457"
    assert eva_report.digits(0.5, True) == "0.5" and eva_report.digits(np.inf, True) == "inf"
    assert eva_report.digits(0.1, True) == "0.100001" and eva_report.digits(0.1, False) == "0.1"


def test_labels_of_several_shapes() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)
    labels = np.zeros((6, 6), dtype=int)
    labels[2:, 3:] = 7
    found = [
        sl.eva(explained_nets.convolutional(), x, "1/100", regions=given)
        for given in (labels, labels[None], labels[None, None])
    ]
    assert all(one.to_json() == found[0].to_json() for one in found)
    assert found[0].labels.shape == x.shape and found[0].labels.max() == 1


def test_other_inputs_stand_still() -> None:
    weights = {"w": np.array([[1.0, -1.0], [0.5, 2.0]])}
    nodes = [made("Mul", ["x", "gate"], "g"), made("MatMul", ["g", "w"], "y")]
    model = explained_nets.model(nodes, weights, [1, 2], [1, 2], np.float64)
    port = helper.make_tensor_value_info("gate", onnx.TensorProto.DOUBLE, [1, 2])
    model.graph.input.append(port)
    x, gate = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0]])
    report = sl.eva(model, {"x": x, "gate": gate}, 1, regions=2, target=0)
    # f1 - f0 = -2 * 3 x0, greatest at x0 = 0
    assert report.overlap[0] <= 0 <= report.overlap[1] and report.overlap[1] - report.overlap[0] < 1e-12
    np.testing.assert_allclose(report.lower, [6, 0], atol=1e-12)
    np.testing.assert_allclose(report.upper, [6, 0], atol=1e-12)
    with pytest.raises(InputError, match="'gate' has no value"):
        sl.eva(model, x, 1)


# ---- refusals ------------------------------------------------------------------------------------

DENSE = explained_nets.dense(1)
X = np.zeros((1, 6), dtype=np.float32)


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (OptionError, "positive number", {"radius": -1}),
        (OptionError, "positive number", {"radius": 0}),
        (OptionError, "finite number", {"radius": float("nan")}),
        (OptionError, "finite number", {"radius": "wide"}),
        (InputError, "NaN or infinite", {"x": np.full((1, 6), np.nan)}),
        (InputError, "shape", {"x": np.zeros((1, 7))}),
        (InputError, "batch axis", {"x": np.zeros((2, 6)), "model": explained_nets.dense()}),
        (OptionError, "labels of the regions have the shape", {"regions": np.zeros((1, 5), dtype=int)}),
        (OptionError, "whole numbers", {"regions": np.zeros((1, 6))}),
        (OptionError, "one cell", {"regions": 0}),
        (OptionError, "bounds is 'best'", {"bounds": "best"}),
        (OptionError, "target 3", {"target": 3}),
        (OptionError, "needs a class", {"target": "sum"}),
        (OptionError, "target is 'x'", {"target": "x"}),
        (OptionError, "points", {"points": 0}),
        (OptionError, "seed", {"seed": -1}),
        (OptionError, "head", {"head": "tail"}),
        (OptionError, "i_idx", {"i_idx": 1}),
        (OptionError, "o_idx", {"o_idx": 1}),
        (OptionError, "least value comes first", {"clip": (1, 0)}),
        (OptionError, "least and the greatest", {"clip": (1,)}),
        (InputError, "outside the clip", {"clip": ("1/2", 1)}),
        (BudgetError, 'use bounds="interval"', {"budget": 100}),
        (ModelError, "no ONNX model", {"model": b"\xff\xff"}),
    ],
)
def test_refusals(error: type[Exception], match: str, options: dict[str, Any]) -> None:
    given = {"model": DENSE, "x": X, "radius": "1/10", **options}
    with pytest.raises(error, match=match) as caught:
        sl.eva(**given)
    assert str(caught.value).count("\n") == 0


def test_a_single_score_and_an_unknown_operator_are_refused() -> None:
    one = explained_nets.model([made("ReduceSum", ["x"], "y")], {}, [1, 2], [1, 1], np.float64)
    with pytest.raises(OptionError, match="there is no other class"):
        sl.eva(one, np.ones((1, 2)), 1)
    odd = explained_nets.model(
        [made("NonMaxSuppression", ["x", "x"], "y")], {}, [1, 2, 4], [1, 3], np.float32
    )
    with pytest.raises((UnsupportedOperatorError, ModelError)):
        sl.eva(odd, np.ones((1, 2, 4)), 1)


# ---- the command line ----------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_command(tmp_path: Path, run: Run) -> None:
    net = Tiny(1)
    model, x, labels = tmp_path / "m.onnx", tmp_path / "x.npy", tmp_path / "labels.npy"
    onnx.save(net.model, model)
    np.save(x, net.x)
    np.save(labels, np.array([[0, 1, 1]]))
    words = ("eva", model, x, "--radius", "2", "--clip=-9,9", "--bounds", "zonotope", "--seed", "3")
    code, out, err = run(*words, "--regions", "3", "--out", tmp_path / "folder")
    assert code == 0 and "proved: another class leads" in out and out.count("│") > 3 * 5
    stored = json.loads((tmp_path / "folder" / "eva.json").read_text())
    report = sl.eva(net.model, net.x, "2", regions=3, clip=(-9, 9), bounds="zonotope", seed=3)
    stored.pop("model_sha256")
    assert stored == {k: v for k, v in report.to_json().items() if k != "model_sha256"}
    assert np.array_equal(np.load(tmp_path / "folder" / "point.npy"), report.point)
    assert (tmp_path / "folder" / "eva.png").is_file() and "written:" in err
    code, out, _ = run(
        *words, "--regions", labels, "--json", tmp_path / "j.json", "--plot", tmp_path / "p.png"
    )
    assert code == 0 and len(json.loads((tmp_path / "j.json").read_text())["lower"]) == 2
    assert (tmp_path / "p.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--radius", "-1"], "give a positive number"),
        (["--radius", "1", "--clip", "1"], "--clip must be LOW,HIGH"),
        (["--radius", "1", "--input-name", "z"], "--input-name: the model has no 'z'"),
        (["--radius", "1", "--output-name", "z"], "--output-name: the model has no 'z'"),
        (["--radius", "1", "--input", "z"], "--input must be NAME=FILE"),
        (["--radius", "1", "--regions", "none.npy"], "there is no such file"),
        ([], "--radius"),
    ],
)
def test_command_refuses(tmp_path: Path, run: Run, words: list[str], said: str) -> None:
    onnx.save(DENSE, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    code, out, err = run("eva", tmp_path / "m.onnx", tmp_path / "x.npy", *words)
    assert code == 2 and said in err and err.count("\n") == 1 and not out


def test_attention_is_analysed() -> None:
    """Softmax and products of two moving tensors."""
    model = attention(3)
    x = np.random.default_rng(0).normal(size=(1, 3, 4))
    report = sl.eva(model, x, "1/200", regions=np.repeat(np.arange(3)[:, None], 4, axis=1))
    assert report.placed.all() and report.ranked.any()
