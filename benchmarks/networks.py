"""Train (briefly) and export the benchmark networks with torch: `python benchmarks/networks.py`.

Each network learns for a few hundred steps to recover a smooth blob from blob + standard normal noise. The
seed determines all of it on one machine; the exported files stay in benchmarks/.cache, uncommitted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from catalogue import CACHE, CASES, Case
from torch import nn

STEPS = 300
BATCH = 16


class DoubleConv(nn.Sequential):
    """Two 3-wide convolutions, each followed by a ReLU."""

    def __init__(self, conv: type[nn.Module], inputs: int, outputs: int) -> None:
        super().__init__(
            conv(inputs, outputs, 3, padding=1), nn.ReLU(), conv(outputs, outputs, 3, padding=1), nn.ReLU()
        )


class UNet(nn.Module):
    """Two poolings down, two transposed convolutions up, skip connections by concatenation."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv1d
        up = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose1d
        c = channels
        self.pool = nn.MaxPool2d(2) if dims == 2 else nn.MaxPool1d(2)
        self.first, self.second = DoubleConv(conv, 1, c), DoubleConv(conv, c, 2 * c)
        self.bottom = DoubleConv(conv, 2 * c, 4 * c)
        self.up2, self.join2 = up(4 * c, 2 * c, 2, stride=2), DoubleConv(conv, 4 * c, 2 * c)
        self.up1, self.join1 = up(2 * c, c, 2, stride=2), DoubleConv(conv, 2 * c, c)
        self.last = conv(c, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.first(x)
        two = self.second(self.pool(one))
        three = self.bottom(self.pool(two))
        two = self.join2(torch.cat([two, self.up2(three)], dim=1))
        return self.last(self.join1(torch.cat([one, self.up1(two)], dim=1)))


class VAE(nn.Module):
    """Convolutional VAE whose standard deviation is a linear head, z = mean + std * eps with eps drawn once.

    exp(logvar / 2) would be the textbook head; si4onnx (0.1.13) treats the output of Exp as a constant on the
    line: its answer would be wrong. Its own example networks use the linear head, and so does this one.
    """

    def __init__(self, latent: int = 10) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.ReLU(),
        )  # fmt: skip
        self.mean, self.std = nn.Linear(64, latent), nn.Linear(64, latent)
        self.widen = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, 16 * 7 * 7), nn.ReLU())
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, stride=2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(x)
        mean, std = self.mean(hidden), self.std(hidden)
        code = mean + torch.randn_like(std) * std
        return self.decoder(self.widen(code).reshape(-1, 16, 7, 7))


def autoencoder() -> nn.Module:
    """Convolutional autoencoder for 28x28 images, without skip connections."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, stride=2),
    )  # fmt: skip


def dense() -> nn.Module:
    """A dense network 64-64-64-64-64."""
    layers: list[nn.Module] = []
    for k in range(4):
        layers += [nn.Linear(64, 64)] + ([nn.ReLU()] if k < 3 else [])
    return nn.Sequential(*layers)


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense64": (dense, (64,)),
    "unet1d": (lambda: UNet(8, 1), (1, 128)),
    "autoencoder28": (autoencoder, (1, 28, 28)),
    "vae28": (VAE, (1, 28, 28)),
    "unet8": (lambda: UNet(8, 2), (1, 16, 16)),
    "unet32": (lambda: UNet(32, 2), (1, 16, 16)),
}
"""How to build each and the shape of one training image (2-D U-Nets are trained at 16x16 for every size)."""


def blobs(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """A batch of smooth bumps of random place, width and height (1 to 4 noise standard deviations)."""
    total = torch.zeros(BATCH, *shape)
    for axis, n in [(k, n) for k, n in enumerate(shape) if n > 1]:
        view = [1] * len(shape)
        view[axis] = n
        place = torch.arange(n, dtype=torch.float32).reshape(1, *view)
        draw = torch.rand(2, BATCH, *([1] * len(shape)), generator=generator)
        total = total - ((place - draw[0] * n) / (n * (0.05 + 0.1 * draw[1]))) ** 2 / 2
    height = 1 + 3 * torch.rand(BATCH, *([1] * len(shape)), generator=generator)
    return height * torch.exp(total)


def train(architecture: str) -> nn.Module:
    """Denoising by mean squared error, Adam, a fixed seed."""
    build, shape = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = build()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(STEPS):
        clean = blobs(shape, generator)
        noisy = clean + torch.randn(clean.shape, generator=generator)
        loss = nn.functional.mse_loss(net(noisy), clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def architecture_of(case: Case) -> str:
    """The entry of ARCHITECTURES that a case's network is made from."""
    return case.name if case.name in ARCHITECTURES else case.name.split("_")[0]


def export(names: list[str]) -> None:
    """Export the cases that are not in the cache yet (TorchScript exporter: si4onnx reads its graphs)."""
    torch.set_num_threads(1)
    CACHE.mkdir(exist_ok=True)
    trained: dict[str, nn.Module] = {}
    for case in (CASES[name] for name in names):
        if case.path.exists():
            continue
        kind = architecture_of(case)
        start = time.perf_counter()
        if kind not in trained:
            trained[kind] = train(kind)
        part = case.path.with_suffix(".part")
        torch.onnx.export(
            trained[kind], (torch.zeros(case.shape),), str(part), dynamo=False, opset_version=17,
            input_names=["input"], output_names=["output"],
        )  # fmt: skip
        part.rename(case.path)
        size, seconds = case.path.stat().st_size / 1024, time.perf_counter() - start
        print(f"{case.name}: {size:.0f} KiB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    export(sys.argv[1:] or list(CASES))
