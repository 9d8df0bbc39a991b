"""Small networks of the usual architectures, with random weights of He's variance: `onnx.helper` only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "Layers",
    "autoencoder",
    "class_activation",
    "classifier",
    "densenet",
    "efficientnet",
    "lenet",
    "mlp",
    "mobilenet",
    "quantised",
    "recurrent",
    "resnet",
    "unet",
    "vae",
    "vgg",
    "vision_transformer",
]

IR_VERSION = 8
POOL = "M"
THIRTEEN = (8, 8, POOL, 16, 16, POOL, 32, 32, 32, POOL, 32, 32, 32, POOL, 32, 32, 32)
"""The layout of VGG-16's convolutions, ever narrower; the pool after the last block is left to the head."""


class Layers:
    """A graph that grows layer by layer; every method appends nodes and gives the name of the result."""

    def __init__(self, seed: int, opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, name: str = "") -> str:
        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{op_type.lower()}{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(op_type, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def normal(self, *shape: int, fan_in: int, gain: float = 2.0) -> np.ndarray:
        """Normal weights of variance gain / fan_in (2: He's, for what a ReLU follows)."""
        return (np.sqrt(gain / fan_in) * self.rng.normal(size=shape)).astype(np.float32)

    def bias(self, size: int) -> np.ndarray:
        return (0.1 * self.rng.normal(size=size)).astype(np.float32)

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        kernel: Sequence[int] = (3, 3),
        group: int = 1,
        **options: Any,
    ) -> str:
        """A convolution with bias, padded to the size of its input unless told otherwise."""
        fan_in = inputs // group * int(np.prod(kernel))
        w = self.constant(self.normal(outputs, inputs // group, *kernel, fan_in=fan_in))
        pads = options.pop("pads", [k // 2 for k in kernel] * 2)
        return self.node("Conv", x, w, self.constant(self.bias(outputs)), pads=pads, group=group, **options)

    def pool(self, x: str, size: int = 2, stride: int = 2, axes: int = 2, **options: Any) -> str:
        return self.node("MaxPool", x, kernel_shape=[size] * axes, strides=[stride] * axes, **options)

    def dense(self, x: str, inputs: int, outputs: int, gain: float = 2.0) -> str:
        w = self.constant(self.normal(inputs, outputs, fan_in=inputs, gain=gain))
        return self.node("Gemm", x, w, self.constant(self.bias(outputs)))

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def resized(self, x: str, factor: int, axes: int = 2, mode: str = "nearest") -> str:
        """Enlarged, as PyTorch exports its upsampling (nearest, or linear with half pixels)."""
        scales = self.constant(np.array([1.0, 1.0] + [float(factor)] * axes, dtype=np.float32))
        options = (
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            if mode == "nearest"
            else {"coordinate_transformation_mode": "half_pixel"}
        )
        return self.node("Resize", x, "", scales, mode=mode, **options)

    def reshaped(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, dtype=np.int64)))

    def model(
        self,
        shape: Sequence[int],
        outputs: dict[str, Sequence[int]],
        whole_numbers: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """The model from "x" of a shape to outputs of given shapes, some of them whole numbers."""
        kinds = {name: TensorProto.INT64 if name in whole_numbers else TensorProto.FLOAT for name in outputs}
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, kinds[name], size) for name, size in outputs.items()],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def mlp(seed: int = 0, size: int = 20, width: int = 16) -> onnx.ModelProto:
    """Two hidden layers; the output is a reconstruction of the input."""
    net = Layers(seed)
    x = net.relu(net.dense("x", size, width))
    x = net.dense(net.relu(net.dense(x, width, width)), width, size, gain=1.0)
    return net.model([1, size], {x: [1, size]})


def lenet(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """LeNet-5 in small: 5x5 convolutions, average pooling, tanh, dense layers; the logits of four classes."""
    net = Layers(seed)
    x = net.node("Tanh", net.conv("x", 1, 3, (5, 5)))
    x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Tanh", net.conv(x, 3, 6, (3, 3), pads=[0] * 4))
    x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    features = 6 * ((side // 2 - 2) // 2) ** 2
    x = net.node("Tanh", net.dense(net.node("Flatten", x), features, 12))
    x = net.dense(x, 12, 4, gain=1.0)
    return net.model([1, 1, side, side], {x: [1, 4]})


def unet(seed: int = 0, axes: int = 2, side: int = 16, width: int = 3) -> onnx.ModelProto:
    """Two poolings down, two transposed convolutions up, skip connections by concatenation."""
    net = Layers(seed)
    kernel = [3] * axes

    def block(x: str, inputs: int, outputs: int) -> str:
        return net.relu(net.conv(net.relu(net.conv(x, inputs, outputs, kernel)), outputs, outputs, kernel))

    def up(x: str, inputs: int, outputs: int) -> str:
        w = net.constant(net.normal(inputs, outputs, *[2] * axes, fan_in=inputs, gain=1.0))
        return net.node("ConvTranspose", x, w, net.constant(net.bias(outputs)), strides=[2] * axes)

    one = block("x", 1, width)
    two = block(net.pool(one, axes=axes), width, 2 * width)
    three = block(net.pool(two, axes=axes), 2 * width, 4 * width)
    two = block(net.node("Concat", two, up(three, 4 * width, 2 * width), axis=1), 4 * width, 2 * width)
    one = block(net.node("Concat", one, up(two, 2 * width, width), axis=1), 2 * width, width)
    x = net.conv(one, width, 1, [1] * axes)
    shape = [1, 1, *[side] * axes]
    return net.model(shape, {x: shape})


def autoencoder(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """Strided convolutions, a dense code, transposed convolutions."""
    net = Layers(seed)
    x = net.relu(net.conv("x", 1, 4, strides=[2, 2]))
    x = net.relu(net.conv(x, 4, 8, strides=[2, 2]))
    small = side // 4
    x = net.relu(net.dense(net.node("Flatten", x), 8 * small**2, 10))
    return _decoded(net, net.dense(x, 10, 8 * small**2), side)


def vae(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """A variational autoencoder: mean + exp(log variance / 2) * noise; the noise is drawn once."""
    net = Layers(seed)
    x = net.relu(net.conv("x", 1, 4, strides=[2, 2]))
    x = net.relu(net.conv(x, 4, 8, strides=[2, 2]))
    small = side // 4
    x = net.node("Flatten", x)
    mean, spread = (net.dense(x, 8 * small**2, 5, gain=0.5) for _ in range(2))
    spread = net.node("Exp", net.node("Mul", spread, net.constant(np.float32(0.5))))
    noise = net.node("RandomNormalLike", mean)
    code = net.node("Add", mean, net.node("Mul", spread, noise))
    return _decoded(net, net.dense(code, 5, 8 * small**2), side)


def _decoded(net: Layers, x: str, side: int) -> onnx.ModelProto:
    x = net.relu(net.reshaped(x, 1, 8, side // 4, side // 4))
    for inputs, outputs in ((8, 4), (4, 1)):
        w = net.constant(net.normal(inputs, outputs, 2, 2, fan_in=inputs, gain=1.0))
        x = net.node("ConvTranspose", net.relu(x) if inputs == 4 else x, w, strides=[2, 2])
    shape = [1, 1, side, side]
    return net.model(shape, {x: shape})


def vgg(seed: int = 0, layout: Sequence[int | str] = THIRTEEN, side: int = 64) -> onnx.ModelProto:
    """Blocks of 3x3 convolutions and poolings; a 1x1 convolution and an upsampling give a score per pixel."""
    net = Layers(seed)
    x, width, factor = "x", 1, 1
    for item in layout:
        if isinstance(item, str):
            x, factor = net.pool(x), 2 * factor
        else:
            x, width = net.relu(net.conv(x, width, item)), item
    x = net.resized(net.conv(x, width, 1, (1, 1)), factor, mode="linear")
    shape = [1, 1, side, side]
    return net.model(shape, {x: shape})


def _normalised(net: Layers, x: str, channels: int) -> str:
    """Batch normalisation with statistics as after training."""
    scale, variance = (net.rng.uniform(0.7, 1.3, size=channels).astype(np.float32) for _ in range(2))
    parts = (scale, net.bias(channels), net.bias(channels), variance)
    return net.node("BatchNormalization", x, *(net.constant(part) for part in parts), epsilon=1e-5)


def _scored(
    net: Layers, x: str, channels: int, factor: int, side: int, mode: str = "nearest"
) -> onnx.ModelProto:
    """A 1x1 convolution and an upsampling: a score per pixel."""
    x = net.resized(net.conv(x, channels, 1, (1, 1)), factor, mode=mode)
    shape = [1, 1, side, side]
    return net.model(shape, {x: shape})


def resnet(seed: int = 0, side: int = 16) -> onnx.ModelProto:
    """A strided stem, an overlapping pooling, and residual blocks, one of which halves the image."""
    net = Layers(seed)

    def block(x: str, inputs: int, outputs: int, stride: int) -> str:
        y = net.conv(x, inputs, outputs, strides=[stride, stride])
        y = _normalised(net, net.conv(net.relu(_normalised(net, y, outputs)), outputs, outputs), outputs)
        if stride > 1:
            x = _normalised(net, net.conv(x, inputs, outputs, (1, 1), strides=[stride, stride]), outputs)
        return net.relu(net.node("Add", x, y))

    x = net.relu(_normalised(net, net.conv("x", 1, 4, strides=[2, 2]), 4))
    x = net.pool(x, size=3, stride=2, pads=[1, 1, 1, 1])
    x = block(block(x, 4, 4, 1), 4, 8, 2)
    return _scored(net, x, 8, 8, side, mode="linear")


def densenet(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """Layers that see all layers before them, by concatenation; a transition pools averages."""
    net = Layers(seed)
    growth, channels = 3, 4
    x = net.conv("x", 1, channels)
    for stage in range(2):
        for _ in range(2):
            y = net.conv(net.relu(_normalised(net, x, channels)), channels, growth)
            x, channels = net.node("Concat", x, y, axis=1), channels + growth
        if stage == 0:
            x, channels = net.conv(net.relu(x), channels, channels // 2, (1, 1)), channels // 2
            x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return _scored(net, net.relu(x), channels, 2, side)


def mobilenet(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """Inverted residuals: 1x1, depthwise 3x3, 1x1; ReLU6 in the first, HardSwish in the second."""
    net = Layers(seed)
    bounds = [net.constant(np.float32(v)) for v in (0.0, 6.0)]

    def active(x: str, hard: bool) -> str:
        return net.node("HardSwish", x) if hard else net.node("Clip", x, *bounds)

    def block(x: str, inputs: int, outputs: int, stride: int, hard: bool) -> str:
        wide = 2 * inputs
        y = active(net.conv(x, inputs, wide, (1, 1)), hard)
        y = active(net.conv(y, wide, wide, group=wide, strides=[stride, stride]), hard)
        y = net.conv(y, wide, outputs, (1, 1))
        return net.node("Add", x, y) if stride == 1 and inputs == outputs else y

    x = active(net.conv("x", 1, 4, strides=[2, 2]), hard=False)
    x = block(x, 4, 4, 1, hard=False)
    x = block(x, 4, 6, 2, hard=True)
    return _scored(net, x, 6, 4, side)


def efficientnet(seed: int = 0, side: int = 12) -> onnx.ModelProto:
    """Swish as x * Sigmoid(x), depthwise convolutions, squeeze and excitation."""
    net = Layers(seed)

    def swish(x: str) -> str:
        return net.node("Mul", x, net.node("Sigmoid", x))

    x, width = swish(net.conv("x", 1, 4, strides=[2, 2])), 4
    for _ in range(2):
        y = swish(net.conv(x, width, 2 * width, (1, 1)))
        y = swish(net.conv(y, 2 * width, 2 * width, group=2 * width))
        squeezed = swish(net.conv(net.node("GlobalAveragePool", y), 2 * width, 2, (1, 1)))
        y = net.node("Mul", y, net.node("Sigmoid", net.conv(squeezed, 2, 2 * width, (1, 1))))
        x = net.node("Add", x, net.conv(y, 2 * width, width, (1, 1)))
    return _scored(net, x, width, 2, side)


def recurrent(seed: int = 0, kind: str = "LSTM", steps: int = 10, hidden: int = 4) -> onnx.ModelProto:
    """An LSTM or GRU in both directions over a series, and a score per step."""
    net = Layers(seed)
    gates = {"LSTM": 4, "GRU": 3}[kind]
    w = net.constant(net.normal(2, gates * hidden, 1, fan_in=1, gain=1.0))
    r = net.constant(net.normal(2, gates * hidden, hidden, fan_in=hidden, gain=1.0))
    b = net.constant((0.1 * net.rng.normal(size=(2, 2 * gates * hidden))).astype(np.float32))
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    y = net.node(kind, "x", w, r, b, hidden_size=hidden, direction="bidirectional", **options)
    y = net.reshaped(net.node("Transpose", y, perm=[0, 2, 1, 3]), steps, 2 * hidden)
    y = net.reshaped(net.dense(y, 2 * hidden, 1, gain=1.0), steps, 1, 1)
    return net.model([steps, 1, 1], {y: [steps, 1, 1]})


def vision_transformer(seed: int = 0, side: int = 12, patch: int = 3, width: int = 8) -> onnx.ModelProto:
    """Patches embedded by a convolution, a class token, pre-normalised blocks of attention and Gelu; the
    output is the last block's attention of the class token, a score per pixel."""
    net = Layers(seed, opset=20)
    tokens, heads = (side // patch) ** 2, 2
    x = net.conv("x", 1, width, (patch, patch), pads=[0] * 4, strides=[patch, patch])
    x = net.node("Transpose", net.reshaped(x, 1, width, tokens), perm=[0, 2, 1])
    first = net.constant(net.normal(1, 1, width, fan_in=1, gain=0.25))
    x = net.node("Concat", first, x, axis=1)
    x = net.node("Add", x, net.constant(net.normal(1, tokens + 1, width, fan_in=1, gain=0.25)))

    def normed(x: str) -> str:
        scale = net.constant(net.rng.uniform(0.7, 1.3, size=width).astype(np.float32))
        return net.node("LayerNormalization", x, scale, net.constant(net.bias(width)), axis=-1)

    def mapped(x: str, inputs: int, outputs: int) -> str:
        w = net.constant(net.normal(inputs, outputs, fan_in=inputs, gain=1.0))
        return net.node("Add", net.node("MatMul", x, w), net.constant(net.bias(outputs)))

    def split(x: str, perm: Sequence[int]) -> str:
        return net.node("Transpose", net.reshaped(x, 1, tokens + 1, heads, width // heads), perm=list(perm))

    def attention(x: str) -> tuple[str, str]:
        q, v = (split(mapped(x, width, width), (0, 2, 1, 3)) for _ in range(2))
        k = split(mapped(x, width, width), (0, 2, 3, 1))
        root = net.constant(np.float32(np.sqrt(width // heads)))
        weights = net.node("Softmax", net.node("Div", net.node("MatMul", q, k), root), axis=-1)
        mixed = net.node("Transpose", net.node("MatMul", weights, v), perm=[0, 2, 1, 3])
        return mapped(net.reshaped(mixed, 1, tokens + 1, width), width, width), weights

    mixed, _ = attention(normed(x))
    x = net.node("Add", x, mixed)
    wide = net.node("Gelu", mapped(normed(x), width, 2 * width))
    x = net.node("Add", x, mapped(wide, 2 * width, width))
    _, weights = attention(normed(x))
    ends = [net.constant(np.array(v, dtype=np.int64)) for v in ([0, 1], [1, tokens + 1], [2, 3])]
    seen = net.node("ReduceMean", net.node("Slice", weights, *ends), net.constant(np.array([1])), keepdims=1)
    seen = net.reshaped(seen, 1, 1, side // patch, side // patch)
    seen = net.resized(seen, patch)
    shape = [1, 1, side, side]
    return net.model(shape, {seen: shape})


def class_activation(seed: int = 0, side: int = 12, classes: int = 3) -> onnx.ModelProto:
    """A CNN with global average pooling; the map is the weights of the likeliest class applied to the
    features, by Einsum."""
    net = Layers(seed)
    x = net.pool(net.relu(net.conv("x", 1, 4)))
    features = net.relu(net.conv(x, 4, 6))
    w = net.constant(net.normal(classes, 6, fan_in=6, gain=1.0))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", features))
    logits = net.node("Gemm", pooled, w, transB=1)
    row = net.node("Gather", w, net.node("ArgMax", logits, axis=1, keepdims=0), axis=0)
    found = net.node("Einsum", features, row, equation="nchw,nc->nhw")
    found = net.node("Unsqueeze", found, net.constant(np.array([1])))
    found = net.resized(found, 2)
    shape = [1, 1, side, side]
    return net.model(shape, {found: shape, logits: [1, classes]})


def quantised(seed: int = 0, side: int = 10) -> onnx.ModelProto:
    """A CNN between QuantizeLinear and DequantizeLinear, as quantisation tools write it."""
    net = Layers(seed)

    def through(x: str, scale: float, kind: Any = np.uint8, zero: int = 0) -> str:
        parts = [net.constant(np.float32(scale)), net.constant(np.array(zero, dtype=kind))]
        return net.node("DequantizeLinear", net.node("QuantizeLinear", x, *parts), *parts)

    def weights(*shape: int) -> str:
        values = net.normal(*shape, fan_in=int(np.prod(shape[1:])))
        scale = np.float32(np.abs(values).max() / 127)
        stored = net.constant(np.round(values / scale).astype(np.int8))
        return net.node("DequantizeLinear", stored, net.constant(scale), net.constant(np.int8(0)))

    x = through("x", 8 / 255, zero=128)
    x = net.node("Conv", x, weights(4, 1, 3, 3), pads=[1] * 4)
    x = through(net.relu(x), 6 / 255)
    x = net.node("Conv", x, weights(1, 4, 3, 3), pads=[1] * 4)
    x = through(x, 12 / 255, np.int8)
    shape = [1, 1, side, side]
    return net.model(shape, {x: shape})


def classifier(seed: int = 0, side: int = 10, classes: int = 3) -> onnx.ModelProto:
    """A CNN whose head is Softmax; outputs the probabilities and the class."""
    net = Layers(seed)
    x = net.pool(net.relu(net.conv("x", 1, 4)))
    x = net.node("GlobalAveragePool", net.relu(net.conv(x, 4, 8)))
    probabilities = net.node("Softmax", net.dense(net.node("Flatten", x), 8, classes, gain=1.0), axis=-1)
    found = net.node("ArgMax", probabilities, axis=1, keepdims=0)
    return net.model([1, 1, side, side], {probabilities: [1, classes], found: [1]}, whole_numbers=(found,))
