"""The graph of a network behind which the leads of some classes over another one are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array

__all__ = ["LEADS", "Given", "graph_of_leads"]

LEADS, AHEAD = "overlap/leads", "overlap/ahead"
MOST_WEIGHTS = 1 << 24


@dataclass(frozen=True, eq=False)
class Given:
    """A network, all its inputs, and the one that moves, of so many elements."""

    network: onnx.ModelProto
    inputs: dict[str, Array]
    moving: str
    size: int

    def graph(self, nodes: Sequence[onnx.NodeProto], stored: dict[str, Array], output: str) -> CheckedGraph:
        """The network with further nodes, and one Boolean output; the line plays no part."""
        whole = onnx.ModelProto()
        whole.CopyFrom(self.network)
        whole.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in stored.items())
        whole.graph.node.extend(nodes)
        del whole.graph.output[:]
        whole.graph.output.append(helper.make_tensor_value_info(output, TensorProto.BOOL, None))
        slopes = [Fraction(k + 1) for k in range(self.size)]
        return CheckedGraph.build(whole, dict(self.inputs), self.moving, slopes, [output])


def graph_of_leads(given: Given, scores: str, chosen: int, others: Sequence[int]) -> tuple[CheckedGraph, int]:
    """The graph in which LEADS holds the score of each of the others minus that of the chosen class.

    Returns
    -------
    (CheckedGraph, int)
        The graph, and how many classes there are.

    Raises
    ------
    InvalidCertificate, UnusableCertificate
    """
    graph = given.network.graph
    made = {name for node in graph.node for name in node.output}
    if scores not in made:
        raise InvalidCertificate(f"the network has no tensor {scores!r}")
    if any(
        name.startswith("overlap/") for name in made | {v.name for v in (*graph.initializer, *graph.input)}
    ):
        raise UnusableCertificate("names of the network begin with overlap/")
    wide = helper.make_node("Cast", [scores], ["overlap/wide"], to=TensorProto.DOUBLE)
    zero = {"overlap/zero": np.array(0.0)}
    compared = helper.make_node("Greater", ["overlap/wide", "overlap/zero"], [AHEAD])
    count = math.prod(given.graph([wide, compared], zero, AHEAD).shapes[AHEAD])
    if max(chosen, *others) >= count:
        raise InvalidCertificate(f"the scores have {count} elements, and a class beyond them is named")
    if count * len(others) > MOST_WEIGHTS:
        raise UnusableCertificate(
            f"{len(others)} leads over one of {count} classes are too many to be checked"
        )
    matrix = np.zeros((count, len(others)))
    matrix[others, range(len(others))] = 1
    matrix[chosen] = -1
    stored = {**zero, "overlap/row": np.array([1, count]), "overlap/matrix": matrix}
    nodes = [
        wide,
        helper.make_node("Reshape", ["overlap/wide", "overlap/row"], ["overlap/scores"]),
        helper.make_node("MatMul", ["overlap/scores", "overlap/matrix"], [LEADS]),
        helper.make_node("Greater", [LEADS, "overlap/zero"], [AHEAD]),
    ]
    return given.graph(nodes, stored, AHEAD), count
