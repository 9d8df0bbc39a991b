"""Builds an ONNX graph node by node and knows the exact value of every tensor at the observed input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import twin
from onnx import TensorProto, helper, numpy_helper
from quicktions import Fraction
from twin.call import Call

__all__ = ["Builder", "Rejected", "Tensor"]

MOST = 72  # elements of a tensor
LARGEST = 10**6  # magnitude of a value at the observed input

NUMPY = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}
# Subnormal and huge numbers, the neighbours of 1, products that underflow, and steps far below a unit.
WILD = {
    TensorProto.FLOAT: [2.0**-149, -(2.0**-140), 2.0**100, -(2.0**90), 1 + 2.0**-23, 2.0**-75, 1e-15, -1e-15],
    TensorProto.DOUBLE: [
        2.0**-1070,
        -(2.0**-1060),
        2.0**900,
        -(2.0**800),
        1 + 2.0**-52,
        2.0**-540,
        1e-15,
        -1e-15,
    ],
}


class Rejected(Exception):
    """The node that was tried does not fit here."""


@dataclass
class Tensor:
    """A tensor of the graph under construction."""

    name: str
    value: Any
    type: int
    moving: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def rank(self) -> int:
        return self.value.ndim


@dataclass
class Builder:
    """A graph that grows at the end; every tensor carries its exact value at the observed input."""

    rng: np.random.Generator
    opset: int
    type: int
    smooth: bool
    generic: bool
    wild: bool = False
    restless: bool = False  # limits, weights and offsets move too
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)

    # --- random numbers ---

    def coin(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """Uniform on low..high, both included."""
        return int(self.rng.integers(low, high + 1))

    def choose(self, items: Sequence[Any]) -> Any:
        return items[self.integer(0, len(items) - 1)]

    def numbers(self, shape: Sequence[int], scale: float = 1.0) -> np.ndarray:
        """Weights: small multiples of 1/8, generic floats of the graph's type, or the worst ones."""
        if self.wild:
            plain = self.rng.choice([0.0, 0.0, 1.0, 1.0, -1.0, 0.5], size=tuple(shape))
            extreme = self.rng.choice(WILD[self.type], size=tuple(shape))
            return np.where(self.rng.random(tuple(shape)) < 0.25, extreme, plain).astype(NUMPY[self.type])
        if self.generic:
            return self.rng.normal(0.0, scale, size=tuple(shape)).astype(NUMPY[self.type])
        steps = self.rng.integers(-8, 9, size=tuple(shape))
        return (steps / 8 * max(scale, 0.25)).astype(NUMPY[self.type])

    # --- growing ---

    def fresh(self, stem: str) -> str:
        return f"{stem.lower()}{len(self.nodes)}_{len(self.initializers)}"

    def add_input(self, name: str, value: np.ndarray, moving: bool) -> Tensor:
        tensor = Tensor(name, twin.exact_array(value), self.type, moving)
        self.inputs.append(tensor)
        self.tensors.append(tensor)
        return tensor

    def constant(self, array: Any, as_node: bool | None = None) -> Tensor:
        """A constant, as an initializer or as a Constant node."""
        array = np.asarray(array)
        name = self.fresh("constant")
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        if self.coin(0.1) if as_node is None else as_node:
            self.nodes.append(
                helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(array))
            )
        else:
            self.initializers.append(numpy_helper.from_array(array, name))
        return Tensor(name, twin.exact_array(array), kind, moving=False)

    def integers(self, values: Sequence[int]) -> Tensor:
        return self.constant(np.asarray(values, dtype=np.int64))

    def weights(self, shape: Sequence[int], scale: float = 1.0) -> Tensor:
        return self.constant(self.numbers(shape, scale))

    def node(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        *,
        outputs: int = 1,
        type: int | None = None,
        **attributes: Any,
    ) -> list[Tensor]:
        """Append a node; Rejected (and nothing appended) when its value is unusable."""
        names = [self.fresh(op_type) + (f"_{i}" if i else "") for i in range(outputs)]
        proto = helper.make_node(
            op_type, [t.name if t else "" for t in inputs], names, name=names[0], **attributes
        )
        types = tuple(t.type if t else 0 for t in inputs)
        call = Call(proto, [t.value if t else None for t in inputs], self.opset, types)
        values = twin.OPERATORS[op_type](call)[:outputs]
        for value in values:
            self._accept(value)
        moving = any(t.moving for t in inputs if t)
        if op_type in ("Shape", "EyeLike", "ConstantOfShape"):
            moving = False
        first = next((t.type for t in inputs if t), self.type)
        made = [
            Tensor(name, value, first if type is None else type, moving)
            for name, value in zip(names, values, strict=True)
        ]
        self.nodes.append(proto)
        self.tensors.extend(made)
        return made

    def _accept(self, value: Any) -> None:
        if not 1 <= value.size <= MOST or value.ndim > 5:
            raise Rejected("size")
        for v in value.reshape(-1):
            if v is twin.UNKNOWN:
                raise Rejected("undefined")
            lo, hi = twin.bounds(v)
            if max(abs(lo), abs(hi)) > LARGEST and not self.wild:
                raise Rejected("large")

    # --- choosing inputs ---

    def pick(self, accept: Callable[[Tensor], bool] = lambda t: True) -> Tensor:
        """A moving real tensor, mostly the latest one that fits."""
        fitting = [t for t in self.tensors if t.moving and t.type == self.type and accept(t)]
        if not fitting:
            raise Rejected("no fitting tensor")
        return fitting[-1] if self.coin(0.7) else self.choose(fitting)

    def pick_discrete(self, type: int) -> Tensor:
        fitting = [t for t in self.tensors if t.moving and t.type == type]
        if not fitting:
            raise Rejected("no discrete tensor")
        return fitting[-1] if self.coin() else self.choose(fitting)

    def with_rank(self, *ranks: int) -> Tensor:
        """A moving tensor of one of the ranks, reshaped when there is none at hand."""
        tensor = self.pick()
        if tensor.rank in ranks:
            return tensor
        rank = self.choose(ranks)
        return self.reshaped(tensor, self.factors(tensor.value.size, rank))

    def factors(self, size: int, rank: int) -> list[int]:
        """A random shape of the rank with so many elements."""
        shape = [1] * rank
        for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71):
            while rank and size % prime == 0:
                size //= prime
                shape[self.integer(0, rank - 1)] *= prime
        if size != 1:
            raise Rejected("no such shape")
        return shape

    def reshaped(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        if tuple(shape) == tensor.shape:
            return tensor
        wanted = list(shape)
        if wanted and self.coin(0.3):
            wanted[self.integer(0, len(wanted) - 1)] = -1
        return self.node("Reshape", [tensor, self.integers(wanted)])[0]

    def partner(self, tensor: Tensor, moving: float = 0.5, scale: float = 1.0) -> Tensor:
        """A real tensor that broadcasts with the given one: another moving one, or a constant."""

        def fits(other: Tensor) -> bool:
            try:
                return int(np.prod(np.broadcast_shapes(tensor.shape, other.shape))) <= MOST
            except ValueError:
                return False

        others = [t for t in self.tensors if t.type == self.type and t is not tensor and fits(t)]
        if others and self.coin(moving):
            return self.choose(others)
        shape = [1 if self.coin(0.3) else size for size in tensor.shape]
        if self.coin(0.3):
            shape = shape[self.integer(0, len(shape)) :]
        return self.weights(shape, scale)

    def spread(self, tensor: Tensor) -> list[Fraction]:
        """The values of a tensor at the observed input, sorted (middle of a bracket)."""
        return sorted(sum(twin.bounds(v)) / 2 for v in tensor.value.reshape(-1))

    def near(self, tensor: Tensor) -> float:
        """A number among the values of the tensor (used as a threshold)."""
        values = self.spread(tensor)
        at = self.integer(0, len(values) - 1)
        if self.wild and abs(values[at]) > 2**100:
            return float(self.numbers([])[()])
        value = float(values[at])
        if self.coin(0.05):  # an exact tie at the observed input
            return float(NUMPY[self.type](value))
        step = self.choose([1e-15, -1e-15, 2.0**-60]) if self.wild else self.rng.normal(0, 0.25)
        return float(NUMPY[self.type](value + step))

    def mark(self) -> tuple[int, int, int]:
        return len(self.nodes), len(self.initializers), len(self.tensors)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Forget what was appended since the mark."""
        del self.nodes[mark[0] :], self.initializers[mark[1] :], self.tensors[mark[2] :]
