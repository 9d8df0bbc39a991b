"""Truncation sets of parts of a line, and of small networks on which bounds and sweep are weak: all engines
find the same, and nothing that is undecided is left out.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sweep_nets import node

import sureline as sl

F = Fraction
ENGINES = ["search", "sweep", "auto", "z3", "cvxpy"]


def selection(nodes: list[onnx.NodeProto], **constants: float) -> onnx.ModelProto:
    """From one number x to y, in doubles."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1])],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, [1])],
        [numpy_helper.from_array(np.array([v]), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def far_from_zero() -> onnx.ModelProto:
    """|x| > 1/2, with a jump inside."""
    nodes = [
        node("Less", "x zero", "c"),
        node("Neg", "x", "n"),
        node("Where", "c n x", "w"),
        node("Greater", "w t", "y"),
    ]
    return selection(nodes, zero=0.0, t=0.5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("lo", "hi", "expected"),
    [
        (None, None, [(-inf, F(-3, 2)), (F(-1, 2), inf)]),
        (-100, 100, [(-100, F(-3, 2)), (F(-1, 2), 100)]),
        (None, 4, [(-inf, F(-3, 2)), (F(-1, 2), 4)]),
        ("1/3", "10/3", [(F(1, 3), F(10, 3))]),
        (5, 7, [(5, 7)]),
        (F(-5, 4), -1, []),
        (1, 1 + F(1, 10**30), [(1, 1 + F(1, 10**30))]),
    ],
)
def test_a_part_is_decided_exactly(engine: str, lo: Any, hi: Any, expected: list[Any]) -> None:
    found = sl.truncation_set(far_from_zero(), [1.0], [1.0], lo, hi, engine=engine)
    assert list(found.intervals) == expected and found.gaps == ()


@pytest.mark.parametrize("engine", ["search", "auto", "z3"])
def test_parts_that_doubles_do_not_hold(engine: str) -> None:
    found = sl.truncation_set(far_from_zero(), [1.0], [1.0], -(10**400), "1e400", engine=engine)
    assert found.cells[0].lo == -(10**400) and found.cells[-1].hi == 10**400
    assert str(found).startswith("[-inf, -1.5] [-0.5, inf]" if not found.gaps else "[")


def test_what_is_undecided_is_listed() -> None:
    """Also where it ends at an end of the part."""
    nodes = [node("Exp", "x", "e"), node("Greater", "e t", "y")]
    model = selection(nodes, t=1.5)
    found = sl.truncation_set(model, [0.0], [1.0], -50, 100, at=1, max_iter=1, engine="search")
    held = [
        *found.intervals,
        *found.gaps,
        *((1 + c.lo, 1 + c.hi) for c in found.cells if c.verdict == "outside"),
    ]
    assert sum(hi - lo for lo, hi in held) == 150
    assert found.gaps[0][0] == -50 and found.gaps[-1][1] == 100


def audited(nodes: list[onnx.NodeProto], constants: dict[str, Any], width: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])],
        [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def twins(first: float, second: float) -> onnx.ModelProto:
    """A mask of the greatest of two units that are the same, times the input."""
    nodes = [
        node("Gemm", "x w", "a"),
        node("Greater", "a z", "g"),
        node("Cast", "g", "c", to=TensorProto.FLOAT),
        node("Mul", "c a", "s"),
        node("ReduceMax", "s", "m", axes=[1], keepdims=1),
        node("Less", "s m", "l"),
        node("Not", "l", "n"),
        node("Cast", "n", "k", to=TensorProto.FLOAT),
        node("Mul", "k x", "y"),
    ]
    return audited(nodes, {"w": [[first, first], [second, second]], "z": 0.1}, 2)


def saliency_of_twins() -> onnx.ModelProto:
    """A sweep proves nothing of it."""
    nodes = [
        node("MatMul", "x w", "a"),
        node("ReduceMax", "a", "m", axes=[1], keepdims=1),
        node("Less", "a m", "l"),
        node("Neg", "x", "n"),
        node("Where", "l n x", "y"),
    ]
    return audited(nodes, {"w": [[0.3, 0.3], [-0.7, -0.7]]}, 2)


def dead_half() -> onnx.ModelProto:
    """|x w| of columns that are equal: far out a tie at a single point."""
    w = [[2, 2, 0.5], [0.25, 0.25, 1], [1.3706038, 1.3706038, -0.2]]
    return audited([node("MatMul", "x w", "a"), node("Abs", "a", "y")], {"w": w}, 3)


SMALL = {
    "twins, one sign": (twins(1, 1), 2, {"threshold": 0.5}),
    "twins, both signs": (twins(1, -0.7), 2, {"threshold": 0.5}),
    "twins, slanted": (twins(0.3, 1.3706), 2, {"threshold": 0.5}),
    "saliency of twins": (saliency_of_twins(), 2, {"threshold": 0.5}),
    "normalised": (dead_half(), 3, {"threshold": 0.75, "use_norm": True}),
}


@pytest.mark.parametrize("engine", ["search", "sweep", "auto"])
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_are_decided_as_by_z3(name: str, engine: str, tmp_path: Path) -> None:
    model, width, how = SMALL[name]
    x = np.array([[1.5, 0.25, -0.5][:width]], np.float32)
    exact = sl.audit(model, x, hypothesis=sl.BackMeanDiff(**how), var=1, engine="z3")
    found = sl.audit(model, x, hypothesis=sl.BackMeanDiff(**how), var=1, engine=engine)
    assert (found.inf_p, found.sup_p) == pytest.approx((exact.inf_p, exact.sup_p), rel=1e-12)
    assert [(e.lo, e.hi) for e in found.end_points] == [(e.lo, e.hi) for e in exact.end_points]
    assert all(end.exact for end in found.end_points)
    found.certificate.save(tmp_path / "audit")
    assert sl.check(tmp_path / "audit").valid


def test_stairs_without_end() -> None:
    """cvxpy looks at the part that matters only; all linear regions are refused."""
    nodes = [node("Floor", "x", "f"), node("Greater", "f t", "y")]
    model = selection(nodes, t=0.5)
    found = sl.truncation_set(model, [0.0], [1.0], at=2, engine="cvxpy")
    assert found.intervals == ((1, 12),) and found.gaps == ((-inf, -8), (12, inf))
    for lo, hi in ((None, None), (0, None), (None, 0)):
        with pytest.raises(sl.ModelError, match="do not end before z = .*: give lo and hi"):
            sl.linear_regions(model, [0.0], [1.0], lo, hi)
    assert len(sl.linear_regions(model, [0.0], [1.0], 0, 8)) == 8


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sl.InputError, match="lo is 2, not less than hi"):
        sl.truncation_set(far_from_zero(), [1.0], [1.0], 2, 1)
    with pytest.raises(sl.InputError, match="a has shape"):
        sl.truncation_set(far_from_zero(), [1.0], [[1.0]])
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with pytest.raises(sl.OptionError, match="is a file; name a folder"):
        sl.truncation_set(far_from_zero(), [1.0], [1.0], engine="z3", smt_folder=file)
    with pytest.raises(sl.InputError, match="leave float64 on the segment"):
        sl.swept_regions(dead_half(), [[1e308] * 3], [[1.0] * 3], -1, 1)
