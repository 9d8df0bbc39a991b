"""Train a dense network to point at a bump in a beat, on simulated beats made from the reference beats.

    pip install -e '.[examples]'
    python examples/arterial_pressure/train.py

About a minute. The network stays in examples/.cache; audit.py and study.py train it if it is not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from data import BLOCKS, FOLDER, REFERENCE, SD, WIDTH, beats, left_over, mean_beat, window

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.dense import save_dense  # noqa: E402

__all__ = ["MODEL", "main", "simulate"]

MODEL = FOLDER / "model.onnx"
COUNT, HIDDEN, SEED = 40_000, 64, 0


def simulate(rng: np.random.Generator, deviations: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference beats less their mean, noise of the audit, and a bump of 1 to 4 mmHg at a random place."""
    places = rng.integers(0, BLOCKS - WIDTH + 1, count)
    bumps = np.array([window(place) for place in places]) * rng.uniform(1, 4, (count, 1))
    noise = rng.normal(0, SD, (count, BLOCKS))
    signs = rng.choice([-1.0, 1.0], (count, 1))
    return deviations[rng.integers(0, len(deviations), count)] + noise + signs * bumps, places


def main() -> Path:
    """Train and save; returns the path of the model."""
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(SEED)
    seen, places = simulate(rng, beats()[1][:REFERENCE] - mean_beat(), COUNT)
    projected = seen @ left_over() / SD
    net = MLPClassifier(
        hidden_layer_sizes=(HIDDEN,), random_state=SEED, max_iter=25, batch_size=256, learning_rate_init=2e-3
    )
    print("Training the network, about a minute ...", flush=True)
    net.fit(projected, places)
    layers = list(zip(net.coefs_, net.intercepts_, strict=True))
    layers[0] = (
        left_over() @ layers[0][0] / SD,
        layers[0][1],
    )  # one matrix: the projection is inside the network
    fresh, truth = simulate(rng, beats()[1][:REFERENCE] - mean_beat(), 4000)
    off = np.abs(net.predict(fresh @ left_over() / SD) - truth)
    print(f"new simulated beats: {np.mean(off <= 1):.2f} found to within one block")
    save_dense(MODEL, layers, output="score", place="place")
    return MODEL


if __name__ == "__main__":
    main()
