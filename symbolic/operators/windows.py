"""Sliding windows: which input elements a kernel connects with which output elements."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.shapes import bounded

__all__ = ["Place", "Window", "transposed_window", "whole_window", "window_of"]

LARGEST_KERNEL = 2**20

Place = tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]
"""A kernel entry, and the positions that it connects (output or buffer positions, input positions)."""


@dataclass(frozen=True)
class Window:
    """How a kernel slides: one entry per spatial axis; ``shifted`` asks for products with shifted rows."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    size_in: tuple[int, ...]
    size_out: tuple[int, ...]
    shifted: bool = False

    def slices(self, offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
        """Output and input positions that kernel entry ``offset`` connects; None if there are none."""
        outs, ins = [], []
        for k, stride, dilation, begin, n_in, n_out in zip(
            offset, self.strides, self.dilations, self.begin, self.size_in, self.size_out, strict=True
        ):
            shift = k * dilation - begin
            first = max(0, -(shift // stride))  # smallest o with o * stride + shift >= 0
            last = min(n_out - 1, (n_in - 1 - shift) // stride)
            if first > last:
                return None
            outs.append(slice(first, last + 1))
            start = first * stride + shift
            ins.append(slice(start, start + (last - first) * stride + 1, stride))
        return tuple(outs), tuple(ins)

    @cached_property
    def places(self) -> list[Place]:
        """(kernel entry, output positions, input positions) of every entry that connects any."""
        found = []
        for offset in itertools.product(*(range(k) for k in self.kernel)):
            slices = self.slices(offset)
            if slices is not None:
                found.append((offset, *slices))
        return found

    @cached_property
    def is_pointwise(self) -> bool:
        """Whether a convolution is a matrix product at every position."""
        return all(k == 1 for k in self.kernel) and set(self.strides) == {1} and self.size_in == self.size_out

    @cached_property
    def shift_rows(self) -> tuple[int, int]:
        """Rows of a patch buffer, and how many kernel rows are shifts of it (1: rows are output rows)."""
        if self.shifted and len(self.kernel) > 1 and self.kernel[0] > 1 and self.strides[0] == 1:
            return self.size_out[0] + (self.kernel[0] - 1) * self.dilations[0], self.kernel[0]
        return self.size_out[0], 1

    @cached_property
    def patch_places(self) -> list[Place]:
        """(patch entry, buffer positions, input positions): all axes but a shifted first one."""
        rows, shifts = self.shift_rows
        if shifts == 1:
            return self.places
        across = Window(
            self.kernel[1:],
            self.strides[1:],
            self.dilations[1:],
            self.begin[1:],
            self.size_in[1:],
            self.size_out[1:],
        )
        start = max(0, -self.begin[0])
        stop = min(self.size_in[0], rows - self.begin[0])
        put, get = slice(start + self.begin[0], stop + self.begin[0]), slice(start, stop)
        return (
            [(offset, (put, *outs), (get, *ins)) for offset, outs, ins in across.places]
            if stop > start
            else []
        )

    def patch_shape(self, channels: int, samples: int) -> tuple[int, ...]:
        """(channels, *patch, samples, *rows)."""
        rows, shifts = self.shift_rows
        across = self.kernel[1:] if shifts > 1 else self.kernel
        return (channels, *across, samples, rows, *self.size_out[1:])

    @cached_property
    def patch_elements(self) -> int:
        """Buffer elements per channel and sample."""
        rows, shifts = self.shift_rows
        taps = int(np.prod(self.kernel[1:] if shifts > 1 else self.kernel))
        return taps * rows * int(np.prod(self.size_out[1:]))


def window_of(node: Node, size_in: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """Read strides, dilations, pads, auto_pad and ceil_mode as ONNX defines them for Conv and the pools."""
    n = len(kernel)
    strides, dilations = node.integers("strides", [1] * n), node.integers("dilations", [1] * n)
    pads = list(node.integers("pads", [0] * 2 * n))
    auto = node.text("auto_pad")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max(0, (-(-m // s) - 1) * s + w - m) for m, s, w in zip(size_in, strides, reach, strict=True)
        ]
        small = [t // 2 for t in total]
        large = [t - t // 2 for t in total]
        pads = small + large if auto == "SAME_UPPER" else large + small
    elif auto == "VALID":
        pads = [0] * 2 * n
    begin, end = pads[:n], pads[n:]
    out = []
    for m, s, w, b, e in zip(size_in, strides, reach, begin, end, strict=True):
        room = m + b + e - w
        steps = -(-room // s) if node.flag("ceil_mode") else room // s
        if node.flag("ceil_mode") and steps * s >= m + b:  # a window must start inside
            steps -= 1
        if auto == "VALID" and steps != room // s:  # the standard's formula rounds down, runtimes up
            raise ModelError(
                f"{node.label}: auto_pad VALID with ceil_mode means different things to different runtimes."
            )
        out.append(steps + 1)
    if min(out) < 1:
        raise ModelError(f"{node.label}: the kernel {kernel} does not fit the input {size_in}.")
    bounded(node, out)
    if prod(kernel) > LARGEST_KERNEL:
        raise ModelError(f"{node.label}: the kernel {kernel} has more than {LARGEST_KERNEL} entries.")
    return Window(tuple(kernel), strides, dilations, tuple(begin), tuple(size_in), tuple(out))


def whole_window(size: tuple[int, ...]) -> Window:
    """The one window of a global pool."""
    ones, zeros = (1,) * len(size), (0,) * len(size)
    return Window(size, ones, ones, zeros, size, ones)


def transposed_window(node: Node, size_in: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of the convolution whose transpose this is: its input is our output."""
    n = len(kernel)
    strides, dilations = node.integers("strides", [1] * n), node.integers("dilations", [1] * n)
    extra = node.integers("output_padding", [0] * n)
    pads = list(node.integers("pads", [0] * 2 * n))
    auto = node.text("auto_pad")
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [s * (m - 1) + e + w for s, m, e, w in zip(strides, size_in, extra, reach, strict=True)]
    wanted = node.attributes.get("output_shape")
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        if wanted is None:
            wanted = [m * s for m, s in zip(size_in, strides, strict=True)]
        wanted = list(wanted)[-n:]
        total = [max(0, f - w) for f, w in zip(full, wanted, strict=True)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        # ONNX: SAME_UPPER puts the larger half at the end, everything else at the beginning
        pads = small + large if auto == "SAME_UPPER" else large + small
        size_out = tuple(wanted)
    else:
        if auto == "VALID":
            pads = [0] * 2 * n
        size_out = tuple(f - pads[k] - pads[n + k] for k, f in enumerate(full))
    if min(size_out) < 1:
        raise ModelError(f"{node.label}: its output would be empty.")
    return Window(tuple(kernel), strides, dilations, tuple(pads[:n]), size_out, tuple(size_in))
