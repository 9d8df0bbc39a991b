"""Convolution, its transpose, and pooling by averages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from symbolic.errors import ModelError
from symbolic.linear import Weights, each, linear_map
from symbolic.node import Inputs, Node, Rule, constant, operator
from symbolic.rounding import Array
from symbolic.values import Batch, Const, Value

SHIFTED_DEPTH = 16
"""Products shorter than this are not worth splitting by kernel rows."""
CHUNK = 2**16
"""Elements of a patch matrix that are worth having in cache at once."""


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
        """(output positions, input positions) that kernel entry ``offset`` connects; None if there are none."""
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
    def places(self) -> list[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
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
        """Rows of a patch buffer, and how many kernel rows are shifts of it (1: none, rows are output rows)."""
        if self.shifted and len(self.kernel) > 1 and self.kernel[0] > 1 and self.strides[0] == 1:
            return self.size_out[0] + (self.kernel[0] - 1) * self.dilations[0], self.kernel[0]
        return self.size_out[0], 1

    @cached_property
    def patch_places(self) -> list[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
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

    def patch_buffer(self, channels: int, samples: int) -> Array:
        """Zeros for (channels, *patch, samples, *rows): what no patch reaches is padding."""
        rows, shifts = self.shift_rows
        across = self.kernel[1:] if shifts > 1 else self.kernel
        return np.zeros((channels, *across, samples, rows, *self.size_out[1:]))

    @cached_property
    def patch_elements(self) -> int:
        """Buffer elements per channel and sample."""
        rows, shifts = self.shift_rows
        taps = int(np.prod(self.kernel[1:] if shifts > 1 else self.kernel))
        return taps * rows * int(np.prod(self.size_out[1:]))


def window_of(node: Node, size_in: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """Read strides, dilations, pads, auto_pad and ceil_mode as ONNX defines them for Conv and the pools."""
    n = len(kernel)
    strides = tuple(node.attributes.get("strides", [1] * n))
    dilations = tuple(node.attributes.get("dilations", [1] * n))
    pads = list(node.attributes.get("pads", [0] * 2 * n))
    auto = node.text("auto_pad", "NOTSET")
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
        steps = -(-room // s) if node.attributes.get("ceil_mode", 0) else room // s
        if node.attributes.get("ceil_mode", 0) and steps * s >= m + b:  # a window must start inside
            steps -= 1
        out.append(steps + 1)
    if min(out) < 1:
        raise ModelError(f"{node.label}: the kernel {kernel} does not fit the input {size_in}.")
    return Window(tuple(kernel), strides, dilations, tuple(begin), tuple(size_in), tuple(out))


def convolve(parts: Sequence[Array], kernel: Array, window: Window) -> list[Array]:
    """Direct convolution of arrays (B, C, *spatial) with one kernel (groups, out, in, *taps; out and in per group).

    Patches are copied along all axes but the first; along that one, of stride 1, the kernel's rows are products with
    shifted views of the same copy.
    """
    groups, per_group, depth = kernel.shape[:3]
    n_out = int(np.prod(window.size_out))
    if window.is_pointwise:
        weight = kernel.reshape(groups, per_group, depth)
        return [
            np.matmul(weight, x.reshape(-1, groups, depth, n_out)).reshape(
                -1, groups * per_group, *window.size_out
            )
            for x in parts
        ]
    results = [np.empty((len(x), groups * per_group, *window.size_out)) for x in parts]
    step = max(1, CHUNK // max(1, window.patch_elements * groups * depth))
    buffer: Array | None = None
    for x, y in zip(parts, results, strict=True):
        for first in range(0, len(x), step):
            some = x[first : first + step]
            if buffer is None or buffer.shape[-len(window.kernel) - 1] != len(some):
                buffer = window.patch_buffer(groups * depth, len(some))
            _convolve_some(some, y[first : first + step], kernel, window, buffer)
    return results


def _convolve_some(x: Array, y: Array, kernel: Array, window: Window, buffer: Array) -> None:
    """y = kernel * x for a few samples; the buffer's borders are zero and stay so."""
    groups, per_group, depth = kernel.shape[:3]
    rows, shifts = window.shift_rows
    turned = x.swapaxes(0, 1)
    every = slice(None)
    for offset, outs, ins in window.patch_places:
        buffer[(every, *offset, every, *outs)] = turned[(every, every, *ins)]
    row = int(np.prod(window.size_out[1:]))
    flat = buffer.reshape(groups, -1, len(x) * rows * row)
    stride = window.dilations[0] * row
    length = flat.shape[2] - (shifts - 1) * stride
    result = np.empty((groups, per_group, flat.shape[2]))
    taps = kernel.reshape(groups, per_group, depth, shifts, -1)
    for shift in range(shifts):
        weight = np.ascontiguousarray(taps[:, :, :, shift]).reshape(groups, per_group, -1)
        view = flat[:, :, shift * stride : shift * stride + length]
        if shift == 0:
            np.matmul(weight, view, out=result[:, :, :length])
        else:
            result[:, :, :length] += np.matmul(weight, view)
    whole = result.reshape(groups * per_group, len(x), rows, *window.size_out[1:])
    y[...] = whole[:, :, : window.size_out[0]].swapaxes(0, 1)


@operator("Conv")
def conv(node: Node, inputs: Inputs) -> Rule:
    """Convolution with a constant kernel."""
    kernel = constant(node, inputs, 1, "kernel")
    bias = constant(node, inputs, 2, "bias")
    x = inputs[0]
    if kernel is None or x is None:
        raise ModelError(f"{node.label} lacks an input.")
    groups = int(node.attributes.get("group", 1))
    window = window_of(node, x.shape[2:], kernel.shape[2:])
    window = replace(window, shifted=int(np.prod(kernel.shape[3:])) * kernel.shape[1] >= SHIFTED_DEPTH)
    shape = (groups, kernel.shape[0] // groups, *kernel.shape[1:])
    weights = Weights.of(kernel).arranged(lambda w: w.reshape(shape))
    shift = None if bias is None else _per_channel(bias, len(window.kernel))
    terms = int(np.prod(kernel.shape[1:]))
    batched = x.shape[0]

    def apply(parts: Sequence[Array], w: Array) -> list[Array]:
        folded = [a.reshape(-1, *a.shape[2:]) for a in parts]  # ONNX's own batch axis joins ours
        return [y.reshape(-1, batched, *y.shape[1:]) for y in convolve(folded, w, window)]

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(_present(values[0])), weights, apply, terms, batch, shift),)

    return rule


def _present(value: Value | None) -> Value:
    if value is None:
        raise ModelError("a required operator input is missing.")
    return value


def _per_channel(bias: Const, spatial: int) -> Const:
    shape = (-1, *(1,) * spatial)
    return Const(bias.value.reshape(shape), None if bias.radius is None else bias.radius.reshape(shape))


@operator("ConvTranspose")
def conv_transpose(node: Node, inputs: Inputs) -> Rule:
    """The transpose of a convolution: every input element spreads its kernel."""
    kernel = constant(node, inputs, 1, "kernel")
    bias = constant(node, inputs, 2, "bias")
    x = inputs[0]
    if kernel is None or x is None:
        raise ModelError(f"{node.label} lacks an input.")
    groups = int(node.attributes.get("group", 1))
    size_in, taps = x.shape[2:], kernel.shape[2:]
    window = _transposed_window(node, size_in, taps)
    per_in, per_out = kernel.shape[0] // groups, kernel.shape[1]
    # (groups, out * taps, in): one product, then overlapping windows are added
    weights = Weights.of(kernel).arranged(lambda w: np.moveaxis(w.reshape(groups, per_in, -1), 1, 2))
    shift = None if bias is None else _per_channel(bias, len(taps))
    terms = per_in * int(np.prod(taps))
    batched = x.shape[0]
    n_in = int(np.prod(size_in))

    def apply(a: Array, w: Array) -> Array:
        folded = a.reshape(-1, groups, per_in, n_in)
        spread = np.matmul(w, folded).reshape(-1, groups * per_out, *taps, *size_in)
        y = np.zeros((spread.shape[0], groups * per_out, *window.size_in))
        lead = (slice(None), slice(None))
        for offset, source, target in window.places:
            y[(*lead, *target)] += spread[(*lead, *offset, *source)]
        return y.reshape(-1, batched, groups * per_out, *window.size_in)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(_present(values[0])), weights, each(apply), terms, batch, shift),)

    return rule


def _transposed_window(node: Node, size_in: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of the convolution whose transpose this is: its input is our output."""
    n = len(kernel)
    strides = tuple(node.attributes.get("strides", [1] * n))
    dilations = tuple(node.attributes.get("dilations", [1] * n))
    extra = tuple(node.attributes.get("output_padding", [0] * n))
    pads = list(node.attributes.get("pads", [0] * 2 * n))
    auto = node.text("auto_pad", "NOTSET")
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


@operator("AveragePool", "GlobalAveragePool")
def average_pool(node: Node, inputs: Inputs) -> Rule:
    """Mean over a window; what padding counts follows count_include_pad (ONNX's default: not)."""
    x = _present(inputs[0])
    if node.op_type == "GlobalAveragePool":
        size = x.shape[2:]
        window = Window(size, (1,) * len(size), (1,) * len(size), (0,) * len(size), size, (1,) * len(size))
        count = np.full(window.size_out, float(np.prod(size)))
    else:
        window = window_of(node, x.shape[2:], tuple(node.attributes["kernel_shape"]))
        count = _counts(node, window)
    inverse = 1.0 / count
    weights = Weights.of(Const(inverse, inverse * 2.0**-52))
    terms = int(np.prod(window.kernel))
    lead = (slice(None), slice(None), slice(None))

    def apply(a: Array, w: Array) -> Array:
        y = np.zeros((*a.shape[:3], *window.size_out))
        for _, outs, ins in window.places:
            y[(*lead, *outs)] += a[(*lead, *ins)]
        return np.asarray(y * w)

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        return (linear_map(batch.lift(_present(values[0])), weights, each(apply), terms + 1, batch, None),)

    return rule


def _counts(node: Node, window: Window) -> Array:
    """How many elements each window averages."""
    n = len(window.kernel)
    ones = np.ones(window.size_in)
    begin = window.begin
    if node.attributes.get("count_include_pad", 0):
        auto = node.text("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            return np.full(window.size_out, float(np.prod(window.kernel)))
        pads = list(node.attributes.get("pads", [0] * 2 * n)) if auto != "VALID" else [0] * 2 * n
        ones = np.ones([m + pads[k] + pads[n + k] for k, m in enumerate(window.size_in)])
        begin = (0,) * n
    frame = Window(window.kernel, window.strides, window.dilations, begin, ones.shape, window.size_out)
    count = np.zeros(window.size_out)
    for _, outs, ins in frame.places:
        count[outs] += ones[ins]
    return np.maximum(count, 1.0)
