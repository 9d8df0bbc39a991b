"""Makers of the operators that slide a window, and of Resize."""

from __future__ import annotations

import numpy as np
from graph_builder import Builder, Rejected, Tensor
from onnx import TensorProto
from quicktions import Fraction
from random_operators import maker

__all__: list[str] = []


def window(b: Builder, x: Tensor, dilated: bool) -> dict[str, list[int]]:
    """Random kernel, strides, dilations and pads (asymmetric)."""
    n = x.rank - 2
    kernel = [b.integer(1, min(3, x.shape[2 + i] + 1)) for i in range(n)]
    out = {"kernel_shape": kernel}
    if b.coin():
        out["strides"] = [b.integer(1, 2) for _ in range(n)]
    if dilated and b.coin(0.3):
        out["dilations"] = [b.integer(1, 2) for _ in range(n)]
    return out


def padding(b: Builder, kernel: list[int]) -> dict[str, object]:
    kind = b.integer(0, 5)
    if kind == 0:
        return {"auto_pad": b.choose(["SAME_UPPER", "SAME_LOWER", "VALID"])}
    if kind == 1:
        return {}
    return {"pads": [b.integer(0, min(k - 1, 2)) for k in kernel + kernel]}


def spatial(b: Builder) -> Tensor:
    x = b.with_rank(3, 4)
    if max(x.shape[2:]) == 1 and b.coin(0.8):
        size = x.value.size
        shape = [1, 2 if size % 2 == 0 else 1]
        shape += b.factors(size // shape[1], x.rank - 2)
        x = b.reshaped(x, shape)
    return x


def ceil_mode(
    b: Builder, x: Tensor, attributes: dict[str, list[int]], pads: dict[str, object]
) -> dict[str, int]:
    """ceil_mode=1 sometimes; before opset 22 only where no window would start in the padding on the right."""
    if b.opset < 10 or "auto_pad" in pads or not b.coin(0.3):
        return {}
    n = x.rank - 2
    given: list[int] = pads.get("pads", [0] * (2 * n))  # type: ignore[assignment]
    for i in range(n):
        stride, size = attributes.get("strides", [1] * n)[i], x.shape[2 + i]
        reach = attributes.get("dilations", [1] * n)[i] * (attributes["kernel_shape"][i] - 1) + 1
        last = -(-(size + given[i] + given[n + i] - reach) // stride)
        if b.opset < 22 and last * stride >= size + given[i]:
            return {}
    return {"ceil_mode": 1}


def positive_extent(x: Tensor, attributes: dict[str, list[int]], pads: dict[str, object]) -> None:
    """Reject windows that do not fit anywhere."""
    n = x.rank - 2
    dilations = attributes.get("dilations", [1] * n)
    given: list[int] = pads.get("pads", [0] * (2 * n))  # type: ignore[assignment]
    same = str(pads.get("auto_pad", "")).startswith("SAME")
    for i in range(n):
        reach = dilations[i] * (attributes["kernel_shape"][i] - 1) + 1
        if not same and x.shape[2 + i] + given[i] + given[n + i] < reach:
            raise Rejected("window")


@maker("Conv")
def conv(b: Builder) -> object:
    x = spatial(b)
    attributes = window(b, x, dilated=True)
    pads = padding(b, attributes["kernel_shape"])
    positive_extent(x, attributes, pads)
    channels = x.shape[1]
    group = b.choose([g for g in range(1, channels + 1) if channels % g == 0])
    outputs = group * b.integer(1, 2)
    w = b.weights([outputs, channels // group, *attributes["kernel_shape"]], 0.5)
    if b.coin(0.3):
        del attributes["kernel_shape"]
    bias = [b.weights([outputs])] if b.coin() else []
    more = {"group": group} if group > 1 or b.coin(0.3) else {}
    return b.node("Conv", [x, w, *bias], **attributes, **pads, **more)


@maker("ConvTranspose")
def conv_transpose(b: Builder) -> object:
    x = spatial(b)
    n = x.rank - 2
    attributes: dict[str, object] = dict(window(b, x, dilated=True))
    kernel: list[int] = attributes["kernel_shape"]  # type: ignore[assignment]
    strides: list[int] = attributes.get("strides", [1] * n)  # type: ignore[assignment]
    dilations: list[int] = attributes.get("dilations", [1] * n)  # type: ignore[assignment]
    kind = b.integer(0, 5)
    if kind == 0 and b.opset >= 11 and all(k >= s for k, s in zip(kernel, strides, strict=True)):
        attributes["auto_pad"] = b.choose(["SAME_UPPER", "SAME_LOWER"])
    elif kind == 1 and b.opset >= 11:
        full = [strides[i] * (x.shape[2 + i] - 1) + (kernel[i] - 1) * dilations[i] + 1 for i in range(n)]
        attributes["output_shape"] = [
            max(1, f - b.integer(0, k - 1)) for f, k in zip(full, kernel, strict=True)
        ]
        if b.coin():
            attributes["auto_pad"] = b.choose(["SAME_UPPER", "SAME_LOWER"])
    else:
        attributes["pads"] = [b.integer(0, min(1, k - 1)) for k in kernel + kernel]
        if b.coin(0.4):
            most = [max(s, d) - 1 for s, d in zip(strides, dilations, strict=True)]
            attributes["output_padding"] = [b.integer(0, m) for m in most]
    channels = x.shape[1]
    group = b.choose([g for g in range(1, channels + 1) if channels % g == 0])
    per_group = b.integer(1, 2)
    w = b.weights([channels, per_group, *kernel], 0.5)
    bias = [b.weights([group * per_group])] if b.coin() else []
    return b.node("ConvTranspose", [x, w, *bias], group=group, **attributes)


@maker("MaxPool")
def max_pool(b: Builder) -> object:
    x = spatial(b)
    attributes = window(b, x, dilated=b.opset >= 10)
    pads = padding(b, attributes["kernel_shape"])
    positive_extent(x, attributes, pads)
    more: dict[str, object] = dict(ceil_mode(b, x, attributes, pads))
    indices = b.coin(0.2)
    if indices and b.coin():
        more["storage_order"] = 1
    made = b.node("MaxPool", [x], outputs=2 if indices else 1, **attributes, **pads, **more)
    if indices:
        made[1].type = TensorProto.INT64
    return made


@maker("AveragePool")
def average_pool(b: Builder) -> object:
    x = spatial(b)
    attributes = window(b, x, dilated=b.opset >= 19)
    pads = padding(b, attributes["kernel_shape"])
    positive_extent(x, attributes, pads)
    more: dict[str, object] = {"count_include_pad": 1} if b.coin(0.4) else {}
    more |= ceil_mode(b, x, attributes, pads)
    return b.node("AveragePool", [x], **attributes, **pads, **more)


@maker("GlobalAveragePool", "GlobalMaxPool")
def global_pool(b: Builder, name: str) -> object:
    return b.node(name, [b.with_rank(3, 4)])


# --- Resize ---

TRANSFORMATIONS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


@maker("Resize", since=10)
def resize(b: Builder) -> object:
    """Lengths are whole multiples of the scales: where they are not, the standard leaves the meaning open."""
    x = b.with_rank(2, 3, 4)
    first = 2 if x.rank > 2 else x.rank - 1
    lengths = list(x.shape)
    for axis in range(first, x.rank):
        lengths[axis] = b.integer(1, min(2 * x.shape[axis] + 1, 8))
    ratios = [Fraction(new, old) for new, old in zip(lengths, x.shape, strict=True)]
    dyadic = all(r.denominator in (1, 2, 4) for r in ratios)
    attributes: dict[str, object] = {"mode": b.choose(["nearest", "linear"])}
    scales = b.constant(np.array([float(r) for r in ratios], dtype=np.float32))
    if b.opset == 10:
        if not dyadic or any(r < 1 for r in ratios):
            raise Rejected("opset 10 leaves downsampling open")
        return b.node("Resize", [x, scales], **attributes)
    names = TRANSFORMATIONS + ["tf_crop_and_resize"] + (["half_pixel_symmetric"] if b.opset >= 19 else [])
    attributes["coordinate_transformation_mode"] = b.choose(names)
    if attributes["mode"] == "nearest":
        attributes["nearest_mode"] = b.choose(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    elif b.opset >= 18 and b.coin(0.2):
        attributes["antialias"] = 1
    elif b.coin(0.2) and attributes["coordinate_transformation_mode"] != "align_corners":
        attributes["exclude_outside"] = 1
    roi = b.constant(np.zeros(0, dtype=np.float32), as_node=False)
    axes = list(range(first, x.rank)) if b.opset >= 18 and b.coin(0.3) else None
    chosen = list(range(x.rank)) if axes is None else axes
    if axes is not None:
        attributes["axes"] = axes
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        starts = [b.integer(0, 3) / 8 if a >= first else 0.0 for a in chosen]
        ends = [1 - b.integer(-1, 3) / 8 if a >= first else 1.0 for a in chosen]
        roi = b.constant(np.array(starts + ends, dtype=np.float32))
        attributes["extrapolation_value"] = b.integer(-4, 4) / 4
    if dyadic and b.coin():
        scales = b.constant(np.array([float(ratios[a]) for a in chosen], dtype=np.float32))
        return b.node("Resize", [x, roi, scales], **attributes)
    if b.opset >= 18 and b.coin(0.2):
        attributes["keep_aspect_ratio_policy"] = b.choose(["not_larger", "not_smaller"])
    empty = None if b.opset >= 13 else b.constant(np.zeros(0, dtype=np.float32), as_node=False)
    return b.node("Resize", [x, roi, empty, b.integers([lengths[a] for a in chosen])], **attributes)
