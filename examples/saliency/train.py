"""Train a small convolutional classifier of noisy digits, and write model.onnx.

    pip install -e '.[train,examples]'
    python examples/saliency/train.py

About a minute on one core. Digits 0 to 1199 of scikit-learn's set are used; audits use the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "digits")]
from data import AUDITED, SIGMA, TRAINED, load_digits  # noqa: E402
from example_tools.export import export  # noqa: E402
from sklearn.datasets import load_digits as raw  # noqa: E402

SEED = 0
STEPS = 3000
BATCH = 128


class Classifier(nn.Sequential):
    """Two convolutions, an overlapping maximum between them, one dense layer; logits of ten classes."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(6, 10, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(160, 10),
        )  # fmt: skip


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    images, labels = load_digits(), np.asarray(raw().target)
    net = Classifier()
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=STEPS)
    known, names = images[TRAINED] / 16, labels[TRAINED]
    for _ in range(STEPS):
        chosen = rng.integers(0, len(known), BATCH)
        seen = known[chosen] + rng.normal(0, SIGMA / 16, (BATCH, 8, 8))
        scores = net(torch.tensor(seen[:, None], dtype=torch.float32))
        loss = nn.functional.cross_entropy(scores, torch.tensor(names[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    seen = images[AUDITED] / 16 + rng.normal(0, SIGMA / 16, images[AUDITED].shape)
    with torch.no_grad():
        right = net(torch.tensor(seen[:, None], dtype=torch.float32)).argmax(1).numpy() == labels[AUDITED]
    print(f"accuracy on {len(right)} digits it has never seen, with noise: {100 * right.mean():.1f} %")
    with torch.no_grad():
        net[0].weight /= 16  # the file takes ink, 0 to 16
    path = Path(__file__).with_name("model.onnx")
    export(net, torch.zeros(1, 1, 8, 8), path, inputs=["digit"], outputs=["scores"])


if __name__ == "__main__":
    main()
