"""What `fuzz.py` damages: node tests of the standard, exported models, networks, and certificates."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from architectures import autoencoder, classifier, lenet, mlp, recurrent
from onnx import TensorProto, helper
from small_nets import convolutional, dense
from test_exported import FILES, example, source

import sureline as sl

__all__ = ["SOURCES", "Base", "Sound", "certificates", "nets", "prepare"]

LARGEST_FILE, LARGEST_INPUT = 16_000, 400


@dataclass(frozen=True)
class Base:
    """A sound model with inputs."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]


@dataclass(frozen=True)
class Sound:
    """A sound certificate: its files, and the model it is about."""

    name: str
    files: dict[str, bytes]
    model: onnx.ModelProto


def _exported() -> Iterator[Base]:
    for name in FILES:
        model = source(name)
        if model.ByteSize() <= LARGEST_FILE:
            yield Base(name, model, {model.graph.input[0].name: example(name, model)})


def _node_tests() -> Iterator[Base]:
    import onnx.backend.test.case.node as case_node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = case_node.collect_testcases(None)
    for case in sorted((c for c in cases if c.model is not None), key=lambda c: c.name):
        names, arrays = [v.name for v in case.model.graph.input], case.data_sets[0][0]
        feeds = {n: a for n, a in zip(names, arrays, strict=False) if isinstance(a, np.ndarray)}
        small = sum(a.size for a in feeds.values()) <= LARGEST_INPUT and case.model.ByteSize() <= LARGEST_FILE
        if small and any(a.dtype.kind == "f" for a in feeds.values()):
            yield Base(case.name, case.model, feeds)


@functools.cache
def nets() -> list[Base]:
    """Networks that are quick to audit."""
    rng = np.random.default_rng(0)
    built = {"dense": dense(), "conv": convolutional(), "smooth": convolutional(smooth=True), "mlp": mlp()}
    built |= {"lenet": lenet(), "auto": autoencoder(), "classes": classifier(), "lstm": recurrent(steps=3)}
    found = []
    for name, model in built.items():
        shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
        found.append(
            Base(name, model, {model.graph.input[0].name: rng.normal(size=shape).astype(np.float32)})
        )
    return found


@functools.cache
def bases(standard: bool = True) -> list[list[Base]]:
    """Node tests of the standard (slow to collect), exported models, and networks."""
    return [list(_node_tests()) if standard else nets(), list(_exported()), nets()]


@functools.cache
def certificates() -> list[Sound]:
    """One of every kind of question."""
    rng = np.random.default_rng(1)
    net = dense(size=6, width=5)
    x = rng.normal(size=(1, 6)).astype(np.float32)
    filters = [sl.InputDiff(), sl.Abs(), sl.AverageFilter(3)]
    picture = rng.normal(size=(2, 1, 1, 4, 4)).astype(np.float32)
    root = rng.normal(size=(6, 6))
    halves = lambda chosen: [1, 1, 1, -1, -1, -1]  # noqa: E731
    where = onnx.ModelProto()
    where.CopyFrom(net)
    where.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], axis=1))
    where.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, [1, 1]))
    level = float(np.median(sl.enclose(net, x)["y"]))
    back, changes = (
        sl.BackMeanDiff(threshold=level),
        sl.ReferenceMeanDiff(threshold=0.3, post_process=filters),
    )
    questions: list[tuple[str, Any, Any, Any, Any, dict[str, Any]]] = [
        ("back", net, back, x, 1, {}),
        ("neighbor", net, sl.NeighborMeanDiff(threshold=level), x, "0.5", {"alternative": "less"}),
        ("reference", convolutional(side=4), changes, tuple(picture), 1, {}),
        ("custom", where, sl.Selection(output="best", eta=halves), x, np.arange(1.0, 7.0), {}),
        ("full", net, sl.BackMeanDiff(threshold=0.5, use_norm=True), x, root @ root.T + np.eye(6), {}),
        ("mask", net, back, x, 2, {"mask": np.arange(6).reshape(1, 6) < 5}),
        ("pattern", net, back, x, 1, {"inference_mode": "over_conditioning"}),
    ]
    found = []
    for name, model, hypothesis, given, var, options in questions:
        result = sl.load(model, hypothesis).inference(given, var, precision=1e-3, **options)
        found.append(Sound(name, result.certificate.files(), model))
    return found


SOURCES: list[list[Base]] = []


def prepare(standard: bool = True) -> None:
    """Make everything once, before the workers begin."""
    SOURCES[:] = bases(standard)
    certificates()
