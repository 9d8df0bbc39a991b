"""Image classifiers with random weights, in PyTorch and as ONNX files; needs torch and pytorchcv."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["NETWORKS", "SIZE", "exported", "inputs", "network"]

NETWORKS = {
    "VGG19": "vgg19",
    "ResNet50": "resnet50",
    "DenseNet201": "densenet201",
    "EfficientNet-B0": "efficientnet_b0",
}
"""As in pytorchcv: torchvision's last three add in place, which shap's hooks refuse."""
SIZE = 224

# pytorchcv imports torchvision, whose operators are missing beside a torch for processors; nothing uses them
_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
for _operator in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _operator):
        _OPERATORS.define(f"{_operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")


def network(name: str) -> torch.nn.Module:
    """A network in evaluation mode, its weights from a fixed seed, nothing in place."""
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    found: torch.nn.Module = get_model(NETWORKS[name], pretrained=False).eval()
    for module in found.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return found


def inputs(count: int, seed: int) -> np.ndarray[Any, Any]:
    """Noise in the shape of images."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def exported(name: str, folder: Path) -> Path:
    """The network as a file, with a batch axis of 1; made once."""
    path = folder / f"{name}.onnx"
    if not path.is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = torch.zeros(1, 3, SIZE, SIZE)
            torch.onnx.export(network(name), (example,), str(path), opset_version=18, dynamo=False)
    return path
