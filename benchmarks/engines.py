"""Which engine for which network: seconds of every engine against the number of units.

`python benchmarks/engines.py [--limit SECONDS]` audits dense networks of growing size, and the networks of
the benchmark that are there, with every engine in a process of its own, and prints a table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
ENGINES = ("search", "sweep", "auto", "z3", "cvxpy")
DENSE = ((8, 1), (16, 1), (16, 2), (32, 2), (32, 3), (64, 3), (128, 3))
"""Width and number of hidden layers."""
CACHE = ROOT / "benchmarks" / ".cache"


def dense(width: int, depth: int, inputs: int = 16) -> onnx.ModelProto:
    """A random dense ReLU network from an input to a map of its shape."""
    rng = np.random.default_rng(width * 100 + depth)
    sizes = [inputs, *[width] * depth, inputs]
    nodes, stored, at = [], [], "x"
    for k, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weights = {f"w{k}": rng.normal(size=(a, b)) * np.sqrt(2 / a), f"b{k}": rng.normal(size=b) * 0.1}
        stored += [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()]
        nodes.append(helper.make_node("Gemm", [at, f"w{k}", f"b{k}"], [f"h{k}"]))
        at = f"h{k}"
        if k < depth:
            nodes.append(helper.make_node("Relu", [at], [f"r{k}"]))
            at = f"r{k}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, inputs]) for name in ("x", at)]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cases() -> list[tuple[str, Any, np.ndarray]]:
    """Name, model and input of every network."""
    rng = np.random.default_rng(0)
    found: list[tuple[str, Any, np.ndarray]] = [
        (f"dense {depth} x {width}", dense(width, depth), rng.normal(size=(1, 16)).astype(np.float32))
        for width, depth in DENSE
    ]
    for name, shape in (
        ("dense64", (1, 64)),
        ("autoencoder28", (1, 1, 28, 28)),
        ("unet8_16", (1, 1, 16, 16)),
    ):
        path = CACHE / f"{name}.onnx"
        if path.exists():
            found.append((name, str(path), rng.normal(size=shape).astype(np.float32)))
    return found


def run(model: Any, x: np.ndarray, engine: str, answer: Any) -> None:
    """Audit in this process: after a first run, the median of three."""
    import sureline as sl

    try:
        output = sl.enclose(model, x)
        threshold = float(np.median(next(iter(output.values()))[0]))
        test = sl.load(model, sl.BackMeanDiff(threshold))
        seconds = []
        for _ in range(4):
            started = time.perf_counter()
            result = test.inference(x, 1, engine=engine, precision=1e-3)
            seconds.append(time.perf_counter() - started)
        answer.put(("", float(np.median(seconds[1:])), result.inf_p, result.sup_p))
    except sl.SurelineError as error:
        answer.put((type(error).__name__, 0.0, 0.0, 1.0))


def timed(model: Any, x: np.ndarray, engine: str, limit: float) -> tuple[str, float, float, float]:
    """The same in a process of its own, ended after a while."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=run, args=(model, x, engine, answer))
    process.start()
    try:
        found: tuple[str, float, float, float] = answer.get(timeout=limit)
    except Exception:
        found = (f"> {limit:g} s", 0.0, 0.0, 1.0)
    process.terminate()
    process.join()
    return found


def main() -> None:
    """Print the table."""
    from symbolic.pieces.arguments import as_network

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=120.0)
    limit = parser.parse_args().limit
    print("| network | units with branches |", " | ".join(f"{engine}, s" for engine in ENGINES), "|")
    print("|---" * (2 + len(ENGINES)) + "|")
    for name, model, x in cases():
        program = as_network(model, x.astype(np.float64)).program
        units = sum(layer.size for _, layer in program.guarded())
        row, bounds = [], []
        for engine in ENGINES:
            refused, seconds, low, high = timed(model, x, engine, limit)
            row.append(refused or f"{seconds:.3g}")
            bounds.append((low, high))
        if max(low for low, _ in bounds) > min(high for _, high in bounds):
            raise SystemExit(f"{name}: the engines contradict each other: {bounds}")
        print(f"| {name} | {units} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
