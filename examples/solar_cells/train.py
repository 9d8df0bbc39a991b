"""Train an autoencoder on healthy cells: 400 pixels, 24 hidden units, 400 pixels.

    pip install -e '.[examples]'
    python examples/solar_cells/train.py

About a minute. The network stays in examples/.cache; audit.py and study.py train it if it is not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from data import FOLDER, noise_cells, training_cells

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.dense import save_dense  # noqa: E402

__all__ = ["MODEL", "main"]

MODEL = FOLDER / "model.onnx"
HIDDEN, SEED, SCALE = 24, 0, 32.0


def main() -> Path:
    """Train and save; returns the path of the model."""
    from sklearn.neural_network import MLPRegressor

    deviations = (training_cells() - noise_cells().mean(axis=0)).reshape(len(training_cells()), -1) / SCALE
    net = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,), random_state=SEED, max_iter=2000, learning_rate_init=2e-3, alpha=1e-2
    )
    print("Training the network, about a minute ...", flush=True)
    net.fit(deviations, deviations)
    left = np.sqrt(np.mean((net.predict(deviations) - deviations) ** 2)) * SCALE
    print(f"left over: {left:.1f} grey levels of {deviations.std() * SCALE:.1f}")
    (first, last), (bias, shift) = net.coefs_, net.intercepts_
    save_dense(MODEL, [(first / SCALE, bias), (last * SCALE, shift * SCALE)], output="redrawn")
    return MODEL


if __name__ == "__main__":
    main()
