"""Makers of the operators that read images between their elements, by regions and by blocks; of those whose
shape depends on constants; and of some more that move elements."""

from __future__ import annotations

import numpy as np
from graph_builder import NUMPY, Builder, Rejected, Tensor
from onnx import TensorProto
from random_operators import maker

__all__: list[str] = []


def image(b: Builder, least: int = 1) -> Tensor:
    """A moving tensor of rank 4 whose sides have so many elements."""
    x = b.with_rank(4)
    if min(x.shape[2:]) >= least:
        return x
    size = x.value.size
    sides = [n for n in range(least, size + 1) if size % n == 0 and size // n >= least]
    if not sides:
        raise Rejected("size")
    side = b.choose(sides)
    return b.reshaped(x, [1, 1, side, size // side])


def points(b: Builder, shape: list[int], scale: float) -> Tensor:
    """Coordinates: some between elements, some beyond the border, some on a step."""
    numbers = b.rng.normal(0, scale, size=shape)
    if b.coin():
        numbers = np.round(numbers * 4) / 4
    return b.constant(numbers.astype(NUMPY[b.type]))


def moving_points(b: Builder, shape: list[int]) -> Tensor:
    count = int(np.prod(shape))
    source = b.pick(lambda t: t.value.size >= count)
    flat = b.reshaped(source, [source.value.size])
    part = b.node("Slice", [flat, b.integers([0]), b.integers([count])])[0]
    scaled = b.node("Mul", [part, b.constant(NUMPY[b.type](b.choose([0.125, 0.25, 0.5])))])[0]
    return b.reshaped(scaled, shape)


@maker("GridSample", since=16)
def grid_sample(b: Builder) -> object:
    x = image(b) if b.opset < 20 or b.coin(0.7) else b.with_rank(3, 5)
    rank = x.rank - 2
    if b.coin(0.2) and b.opset >= 20 and rank == 2 and min(x.shape[2:]) > 1:
        maps = np.eye(2, 3)[None] * 0.75 + b.rng.normal(0, 0.2, size=(x.shape[0], 2, 3))
        theta = b.constant(maps.astype(NUMPY[b.type]))
        size = b.integers([x.shape[0], 1, b.integer(2, 3), b.integer(2, 3)])
        grid = b.node("AffineGrid", [theta, size], align_corners=b.integer(0, 1))[0]
        modes = ["linear"]
    elif b.smooth and b.coin():
        shape = [x.shape[0], *[b.integer(1, 2) for _ in range(rank)], rank]
        modes = ["nearest", "linear"] if b.opset >= 20 else ["nearest", "bilinear"]
        grid = moving_points(b, shape)
    else:
        grid = points(b, [x.shape[0], *[b.integer(1, 2) for _ in range(rank)], rank], 0.8)
        modes = ["nearest", "linear", "cubic"] if b.opset >= 20 else ["nearest", "bilinear", "bicubic"]
    attributes = {
        "mode": b.choose(modes),
        "padding_mode": b.choose(["zeros", "border", "reflection"]),
        "align_corners": b.integer(0, 1),
    }
    if "cubic" in attributes["mode"] and attributes["padding_mode"] == "border":
        attributes["padding_mode"] = "zeros"  # beyond the border its meaning is open
    return b.node("GridSample", [x, grid], type=b.type, **attributes)


@maker("AffineGrid", since=20)
def affine_grid(b: Builder) -> object:
    rank = b.integer(2, 3)
    count = rank * (rank + 1)
    x = b.pick(lambda t: t.value.size >= count and t.value.size % count == 0)
    theta = b.reshaped(x, [x.value.size // count, rank, rank + 1])
    size = [theta.shape[0], 2, *[b.integer(2, 3) for _ in range(rank)]]
    return b.node("AffineGrid", [theta, b.integers(size)], align_corners=b.integer(0, 1))


def regions(b: Builder, x: Tensor, count: int) -> np.ndarray:
    corner = b.rng.uniform(-1, max(x.shape[2:]), size=(count, 2))
    far = corner + b.rng.uniform(0, max(x.shape[2:]) + 1, size=(count, 2))
    both = np.concatenate([corner, far], axis=1)
    return np.round(both * 4) / 4 if b.coin() else both


@maker("RoiAlign", since=10)
def roi_align(b: Builder) -> object:
    x = image(b)
    count = b.integer(1, 2)
    rois = b.constant(regions(b, x, count).astype(NUMPY[b.type]))
    images = b.constant(b.rng.integers(0, x.shape[0], size=count, dtype=np.int64))
    attributes: dict[str, object] = {
        "mode": b.choose(["avg", "avg", "max"]),
        "output_height": b.integer(1, 2),
        "output_width": b.integer(1, 2),
        "sampling_ratio": b.integer(0, 2),
    }
    if b.opset >= 16 and b.coin():
        attributes["coordinate_transformation_mode"] = b.choose(["half_pixel", "output_half_pixel"])
    if b.coin():
        attributes["spatial_scale"] = b.choose([0.5, 0.75, 2.0])
    return b.node("RoiAlign", [x, rois, images], **attributes)


@maker("MaxRoiPool")
def max_roi_pool(b: Builder) -> object:
    x = image(b)
    count = b.integer(1, 2)
    images = b.rng.integers(0, x.shape[0], size=(count, 1))
    rois = np.concatenate([images, regions(b, x, count)], axis=1)
    attributes: dict[str, object] = {"spatial_scale": b.choose([0.5, 2.0])} if b.coin(0.3) else {}
    pooled = [b.integer(1, 2), b.integer(1, 2)]
    return b.node(
        "MaxRoiPool", [x, b.constant(rois.astype(NUMPY[b.type]))], pooled_shape=pooled, **attributes
    )


@maker("Col2Im", since=18)
def col2im(b: Builder) -> object:
    n = 2 if b.coin(0.8) else 3
    block, strides = [b.integer(1, 2) for _ in range(n)], [b.integer(1, 2) for _ in range(n)]
    dilations = [b.integer(1, 2) for _ in range(n)]
    pads = [b.integer(0, 1) for _ in range(2 * n)]
    counts = [b.integer(1, 3) for _ in range(n)]
    shape = [
        (counts[i] - 1) * strides[i] + dilations[i] * (block[i] - 1) + 1 - pads[i] - pads[n + i]
        for i in range(n)
    ]
    if min(shape) < 1:
        raise Rejected("size")
    each = int(np.prod(block) * np.prod(counts))
    x = b.pick(lambda t: t.value.size >= each)
    batch = b.integer(1, min(2, x.value.size // each))
    flat = b.node("Slice", [b.reshaped(x, [x.value.size]), b.integers([0]), b.integers([each * batch])])[0]
    columns = b.reshaped(flat, [1, batch * int(np.prod(block)), int(np.prod(counts))])
    inputs = [columns, b.integers(shape), b.integers(block)]
    return b.node("Col2Im", inputs, strides=strides, dilations=dilations, pads=pads)


@maker("DeformConv", since=19)
def deform_conv(b: Builder) -> object:
    x = image(b)
    channels = x.shape[1]
    kernel = [b.integer(1, 2), b.integer(1, 2)]
    strides, pads = [b.integer(1, 2), b.integer(1, 2)], [b.integer(0, 1) for _ in range(4)]
    dilations = [b.integer(1, 2), b.integer(1, 2)]
    out = [
        (x.shape[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    ]
    if min(out) < 1 or channels > 4:
        raise Rejected("window")
    factors = [g for g in range(1, channels + 1) if channels % g == 0]
    group, shares = b.choose(factors), b.choose(factors)
    taps = kernel[0] * kernel[1]
    w = b.weights([group * b.integer(1, 2), channels // group, *kernel], 0.5)
    offset = points(b, [x.shape[0], shares * taps * 2, *out], 0.7)
    if b.restless and b.coin():  # all move together
        offset = b.node("Add", [offset, b.node("ReduceMean", [x], keepdims=0)[0]])[0]
    bias = b.weights([w.shape[0]]) if b.coin() else None
    mask = b.weights([x.shape[0], shares * taps, *out]) if b.coin() else None
    attributes = {"strides": strides, "pads": pads, "dilations": dilations}
    inputs = [x, w, offset, bias, mask]
    while inputs[-1] is None:
        inputs.pop()
    return b.node("DeformConv", inputs, group=group, offset_group=shares, **attributes)


# --- shapes that depend on constants ---


@maker("NonZero", since=9)
def non_zero(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    marks = b.rng.random(x.shape[0]) < 0.6
    if not marks.any():
        raise Rejected("size")
    given = b.constant(marks if b.coin() else marks.astype(NUMPY[b.type]))
    places = b.node("NonZero", [given], type=TensorProto.INT64)
    flat = b.node("Reshape", [*places, b.integers([-1])])
    return b.node("Gather", [x, *flat], axis=0)


@maker("Unique", since=11)
def unique(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    kinds = b.constant(b.rng.integers(0, x.shape[0], size=b.integer(1, 5), dtype=np.int64))
    made = b.node("Unique", [kinds], outputs=4, type=TensorProto.INT64, sorted=b.integer(0, 1))
    return b.node("Gather", [x, made[0]], axis=0)


# --- moved ---


@maker("Tile")
def tile(b: Builder) -> object:
    x = b.pick(lambda t: t.rank > 0)
    return b.node("Tile", [x, b.integers([b.integer(1, 2) for _ in x.shape])])


@maker("DepthToSpace")
def depth_to_space(b: Builder) -> object:
    x = b.pick(lambda t: t.value.size % 4 == 0)
    depth = b.choose([d for d in (1, 2) if x.value.size % (4 * d) == 0])
    sides = b.factors(x.value.size // (4 * depth), 2)
    attributes = {"mode": b.choose(["DCR", "CRD"])} if b.opset >= 11 and b.coin() else {}
    return b.node("DepthToSpace", [b.reshaped(x, [1, 4 * depth, *sides])], blocksize=2, **attributes)


@maker("SpaceToDepth")
def space_to_depth(b: Builder) -> object:
    x = b.pick(lambda t: t.value.size % 4 == 0)
    sides = b.factors(x.value.size // 4, 3)
    return b.node("SpaceToDepth", [b.reshaped(x, [1, sides[0], 2 * sides[1], 2 * sides[2]])], blocksize=2)
