"""Grad-CAM against captum, on a named layer and on the default one; CAM against torch.

Both clip the weighted sum before it is interpolated, as the paper does (captum with relu_attributions).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from networks import SIZE, exported, images, network
from torch import nn

from symbolic.explanations.explain import explain
from symbolic.explanations.methods.class_activation import Cam, GradCam

LAST = {
    "lenet": lambda m: m[4],
    "vgg": lambda m: m[8],
    "resnet": lambda m: m[5].relu,
    "densenet": lambda m: m[12],
    "efficientnet": lambda m: m[8],
}
"""The module whose output is the default map. Of the inception net it is a concatenation, by no module."""


def captums(model: nn.Module, layer: nn.Module, x: torch.Tensor, relu: bool) -> np.ndarray:
    with torch.no_grad():
        predicted = model(x).argmax(1)
    found = LayerGradCam(model, layer).attribute(x, target=predicted, relu_attributions=relu)
    large = LayerAttribution.interpolate(found, (SIZE, SIZE), "bilinear")
    return large.expand_as(x).detach().numpy()


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9 * abs(theirs).max())


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("name", LAST)
def test_the_default_map(name: str, relu: bool) -> None:
    model, x = network(name, double=True), images(name, 3, double=True)
    ours = explain(exported(model, x), GradCam(relu=relu))(x.numpy())[1]
    close(ours, captums(model, LAST[name](model), x, relu))


def test_every_convolution_of_a_network() -> None:
    """By the order of both: the exporter keeps it."""
    model, x = network("vgg", double=True), images("vgg", 2, double=True)
    net = exported(model, x)
    nodes = [node for node in net.graph.node if node.op_type == "Conv"]
    modules = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(nodes) == len(modules) == 4
    for node, module in zip(nodes, modules, strict=True):
        ours = explain(net, GradCam(node.output[0], relu=False))(x.numpy())[1]
        close(ours, captums(model, module, x, False))


def test_the_concatenation_of_branches() -> None:
    """By the definition: gradients of torch at the joined map, which the head pools and flattens."""
    model, x = network("inception", double=True), images("inception", 3, double=True)
    ours = explain(exported(model, x), GradCam())(x.numpy())[1]
    with torch.no_grad():
        stem = model.stem(x)
        joined = torch.cat([model.one(stem), model.three(stem), model.pool(stem)], 1)
    joined.requires_grad_()
    scores = model.head(joined)
    (slopes,) = torch.autograd.grad(scores.max(1).values.sum(), joined)
    total = (slopes.mean((2, 3), keepdim=True) * joined).sum(1, keepdim=True).relu()
    large = nn.functional.interpolate(total, (SIZE, SIZE), mode="bilinear")
    close(ours, large.expand_as(x).detach().numpy())


@pytest.mark.parametrize("name", ["resnet", "densenet", "efficientnet"])
def test_cam(name: str) -> None:
    model, x = network(name, double=True), images(name, 3, double=True)
    parts = list(model.children())
    with torch.no_grad():
        maps = nn.Sequential(*parts[:-3])(x)
        weights = parts[-1].weight[model(x).argmax(1)]
        total = torch.einsum("nk,nkij->nij", weights, maps)[:, None]
        large = nn.functional.interpolate(total, (SIZE, SIZE), mode="bilinear").expand_as(x)
    close(explain(exported(model, x), Cam())(x.numpy())[1], large.numpy())
