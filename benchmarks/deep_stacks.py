"""Deep stacks of convolutions with a class-activation map, where bounds alone decide nothing.

Random networks as in the VGG family: blocks of 3x3 convolutions with He-initialised weights, poolings between
them, a 1x1 convolution to the map, and bilinear interpolation back to the size of the input.

`python benchmarks/deep_stacks.py [--depth 13] [--seeds 4] [--engines sweep]` audits inputs of noise with the
map thresholded at half its range, until p is known to 1e-3, and prints the times of the second audit.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent.parent))

STACKS = {
    7: ((2, 2, 3), (8, 16, 32), 32),
    13: ((2, 2, 3, 3, 3), (8, 16, 32, 32, 32), 64),
    25: ((5, 5, 5, 5, 5), (8, 16, 32, 32, 32), 64),
}
"""By the number of convolutions: convolutions and channels of every block, and the side of the input."""


def stack(depth: int, seed: int) -> tuple[onnx.ModelProto, int]:
    """The network, and the side of its input."""
    blocks, channels, side = STACKS[depth]
    rng = np.random.default_rng(seed)
    nodes, stored, at, width = [], [], "x", 1

    def convolved(inputs: int, outputs: int, size: int) -> str:
        name = f"c{len(nodes)}"
        weights = rng.normal(size=(outputs, inputs, size, size)) * np.sqrt(2 / (inputs * size * size))
        bias = rng.normal(size=outputs) * 0.01
        for kind, values in (("w", weights), ("b", bias)):
            stored.append(numpy_helper.from_array(values.astype(np.float32), name + kind))
        pads = [size // 2] * 4
        nodes.append(helper.make_node("Conv", [at, name + "w", name + "b"], [name], pads=pads))
        return name

    for k, (count, out) in enumerate(zip(blocks, channels, strict=True)):
        if k:
            nodes.append(helper.make_node("MaxPool", [at], [f"p{k}"], kernel_shape=[2, 2], strides=[2, 2]))
            at = f"p{k}"
        for _ in range(count):
            at = convolved(width, out, 3)
            nodes.append(helper.make_node("Relu", [at], [f"r{len(nodes)}"]))
            at, width = nodes[-1].output[0], out
    at = convolved(width, 1, 1)
    scales = np.array([1, 1, *[2 ** (len(blocks) - 1)] * 2], np.float32)
    stored.append(numpy_helper.from_array(scales, "scales"))
    nodes.append(helper.make_node("Resize", [at, "", "scales"], ["y"], mode="linear"))
    shape = [1, 1, side, side]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "stack", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), side


def main() -> None:
    """Print a row per network and engine."""
    import sureline as sl

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, choices=list(STACKS), default=13)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--engines", nargs="+", default=["sweep"])
    given = parser.parse_args()
    for seed in range(given.seeds):
        model, side = stack(given.depth, seed)
        x = np.random.default_rng(1000 + seed).normal(size=(1, 1, side, side)).astype(np.float32)
        test = sl.load(model, sl.BackMeanDiff(0.5, use_norm=True))
        for engine in given.engines:
            for _again in range(2):
                started = time.perf_counter(), time.process_time()
                result = test.inference(x, 1, precision=1e-3, engine=engine, exact_ends=False, max_iter=10**7)
                wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
            print(
                f"{given.depth} convolutions, seed {seed}, {engine}: {wall:.2f} s, {cpu:.2f} s of processor, "
                f"p in [{result.inf_p:.4f}, {result.sup_p:.4f}], {result.search_count} pieces and "
                f"enclosures, {len(result.cell_list)} cells, ended by {result.ended_by}",
                flush=True,
            )


if __name__ == "__main__":
    main()
