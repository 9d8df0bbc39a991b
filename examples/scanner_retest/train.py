"""Train the network on six slices of the scan, with lesions painted in, and write model.onnx.

    pip install -e '.[train,examples]'
    python examples/scanner_retest/train.py

About a minute on one core. The network has one input, two scans of a window (follow-up, baseline); the
subtraction and the choice of a place are inside it, so that nothing is computed outside the file that is
audited.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from data import HEAD, MARGIN, PLACES, SIDE, TRAINING_SLICES, lesion, load_scans
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.export import export  # noqa: E402

SEED = 0
STEPS = 1500
BATCH = 64
CHANNELS = 16


class ChangePointer(nn.Module):
    """Three convolutions on follow-up minus baseline; points at the place with the highest score.

    No padding: a place is scored on the 5 x 5 pixels around it, so 12 x 12 pixels give 8 x 8 places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, CHANNELS, 3), nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3), nn.ReLU(),
            nn.Conv2d(CHANNELS, 1, 1),
        )  # fmt: skip

    def score(self, scans: torch.Tensor) -> torch.Tensor:
        """Score of every place, shape (batch, PLACES^2); the scans enter in units of 16 grey levels."""
        change = (scans[:, 0:1] - scans[:, 1:2]) / 16.0
        return self.layers(change).flatten(1)

    def forward(self, scans: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score = self.score(scans)
        return score, score.argmax(dim=1)


def training_windows(rng: np.random.Generator, count: int, scans: np.ndarray) -> np.ndarray:
    """Follow-up minus baseline in windows of the training slices, inside the head, mirrored at random."""
    change, brightness = scans[0] - scans[1], scans.mean(axis=0)
    windows: list[np.ndarray] = []
    while len(windows) < count:
        z = rng.choice(TRAINING_SLICES)
        i, j = rng.integers(0, scans.shape[1] - SIDE), rng.integers(0, scans.shape[2] - SIDE)
        if brightness[i : i + SIDE, j : j + SIDE, z].min() < HEAD:
            continue
        window = change[i : i + SIDE, j : j + SIDE, z]
        windows.append(window[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])] * rng.choice([-1, 1]))
    return np.stack(windows)


def examples(rng: np.random.Generator, count: int, scans: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows with a lesion 15 to 45 grey levels brighter in the follow-up; the target is its place."""
    changes = training_windows(rng, count, scans)
    places = rng.integers(0, PLACES, size=(count, 2))
    for change, place in zip(changes, places, strict=True):
        centre = place + MARGIN + rng.uniform(-0.5, 0.5, size=2)
        change += rng.uniform(15, 45) * lesion(*centre, radius=rng.uniform(1.0, 2.0))
    pairs = np.stack([changes, np.zeros_like(changes)], axis=1)
    return torch.tensor(pairs, dtype=torch.float32), torch.tensor(places @ [PLACES, 1])


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    scans = load_scans()
    net = ChangePointer()
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=STEPS)
    for step in range(STEPS):
        pairs, places = examples(rng, BATCH, scans)
        loss = nn.functional.cross_entropy(net.score(pairs), places)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step:5d}  loss {loss.item():.4f}", flush=True)
    with torch.no_grad():
        pairs, places = examples(rng, 2000, scans)
        pointed = net(pairs)[1]
        down, along = pointed // PLACES - places // PLACES, pointed % PLACES - places % PLACES
        near = (down.abs() <= 1) & (along.abs() <= 1)
        print(f"new lesions on the training slices: {near.float().mean():.2f} found to within one pixel")
    path = Path(__file__).with_name("model.onnx")
    export(net, torch.zeros(1, 2, SIDE, SIDE), path, inputs=["scans"], outputs=["score", "place"])


if __name__ == "__main__":
    main()
