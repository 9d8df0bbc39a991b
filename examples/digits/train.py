"""Train an autoencoder to redraw digits without noise and without missing strokes, and write model.onnx.

    pip install -e '.[train,examples]'
    python examples/digits/train.py

About a minute on one core. Digits 0 to 1199 of scikit-learn's set are used; audits use the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from data import SIGMA, TRAINED, erase, load_digits
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.export import export  # noqa: E402

SEED = 0
STEPS = 3000
BATCH = 128


class Redraw(nn.Module):
    """8 x 8 -> 8 x 8 autoencoder: two convolutions down to 2 x 2, a dense code of 24 numbers, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(128, 24),
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.Linear(24, 128), nn.ReLU(), nn.Unflatten(1, (32, 2, 2)),
            nn.ConvTranspose2d(32, 16, 2, stride=2), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 2, stride=2), nn.ReLU(),
            nn.Conv2d(8, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, digit: torch.Tensor) -> torch.Tensor:
        return 16.0 * self.up(self.down(digit / 16.0))


def batch(rng: np.random.Generator, digits: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy digits, two thirds of them with a square of ink erased, and the digits to be redrawn."""
    clean = digits[rng.integers(0, len(digits), BATCH)]
    seen = np.stack([erase(d, rng, int(rng.integers(2, 4))) if k % 3 else d for k, d in enumerate(clean)])
    seen = seen + rng.normal(0.0, SIGMA, seen.shape)
    return (
        torch.tensor(seen[:, None], dtype=torch.float32),
        torch.tensor(clean[:, None], dtype=torch.float32),
    )


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    digits = load_digits()[TRAINED]
    net = Redraw()
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=STEPS)
    for step in range(STEPS):
        seen, clean = batch(rng, digits)
        loss = nn.functional.mse_loss(net(seen), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step:5d}  root mean square error {loss.item() ** 0.5:.3f} ink", flush=True)
    print(f"last batch: {loss.item() ** 0.5:.3f} ink")
    path = Path(__file__).with_name("model.onnx")
    export(net, torch.zeros(1, 1, 8, 8), path, inputs=["digit"], outputs=["redrawn"])


if __name__ == "__main__":
    main()
