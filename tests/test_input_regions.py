"""Regions of inputs: cells of a grid, and maps between their middles."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime import InferenceSession
from perturbed import linear

from symbolic.explanations.graph import Graph
from symbolic.explanations.regions import Regions, upsampling


def labels_of(shape: list[int], division: Any) -> Regions:
    net, _ = linear(shape)
    return Regions(Graph(net).tensor("x"), division)


def test_cells_of_a_grid_are_as_equal_as_can_be() -> None:
    found = labels_of([1, 8, 5], 3)
    assert found.cells == (3, 3) and found.count == 9 and found.labels.shape == (1, 8, 5)
    np.testing.assert_array_equal(found.labels[0, :, 0], [0, 0, 0, 3, 3, 6, 6, 6])
    np.testing.assert_array_equal(found.labels[0, 0], [0, 0, 1, 2, 2])
    assert labels_of([3, 4, 4], (2, 9)).cells == (2, 4)
    assert labels_of([10], 4).labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    for length, cells in product(range(1, 12), range(1, 12)):
        sizes = np.bincount(labels_of([length], cells).labels)
        assert len(sizes) == min(cells, length) and sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("cells", "length"), [(2, 7), (3, 12), (5, 5), (4, 9), (1, 4)])
@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_upsampling_is_that_of_the_standard(cells: int, length: int, kernel: str) -> None:
    node = helper.make_node(
        "Resize", ["x", "", "", "s"], ["y"], mode=kernel, coordinate_transformation_mode="half_pixel",
        cubic_coeff_a=-0.75, antialias=0,
    )  # fmt: skip
    ports = [helper.make_tensor_value_info(n, 1, [1, 1, 1, k]) for n, k in (("x", cells), ("y", length))]
    size = onnx.numpy_helper.from_array(np.array([1, 1, 1, length]), "s")
    graph = helper.make_graph([node], "resize", ports[:1], ports[1:], [size])
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    x = np.random.default_rng(0).normal(size=(1, 1, 1, cells)).astype(np.float32)
    resized = InferenceSession(net.SerializeToString()).run(None, {"x": x})[0][0, 0, 0]
    np.testing.assert_allclose(upsampling(cells, length, kernel) @ x[0, 0, 0], resized, atol=1e-5)
