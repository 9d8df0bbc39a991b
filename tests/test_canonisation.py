"""Linear layers with their neighbours merged compute what the network computes; and what is not merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from explained_nets import model
from onnx import ModelProto, NodeProto, helper

import sureline as sl
from symbolic.explanations.canonisation import merged_layers
from symbolic.explanations.graph import Graph
from symbolic.explanations.linear_layers import Layer
from symbolic.explanations.method import Method
from symbolic.explanations.readying import readied
from symbolic.explanations.running import values_of

RNG = np.random.default_rng(11)


@dataclass
class Case:
    """A layer's type, its weights, the shapes around it and its attributes."""

    kind: str
    weight: tuple[int, ...]
    x: tuple[int, ...]
    y: tuple[int, ...]
    outputs: int
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def axis(self) -> int:
        """Where channels lie."""
        return 1 if "Conv" in self.kind else len(self.x)


CASES = {
    "padded": Case("Conv", (4, 2, 3, 3), (2, 6, 5), (4, 6, 5), 4, {"pads": [1] * 4}),
    "not padded": Case("Conv", (4, 2, 3, 3), (2, 6, 5), (4, 4, 3), 4),
    "strided in groups": Case(
        "Conv", (6, 2, 3, 2), (4, 7, 8), (6, 4, 4), 6, {"pads": [1, 0, 2, 1], "strides": [2, 2], "group": 2}
    ),
    "dilated": Case("Conv", (3, 2, 3), (2, 9), (3, 9), 3, {"pads": [2, 2], "dilations": [2]}),
    "same": Case("Conv", (3, 2, 2), (2, 5), (3, 3), 3, {"auto_pad": "SAME_LOWER", "strides": [2]}),
    "transposed": Case(
        "ConvTranspose", (4, 3, 3, 3), (4, 3, 4), (6, 6, 7), 6,
        {"group": 2, "strides": [2, 2], "pads": [1, 0, 0, 2], "output_padding": [0, 0]},
    ),
    "transposed with room": Case(
        "ConvTranspose", (2, 3, 2), (2, 4), (3, 9), 3, {"strides": [2], "output_padding": [1]}
    ),
    "gemm": Case("Gemm", (5, 3), (5,), (3,), 3, {"alpha": 0.5, "beta": 2.0}),
    "gemm turned": Case("Gemm", (3, 5), (5,), (3,), 3, {"transB": 1}),
    "matmul": Case("MatMul", (5, 3), (5,), (3,), 3),
    "matmul of sequences": Case("MatMul", (5, 3), (4, 5), (4, 3), 3),
}  # fmt: skip


class Net:
    """A chain of nodes and their constants, which grows."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Any] = {}
        self.last = "x"

    def put(self, kind: str, *constants: np.ndarray, first: bool = True, **how: Any) -> Net:
        names = [f"c{len(self.weights) + k}" for k in range(len(constants))]
        self.weights.update(zip(names, constants, strict=True))
        given = [self.last, *names] if first else [*names, self.last]
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, given, [self.last], f"{kind} {len(self.nodes)}", **how))
        return self

    def affine(self, channels: int, ndim: int, axis: int, normalise: bool) -> Net:
        """Everything that is merged, with different numbers."""

        def vector() -> np.ndarray:
            shape = [1] * ndim
            shape[axis] = channels
            return RNG.uniform(0.5, 2, channels).reshape(shape)

        if normalise:
            gamma, beta, mean = RNG.normal(size=(3, channels))
            self.put("BatchNormalization", gamma, beta, mean, RNG.uniform(0.5, 2, channels), epsilon=0.1)
        self.put("Sub", vector()).put("Div", vector()).put("Identity").put("Mul", vector(), first=False)
        return self.put("Add", np.array(0.3)).put("Sub", vector(), first=False)

    def layer(self, case: Case) -> Net:
        weight = RNG.normal(size=case.weight)
        biases = [] if case.kind == "MatMul" else [RNG.normal(size=case.outputs)]
        return self.put(case.kind, weight, *biases, **case.how)

    def layers(
        self, x: tuple[int, ...], y: tuple[int, ...], dtype: type = np.float64
    ) -> tuple[Graph, dict[str, Layer], set[str]]:
        self.nodes[-1].output[0] = self.last = "y"
        graph = Graph(readied(model(self.nodes, self.weights, ["N", *x], ["N", *y], dtype)))
        moving = {"x", *(node.output[0] for node in self.nodes)}
        return graph, *merged_layers(graph, list(graph.proto.graph.node), "y", moving)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_the_merged_layer_is_the_chain(name: str, before: bool, behind: bool) -> None:
    case, net = CASES[name], Net()
    normalise = case.axis == 1
    rank = len(case.x) + 1
    if before:
        net.affine(case.x[0 if normalise else -1], rank, case.axis, normalise)
    net.layer(case)
    if behind:
        net.affine(case.outputs, rank, case.axis, normalise)
    single = case.kind == "ConvTranspose"  # groups of it run in float32 alone
    graph, layers, merged = net.layers(case.x, case.y, np.float32 if single else np.float64)
    (layer,) = layers.values()
    assert len(merged) == len(net.nodes) - 1
    assert (layer.source, layer.output) == ("x", net.last)
    graph.output(layer.apply(layer.x, layer.weight, layer.bias), "again")
    x = RNG.normal(size=(2, *case.x)).astype(np.float32 if single else np.float64)
    (found,) = values_of(graph.proto, [net.last, "again"], [{"x": x}])
    tolerance = 1e-5 if single else 1e-12
    np.testing.assert_allclose(found[1], found[0], rtol=tolerance, atol=tolerance * np.abs(found[0]).max())


def test_between_two_layers_it_belongs_to_the_one_before() -> None:
    net = Net().layer(CASES["padded"]).affine(4, 4, 1, True)
    middle = net.last
    net.put("Conv", RNG.normal(size=(4, 4, 1, 1)))
    _, layers, _ = net.layers((2, 6, 5), (4, 6, 5))
    one, other = layers.values()
    assert one.output == other.source == middle


VECTOR = RNG.normal(size=(2, 1, 1))
STAYS = {
    "several channels made of one": (1, Net().put("Add", VECTOR)),
    "a constant by place": (2, Net().put("Add", RNG.normal(size=(2, 6, 5)))),
    "a function between": (2, Net().put("Add", VECTOR).put("Relu")),
    "something by what moves": (2, Net().put("Div", VECTOR, first=False)),
}


@pytest.mark.parametrize("why", STAYS)
def test_what_is_no_map_of_channels_stays(why: str) -> None:
    channels, net = STAYS[why]
    middle = net.last
    _, layers, merged = net.layer(CASES["padded"]).layers((channels, 6, 5), (4, 6, 5))
    (layer,) = layers.values()
    assert layer.source == middle and not merged


def test_what_is_read_elsewhere_stays() -> None:
    net = Net().put("Add", VECTOR)
    middle = net.last
    net.layer(CASES["padded"]).put("ReduceSum", np.array([1]))
    net.nodes.append(helper.make_node("ReduceMax", [middle], ["top"], keepdims=1))
    net.nodes.append(helper.make_node("Add", [net.last, "top"], ["sum"]))
    _, layers, merged = net.layers((2, 6, 5), (1, 6, 5))
    (layer,) = layers.values()
    assert layer.source == middle and not merged


RULES = [
    sl.LrpZ(),
    sl.LrpEpsilon(0.1),
    sl.LrpAlphaBeta(),
    sl.LrpGamma(),
    sl.LrpWSquare(),
    sl.LrpFlat(),
    sl.LrpBounded(-3, 3),
]


def normalised(folded: bool, how: str) -> ModelProto:
    """A convolution and what scales it, as nodes of their own or folded by hand."""
    rng = np.random.default_rng(7)
    w, b = rng.normal(size=(4, 1, 3, 3)), rng.normal(size=4)
    gamma, beta, mean, var = (
        rng.normal(size=4),
        rng.normal(size=4),
        rng.normal(size=4),
        rng.uniform(0.5, 2, 4),
    )
    scale = gamma / np.sqrt(var + 1e-3) if how == "BatchNormalization" else gamma
    shift = beta - mean * scale if how == "BatchNormalization" else beta
    weights = {"w": w, "b": b, "v": rng.normal(size=(64, 3)), "u": rng.normal(size=3)}
    if folded:
        weights |= {"w": w * scale[:, None, None, None], "b": b * scale + shift}
        middle = [helper.make_node("Identity", ["c"], ["n"])]
    elif how == "BatchNormalization":
        weights |= {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
        middle = [
            helper.make_node(how, ["c", "gamma", "beta", "mean", "var"], ["n"], epsilon=1e-3),
        ]
    else:
        weights |= {"gamma": gamma[:, None, None], "beta": beta[:, None, None]}
        middle = [
            helper.make_node("Mul", ["gamma", "c"], ["m"]),
            helper.make_node("Add", ["m", "beta"], ["n"]),
        ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv"),
        *middle,
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["l"]),
        helper.make_node("Add", ["l", "u"], ["y"]),
    ]
    return model(nodes, weights, ["N", 1, 6, 6], ["N", 3], np.float64)


@pytest.mark.parametrize("how", ["BatchNormalization", "Mul and Add"])
@pytest.mark.parametrize("method", RULES)
def test_what_follows_a_layer_is_merged(method: Method, how: str) -> None:
    images = np.random.default_rng(1).normal(size=(3, 1, 6, 6))
    one = sl.explain(normalised(False, how), method, 1)(images)
    other = sl.explain(normalised(True, how), method, 1)(images)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-9)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-12)


def folded_or_not(folded: bool, pads: int) -> ModelProto:
    """Two branches of normalised pixels, (x - 0.4) / 0.25, or with that in their weights, if not padded."""
    rng = np.random.default_rng(3)
    u, v = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(3, 2, 3, 3))
    b, head = rng.normal(size=3), rng.normal(size=(3 * (4 + 2 * pads) ** 2, 2))
    if folded:
        b_u, b_v = (b - w.sum(axis=(1, 2, 3)) * 0.4 / 0.25 for w in (u, v))
        u, v, first = u / 0.25, v / 0.25, [helper.make_node("Identity", ["x"], ["n"])]
    else:
        b_u = b_v = b
        first = [
            helper.make_node("Sub", ["x", "mean"], ["m"]),
            helper.make_node("Div", ["m", "deviation"], ["n"]),
        ]
    how = {"pads": [pads] * 4}
    nodes = [
        *first,
        helper.make_node("Conv", ["n", "u", "b_u"], ["one"], **how),
        helper.make_node("Conv", ["n", "v", "b_v"], ["two"], **how),
        helper.make_node("Relu", ["one"], ["r"]),
        helper.make_node("Add", ["r", "two"], ["s"]),
        helper.make_node("Flatten", ["s"], ["f"]),
        helper.make_node("MatMul", ["f", "head"], ["y"]),
    ]
    weights = {
        "u": u, "v": v, "b_u": b_u, "b_v": b_v, "head": head, "mean": np.full((2, 1, 1), 0.4),
        "deviation": np.full((1, 2, 1, 1), 0.25),
    }  # fmt: skip
    return model(nodes, weights, ["N", 2, 6, 6], ["N", 2], np.float64)


@pytest.mark.parametrize("method", RULES)
def test_normalised_pixels_are_merged_into_all_that_read_them(method: Method) -> None:
    x = np.random.default_rng(1).uniform(size=(3, 2, 6, 6))
    one, other = (sl.explain(folded_or_not(folded, 0), method, 1)(x) for folded in (False, True))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-9)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-12)


def test_where_borders_are_padded_the_merged_bias_depends_on_the_place() -> None:
    """LRP-0 of a net of ReLUs is input times gradient: its denominators are the net's own values."""
    net, x = folded_or_not(False, 1), np.random.default_rng(1).uniform(size=(3, 2, 6, 6))
    _, relevance = sl.explain(net, sl.LrpZ(), 1)(x)
    _, product = sl.explain(net, sl.InputXGradient(), 1)(x)
    np.testing.assert_allclose(relevance, product, rtol=1e-9, atol=1e-10)
    _, positive = sl.explain(net, sl.LrpAlphaBeta(stabiliser=1e-12), 1)(x)
    _, without = sl.explain(net, sl.LrpAlphaBeta(stabiliser=1e-12, bias=False), 1)(x)
    assert np.abs(positive - without).max() > 1e-3


@pytest.mark.parametrize("bias", [True, False])
def test_normalisation_that_is_not_merged_is_a_layer_with_its_shift(bias: bool) -> None:
    rng = np.random.default_rng(8)
    gamma, beta, mean, var = (*rng.normal(size=(3, 6)), rng.uniform(0.5, 2, 6))
    x = rng.normal(size=(4, 6))
    nodes = [
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "var"], ["n"], epsilon=0.125),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Gemm", ["r", "w"], ["y"]),
    ]
    weights = {"gamma": gamma, "beta": beta, "mean": mean, "var": var, "w": rng.normal(size=(6, 2))}
    net = model(nodes, weights, ["N", 6], ["N", 2], np.float64)
    y, found = sl.explain(net, sl.LrpEpsilon(0.1, bias=bias), 1)(x)
    scale = gamma / np.sqrt(var + 0.125)
    n = (x - mean) * scale + beta
    wanted = np.maximum(n, 0) * weights["w"][:, 1] * (y / (y + np.where(y >= 0, 0.1, -0.1)))[:, 1:]
    if bias:
        wanted *= x * scale / (n + np.where(n >= 0, 0.1, -0.1))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
