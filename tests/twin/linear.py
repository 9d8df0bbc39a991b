"""Matrix products, convolutions and batch normalisation."""

from __future__ import annotations

import itertools

import numpy as np
from onnx import TensorProto
from quicktions import Fraction

from .call import Call, operator
from .exact import Array, divide, float32, square_root

INTEGERS = (TensorProto.INT32, TensorProto.INT64, TensorProto.UINT32, TensorProto.UINT64)


def dot(pairs: list[tuple[object, object]]) -> object:
    """Sum of products (the empty sum is 0)."""
    total: object = None
    for a, b in pairs:
        total = a * b if total is None else total + a * b  # type: ignore[operator]
    return Fraction(0) if total is None else total


def _matrix_product(a: Array, b: Array) -> Array:
    out = np.empty((a.shape[0], b.shape[1]), dtype=object)
    for i, j in np.ndindex(out.shape):
        out[i, j] = dot([(a[i, k], b[k, j]) for k in range(a.shape[1])])
    return out


@operator("Gemm")
def gemm(call: Call) -> list[Array]:
    a = call[0].T if call.attribute("transA", 0) else call[0]
    b = call[1].T if call.attribute("transB", 0) else call[1]
    alpha, beta = call.attribute("alpha", Fraction(1)), call.attribute("beta", Fraction(1))
    if call.types and call.types[0] in INTEGERS:
        alpha, beta = int(alpha), int(beta)
    product = _matrix_product(a, b)
    out = np.empty(product.shape, dtype=object)
    bias = np.broadcast_to(call[2], out.shape) if call.has(2) else None
    for index in np.ndindex(out.shape):
        out[index] = alpha * product[index]
        if bias is not None:
            out[index] = out[index] + beta * bias[index]
    return [out]


@operator("MatMul")
def matmul(call: Call) -> list[Array]:
    """As numpy.matmul: vectors get a dimension that is removed again, leading dimensions broadcast."""
    a, b = call[0], call[1]
    wide_a = a.reshape(1, -1) if a.ndim == 1 else a
    wide_b = b.reshape(-1, 1) if b.ndim == 1 else b
    batch = np.broadcast_shapes(wide_a.shape[:-2], wide_b.shape[:-2])
    wide_a = np.broadcast_to(wide_a, batch + wide_a.shape[-2:])
    wide_b = np.broadcast_to(wide_b, batch + wide_b.shape[-2:])
    out = np.empty((*batch, wide_a.shape[-2], wide_b.shape[-1]), dtype=object)
    for index in np.ndindex(batch):
        out[index] = _matrix_product(wide_a[index], wide_b[index])
    if a.ndim == 1:
        out = out[..., 0, :]
    if b.ndim == 1:
        out = out[..., 0]
    if not isinstance(out, np.ndarray):
        scalar = np.empty((), dtype=object)
        scalar[()] = out
        out = scalar
    return [out]


def spatial_pads(
    call: Call, size: list[int], kernel: list[int], strides: list[int], dilations: list[int]
) -> list[tuple[int, int]]:
    """Pads (begin, end) of every spatial axis, with auto_pad resolved."""
    mode = call.attribute("auto_pad", "NOTSET")
    n = len(size)
    if mode == "NOTSET":
        pads = call.attribute("pads", [0] * (2 * n))
        return list(zip(pads[:n], pads[n:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * n
    out = []
    for axis in range(n):
        positions = -(-size[axis] // strides[axis])
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        need = max((positions - 1) * strides[axis] + reach - size[axis], 0)
        small, large = need // 2, need - need // 2
        out.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return out


@operator("Conv")
def conv(call: Call) -> list[Array]:
    x, w = call[0], call[1]
    size, kernel = list(x.shape[2:]), list(w.shape[2:])
    n = len(size)
    strides, dilations = call.attribute("strides", [1] * n), call.attribute("dilations", [1] * n)
    group = call.attribute("group", 1)
    pads = spatial_pads(call, size, kernel, strides, dilations)
    positions = [
        (size[i] + sum(pads[i]) - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(n)
    ]
    per_group_in, per_group_out = w.shape[1], w.shape[0] // group
    out = np.empty((x.shape[0], w.shape[0], *positions), dtype=object)
    for index in np.ndindex(out.shape):
        image, channel, place = index[0], index[1], index[2:]
        first = (channel // per_group_out) * per_group_in
        pairs = []
        for tap in itertools.product(*(range(k) for k in kernel)):
            source = tuple(place[i] * strides[i] - pads[i][0] + tap[i] * dilations[i] for i in range(n))
            if all(0 <= source[i] < size[i] for i in range(n)):
                pairs += [
                    (w[(channel, c, *tap)], x[(image, first + c, *source)]) for c in range(per_group_in)
                ]
        out[index] = dot(pairs) + (call[2][channel] if call.has(2) else 0)
    return [out]


@operator("ConvTranspose")
def conv_transpose(call: Call) -> list[Array]:
    x, w = call[0], call[1]
    size, kernel = list(x.shape[2:]), list(w.shape[2:])
    n = len(size)
    strides, dilations = call.attribute("strides", [1] * n), call.attribute("dilations", [1] * n)
    extra, group = call.attribute("output_padding", [0] * n), call.attribute("group", 1)
    mode, wanted = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape")
    full = [strides[i] * (size[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(n)]
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size[i] * strides[i] for i in range(n)]
    if wanted is not None:
        surplus = [full[i] - wanted[i] for i in range(n)]
        begins = [max(s, 0) // 2 if mode == "SAME_UPPER" else max(s, 0) - max(s, 0) // 2 for s in surplus]
        positions = list(wanted)
    else:
        pads = [0] * (2 * n) if mode == "VALID" else call.attribute("pads", [0] * (2 * n))
        begins = pads[:n]
        positions = [full[i] - pads[i] - pads[n + i] for i in range(n)]
    per_group_out, per_group_in = w.shape[1], w.shape[0] // group
    out = np.empty((x.shape[0], per_group_out * group, *positions), dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = call[2][index[1]] if call.has(2) else Fraction(0)
    for image, channel, *place in itertools.product(*(range(s) for s in x.shape)):
        g = channel // per_group_in
        for m, *tap in itertools.product(*(range(s) for s in w.shape[1:])):
            target = [place[i] * strides[i] + tap[i] * dilations[i] - begins[i] for i in range(n)]
            if all(0 <= target[i] < positions[i] for i in range(n)):
                where = (image, g * per_group_out + m, *target)
                out[where] = out[where] + x[(image, channel, *place)] * w[(channel, m, *tap)]
    return [out]


@operator("BatchNormalization")
def batch_normalization(call: Call) -> list[Array]:
    x, scale, bias, mean, variance = (call[i] for i in range(5))
    epsilon = call.attribute("epsilon", float32(1e-5))
    channel_of = (lambda index: index[1]) if x.ndim > 1 else (lambda index: 0)
    results = []
    if call.attribute("training_mode", 0):
        momentum = call.attribute("momentum", float32(0.9))
        running = mean, variance
        mean, variance = np.empty(mean.shape, dtype=object), np.empty(mean.shape, dtype=object)
        for c in range(mean.shape[0]):
            values = [x[index] for index in np.ndindex(x.shape) if channel_of(index) == c]
            count = Fraction(len(values))
            mean[c] = divide(sum(values, Fraction(0)), count)
            variance[c] = divide(dot([(v - mean[c], v - mean[c]) for v in values]), count)
        results = [running[i] * momentum + (mean, variance)[i] * (1 - momentum) for i in range(2)]
    factor = [divide(scale[c], square_root(variance[c] + epsilon)) for c in range(scale.shape[0])]
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        c = channel_of(index)
        out[index] = (x[index] - mean[c]) * factor[c] + bias[c]
    return [out, *results]
