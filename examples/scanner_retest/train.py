"""Train the change detector on six slices of the scan, with lesions painted in, and write model.onnx.

    pip install 'sureline[train,demo]'
    python examples/scanner_retest/train.py

About a minute on one core. No window of the six training slices is ever audited. The network has one input, two scans of a
window (follow-up, baseline); the subtraction and the threshold are inside it, so that nothing is computed outside the file
that is audited.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from data import MARGIN, PLACES, SIDE, TRAINING_SLICES, lesion, load_scans
from torch import nn

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
    """Windows of follow-up minus baseline from the training slices, anywhere inside the head, turned and mirrored."""
    difference, brightness = scans[0] - scans[1], scans.mean(axis=0)
    windows: list[np.ndarray] = []
    while len(windows) < count:
        z = rng.choice(TRAINING_SLICES)
        i, j = rng.integers(0, scans.shape[1] - SIDE), rng.integers(0, scans.shape[2] - SIDE)
        if brightness[i : i + SIDE, j : j + SIDE, z].min() < 80:
            continue
        window = difference[i : i + SIDE, j : j + SIDE, z]
        window = window[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])] * rng.choice([-1, 1])
        windows.append(window)
    return np.stack(windows)


def examples(rng: np.random.Generator, count: int, scans: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows with a lesion 10 to 40 grey levels brighter in the follow-up; the target is the place at its centre."""
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
        off = (net(pairs)[1] // PLACES - places // PLACES).abs().maximum((net(pairs)[1] % PLACES - places % PLACES).abs())
        print(f"new lesions on the training slices: {(off <= 1).float().mean():.2f} found to within one pixel")
    save(net.eval())


def save(net: ChangePointer) -> None:
    """Export to ONNX next to this file, weights inside."""
    path = Path(__file__).with_name("model.onnx")
    example = torch.zeros(1, 2, SIDE, SIDE)
    program = torch.onnx.export(net, (example,), input_names=["scans"], output_names=["score", "place"],
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
