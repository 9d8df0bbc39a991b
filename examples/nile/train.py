"""Train the change-point network on simulated series only, and write model.onnx: it has never seen a river.

    pip install -e '.[train]'
    python examples/nile/train.py

About half a minute on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from data import FIRST_PLACE, LENGTH, PLACES
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.export import export  # noqa: E402

SEED = 0
STEPS = 1500
BATCH = 256


class ChangePoint(nn.Module):
    """Two convolutions over the years and one score per place; the level of the series is taken off
    first."""

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
    """Series of independent normal noise, sd 128, with one step of 64 to 384; the target is its place."""
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
    path = Path(__file__).with_name("model.onnx")
    export(net, torch.zeros(1, 1, LENGTH), path, inputs=["flow"], outputs=["score", "place"])


if __name__ == "__main__":
    main()
