"""What both sides of a comparison get: the network's file, the explained file, the input, the references.

Takes one JSON object: network, method, references, folder. Prints one: seconds to explain, size of the file,
and what a complete attribution sums to.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_networks import exported, inputs, network

import sureline as sl


def main() -> None:
    asked = json.loads(sys.argv[1])
    folder = Path(asked["folder"])
    path = exported(asked["network"], folder)
    x, background = inputs(1, 1), 0.3 * inputs(asked["references"], 2)
    np.save(folder / "x.npy", x)
    np.save(folder / "background.npy", background)
    start = time.perf_counter()
    explained = sl.explain(path, method(asked["method"], background))
    seconds = time.perf_counter() - start
    for old in folder.glob("explained.onnx*"):
        old.unlink()
    explained.save(folder / "explained.onnx")
    size = sum(part.stat().st_size for part in folder.glob("explained.onnx*"))
    print(json.dumps({"seconds": seconds, "mb": size / 1e6, "sum": wanted(asked, x, background)}))


def method(name: str, background: np.ndarray[Any, Any]) -> Any:
    if name == "deepshap":
        return sl.DeepShap(background)
    if name == "gradient":
        return sl.Gradient()
    if name == "integrated-gradients":
        return sl.IntegratedGradients(steps=16)
    return sl.LrpEpsilonPlus()


def wanted(asked: dict[str, Any], x: np.ndarray[Any, Any], background: np.ndarray[Any, Any]) -> float:
    """f(x) less the mean of f at the references."""
    model = network(asked["network"])
    with torch.no_grad():
        scores = model(torch.from_numpy(x))[0]
        k = int(scores.argmax())
        rest = [float(model(torch.from_numpy(row[None]))[0, k]) for row in background]
    return float(scores[k]) - float(np.mean(rest))


if __name__ == "__main__":
    main()
