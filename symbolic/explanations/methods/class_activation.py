"""Class activation maps: Grad-CAM, and CAM of networks that end in a global average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from symbolic.errors import ModelError, OptionError
from symbolic.explanations.backward import Step, between
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import LINEAR
from symbolic.explanations.products.elementwise import DERIVATIVES
from symbolic.explanations.products.matrices import times_matrix
from symbolic.explanations.regions import as_input, spatial_axes, upsampling
from symbolic.node import Node

__all__ = ["Cam", "GradCam"]

KEEPS_PLACES = frozenset((
    "Add", "BatchNormalization", "Cast", "Concat", "Div", "Dropout", "Identity", "InstanceNormalization",
    "LRN", "Max", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum", *DERIVATIVES,
))  # fmt: skip
"""What makes of a map a map with the same places."""
RESHAPES = frozenset(("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))


@named("grad-cam", LINEAR, "Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, 2017")
@dataclass(frozen=True)
class GradCam(Method):
    """The channels of a map, weighted by their mean gradients, summed, and interpolated to the input's size.

    The map is the same for every channel of the input.

    Parameters
    ----------
    layer : str, optional
        A tensor (N, channels, places, ...), or the node that makes it. Default: what the last convolution
        with more than one place makes, after the normalisation, activation, shortcut sum or concatenation of
        channels that follow it.
    relu : bool
        Only the positive part of the sum.
    """

    layer: str | None = None
    relu: bool = True

    def attribution(self, task: Task) -> Tensor:
        x = _last_map(task) if self.layer is None else _chosen(task, self.layer)
        axes = _places(x)
        gradient = replace(task.passage, source=x.name).gradient(task.weights)
        total = task.graph.sum(gradient, axes, keep=True) / float(prod(x.length(axis) for axis in axes))
        made = task.graph.sum(total * x, [1], keep=False)
        return _spread(task.graph.same("Relu", made) if self.relu else made, task)


@named("cam", LINEAR, "Zhou, Khosla, Lapedriza, Oliva and Torralba, 2016")
@dataclass(frozen=True)
class Cam(Method):
    """The last map's channels, weighted as the score weighs their means, interpolated to the input's size.

    For networks that end in a global average and at most one linear layer. The map is the same for every
    channel of the input; before interpolation its mean, and the bias, make the score.

    Parameters
    ----------
    relu : bool
        Only the positive part of the sum.
    """

    relu: bool = False

    def attribution(self, task: Task) -> Tensor:
        graph = task.graph
        pool = _global_average(task)
        x, mean = pool.given(), pool.outputs[0]
        axes = _places(x)
        weights = replace(task.passage, source=mean.name).gradient(task.weights)
        shape = (x.known_shape[0], x.length(1), *[1] * len(axes))
        weights = graph.node("Reshape", [weights, graph.integers([-1, *shape[1:]])], shape=shape)  # type: ignore[list-item]
        made = graph.sum(weights * x, [1], keep=False)
        return _spread(graph.same("Relu", made) if self.relu else made, task)


def _spread(values: Tensor, task: Task) -> Tensor:
    """A map (N, places, ...) by linear interpolation in the shape of the input."""
    x, back = _channels_first(task)
    axes = spatial_axes(x)
    if len(axes) != values.rank - 1:
        raise ModelError(
            f"the map has {values.rank - 1} axes of places and the input {x.name!r} has {len(axes)}, so that "
            "it cannot be laid over the input."
        )
    for k, axis in enumerate(axes, start=1):
        matrix = upsampling(values.length(k), x.length(axis), "linear")
        values = times_matrix(x.graph, values, values.like(matrix), k)
    made = as_input(values, x)
    return made if back is None else x.graph.transpose(made, back)


def _channels_first(task: Task) -> tuple[Tensor, list[int] | None]:
    """The input as convolutions see it, and the order of axes that leads back, where the network turns it."""
    path, graph = _on_the_way(task), task.graph
    readers = [n for n in task.passage.nodes if task.passage.source in n.input and n.output[0] in path]
    if len(readers) != 1 or readers[0].op_type != "Transpose":
        return task.x, None
    order = Node.of(readers[0], graph.opset).integers("perm", range(task.x.rank)[::-1])
    return graph.tensor(readers[0].output[0]), [order.index(k) for k in range(task.x.rank)]


def _places(x: Tensor) -> tuple[int, ...]:
    """The axes of places of a map."""
    return tuple(range(2, x.rank))


def _on_the_way(task: Task) -> set[str]:
    return between(task.passage.nodes, task.passage.source, [task.passage.scores])


def _last_map(task: Task) -> Tensor:
    """What the last convolution makes, with what follows it place by place."""
    path, graph, nodes = _on_the_way(task), task.graph, task.passage.nodes
    for number in reversed(range(len(nodes))):
        node = nodes[number]
        if node.op_type != "Conv" or node.output[0] not in path or node.input[0] not in path:
            continue
        x = graph.tensor(node.output[0])
        if prod(x.length(axis) for axis in _places(x)) > 1:
            return graph.tensor(_followed(task, number))
    raise ModelError(
        "the network has no convolution with more than one place, which this method is about: name the map "
        "with layer=, --layer."
    )


def _followed(task: Task, number: int) -> str:
    """The last tensor that all ways from a convolution to the scores pass, while places stay as they are."""
    nodes, graph = task.passage.nodes, task.graph
    start = nodes[number].output[0]
    path = between(nodes, start, [task.passage.scores])
    found, unread = start, {start}
    places = graph.tensor(start).known_shape[2:]
    for k, node in enumerate(nodes[number + 1 :], start=number + 1):
        if path.isdisjoint(node.input) or path.isdisjoint(node.output):
            continue
        x = graph.tensor(node.output[0])
        channels = node.op_type != "Concat" or Node.of(node, graph.opset).axis(x.rank) == 1
        if node.op_type not in KEEPS_PLACES or x.known_shape[2:] != places or not channels:
            break
        later = {name for other in nodes[k + 1 :] for name in other.input}
        unread = {name for name in (*unread, *node.output) if name in path and name in later}
        if unread == {x.name}:
            found = x.name
    return str(found)


def _chosen(task: Task, name: str) -> Tensor:
    """The map of this name, or of the node of this name."""
    path, nodes = _on_the_way(task), task.passage.nodes
    made = {node.output[0]: node for node in nodes if node.output and node.output[0] in path}
    found = [name] if name in path else [out for out, node in made.items() if node.name == name]
    x = task.graph.tensor(found[0]) if len(found) == 1 else None
    if x is None or x.rank < 3:
        maps = [node.name or out for out, node in made.items() if node.op_type == "Conv"]
        raise OptionError(
            f"layer is {name!r}, which is no map between the input and the scores; convolutions there: "
            f"{', '.join(maps) or 'none'}."
        )
    return x


def _global_average(task: Task) -> Step:
    """The node that averages over all places, after which at most one linear layer comes."""
    path, graph, nodes = _on_the_way(task), task.graph, task.passage.nodes
    makers = {out: node for node in nodes for out in node.output if out in path}
    name, linear = task.passage.scores, False
    while name in makers:
        node = makers[name]
        wanted = tuple(read in path for read in node.input)
        step = Step(graph, Node.of(node, graph.opset), wanted)
        if _averages(step):
            return step
        product = node.op_type in ("Conv", "Gemm", "MatMul")
        adds = node.op_type in ("Add", "Sub") and not linear
        if sum(wanted) != 1 or (product and linear) or not (product or adds or node.op_type in RESHAPES):
            raise step.refuse(
                "is neither the last linear layer nor the global average before it, which this method needs: "
                "take grad-cam"
            )
        linear = linear or product
        name = str(node.input[wanted.index(True)])
    raise ModelError("the network has no global average, which this method needs: take grad-cam.")


def _averages(step: Step) -> bool:
    """Whether a node is the mean over all places of a map."""
    node, x = step.node, step.given()
    if x.shape is None or x.rank < 3:
        return False
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type == "AveragePool":
        places = [x.length(axis) for axis in _places(x)]
        once = all(n == 1 for n in step.outputs[0].known_shape[2:])
        return (
            once and list(node.integers("kernel_shape", [])) == places and not any(node.integers("pads", []))
        )
    if node.op_type != "ReduceMean":
        return False
    axes = _reduced(step, x.rank)
    return sorted(axes) == list(_places(x))


def _reduced(step: Step, rank: int) -> Sequence[int]:
    """The axes of a reduction."""
    if not step.has(1):
        return range(0 if step.node.flag("noop_with_empty_axes") else rank)
    value = step.graph.value(step.given(1).name)
    return [] if value is None else [int(axis) % rank for axis in value.ravel()]
