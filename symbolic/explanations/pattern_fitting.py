"""Patterns of linear layers, estimated from data (Kindermans et al., 2018).

A unit's weights say how to read its signal out of the layer's input, not where it lies: they also have to
cancel what distracts. The pattern a of a unit with weights w and output y = w'x is the direction in which x
goes along with y, scaled so that w'a = 1:

    a = (E+[x y] - E+[x] E[y]) / w'(E+[x y] - E+[x] E[y])

E is the mean over the data and all places where the unit looks; E+ that where the unit's ReLU passes
something on ("relu") or nothing ("negative-relu"), or E itself ("linear": covariance over variance). Weighted
by how often each is, both parts of the numerator add up to the covariance. A bias drops out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper

from symbolic.errors import InputError, ModelError, OptionError, enough_memory
from symbolic.explanations.backward import Step, between
from symbolic.explanations.graph import Graph
from symbolic.explanations.pattern_file import ESTIMATORS, Patterns, fingerprint, layer_names
from symbolic.explanations.pattern_sums import Layer, Sums
from symbolic.explanations.readying import readied
from symbolic.explanations.running import session
from symbolic.node import Node
from symbolic.reading.loading import load_model
from symbolic.reading.random_nodes import freeze_random
from symbolic.reading.static_shapes import free_inputs, static_inputs

__all__ = ["PatternFit", "fit_patterns", "is_layer"]

AFTER = ("Add", "BatchNormalization", "Dropout", "Identity", "Sub")
"""What may stand between a layer's product and its ReLU: a bias, a normalisation."""


def is_layer(step: Step) -> bool:
    """Whether a node is a linear layer: Conv, Gemm or MatMul of what moves with stored weights."""
    if step.node.op_type not in ("Conv", "Gemm", "MatMul") or list(step.wanted[:2]) != [True, False]:
        return False
    weight = step.graph.value(step.given(1).name)
    if weight is None or (step.node.op_type == "Gemm" and step.node.flag("transA")):
        return False
    return step.node.op_type == "Conv" or weight.ndim == 2


class PatternFit:
    """Running sums over data, from which patterns follow; fits to parts of the data can be merged.

    Parameters
    ----------
    model : path or onnx.ModelProto
        With one input.
    estimator : {"relu", "negative-relu", "linear"}
    shapes : dict, optional
        Of the input by name, where the file leaves lengths open.
    seed : int, optional
        Of random nodes, as in `explain`.

    Raises
    ------
    ModelError
        There is no layer to fit a pattern to.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | onnx.ModelProto,
        estimator: str = "relu",
        *,
        shapes: dict[str, tuple[int, ...]] | None = None,
        seed: int | None = None,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise OptionError(f"estimator is {estimator!r}: give one of {', '.join(ESTIMATORS)}.")
        proto = load_model(model).proto
        proto, _ = freeze_random(static_inputs(proto, shapes) if shapes else proto, seed=seed)
        proto = readied(proto)
        ports = free_inputs(proto.graph)
        if len(ports) != 1:
            raise ModelError(f"the model has {len(ports)} inputs: patterns can be fitted to networks of one.")
        graph, nodes = Graph(proto), list(proto.graph.node)
        self.estimator, self.samples = estimator, 0
        self._input = graph.tensor(ports[0].name)
        self._network = fingerprint(graph, nodes)
        self._layers = _layers(graph, nodes, self._input.name, [v.name for v in proto.graph.output])
        self._sums: dict[str, Sums] = {}
        if not self._layers:
            raise ModelError(
                "the network has no Conv, Gemm or MatMul with stored weights, which have patterns."
            )
        wanted = {name for layer in self._layers.values() for name in (layer.x, layer.y, layer.sign)}
        self._names = sorted(wanted - {self._input.name})
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._names)
        self._session = session(proto)

    @property
    def most(self) -> int | None:
        """The length of a batch, where the network fixes it."""
        first = self._input.known_shape[0] if self._input.shape else None
        return first if isinstance(first, int) else None

    def add(self, batch: ArrayLike) -> None:
        """Take a batch of inputs into the sums.

        Raises
        ------
        InputError
            It does not fit the network's input, or holds something else than finite numbers.
        """
        x = np.asarray(batch)
        self.require(x)
        with np.errstate(over="ignore"):
            x = x.astype(helper.tensor_dtype_to_np_dtype(self._input.elem_type))
        if not np.isfinite(x).all():
            raise InputError("the data hold entries that are no finite numbers.")
        found = dict(zip(self._names, self._session.run(self._names, {self._input.name: x}), strict=True))
        found[self._input.name] = x
        for name, layer in self._layers.items():
            sign = np.asarray(found[layer.sign])
            inside = {"relu": sign > 0, "negative-relu": sign <= 0}.get(self.estimator)
            y = np.asarray(found[layer.y], dtype=np.float64)
            inside = np.ones(y.shape, dtype=bool) if inside is None else inside
            sums = Sums.of(layer, np.asarray(found[layer.x], dtype=np.float64), y, inside)
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        self.samples += len(x)

    def require(self, data: NDArray[Any]) -> None:
        """Refuse data that do not fit the input."""
        shape = self._input.known_shape
        fits = data.ndim == len(shape) and data.dtype.kind in "fiub"
        if not fits or any(
            isinstance(n, int) and n != m for n, m in zip(shape[1:], data.shape[1:], strict=True)
        ):
            wanted = ", ".join(str(n or "?") for n in shape[1:])
            raise InputError(
                f"the data are {data.dtype} of shape {data.shape}; they should be numbers of shape "
                f"(samples, {wanted})."
            )

    def merge(self, other: PatternFit) -> None:
        """Take in the sums of a fit to other data."""
        if (self._network, self.estimator) != (other._network, other.estimator):
            raise OptionError("only fits of the same network with the same estimator can be merged.")
        for name, sums in other._sums.items():
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        self.samples += other.samples

    def patterns(self) -> Patterns:
        """The patterns by what was added so far; an InputError if that is nothing."""
        if not self.samples:
            raise InputError("there are no data to fit patterns to.")
        arrays, silent = {}, {}
        for name, layer in self._layers.items():
            found, silent[name] = self._sums[name].patterns(layer.units)
            arrays[name] = np.ascontiguousarray(found.T if layer.turned else found)
        return Patterns(arrays, self.estimator, self._network, self.samples, silent)


@enough_memory()
def fit_patterns(
    model: str | os.PathLike[str] | onnx.ModelProto,
    data: ArrayLike | str | os.PathLike[str],
    *,
    estimator: str = "relu",
    batch_size: int = 16,
    shapes: dict[str, tuple[int, ...]] | None = None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Patterns:
    """Fit the patterns of PatternNet and PatternAttribution, in one pass over data.

    Parameters
    ----------
    model : path or onnx.ModelProto
    data : array of shape (samples, ...), or the path of a .npy file
        Inputs such as the network was trained on; a file is read batch by batch.
    estimator : {"relu", "negative-relu", "linear"}
        Over which samples: where a unit's ReLU passes something on, where not, or all.
    batch_size : int
        Inputs that run at a time; the activations of all layers at them have to fit into memory.
    shapes, seed
        As in `PatternFit`.
    progress : callable, optional
        Gets how many inputs are done, and how many there are.

    Returns
    -------
    Patterns

    Raises
    ------
    InputError, ModelError, OptionError
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise OptionError(f"batch_size is {batch_size!r}; it must be a whole number, 1 or larger.")
    fit = PatternFit(model, estimator, shapes=shapes, seed=seed)
    array = _mapped(data) if isinstance(data, (str, os.PathLike)) else np.asarray(data)
    fit.require(array)
    size = fit.most or batch_size
    if len(array) % size and fit.most:
        raise ModelError(f"the network fixes the batch axis to {size}: export it with a free batch axis.")
    for start in range(0, len(array), size):
        fit.add(array[start : start + size])
        if progress is not None:
            progress(fit.samples, len(array))
    return fit.patterns()


def _mapped(path: str | os.PathLike[str]) -> NDArray[Any]:
    """An array file, of which only what is used is read."""
    if not Path(path).is_file():
        raise InputError(f"{Path(path).name}: there is no such file.")
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except Exception:  # numpy parses the header with Python's tokenizer, which has error types of its own
        raise InputError(
            f"{Path(path).name} is not a .npy file of numbers (write one with numpy.save)."
        ) from None


def _layers(
    graph: Graph, nodes: Sequence[onnx.NodeProto], source: str, targets: Sequence[str]
) -> dict[str, Layer]:
    """The linear layers between the input and the outputs, by name."""
    path, names = between(nodes, source, targets), layer_names(nodes)
    readers: dict[str, list[onnx.NodeProto]] = {name: [] for name in path}
    for node in nodes:
        for name in path.intersection(node.input):
            readers[name].append(node)
    found = {}
    for node in nodes:
        if path.isdisjoint(node.output) or path.isdisjoint(node.input):
            continue
        step = Step(graph, Node.of(node, graph.opset), tuple(name in path for name in node.input))
        if is_layer(step):
            sign = _before_relu(graph, readers, node.output[0], targets)
            found[names[node.output[0]]] = Layer.of(step, sign)
    return found


def _before_relu(
    graph: Graph, readers: dict[str, list[onnx.NodeProto]], name: str, targets: Sequence[str]
) -> str:
    """The tensor after the bias and the normalisation that follow a product."""
    shape = graph.tensor(name).shape
    while name not in targets and len(readers[name]) == 1:
        node = readers[name][0]
        others = [other for other in node.input if other and other != name]
        if node.op_type not in AFTER or any(graph.value(other) is None for other in others):
            break
        if node.output[0] not in readers or graph.tensor(node.output[0]).shape != shape:
            break
        name = node.output[0]
    return name
