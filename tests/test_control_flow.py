"""If, Loop, Scan and sequences, in the engine and in the checker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_nets
from onnx import helper, numpy_helper
from random_programs import random_program
from unrolled_models import checked_at, model_of, require_agreement

import sureline as sl
from symbolic.bounds import enclose
from symbolic.errors import ModelError, SurelineError, UnsupportedOperatorError
from symbolic.network import Network, support, unsupported
from verifier.check.errors import InvalidCertificate

X = np.array([1.5, -2.0, 0.25], dtype=np.float32)
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8 - 0.5

IF = """agraph (float[3] x, bool flag) => (float[3] y) {
    y = If (flag) <then_branch = t () => (float[3] a) { a = Relu (x) },
                  else_branch = e () => (float[3] a) { b = Neg (x)  a = Add (b, b) }> }"""


def refused(model: onnx.ModelProto, feeds: dict[str, Any], words: str, checker: str = "") -> None:
    """Engine and checker refuse the model, in these words."""
    with pytest.raises(SurelineError, match=words):
        enclose(model, feeds, {"x": np.ones_like(feeds["x"])}, 0, 1)
    with pytest.raises(InvalidCertificate, match=checker or words):
        checked_at(model, feeds, "x", np.ones_like(feeds["x"]), (0, 1))


# --- If ---


@pytest.mark.parametrize("flag", [True, False])
def test_if_on_a_fixed_input(flag: bool) -> None:
    require_agreement(model_of(IF), {"x": X, "flag": np.array(flag)})


@pytest.mark.parametrize("rows", [2, 4])
def test_if_on_a_shape(rows: int) -> None:
    model = model_of("""agraph (float[r, 3] x) => (float[s, 3] y) <int64 zero = {0}, int64 two = {2}> {
        s = Shape (x)
        n = Gather (s, zero)
        more = Greater (n, two)
        y = If (more) <then_branch = t () => (float[k, 3] a) <int64[1] none = {0}, int64[1] one = {1}>
                                     { a = Slice (x, none, one) },
                       else_branch = e () => (float[k, 3] a) { a = Identity (x) }> }""")
    require_agreement(model, {"x": ROWS[:rows]})


def test_if_nested_with_names_of_outer_scopes() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y, float[3] z) <bool yes = {1}, bool no = {0}> {
        twice = Add (x, x)
        y, z = If (yes) <then_branch = t () => (float[3] a, float[3] twice2) {
                inner = Relu (twice)
                a = If (no) <then_branch = t2 () => (float[3] q) { q = Neg (inner) },
                             else_branch = e2 () => (float[3] q) { h = Add (inner, x)  q = Add (h, twice) }>
                twice2 = Mul (a, a) },
            else_branch = e () => (float[3] a, float[3] b) { a = Neg (x)  b = Identity (x) }> }""")
    require_agreement(model, {"x": X})


def test_branch_that_gives_a_stored_tensor() -> None:
    value = helper.make_tensor_value_info
    stored = numpy_helper.from_array(np.array([3, 1, 2], dtype=np.float32), "c")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["n"])],
        "t",
        [],
        [value("c", 1, [3]), value("n", 1, [3])],
        [stored],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("If", ["yes"], ["k", "n"], then_branch=branch, else_branch=branch),
        helper.make_node("Sub", ["n", "k"], ["y"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    graph = helper.make_graph(nodes, "g", [value("x", 1, [3])], [value("y", 1, [3])], [yes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    require_agreement(model, {"x": X}, reference=False)


def test_a_name_of_a_branch_that_is_also_used_outside() -> None:
    """Both branches, and a later node of the main graph, call different tensors h."""
    model = model_of("""agraph (float[3] x) => (float[3] y) <bool yes = {1}> {
        k = If (yes) <then_branch = t () => (float[3] a) { h = Relu (x)  a = Add (h, x) },
                      else_branch = e () => (float[3] a) { h = Neg (x)  a = Add (h, x) }>
        h = Mul (k, x)
        y = Add (h, k) }""")
    require_agreement(model, {"x": X})


def test_condition_on_data_is_refused() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y) <int64 axis = {0}, float zero = {0.0}> {
        s = ReduceSum <keepdims = 0> (x)
        up = Greater (s, zero)
        y = If (up) <then_branch = t () => (float[3] a) { a = Relu (x) },
                     else_branch = e () => (float[3] a) { a = Neg (x) }> }""")
    refused(model, {"x": X}, "control flow on data|condition must not depend", "condition moves")


def test_unsupported_operators_in_subgraphs() -> None:
    """Only the branch that runs counts; a body always does; all are named at once."""
    model = model_of(IF)
    model.opset_import.append(helper.make_opsetid("local2", 1))
    for node in model.graph.node[0].attribute[1].g.node:
        node.domain = "local2"
    assert unsupported(model) == []
    enclose(model, {"x": X, "flag": np.array(True)}, {"x": np.ones(3)}, 0, 0)
    with pytest.raises(UnsupportedOperatorError, match=r"local2.Neg .*; local2.Add "):
        enclose(model, {"x": X, "flag": np.array(False)}, {"x": np.ones(3)}, 0, 0)
    loop = model_of(LOOP)
    loop.opset_import.append(helper.make_opsetid("local2", 1))
    loop.graph.node[0].attribute[0].g.node[0].domain = "local2"
    assert unsupported(loop) == ["local2.Relu (node 'r')"]
    assert ("local2.Relu", 1, "unsupported") in support(loop)


# --- Loop ---

LOOP = """agraph (float[3] x) => (float[3] y, float[n, 3] all) <int64 trips = {3}, bool yes = {1}> {
    y, all = Loop (trips, yes, x) <body = b (int64 i, bool c, float[3] s)
            => (bool k, float[3] o, float[3] w) {
        r = Relu (s)
        f = Cast <to = 1> (i)
        o = Add (r, f)
        w = Sub (o, x)
        k = Identity (c) }> }"""


@pytest.mark.parametrize("opset", [11, 13, 16, 21])
def test_loop(opset: int) -> None:
    y, rows = require_agreement(model_of(LOOP, opset), {"x": X})
    assert rows.shape == (3, 3)


def test_loop_that_its_condition_ends() -> None:
    """The condition is computed from the iteration number, and from a state that does not move."""
    model = model_of("""agraph (float[3] x) => (float[3] y, float[n] marks)
            <int64 trips = {100}, bool yes = {1}, float start = {1.0}, float ten = {10.0}> {
        y, last, marks = Loop (trips, yes, x, start) <body = b (int64 i, bool c, float[3] s, float p)
                => (bool k, float[3] o, float q, float w) {
            q = Add (p, p)
            o = Add (s, x)
            w = Identity (p)
            k = Less (q, ten) }> }""")
    _, marks = require_agreement(model, {"x": X}, reference=False)  # it gives marks of shape (4, 1)
    np.testing.assert_allclose(marks, [1, 2, 4, 8])


def test_loop_without_trip_count_or_condition() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Less", ["i", "two"], ["k"]),
            helper.make_node("Add", ["s", "s"], ["o"]),
        ],
        "body",
        [value("i", 7, []), value("c", 9, []), value("s", 1, [3])],
        [value("k", 9, []), value("o", 1, [3])],
        [numpy_helper.from_array(np.array(2, dtype=np.int64), "two")],
    )
    nodes = [helper.make_node("Loop", ["", "", "x"], ["y"], body=body)]
    graph = helper.make_graph(nodes, "g", [value("x", 1, [3])], [value("y", 1, [3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    lo, hi = enclose(model, X, np.ones(3), 0, 0)["y"]
    np.testing.assert_allclose((lo, hi), [8 * X] * 2)
    np.testing.assert_allclose(checked_at(model, {"x": X}, "x", np.ones(3), (0, 0))["y"], [8 * X] * 2)


@pytest.mark.parametrize("yes", [0, 1])
def test_loop_that_never_runs(yes: int) -> None:
    text = LOOP.replace("trips = {3}, bool yes = {1}", f"trips = {{{0 if yes else 3}}}, bool yes = {{{yes}}}")
    y, rows = require_agreement(model_of(text), {"x": X}, reference=False)
    assert rows.shape == (0, 3)


def test_loops_nested() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y) <int64 two = {2}, bool yes = {1}> {
        y = Loop (two, yes, x) <body = b (int64 i, bool c, float[3] s) => (bool k, float[3] o) {
            m = Add (i, two)
            h = Loop (m, c, s) <body = b2 (int64 j, bool d, float[3] u) => (bool l, float[3] v) {
                g = Cast <to = 1> (i)
                e = Mul (u, g)
                v = Add (e, x)
                l = Identity (d) }>
            o = Relu (h)
            k = Identity (c) }> }""")
    require_agreement(model, {"x": X})


def test_states_that_no_output_needs_are_not_run() -> None:
    """An unsupported operator in such a state does not matter, neither in the engine nor in the checker."""
    model = model_of("""agraph (float[3] x) => (float[3] y) <int64 two = {2}, bool yes = {1}> {
        y, z = Loop (two, yes, x, x) <body = b (int64 i, bool c, float[3] s, float[3] t)
                => (bool k, float[3] o, float[3] u) {
            o = Add (s, x)
            u = Neg (t)
            k = Identity (c) }>
        text = Neg (z) }""")
    model.opset_import.append(helper.make_opsetid("other", 1))
    model.graph.node[0].attribute[0].g.node[1].domain = "other"
    model.graph.node[1].op_type = "StringNormalizer"
    outputs = ["y"]
    assert unsupported(model, outputs) == []
    np.testing.assert_allclose(enclose(model, X, np.ones(3), 0, 0)["y"], [3 * X] * 2)
    np.testing.assert_allclose(checked_at(model, {"x": X}, "x", np.ones(3), (0, 0))["y"], [3 * X] * 2)


@pytest.mark.parametrize("trips", [2**40, 2**62])
def test_long_loops_are_refused_at_once(trips: int) -> None:
    model = model_of(LOOP.replace("trips = {3}", f"trips = {{{trips}}}"))
    started = time.monotonic()
    refused(model, {"x": X}, "more than 65536 nodes")
    assert time.monotonic() - started < 5


def test_trip_count_on_data_is_refused() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y) <bool yes = {1}> {
        s = ReduceSum <keepdims = 0> (x)
        n = Cast <to = 7> (s)
        y = Loop (n, yes, x) <body = b (int64 i, bool c, float[3] s2) => (bool k, float[3] o) {
            o = Add (s2, x)
            k = Identity (c) }> }""")
    refused(model, {"x": X}, "trip count must not depend", "trip count moves")


def test_condition_of_a_loop_on_data_is_refused() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y)
            <int64 n = {5}, bool yes = {1}, float four = {4.0}> {
        y = Loop (n, yes, x) <body = b (int64 i, bool c, float[3] s) => (bool k, float[3] o) {
            o = Add (s, x)
            t = ReduceSum <keepdims = 0> (o)
            k = Less (t, four) }> }""")
    refused(model, {"x": X}, "condition must not depend", "condition moves")


def test_random_nodes_in_subgraphs_are_refused() -> None:
    model = model_of(LOOP)
    model.graph.node[0].attribute[0].g.node[0].op_type = "RandomNormalLike"
    refused(model, {"x": X}, "RandomNormalLike", "not supported")


# --- Scan ---


def scan_model(opset: int, attributes: str, inputs: str = "state, x") -> onnx.ModelProto:
    return model_of(
        f"""agraph (float[4, 3] x) => (float[m] last, float[a, b] rows) <float[4] state = {{1, 2, 3, 4}}> {{
        last, rows = Scan <num_scan_inputs = 1, {attributes}, body = b (float[4] s, float[4] v)
                => (float[4] o, float[4] w) {{
            h = Mul (s, v)
            o = Relu (h)
            w = Add (o, v) }}> ({inputs}) }}""",
        opset,
    )


@pytest.mark.parametrize("opset", [9, 11, 16, 21])
@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("prepend", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scan(opset: int, backward: int, prepend: int, axis: int) -> None:
    if opset < 11 and axis < 0:
        pytest.skip("negative axes came later")
    attributes = (
        f"scan_input_axes = [1], scan_input_directions = [{backward}], "
        f"scan_output_directions = [{prepend}], scan_output_axes = [{axis}]"
    )
    # the reference implementation knows neither axes nor directions
    require_agreement(scan_model(opset, attributes), {"x": ROWS}, reference=False)


@pytest.mark.parametrize("backward", [0, 1])
def test_scan_of_a_batch(backward: int) -> None:
    """Before operator set 9, axis 0 is that of the batch."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "v"], ["o"]), helper.make_node("Mul", ["o", "v"], ["w"])],
        "body",
        [value("s", 1, [3]), value("v", 1, [3])],
        [value("o", 1, [3]), value("w", 1, [3])],
    )
    for lengths in (None, [2, 2], [2, 1]):
        node = helper.make_node(
            "Scan",
            ["lengths" if lengths else "", "state", "x"],
            ["last", "rows"],
            body=body,
            num_scan_inputs=1,
            directions=[backward],
        )
        stored = [numpy_helper.from_array(np.ones((2, 3), dtype=np.float32), "state")]
        if lengths:
            stored.append(numpy_helper.from_array(np.array(lengths, dtype=np.int64), "lengths"))
        graph = helper.make_graph(
            [node],
            "g",
            [value("x", 1, [2, 2, 3])],
            [value("last", 1, [2, 3]), value("rows", 1, [2, 2, 3])],
            stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=4)
        x = ROWS.reshape(2, 2, 3)
        if lengths == [2, 1]:
            refused(model, {"x": x}, "shorter sequences")
            continue
        ordered = x[:, ::-1] if backward else x
        sums = 1 + np.cumsum(ordered, axis=1)
        found = enclose(model, x, np.ones(x.shape), 0, 0)
        checked = checked_at(model, {"x": x}, "x", np.ones(x.shape), (0, 0))
        for name, wanted in (("last", sums[:, -1]), ("rows", sums * ordered)):
            np.testing.assert_allclose(found[name][0], wanted, atol=1e-6)
            np.testing.assert_allclose(checked[name][0], wanted, atol=1e-6)


# --- all of them, nested at random ---


@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int) -> None:
    for seed in range(part, 40, 4):
        require_agreement(random_program(seed), {"x": X}, reference=False, width=2.0**-4)


# --- definitions in subgraphs, subgraphs in definitions, local functions ---


def test_composite_operators_in_a_loop() -> None:
    model = model_of("""agraph (float[4, 3] x) => (float[4, 3] y) <int64 n = {2}, bool yes = {1},
            float[3] w = {1, 2, 3}> {
        y = Loop (n, yes, x) <body = b (int64 i, bool c, float[4, 3] s) => (bool k, float[4, 3] o) {
            h = LayerNormalization <axis = -1> (s, w)
            g = Selu (h)
            f = CastLike (i, g)
            o = Add (g, f)
            k = Identity (c) }> }""")
    require_agreement(model, {"x": ROWS * ROWS}, width=2.0**-14)


def test_local_function_with_an_if_on_its_attribute() -> None:
    functions = """<domain: "local", opset_import: ["": 21]>
        pick <mode> (a) => (r) {
            m = Constant <value_int: int = @mode> ()
            zero = Constant <value_int: int = 0> ()
            up = Greater (m, zero)
            r = If (up) <then_branch = t () => (q) { q = Relu (a) },
                         else_branch = e () => (q) { q = Neg (a) }> }"""
    model = model_of(
        """agraph (float[3] x) => (float[3] y) {
            h = local.pick <mode = 1> (x)
            y = local.pick <mode = 0> (h) }""",
        functions=functions,
    )
    require_agreement(model, {"x": X}, reference=False)


# --- sequences ---


def test_sequence_that_a_loop_grows() -> None:
    model = model_of("""agraph (float[3] x) => (float[n] y, float[3] second, int64 many)
            <int64 trips = {3}, bool yes = {1}, int64 one = {1}, int64 last = {-1}> {
        none = SequenceEmpty <dtype = 1> ()
        rows = Loop (trips, yes, none) <body = b (int64 i, bool c, seq(float[3]) s)
                => (bool k, seq(float[3]) o) {
            f = Cast <to = 1> (i)
            r = Mul (x, f)
            o = SequenceInsert (s, r)
            k = Identity (c) }>
        less = SequenceErase (rows, last)
        front = SequenceInsert (less, x, one)
        second = SequenceAt (front, one)
        many = SequenceLength (front)
        y = ConcatFromSequence <axis = 0> (front) }""")
    values = require_agreement(model, {"x": X})
    assert values[0].shape == (9,) and values[2] == 3


@pytest.mark.parametrize("split", ["", "<int64 split = {3}>", "<int64[2] split = {1, 3}>"])
@pytest.mark.parametrize("keep", [0, 1])
def test_split_to_sequence(split: str, keep: int) -> None:
    given = ", split" if split else ""
    model = model_of(f"""agraph (float[4, 3] x) => (float[m, 3] y, float[p] first) {split} {{
        parts = SplitToSequence <axis = 0, keepdims = {keep}> (x{given})
        mapped = SequenceMap (parts) <body = b (float[k, 3] a) => (float[k, 3] r) {{
            h = Relu (a)
            r = Add (h, a) }}>
        zero = Constant <value_int = 0> ()
        head = SequenceAt (mapped, zero)
        minus = Constant <value_ints = [-1]> ()
        first = Reshape (head, minus)
        y = ConcatFromSequence <axis = 0, new_axis = {1 if not split and not keep else 0}> (mapped) }}""")
    # the runtime stumbles over keepdims where the split is given
    require_agreement(model, {"x": ROWS}, runs=keep or not split)


def test_optional_values() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y, bool there) {
        o = Optional (x)
        there = OptionalHasElement (o)
        y = If (there) <then_branch = t () => (float[3] a) { h = OptionalGetElement (o)  a = Neg (h) },
                        else_branch = e () => (float[3] a) { a = Identity (x) }> }""")
    values = require_agreement(model, {"x": X}, reference=False)
    assert values[1]


def test_sequences_as_outputs_are_refused() -> None:
    model = model_of("agraph (float[4, 3] x) => (seq(float[1, 3]) y) { y = SplitToSequence (x) }")
    with pytest.raises(ModelError, match="sequence"):
        Network(model, {"x": ROWS}, "x", ["y"])
    assert enclose(model, ROWS, np.ones((4, 3)), 0, 0) == {}


def test_sequences_have_places_that_do_not_move() -> None:
    model = model_of("""agraph (float[3] x) => (float[3] y) <int64 axis = {0}> {
        n = ArgMax <axis = 0, keepdims = 0> (x)
        s = SequenceConstruct (x, x, x)
        y = SequenceAt (s, n) }""")
    refused(model, {"x": X}, "a position must not depend", "a position moves")


# --- what is left of it ---


def test_unrolled_steps_are_those_that_outputs_need() -> None:
    """Conditions and iteration numbers leave no step."""
    network = Network(model_of(LOOP), {"x": X}, "x", ["y"])
    assert {step.node.op_type for step in network.steps} <= {"Relu", "Add", "Identity"}
    assert network.homogeneous


def test_audit_of_a_model_with_control_flow(tmp_path: Path) -> None:
    """A filter that runs as often as a loop says, in the branch that the shape decides; the ray included."""
    model = model_of("""agraph (float[1, 1, h, w] x) => (float[1, 1, h2, w2] y)
            <int64 three = {3}, bool yes = {1}, int64 four = {4}, int64 last = {3},
             float[1, 1, 3, 3] k = {0.1, 0.2, 0.1, 0.2, 0.6, -0.3, 0.1, -0.2, 0.1}> {
        s = Shape (x)
        wide = Gather (s, last)
        small = Less (wide, four)
        y = If (small) <
            then_branch = t () => (float[1, 1, a, b] r) { r = Identity (x) },
            else_branch = e () => (float[1, 1, a, b] r) {
                r = Loop (three, yes, x) <body = l (int64 i, bool c, float[1, 1, a, b] u)
                        => (bool c2, float[1, 1, a, b] v) {
                    f = Conv <pads = [1, 1, 1, 1]> (u, k)
                    v = Relu (f)
                    c2 = Identity (c) }> }> }""")
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    hypothesis = sl.BackMeanDiff(threshold=1.0, post_process=[sl.InputDiff(), sl.Abs()])
    result = sl.audit(path, small_nets.image(1), hypothesis=hypothesis, var=1.0)
    assert result.runtime_agrees and result.sup_p - result.inf_p <= 1e-6
    result.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit", model=path).model_checked
