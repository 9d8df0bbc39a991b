"""How long a large graph takes to load, to prepare and to check, and how much memory it holds.

    python benchmarks/large_graph.py [--blocks 333] [--channels 92] [--side 8] [--steps load check ...]

The graph is a stack of residual blocks, Conv + Relu + Add, on an image; each step runs in a process of its
own.
Memory is the growth of the largest resident set over that of a process that has only imported the packages,
in units of 8 bytes per parameter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS = ("load", "prepare", "audit", "check")


def make(blocks: int, channels: int, side: int) -> onnx.ModelProto:
    """Residual blocks of 3x3 convolutions between a 1x1 convolution to `channels` channels and one back."""
    rng = np.random.default_rng(0)
    nodes, stored = [], []

    def conv(name: str, source: str, out: int, into: int, size: int, gain: float) -> None:
        kernel = rng.standard_normal((out, into, size, size), dtype=np.float32)
        kernel *= np.float32(gain / np.sqrt(into * size * size))
        stored.append(numpy_helper.from_array(kernel, f"{name}/w"))
        stored.append(numpy_helper.from_array(np.zeros(out, dtype=np.float32), f"{name}/b"))
        pads = [size // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"{name}/w", f"{name}/b"], [name], pads=pads))

    conv("first", "x", channels, 1, 1, 1.0)
    last = "first"
    for k in range(blocks):
        conv(f"conv{k}", last, channels, channels, 3, 0.1)
        nodes.append(helper.make_node("Relu", [f"conv{k}"], [f"relu{k}"]))
        nodes.append(helper.make_node("Add", [last, f"relu{k}"], [f"block{k}"]))
        last = f"block{k}"
    conv("y", last, 1, channels, 1, 1.0)
    shape = [1, 1, side, side]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def peak() -> int:
    """Largest resident set of this process, in bytes (Linux; what a parent held does not count)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def measure(step: str, path: str, folder: str) -> dict[str, Any]:
    """Run one step (and what it needs before it); seconds, and bytes beyond the imports."""
    import sureline as sl
    from inference.prepare import prepare

    base, started = peak(), time.perf_counter()
    if step == "check":
        sl.check(folder)
        return {"seconds": time.perf_counter() - started, "bytes": peak() - base}
    hypothesis = sl.BackMeanDiff(threshold=0.5, use_norm=True)
    model = sl.load(path, hypothesis)
    shape = [d.dim_value for d in model.loaded.proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    if step == "prepare":
        started = time.perf_counter()
        prepare(model.loaded, hypothesis, {"x": x}, None, None, False)
    elif step == "audit":
        started = time.perf_counter()
        model.inference(x, 1.0, precision=0.5, max_iter=20).certificate.save(folder)
    return {"seconds": time.perf_counter() - started, "bytes": peak() - base}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=333)
    parser.add_argument("--channels", type=int, default=92)
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--one", nargs=3, metavar=("STEP", "MODEL", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "large.onnx"
        model = make(given.blocks, given.channels, given.side)
        onnx.save(model, path)
        parameters = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
        size = path.stat().st_size / 2**20
        print(f"{len(model.graph.node)} nodes, {parameters / 1e6:.1f} million parameters, {size:.0f} MiB")
        del model
        for step in given.steps:
            command = [sys.executable, __file__, "--one", step, str(path), str(Path(room) / "certificate")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{step}: failed\n{done.stderr[-2000:]}")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{step:8} {found['seconds']:8.1f} s {found['bytes'] / 2**20:8.0f} MiB = "
                f"{found['bytes'] / 8 / parameters:5.2f} x 8 bytes x parameters"
            )


if __name__ == "__main__":
    main()
