"""Perturbed inputs and the scores there: what methods of perturbation share, occlusion, RISE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto

from symbolic.errors import OptionError
from symbolic.explanations.graph import Tensor
from symbolic.explanations.method import Method, Task, named
from symbolic.explanations.methods.gradients import LINEAR, as_one_input
from symbolic.explanations.option_checks import require_number, require_whole
from symbolic.explanations.passage import folded_batch, spread_batch
from symbolic.explanations.products.matrices import matmul, times_matrix
from symbolic.explanations.regions import Regions, as_input, spatial_axes, unflattened, upsampling

__all__ = [
    "MOST_ROWS",
    "Occlusion",
    "Rise",
    "blended",
    "from_coalitions",
    "require_rows",
    "scores_at",
]

MOST_ROWS = 20_000
"""Runs of the network per explained input: they are one batch."""


def blended(x: Tensor, masks: Tensor, baseline: Tensor | NDArray[np.float64]) -> Tensor:
    """m x + (1 - m) r for masks m of (S, 1, ...): (S, N, ...)."""
    kept = x * masks
    if isinstance(baseline, np.ndarray) and not baseline.any():
        return kept
    return kept + (1.0 - masks) * baseline


def scores_at(task: Task, inputs: Tensor, count: int) -> Tensor:
    """The explained scores at (S, N, ...) inputs, (S, N), of the class chosen at the clean input."""
    graph, y = task.graph, task.passage.at(folded_batch(inputs), count).y
    weighted = y * graph.repeat(task.weights, count)
    return spread_batch(graph.sum(weighted, range(1, y.rank), keep=False), count, task.x.known_shape[0])


def from_coalitions(
    task: Task,
    regions: Regions,
    coalitions: NDArray[np.float64],
    matrix: NDArray[np.float64],
    baseline: float | ArrayLike,
) -> Tensor:
    """Attributions that are linear in the scores.

    Parameters
    ----------
    task : Task
    regions : Regions
    coalitions : array of shape (S, regions)
        1 where a region keeps its values, 0 where it has those of the baseline.
    matrix : array of shape (regions, S)
        Takes the scores to attributions.
    baseline : float or array

    Returns
    -------
    Tensor
        In the shape of the input.
    """
    count = len(coalitions)
    masks = regions.masks(task.x.like(coalitions))
    scores = scores_at(task, blended(task.x, masks, as_one_input(baseline, task, "baseline")), count)
    return regions.spread(matmul(task.graph.transpose(scores, [1, 0]), task.x.like(matrix.T)))


def require_rows(rows: int, what: str) -> None:
    """Refuse a batch that does not fit."""
    if rows > MOST_ROWS:
        raise OptionError(
            f"this needs {rows:,} runs of the network per input, and {MOST_ROWS:,} are the most: {what}."
        )


@named("occlusion", LINEAR, "Zeiler and Fergus, 2014")
@dataclass(frozen=True, eq=False)
class Occlusion(Method):
    """What the score loses when a window is covered, meaned over the windows that cover a place.

    Parameters
    ----------
    window : int or sequence of int
        Its size along every spatial axis, over all channels together; or one number per axis of one input,
        channels included.
    stride : int or sequence of int
        The step of the windows, likewise. The last window along an axis may be cut by the border.
    baseline : float or array
        What a covered place holds: one number, or an array in the shape of one input.
    """

    window: int | Sequence[int] = 1
    stride: int | Sequence[int] = 1
    baseline: float | ArrayLike = 0.0

    def __post_init__(self) -> None:
        for name, sizes in (("window", self.window), ("stride", self.stride)):
            for size in np.ravel(sizes).tolist():
                require_whole(name, size)

    def attribution(self, task: Task) -> Tensor:
        x, graph = task.x, task.graph
        covers = self._covers(x)
        counts = [len(cover) for cover in covers]
        require_rows(prod(counts), "take a larger stride")
        rank, inside = len(covers), None
        for axis, cover in enumerate(covers):  # (windows, ..., places, ...), one factor per axis
            shape = [1] * (2 * rank)
            shape[axis], shape[rank + axis] = cover.shape
            factor = x.like(cover.reshape(shape))
            inside = factor if inside is None else inside * factor
        assert inside is not None
        lengths = [prod(counts), 1, *(cover.shape[1] for cover in covers)]
        masks = 1.0 - graph.node("Reshape", [inside, graph.integers(lengths)], shape=tuple(lengths))
        inputs = blended(x, masks, as_one_input(self.baseline, task, "baseline"))
        losses = graph.transpose(task.value - scores_at(task, inputs, prod(counts)), [1, 0])
        made = unflattened(losses, counts)
        for axis, cover in enumerate(covers, start=1):
            mean = x.like((cover / cover.sum(axis=0)).T)
            made = times_matrix(graph, made, mean, axis)
        return graph.expand(made, x)

    def _covers(self, x: Tensor) -> list[NDArray[np.float64]]:
        """Per axis of one input, which windows cover which places, (windows, places)."""
        axes = spatial_axes(x)
        rest = [x.length(axis) for axis in range(1, x.rank)]
        windows = _per_axis("window", self.window, len(axes), len(rest))
        strides = _per_axis("stride", self.stride, len(axes), len(rest))
        found = []
        for length, window, stride in zip(rest, windows, strides, strict=True):
            if window is None:  # all channels together
                found.append(np.ones((1, 1)))
                continue
            if window > length:
                raise OptionError(f"a window of {window} is longer than an axis of {length}.")
            step = stride or 1
            if step > window < length:
                raise OptionError(f"a stride of {step} jumps over places between windows of {window}.")
            begins = np.arange(-(-(length - window) // step) + 1)[:, None] * step
            places = np.arange(length)
            found.append(((places >= begins) & (places < begins + window)).astype(np.float64))
        return found


def _per_axis(name: str, sizes: int | Sequence[int], spatial: int, rank: int) -> list[int | None]:
    """One number for every axis of one input, None for the channels that are taken together."""
    numbers = [int(n) for n in np.ravel(sizes)]
    given: list[int | None] = [*(numbers if np.ndim(sizes) else numbers * spatial)]
    if len(given) not in (spatial, rank):
        raise OptionError(f"{name} has {len(given)} numbers; one input has {rank} axes, {spatial} of places.")
    together: list[int | None] = [None]
    return together * (rank - len(given)) + given


@named("rise", LINEAR, "Petsiuk, Das and Saenko, 2018")
@dataclass(frozen=True, eq=False)
class Rise(Method):
    """The mean of random smooth masks, weighted by the scores of what they keep, over their expectation.

    Masks are coarse random bits, made larger by linear interpolation and shifted at random by less than a
    cell. They are drawn once; the graph stores the bits.

    Parameters
    ----------
    masks : int
    cells : int
        Bits along every spatial axis.
    keep : float
        The probability of a bit to be 1.
    seed : int
    baseline : float or array
        What a place holds that is masked altogether: one number, or an array in the shape of one input.
    """

    masks: int = 1000
    cells: int = 7
    keep: float = 0.5
    seed: int = 0
    baseline: float | ArrayLike = 0.0

    def __post_init__(self) -> None:
        require_whole("masks", self.masks)
        require_whole("cells", self.cells)
        require_number("keep", self.keep, lambda p: 0 < p <= 1, "a probability larger than 0")
        require_rows(self.masks, "take fewer masks")

    def attribution(self, task: Task) -> Tensor:
        x, graph = task.x, task.graph
        places = [x.length(axis) for axis in spatial_axes(x)]
        bits, shifts = self.drawn(places)
        made = x.like(bits)
        for length, cells, shift in zip(places, bits.shape[1:], shifts, strict=True):
            made = self._longer(made, cells, length, shift)
        lead = [1] * (x.rank - 1 - len(places))
        shape = (self.masks, 1, *lead, *places)
        masks = graph.node("Reshape", [made, graph.integers(list(shape))], shape=shape)
        scores = scores_at(task, blended(x, masks, as_one_input(self.baseline, task, "baseline")), self.masks)
        flat = graph.node(
            "Reshape", [made, graph.integers([self.masks, -1])], shape=(self.masks, prod(places))
        )
        total = matmul(graph.transpose(scores, [1, 0]), flat)
        return as_input(unflattened(total / (self.masks * self.keep), places), x)

    def drawn(self, places: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The bits, (masks, cells, ...), and by how many places they are shifted, (axes, masks)."""
        rng = np.random.default_rng(self.seed)
        cells = [min(self.cells, n) for n in places]
        bits = (rng.random((self.masks, *cells)) < self.keep).astype(np.float64)
        sizes = [-(-n // c) for n, c in zip(places, cells, strict=True)]
        return bits, np.stack([rng.integers(0, size, self.masks) for size in sizes])

    def _longer(self, made: Tensor, cells: int, length: int, shift: NDArray[np.int64]) -> Tensor:
        """The first axis after the masks, interpolated, becomes the last: (S, rest, length)."""
        graph, size = made.graph, -(-length // cells)
        rest = prod(made.length(axis) for axis in range(1, made.rank)) // cells
        whole = upsampling(cells, (cells + 1) * size, "linear")
        tables = np.stack([whole[k : k + length].T for k in range(size)])
        shape = (self.masks, cells, rest)
        flat = graph.node("Reshape", [made, graph.integers(list(shape))], shape=shape)
        matrices = graph.node(
            "Gather",
            [made.like(tables), graph.constant(shift, TensorProto.INT64)],
            shape=(self.masks, cells, length),
            axis=0,
        )
        return matmul(graph.transpose(flat, [0, 2, 1]), matrices)
