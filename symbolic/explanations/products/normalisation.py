"""Normalisation by stored or by measured statistics (the others are composed by the standard)."""

from __future__ import annotations

import numpy as np

from symbolic.errors import ModelError
from symbolic.explanations.backward import Gradients, Step, product
from symbolic.explanations.graph import Tensor

__all__ = ["channelwise"]


def channelwise(step: Step, tensor: Tensor) -> Tensor:
    """A vector with one entry per channel, ready to be broadcast."""
    rank = step.given().rank
    shape = (tensor.known_shape[0], *[1] * (rank - 2))
    value = step.graph.value(tensor.name)
    if value is not None:
        return step.graph.constant(value.reshape(-1, *[1] * (rank - 2)), tensor.elem_type)
    return step.graph.node("Reshape", [tensor, step.graph.integers([-1, *[1] * (rank - 2)])], shape=shape)


@product("BatchNormalization")
def batch_normalisation(step: Step, gradients: Gradients) -> Gradients:
    """scale / sqrt(var + epsilon), of stored statistics."""
    gradient = gradients[0]
    if gradient is None:
        return []
    if step.node.flag("training_mode"):
        raise step.refuse("measures the statistics of the batch: export the model in evaluation mode")
    if any(step.wants(k) for k in range(1, 5)):
        raise step.refuse("has statistics that depend on the input, and so has no derivative here")
    return [gradient * batch_factor(step)]


def batch_factor(step: Step) -> Tensor:
    """What BatchNormalization multiplies every channel by."""
    graph, epsilon = step.graph, step.node.number("epsilon")
    scale, variance = graph.value(step.given(1).name), graph.value(step.given(4).name)
    if scale is not None and variance is not None:
        factor = scale / np.sqrt(variance.astype(np.float64) + epsilon)
        rank = step.given().rank
        return graph.constant(factor.reshape(-1, *[1] * (rank - 2)), step.given().elem_type)
    root = graph.same("Sqrt", channelwise(step, step.given(4)) + epsilon)
    return channelwise(step, step.given(1)) / root


@product("InstanceNormalization")
def instance_normalisation(step: Step, gradients: Gradients) -> Gradients:
    """Every channel of every image by its own mean and variance."""
    gradient = gradients[0]
    if gradient is None:
        return []
    if step.wants(1) or step.wants(2):
        raise step.refuse("has a scale that depends on the input, and so has no derivative here")
    x, graph = step.given(), step.graph
    axes = list(range(2, x.rank))
    count = float(np.prod([x.length(a) for a in axes]))

    def mean(t: Tensor) -> Tensor:
        return graph.sum(t, axes, keep=True) / count

    centred = x - mean(x)
    deviation = graph.same("Sqrt", mean(centred * centred) + step.node.number("epsilon"))
    unit, inner = centred / deviation, gradient * channelwise(step, step.given(1))
    return [(inner - mean(inner) - unit * mean(inner * unit)) / deviation]


@product("LRN")
def local_response(step: Step, gradients: Gradients) -> Gradients:
    """x / (bias + alpha / size * sum of squares of near channels) ** beta."""
    gradient = gradients[0]
    if gradient is None:
        return []
    node, x, graph = step.node, step.given(), step.graph
    size, alpha = int(node.attributes["size"]), node.number("alpha")
    beta, bias = node.number("beta"), node.number("bias")
    before, behind = (size - 1) // 2, size - 1 - (size - 1) // 2
    channels = x.length(1)
    near = np.subtract.outer(np.arange(channels), np.arange(channels))
    sees = ((near <= before) & (near >= -behind)).astype(
        np.float64
    )  # row c sees columns c - before .. c + behind
    from symbolic.explanations.products.matrices import times_matrix

    def summed(t: Tensor, matrix: np.ndarray) -> Tensor:
        return times_matrix(graph, t, graph.constant(matrix, t.elem_type), 1)

    below = summed(x * x, sees) * (alpha / size) + bias
    root = below.power(-beta)
    inner = gradient * x * root / below
    return [gradient * root - x * summed(inner, sees.T) * (2 * alpha * beta / size)]


@product("LpNormalization")
def lp_normalisation(step: Step, gradients: Gradients) -> Gradients:
    """x / |x| along an axis; 0 where that is 0."""
    gradient = gradients[0]
    if gradient is None:
        return []
    x, graph, p = step.given(), step.graph, int(step.node.attributes.get("p", 2))
    axis = step.node.axis(x.rank)
    if p not in (1, 2):
        raise ModelError(f"{step.label} has p = {p}; the standard knows 1 and 2.")
    if p == 1:
        norm, slope = graph.sum(graph.same("Abs", x), [axis], keep=True), graph.same("Sign", x)
    else:
        norm = graph.same("Sqrt", graph.sum(x * x, [axis], keep=True))
        slope = x / graph.where(norm > 0.0, norm, 1.0, like=norm)
    safe = graph.where(norm > 0.0, norm, 1.0, like=norm)
    shared = graph.sum(gradient * x, [axis], keep=True) / (safe * safe)
    return [graph.where(norm > 0.0, gradient / safe - slope * shared, 0.0, like=x)]
