"""Train the change-point network on simulated series only, and write model.onnx: it has never seen a river.

    pip install 'sureline[train]'
    python examples/nile/train.py

About half a minute on one core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from data import FIRST_PLACE, LENGTH, PLACES
from torch import nn

SEED = 0
STEPS = 1500
BATCH = 256


class ChangePoint(nn.Module):
    """Two convolutions over the years and one score per place; the level of the series is taken off inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 7, padding=3), nn.ReLU(),
            nn.Conv1d(8, 8, 7, padding=3), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * LENGTH, PLACES),
        )  # fmt: skip

    def forward(self, flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score = self.layers((flow - flow.mean(dim=2, keepdim=True)) / 128.0)
        return score, score.argmax(dim=1)


def simulate(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Series of independent normal noise, sd 128, with one step of 64 to 384 up or down; the target is its place."""
    places = rng.integers(0, PLACES, count)
    after = np.arange(LENGTH) >= FIRST_PLACE + places[:, None]
    step = rng.uniform(64, 384, count) * rng.choice([-1, 1], count)
    series = rng.normal(0, 128, (count, LENGTH)) + step[:, None] * after
    return torch.tensor(series[:, None], dtype=torch.float32), torch.tensor(places)


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    net = ChangePoint()
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=STEPS)
    for step in range(STEPS):
        series, places = simulate(rng, BATCH)
        loss = nn.functional.cross_entropy(net(series)[0], places)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step:5d}  loss {loss.item():.4f}", flush=True)
    with torch.no_grad():
        series, places = simulate(rng, 4000)
        off = (net(series)[1] - places).abs()
        print(f"new simulated series: {(off <= 1).float().mean():.2f} found to within one year")
    save(net.eval())


def save(net: ChangePoint) -> None:
    """Export to ONNX next to this file, weights inside."""
    path = Path(__file__).with_name("model.onnx")
    program = torch.onnx.export(net, (torch.zeros(1, 1, LENGTH),), input_names=["flow"], output_names=["score", "place"],
                                opset_version=18, dynamo=True)  # fmt: skip
    assert program is not None
    model = program.model_proto
    for item in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, model.graph]:
        del item.metadata_props[:]  # source lines of the machine that exported it
        item.doc_string = ""
    del model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, operators {sorted({n.op_type for n in model.graph.node})}")


if __name__ == "__main__":
    main()
