"""The benchmark cases: which network, which input shape, which hypothesis, which noise.

No heavy imports: the driver and both sides read this file, each in its own environment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
VARIANCE = 1.0
WARM_UP_SEED = 10**6
"""Both sides audit `WARM_UP` once at this seed before the clock starts: first-call costs are not compared."""


@dataclass(frozen=True)
class Case:
    """One network and the question asked of it: is the mean of the input inside the ROI the mean outside it?

    The ROI is where |input - output| (`residual`) or the output itself is above the threshold, after min-max
    normalisation if `use_norm`; of a network that explains itself by a `method`, where the attribution is. A
    planted signal covers one part in `parts` of every axis.
    """

    name: str
    shape: tuple[int, ...]
    threshold: float
    use_norm: bool
    network: str = ""
    residual: bool = True
    quick: bool = False
    seed: int | None = None
    method: str = ""
    parts: int = 6
    over_conditioning: bool = True

    @property
    def path(self) -> Path:
        """The exported network: the committed one, else the one that networks.py leaves in the cache."""
        file = f"{self.network or self.name}.onnx"
        committed = HERE / "data" / file
        return committed if committed.exists() else CACHE / file

    def input(self, seed: int, signal: float = 0.0) -> np.ndarray:
        """Standard normal noise, float64 holding float32 values; `signal` is added to a block of the input.

        Values are float32 numbers so that no tool rounds them. The block begins at an eighth of every axis
        longer than 1 and is a sixth of it long, or another part.
        """
        import numpy as np

        x = np.random.default_rng(seed).normal(size=self.shape)
        if signal:
            x[
                tuple(slice(n // 8, n // 8 + n // self.parts) if n > 1 else slice(None) for n in self.shape)
            ] += signal
        return x.astype(np.float32).astype(np.float64)

    def digest(self) -> str:
        """SHA-256 of the exported file: results are kept per file, never across a re-training."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


CASES = {
    case.name: case
    for case in (
        Case("dense64", (1, 64), 1.5, False, quick=True),
        Case("unet1d_128", (1, 1, 128), 0.5, True, quick=True),
        Case("autoencoder28", (1, 1, 28, 28), 2.0, False, quick=True),
        Case("vae28", (1, 1, 28, 28), 2.0, False, seed=0),
        Case("unet8_16", (1, 1, 16, 16), 0.5, True, quick=True),
        Case("unet8_32", (1, 1, 32, 32), 0.5, True),
        Case("unet8_64", (1, 1, 64, 64), 0.5, True),
        Case("unet32_16", (1, 1, 16, 16), 0.5, True),
        Case("unet32_32", (1, 1, 32, 32), 0.5, True),
        Case("unet32_64", (1, 1, 64, 64), 0.5, True),
    )
}
"""The comparison with si4onnx: reconstruction error."""

WARM_UP = "dense64"

CALIBRATION = {
    case.name: case
    for case in (
        Case("dense64_output", (1, 64), 0.5, True, network="dense64", residual=False),
        Case("unet1d_128_output", (1, 1, 128), 0.5, True, network="unet1d_128", residual=False),
    )
}
"""The calibration: where a denoising network sees a bump. Its networks are committed: no torch is needed."""


def _explained(method: str, over_conditioning: bool = True) -> Case:
    network = "../../examples/saliency/model"
    return Case(
        method, (1, 1, 8, 8), 0.8, True, network, residual=False, method=method, parts=2,
        over_conditioning=over_conditioning,
    )  # fmt: skip


EXPLAINED = {
    case.name: case
    for case in (
        _explained("integrated-gradients"),
        _explained("occlusion"),
        _explained("lrp.epsilon", over_conditioning=False),
    )
}
"""What explanations of a classifier of digits highlight in noise. LRP has no linear pieces to hold fixed."""
