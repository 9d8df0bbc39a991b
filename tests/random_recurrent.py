"""Makers of recurrent layers."""

from __future__ import annotations

import numpy as np
from graph_builder import Builder, Rejected, Tensor
from random_operators import SMOOTH, maker, small

__all__: list[str] = []

SMOOTH |= {"RNN", "GRU", "LSTM"}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
TAKES = {
    **dict.fromkeys(("Tanh", "Sigmoid", "Relu", "Softsign", "Softplus"), 0),
    **dict.fromkeys(("LeakyRelu", "Elu", "ThresholdedRelu"), 1),
    **dict.fromkeys(("HardSigmoid", "Affine", "ScaledTanh"), 2),
}


def functions(b: Builder, name: str, directions: int) -> dict[str, object]:
    """Activation functions and all of their parameters."""
    if b.coin(0.6):
        return {}
    names = [b.choose(list(TAKES)) for _ in USUAL[name] * directions]
    alphas = [0.25 + abs(float(b.numbers([])[()])) for n in names if TAKES[n] > 0]
    betas = [float(b.numbers([])[()]) for n in names if TAKES[n] > 1]
    attributes: dict[str, object] = {"activations": names}
    if alphas:
        attributes["activation_alpha"] = alphas
    if betas:
        attributes["activation_beta"] = betas
    return attributes


def weights(b: Builder, shape: list[int]) -> Tensor:
    """Constant ones, or such that all move together."""
    found = b.weights(shape)
    if b.restless and b.coin():
        return b.node("Mul", [found, b.node("ReduceMean", [small(b)], keepdims=0)[0]])[0]
    return found


@maker("RNN", "GRU", "LSTM")
def recurrent(b: Builder, name: str) -> object:
    x = small(b)
    x = b.reshaped(x, b.factors(x.value.size, 3))
    batchwise = b.opset >= 14 and b.coin(0.3)
    (steps, batch), size = (x.shape[:2][::-1] if batchwise else x.shape[:2]), x.shape[2]
    if steps * batch > 12 or steps > 6:
        raise Rejected("long")
    hidden = b.integer(1, 3)
    direction = b.choose(["forward", "reverse", "bidirectional"])
    ways = 2 if direction == "bidirectional" else 1
    gates = GATES[name]
    attributes = {"hidden_size": hidden, **functions(b, name, ways)}
    if direction != "forward" or b.coin():
        attributes["direction"] = direction
    if batchwise:
        attributes["layout"] = 1
    if b.coin(0.2):
        attributes["clip"] = 0.5
    if name == "GRU" and b.coin():
        attributes["linear_before_reset"] = 1
    if name == "LSTM" and b.coin(0.3):
        attributes["input_forget"] = 1
    state = (batch, ways, hidden) if batchwise else (ways, batch, hidden)
    inputs: list[Tensor | None] = [
        x,
        weights(b, [ways, gates * hidden, size]),
        weights(b, [ways, gates * hidden, hidden]),
        weights(b, [ways, 2 * gates * hidden]) if b.coin(0.7) else None,
        b.constant(b.rng.integers(1, steps + 1, size=batch).astype(np.int32)) if b.coin(0.3) else None,
    ]
    for _ in range(2 if name == "LSTM" else 1):
        inputs.append(b.weights(state) if b.coin() else None)
    if name == "LSTM":
        inputs.append(b.weights([ways, 3 * hidden]) if b.coin() else None)
    return b.node(name, inputs, outputs=3 if name == "LSTM" else 2, **attributes)
