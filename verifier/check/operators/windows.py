"""Sliding windows: which elements a convolution or pool reads, as index tables.

A table has shape (taps, positions): the flat index into the spatial part of the input, or -1 in the padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verifier.check.numbers.integers import Array
from verifier.check.operators.registry import LARGEST_TENSOR, Node

__all__ = ["Windows", "channelled", "combined", "transposed", "windows"]


LARGEST_TABLE = 1 << 28


@dataclass(frozen=True)
class Windows:
    """The table, the spatial shape of the output, and how many taps of each window count for an average."""

    table: Array
    shape: tuple[int, ...]
    counts: Array


def _settings(node: Node, kernel: list[int]) -> tuple[list[int], list[int], list[int], str]:
    n = len(kernel)
    auto = (node.get("auto_pad") or b"NOTSET").decode()
    ones = [1] * n
    return (node.get("strides") or ones, node.get("dilations") or ones, node.get("pads") or [0] * 2 * n, auto)


def windows(node: Node, spatial: tuple[int, ...], kernel: list[int]) -> Windows:
    """The windows of Conv, MaxPool and AveragePool."""
    strides, dilations, pads, auto = _settings(node, kernel)
    axes, counts = [], []
    for i, (size, k, stride, dilation) in enumerate(zip(spatial, kernel, strides, dilations, strict=True)):
        reach = (k - 1) * dilation + 1
        begin, end = pads[i], pads[i + len(kernel)]
        if auto == "VALID":
            begin = end = 0
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            begin, end = (
                (total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2)
            )
        room = size + begin + end - reach
        if room < 0 or min(stride, dilation, k) < 1:
            raise node.refuse("a window does not fit the input")
        out = room // stride + 1
        if node.get("ceil_mode") and auto in ("NOTSET", "VALID"):
            out = -(-room // stride) + 1
            out -= (out - 1) * stride >= size + begin  # a window may not start in the padding at the end
            if auto == "VALID" and out != room // stride + 1:  # the standard rounds down, runtimes round up
                raise node.refuse(
                    "auto_pad VALID with ceil_mode means different things to different runtimes"
                )
        at = np.arange(out) * stride + (np.arange(k) * dilation - begin)[:, None]
        axes.append(np.where((at >= 0) & (at < size), at, -1))
        counted = (at < size + end) if node.get("count_include_pad") else (at >= 0) & (at < size)
        counts.append(counted)
    tables, shape = combined(node, axes, spatial)
    inside = counts[0]
    for more in counts[1:]:
        both = inside[:, None, :, None] & more[None, :, None, :]
        inside = both.reshape(len(inside) * len(more), -1)
    return Windows(tables, shape, inside.sum(axis=0))


def combined(node: Node, axes: list[Array], spatial: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """One table out of one per axis (k_i, out_i)."""
    shape = tuple(a.shape[1] for a in axes)
    if math.prod(a.size for a in axes) > LARGEST_TENSOR:
        raise node.refuse(f"a table of more than {LARGEST_TENSOR} windows elements")
    table = axes[0]
    for axis, size in zip(axes[1:], spatial[1:], strict=True):
        outer, inner = table[:, None, :, None], axis[None, :, None, :]
        table = np.where((outer >= 0) & (inner >= 0), outer * size + inner, -1)
        table = table.reshape(table.shape[0] * table.shape[1], -1)
    return table, shape


def transposed(
    node: Node, spatial: tuple[int, ...], kernel: list[int]
) -> tuple[Windows, list[tuple[Array, Array]]]:
    """The windows of ConvTranspose, and its phases: pairs (taps, positions) outside which the table is
    empty.
    """
    strides, dilations, pads, auto = _settings(node, kernel)
    n = len(kernel)
    extra, wanted = node.get("output_padding") or [0] * n, node.get("output_shape")
    axes, residues = [], []
    for i, (size, k, stride, dilation) in enumerate(zip(spatial, kernel, strides, dilations, strict=True)):
        full = stride * (size - 1) + extra[i] + (k - 1) * dilation + 1
        begin, end = pads[i], pads[i + n]
        if auto == "VALID":
            begin = end = 0
        if wanted or auto.startswith("SAME"):
            total = full - (wanted[len(wanted) - n + i] if wanted else size * stride)
            begin, end = 0, total  # a longer output than there is: zeros at its end
            if total >= 0:
                halves = total // 2, total - total // 2
                begin, end = halves if auto == "SAME_UPPER" else halves[::-1]
        at = np.arange(full - begin - end) + begin - (np.arange(k) * dilation)[:, None]
        axes.append(np.where((at % stride == 0) & (at >= 0) & (at < size * stride), at // stride, -1))
        residues.append((np.arange(full - begin - end) + begin) % stride)
    table, shape = combined(node, axes, spatial)
    phase = residues[0]
    for residue, stride in zip(residues[1:], strides[1:], strict=True):
        phase = (phase[:, None] * stride + residue).reshape(-1)
    phases = []
    for which in np.unique(phase):
        positions = np.flatnonzero(phase == which)
        phases.append((np.flatnonzero((table[:, positions] >= 0).any(axis=1)), positions))
    return Windows(table, shape, np.zeros(0)), phases


def channelled(node: Node, table: Array, batch: int, channels: int, groups: int, spatial: int) -> Array:
    """The table for every group and image: (groups, channels/groups * taps, batch * positions); padding
    last.
    """
    each = channels // groups
    if table.size * batch * channels > LARGEST_TABLE:
        raise node.refuse(f"a table of more than {LARGEST_TABLE} window elements")
    channel = np.arange(channels).reshape(groups, each, 1, 1, 1) + np.arange(batch)[:, None] * channels
    index = channel * spatial + table[:, None, :]  # (groups, each, taps, batch, positions)
    index = np.where(table[:, None, :] < 0, batch * channels * spatial, index)
    return index.reshape(groups, each * table.shape[0], batch * table.shape[1])
