"""Damage for `fuzz.py`: little in an ONNX file that asks for much."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fuzzing.mutations import Rng, pick

__all__ = ["bomb", "functions", "nested"]


def bomb(model: onnx.ModelProto, rng: Rng) -> None:
    """Little that asks for much."""
    graph, name = model.graph, model.graph.input[0].name if model.graph.input else "x"
    sizes = np.array([pick(rng, [2, 2**10, 2**20, 2**31, 2**40]) for _ in range(int(rng.integers(1, 4)))])
    graph.initializer.append(numpy_helper.from_array(sizes.astype(np.int64), "sizes"))
    graph.initializer.append(numpy_helper.from_array(sizes.astype(np.float32), "factors"))
    first = int(sizes[0])
    one = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("i", 7, []), ("go", 9, []), ("v", 1, None))],
        [helper.make_tensor_value_info(n, k, s) for n, k, s in (("on", 9, []), ("w", 1, None))],
    )
    graph.initializer.append(numpy_helper.from_array(np.array(first), "first"))
    makes: list[Callable[[], onnx.NodeProto]] = [
        lambda: helper.make_node("ConstantOfShape", ["sizes"], ["big"]),
        lambda: helper.make_node("Expand", [name, "sizes"], ["big"]),
        lambda: helper.make_node("Tile", [name, "sizes"], ["big"]),
        lambda: helper.make_node("Resize", [name, "", "factors"], ["big"]),
        lambda: helper.make_node("Pad", [name, "sizes"], ["big"]),
        lambda: helper.make_node("OneHot", ["sizes", "first", "factors"], ["big"]),
        lambda: helper.make_node("Range", ["first", "first", "sizes"], ["big"]),
        lambda: helper.make_node("Loop", ["first", "", name], ["big"], body=one),
        lambda: helper.make_node("HannWindow", ["first"], ["big"]),
        lambda: helper.make_node("DFT", [name, "first"], ["big"]),
        lambda: helper.make_node("RandomNormal", [], ["big"], shape=sizes.tolist()),
        lambda: helper.make_node("MaxPool", [name], ["big"], kernel_shape=[first], pads=[first - 1] * 2),
        lambda: helper.make_node("LpPool", [name], ["big"], kernel_shape=[2], dilations=[first]),
        lambda: helper.make_node("MelWeightMatrix", ["first"] * 5, ["big"]),
        lambda: helper.make_node("SplitToSequence", [name, "first"], ["big"]),
    ]
    graph.node.insert(0, pick(rng, makes)())
    if rng.random() < 0.7 and len(graph.node) > 1 and graph.node[1].input:
        graph.node[1].input[0] = "big"
    else:
        graph.output.append(helper.make_tensor_value_info("big", 1, None))


def functions(model: onnx.ModelProto, rng: Rng) -> None:
    """Local functions that call one another: in a circle, or twice each."""
    depth, circle = int(rng.integers(1, 60)), rng.random() < 0.4
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for k in range(depth):
        inner = (k + 1) % depth if circle else k + 1
        call = ("local", f"f{inner}") if circle or k + 1 < depth else ("", "Relu")
        nodes = [helper.make_node(call[1], [a], [b], domain=call[0]) for a, b in (("x", "h"), ("h", "y"))]
        model.functions.append(helper.make_function("local", f"f{k}", ["x"], ["y"], nodes, imports))
    model.opset_import.append(helper.make_opsetid("local", 1))
    if model.graph.node and model.graph.node[0].input:
        made = helper.make_node("f0", [model.graph.node[0].input[0]], ["called"], domain="local")
        model.graph.node[0].input[0] = "called"
        model.graph.node.insert(0, made)


def nested(model: onnx.ModelProto, rng: Rng) -> None:
    """Branches in branches."""
    graph = model.graph
    if not graph.node or not graph.node[-1].output:
        return
    name = graph.node[-1].output[0]
    graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    out = helper.make_tensor_value_info("leaf0", 1, None)
    inner = helper.make_graph([helper.make_node("Relu", [name], ["leaf0"])], "g", [], [out])
    for k in range(1, int(pick(rng, [2, 10, 30, 60, 150]))):
        branch = helper.make_node(
            "If", ["yes"], [f"leaf{k}"], then_branch=inner, else_branch=inner if k < 8 else None
        )
        if k >= 8:
            branch.attribute.append(helper.make_attribute("else_branch", helper.make_graph([], "e", [], [])))
        inner = helper.make_graph([branch], "g", [], [helper.make_tensor_value_info(f"leaf{k}", 1, None)])
    graph.node.append(helper.make_node("If", ["yes"], ["nested"], then_branch=inner, else_branch=inner))
    graph.output.append(helper.make_tensor_value_info("nested", 1, None))
