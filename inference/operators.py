"""Steps between a model's output and its score map, under the names of si4onnx.

Each step is a few ONNX nodes (`docs/certificate.md` lists them); the checker builds the same on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from inference.appending import FLOATING, Appender, Tensor, type_name
from symbolic.errors import OptionError
from symbolic.reading.exact import exact_number

__all__ = [
    "Abs",
    "AverageFilter",
    "GaussianFilter",
    "InputDiff",
    "L1Norm",
    "Neg",
    "Operator",
    "operator_from_text",
]

_MAX_KERNEL = 255


class Operator:
    """A step of `post_process`; the classes below are all there are.

    A subclass of one's own is refused when it is made: its Python code could not be certified.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Operator:
        if cls.__module__ != __name__:
            raise OptionError(
                f"{cls.__name__} is an Operator of your own, whose Python code cannot be certified: "
                "write it as "
                "ONNX nodes and use sureline.Selection(graph, output=...)."
            )
        if cls is Operator:
            raise OptionError(
                "Operator is only a base class: use InputDiff, Neg, Abs, AverageFilter, GaussianFilter "
                "or L1Norm."
            )
        return super().__new__(cls)

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        """Append the step's nodes.

        Parameters
        ----------
        graph : Appender
        score : Tensor
            The map so far.
        name : str
            Name of the step's result, "sureline/post{k}"; other new names begin with it.
        model_input : Tensor
            The model's input that is under test.

        Returns
        -------
        Tensor
            The result, called `name`.

        Raises
        ------
        OptionError
            If the map's shape or type does not allow the step.
        """
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Give the step as the certificate names it, numbers as exact strings."""
        return {"name": type(self).__name__}


@dataclass(frozen=True)
class InputDiff(Operator):
    """The map minus the model's input (the reconstruction error, with its sign)."""

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        try:
            shape = tuple(int(n) for n in np.broadcast_shapes(score.shape, model_input.shape))
        except ValueError:
            raise OptionError(
                f"InputDiff: the output has shape {score.shape}, the input {model_input.shape}; they do "
                "not match."
            ) from None
        other = model_input.name
        if model_input.elem_type != score.elem_type:
            other = graph.node("Cast", [other], f"{name}/input", to=score.elem_type)
        return Tensor(graph.node("Sub", [score.name, other], name), score.elem_type, shape)


@dataclass(frozen=True)
class Neg(Operator):
    """The map with its sign changed."""

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        return Tensor(graph.node("Neg", [score.name], name), score.elem_type, score.shape)


@dataclass(frozen=True)
class Abs(Operator):
    """The absolute value of the map."""

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        return Tensor(graph.node("Abs", [score.name], name), score.elem_type, score.shape)


@dataclass(frozen=True)
class AverageFilter(Operator):
    """The mean over a window of `kernel_size` pixels a side, per channel; zeros beyond the border.

    Parameters
    ----------
    kernel_size : int
        Odd, at most 255.
    """

    kernel_size: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel_size", _kernel_size(self.kernel_size, "AverageFilter"))

    def spec(self) -> dict[str, Any]:
        return {"name": "AverageFilter", "kernel_size": self.kernel_size}

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        n = self.kernel_size
        return _filter(graph, score, name, n, lambda d: np.full((n,) * d, 1 / n**d), "AverageFilter")


@dataclass(frozen=True)
class GaussianFilter(Operator):
    """A Gaussian blur over a window of `kernel_size` pixels a side, per channel; zeros beyond the border.

    Parameters
    ----------
    kernel_size : int
        Odd, at most 255.
    sigma : float, int, str or Fraction
        Standard deviation in pixels, positive.
    """

    kernel_size: int = 3
    sigma: float | int | str | Fraction = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel_size", _kernel_size(self.kernel_size, "GaussianFilter"))
        if self._exact_sigma() <= 0:
            raise OptionError(f"GaussianFilter: sigma is {self.sigma}; it must be positive.")

    def _exact_sigma(self) -> Fraction:
        return exact_number(self.sigma, "GaussianFilter: sigma", error=OptionError)

    def spec(self) -> dict[str, Any]:
        return {"name": "GaussianFilter", "kernel_size": self.kernel_size, "sigma": str(self._exact_sigma())}

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        weights = _gaussian_weights(self.kernel_size, self._exact_sigma())

        def kernel(dimensions: int) -> NDArray[np.float64]:
            # The two-dimensional kernel is the product of two of one dimension, before and after normalising.
            products = weights if dimensions == 1 else [v * w for v in weights for w in weights]
            return np.array([float(w) for w in products]).reshape((self.kernel_size,) * dimensions)

        return _filter(graph, score, name, self.kernel_size, kernel, "GaussianFilter")


@dataclass(frozen=True)
class L1Norm(Operator):
    """The sum of absolute values over the channels, repeated for every channel.

    As in si4onnx the channel axis is 1 for maps of rank 4 and 0 for maps of rank 3.
    """

    def nodes(self, graph: Appender, score: Tensor, name: str, model_input: Tensor) -> Tensor:
        rank = len(score.shape)
        if rank not in (3, 4):
            raise OptionError(f"L1Norm needs a map of rank 3 or 4; this one has shape {score.shape}.")
        graph.require_opset(8, "L1Norm")
        axis = 1 if rank == 4 else 0
        graph.node("Abs", [score.name], f"{name}/abs")
        if graph.opset >= 13:
            axes = graph.constant(f"{name}/axes", np.array([axis], dtype=np.int64))
            graph.node("ReduceSum", [f"{name}/abs", axes], f"{name}/sum", keepdims=1)
        else:
            graph.node("ReduceSum", [f"{name}/abs"], f"{name}/sum", axes=[axis], keepdims=1)
        shape = graph.constant(f"{name}/shape", np.array(score.shape, dtype=np.int64))
        return Tensor(graph.node("Expand", [f"{name}/sum", shape], name), score.elem_type, score.shape)


def _kernel_size(value: object, who: str) -> int:
    number = exact_number(value, f"{who}: kernel_size", error=OptionError)
    if number.denominator != 1 or not 1 <= number <= _MAX_KERNEL or number % 2 == 0:
        # An even window would move the map by half a pixel and make it one pixel larger than the input.
        raise OptionError(f"{who}: kernel_size is {value}; it must be odd, from 1 to {_MAX_KERNEL}.")
    return int(number)


def _gaussian_weights(size: int, sigma: Fraction) -> list[Fraction]:
    """Give exp(-i^2 / (2 sigma^2)), i = -(size // 2), ..., size // 2, scaled to sum to one (60 digits)."""
    context = Context(prec=60, Emin=-999999, Emax=999999, traps=[])
    raw: list[Fraction] = []
    for i in range(-size // 2 + 1, size // 2 + 1):
        power = -(i * i) / (2 * sigma * sigma)
        value = context.exp(context.divide(Decimal(power.numerator), Decimal(power.denominator)))
        # Beyond this no element type holds anything but zero, and the fraction would have 400,000 digits.
        raw.append(Fraction(0) if value < Decimal("1e-400") else Fraction(value))
    total = sum(raw)
    return [w / total for w in raw]


def _filter(
    graph: Appender,
    score: Tensor,
    name: str,
    size: int,
    kernel: Callable[[int], NDArray[np.float64]],
    who: str,
) -> Tensor:
    rank = len(score.shape)
    if rank not in (3, 4):
        raise OptionError(f"{who} needs a map of rank 3 or 4; this one has shape {score.shape}.")
    if score.elem_type not in FLOATING:
        raise OptionError(f"{who} needs a map of floats; this one has type {type_name(score.elem_type)}.")
    dimensions, channels = rank - 2, score.shape[1]
    weights = kernel(dimensions).astype(helper.tensor_dtype_to_np_dtype(score.elem_type))
    stacked = np.ascontiguousarray(np.broadcast_to(weights, (channels, 1, *weights.shape)))
    graph.node(
        "Conv",
        [score.name, graph.constant(f"{name}/kernel", stacked)],
        name,
        group=channels,
        kernel_shape=[size] * dimensions,
        pads=[size // 2] * (2 * dimensions),
    )
    return Tensor(name, score.elem_type, score.shape)


_TEXT: dict[str, tuple[Callable[..., Operator], int]] = {
    "input-diff": (InputDiff, 0),
    "neg": (Neg, 0),
    "abs": (Abs, 0),
    "l1-norm": (L1Norm, 0),
    "average": (AverageFilter, 1),
    "gaussian": (GaussianFilter, 2),
}


def operator_from_text(text: str) -> Operator:
    """Read a step as the command line writes it: "input-diff", "abs", "average:3", "gaussian:3:1.0", ...

    Raises
    ------
    OptionError
        If there is no such step, or its numbers are out of range.
    """
    name, *values = text.strip().split(":")
    if name not in _TEXT or len(values) > _TEXT[name][1]:
        raise OptionError(
            f'"{text[:60]}" is no post-processing step; there are input-diff, neg, abs, l1-norm, '
            "average:SIZE "
            "and gaussian:SIZE:SIGMA."
        )
    return _TEXT[name][0](*values)
