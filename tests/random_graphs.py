"""Random small ONNX networks that use every supported operator, each with a line through its input.

``random_case(rng, ...)`` is the generator; ``cases(...)`` is a hypothesis strategy around it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import random_movement
import random_quantised
import random_recurrent
import random_reductions
import random_sampling
import random_scatter
import random_smooth
import random_windows
import twin
from graph_builder import NUMPY, Builder, Rejected, Tensor
from hypothesis import strategies as st
from onnx import TensorProto, helper
from quicktions import Fraction
from random_operators import MAKERS, SMOOTH

__all__ = ["MAKERS", "SMOOTH", "Case", "cases", "operator_counts", "random_case", "suite"]

OPSETS = [9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 21, 22, 24, 24, 26, 26, 26, 26]


@dataclass(frozen=True)
class Case:
    """A network with a discrete output and the line x(t) = observed + direction * t in one of its inputs."""

    model: onnx.ModelProto
    moving: str
    observed: np.ndarray
    direction: np.ndarray
    other: dict[str, np.ndarray]
    smooth: bool

    def point(self, t: Fraction) -> dict[str, np.ndarray]:
        """The inputs at t, exactly."""
        x = twin.exact_array(self.observed) + twin.exact_array(self.direction) * t
        return {self.moving: x, **self.other}

    def at(self, t: Fraction) -> dict[str, np.ndarray]:
        """Exact value of every tensor at t."""
        return twin.evaluate(self.model, self.point(t))


def operator_counts(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(node.op_type for node in model.graph.node)


def random_case(
    rng: np.random.Generator,
    *,
    smooth: bool,
    prefer: Sequence[str] = (),
    nodes: int | None = None,
    wild: bool = False,
    restless: bool = False,
) -> Case:
    """A random network.

    Parameters
    ----------
    rng
        Source of everything.
    smooth
        False: piecewise linear along the line. True: with Exp, Sigmoid, products of moving tensors, ...
    prefer
        Operators to be put in where they fit.
    nodes
        About how many nodes; default 3 to 12.
    wild
        Subnormal and huge weights, neighbouring numbers, many zeros and duplicates.
    restless
        Limits, weights and offsets may move.
    """
    while True:
        try:
            return _attempt(rng, smooth, list(prefer), nodes or int(rng.integers(3, 13)), wild, restless)
        except Rejected:
            continue


@functools.cache
def suite(count: int) -> tuple[Case, ...]:
    """The first so many networks of a fixed sequence; operators that are rare so far come first."""
    counts = Counter(dict.fromkeys(MAKERS, 0))
    made = []
    for number in range(count):
        rare = sorted(counts, key=lambda name: (counts[name], name))[:12]
        rng = np.random.default_rng([2024, number])
        smooth = number % 10 not in (0, 4, 7)
        made.append(random_case(rng, smooth=smooth, prefer=rare, nodes=int(rng.integers(6, 18))))
        counts.update(operator_counts(made[-1].model))
    return tuple(made)


def _attempt(
    rng: np.random.Generator, smooth: bool, prefer: list[str], nodes: int, wild: bool, restless: bool
) -> Case:
    b = Builder(
        rng,
        opset=OPSETS[int(rng.integers(len(OPSETS)))],
        type=TensorProto.FLOAT if rng.random() < 0.7 else TensorProto.DOUBLE,
        smooth=smooth,
        generic=bool(rng.random() < 0.5),
        wild=wild,
        restless=restless,
    )
    rank = b.integer(1, 4)
    shape = (
        [b.integer(1, 2), b.integer(1, 4), b.integer(2, 5), b.integer(2, 4)][:rank]
        if rank > 1
        else [b.integer(2, 24)]
    )
    while np.prod(shape) > 60:
        shape[int(np.argmax(shape))] -= 1
    observed, direction = b.numbers(shape), b.numbers(shape)
    if b.coin(0.3):  # a background that is constant, and one that does not move
        observed[b.rng.random(shape) < 0.3] = 0
        direction[b.rng.random(shape) < 0.3] = 0
    if not direction.any():
        direction.reshape(-1)[0] = 1
    moving = b.add_input("x", observed, moving=True)
    other = {}
    if b.coin(0.3):
        other["fixed"] = b.numbers(shape if b.coin() else [1])
        b.add_input("fixed", other["fixed"], moving=False)
    _grow(b, prefer, nodes)
    selection = _finish(b)
    return Case(_model(b, selection), moving.name, observed, direction, other, smooth)


def _grow(b: Builder, prefer: list[str], nodes: int) -> None:
    names = [name for name in MAKERS if b.smooth or name not in SMOOTH]
    tries = 0
    while len(b.nodes) < nodes and tries < 60:
        tries += 1
        wanted = [name for name in prefer if name in names]
        name = b.choose(wanted) if wanted and b.coin(0.7) else b.choose(names)
        mark = b.mark()
        try:
            MAKERS[name](b)
        except (Rejected, OverflowError):
            b.rewind(mark)
        else:
            prefer = [p for p in prefer if p != name]


def _finish(b: Builder) -> Tensor:
    """A discrete output: threshold, argmax, comparison, normalised threshold."""
    mark = b.mark()
    for _ in range(60):
        kind = b.integer(0, 3)
        try:
            score = b.pick(lambda t: t.rank > 0)
            ties = b.coin(0.05)
            if len(set(b.spread(score))) < max(score.value.size, 2 if kind == 3 else 1) and not ties:
                raise Rejected("ties")
            if kind == 0:
                return b.node(
                    "Greater", [score, b.constant(NUMPY[b.type](b.near(score)))], type=TensorProto.BOOL
                )[0]
            if kind == 1:
                axis = b.integer(0, score.rank - 1)
                return b.node("ArgMax", [score], type=TensorProto.INT64, axis=axis, keepdims=b.integer(0, 1))[
                    0
                ]
            if kind == 2:
                other = b.pick(lambda t, s=score: t.shape == s.shape)
                if not ties and any(twin.bounds(d)[0] == 0 for d in (score.value - other.value).reshape(-1)):
                    raise Rejected("ties")
                name = b.choose(
                    ["Greater", "Less"] + (["GreaterOrEqual", "LessOrEqual"] if b.opset >= 12 else [])
                )
                return b.node(name, [score, other], type=TensorProto.BOOL)[0]
            top = b.node("ReduceMax", [score], keepdims=1)[0]
            bottom = b.node("ReduceMin", [score], keepdims=1)[0]
            shifted, span = b.node("Sub", [score, bottom])[0], b.node("Sub", [top, bottom])[0]
            level = b.node("Mul", [span, b.constant(NUMPY[b.type](b.integer(1, 7) / 8))])[0]
            return b.node("Greater", [shifted, level], type=TensorProto.BOOL)[0]
        except (Rejected, OverflowError):
            b.rewind(mark)
    raise Rejected("no discrete output")


def _model(b: Builder, selection: Tensor) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(t.name, t.type, t.shape) for t in b.inputs]
    outputs = [helper.make_tensor_value_info(selection.name, selection.type, selection.shape)]
    ends = {t.name for t in (*b.inputs, selection)}
    inner = [helper.make_tensor_value_info(t.name, t.type, t.shape) for t in b.tensors if t.name not in ends]
    graph = helper.make_graph(b.nodes, "random", inputs, outputs, b.initializers, value_info=inner)
    imports = [helper.make_opsetid("", b.opset)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=min(helper.find_min_ir_version_for(imports), 10)
    )


def cases(*, smooth: bool | None = None) -> st.SearchStrategy[Case]:
    """Random networks for hypothesis; shrinking looks for a smaller seed and fewer nodes."""

    def build(seed: int, is_smooth: bool, nodes: int, prefer: list[str]) -> Case:
        return random_case(np.random.default_rng(seed), smooth=is_smooth, prefer=prefer, nodes=nodes)

    return st.builds(
        build,
        st.integers(0, 2**32 - 1),
        st.booleans() if smooth is None else st.just(smooth),
        st.integers(3, 12),
        st.lists(st.sampled_from(sorted(MAKERS)), max_size=6, unique=True),
    )


# imported because they register their makers
assert all(
    (
        random_movement,
        random_quantised,
        random_recurrent,
        random_reductions,
        random_sampling,
        random_scatter,
        random_smooth,
        random_windows,
    )
)
