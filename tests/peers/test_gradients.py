"""The gradient family against torch and captum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr
from networks import NETWORKS, exported, images, network

from symbolic.explanations.explain import explain
from symbolic.explanations.methods.gradients import (
    Deconvnet,
    Gradient,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
)

RELU_NETS = [name for name in NETWORKS if name != "efficientnet"]


def both(name: str, method, peer) -> tuple[np.ndarray, np.ndarray]:
    """Our attribution of three images, and the peer's, in double precision."""
    model, x = network(name, double=True), images(name, 3, double=True)
    _, ours = explain(exported(model, x), method)(x.numpy())
    with torch.no_grad():
        predicted = model(x).argmax(1)
    theirs = peer(model, x.clone().requires_grad_(), predicted)
    return ours, theirs.detach().numpy()


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9 * abs(theirs).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient(name: str) -> None:
    def peer(model, x, classes):
        return torch.autograd.grad(model(x)[torch.arange(len(x)), classes].sum(), x)[0]

    close(*both(name, Gradient(), peer))


@pytest.mark.parametrize("name", NETWORKS)
def test_input_x_gradient(name: str) -> None:
    close(*both(name, InputXGradient(), lambda m, x, c: attr.InputXGradient(m).attribute(x, target=c)))


@pytest.mark.parametrize("name", NETWORKS)
def test_integrated_gradients(name: str) -> None:
    def peer(model, x, classes):
        return attr.IntegratedGradients(model).attribute(x, target=classes, n_steps=16)

    close(*both(name, IntegratedGradients(16), peer))


@pytest.mark.parametrize("rule, places", [("left", np.arange(8) / 8), ("right", np.arange(1, 9) / 8)])
def test_riemann_sums(rule: str, places: np.ndarray) -> None:
    """captum's left and right sums are on grids of their own, so these are against torch."""

    def peer(model, x, classes):
        total = torch.zeros_like(x)
        for place in places:
            moved = (x * place).detach().requires_grad_()
            score = model(moved)[torch.arange(len(x)), classes].sum()
            total += torch.autograd.grad(score, moved)[0]
        return total / len(places) * x

    close(*both("resnet", IntegratedGradients(8, rule=rule), peer))


@pytest.mark.parametrize("name", RELU_NETS)
def test_deconvnet(name: str) -> None:
    close(*both(name, Deconvnet(), lambda m, x, c: attr.Deconvolution(m).attribute(x, target=c)))


@pytest.mark.parametrize("name", RELU_NETS)
def test_guided(name: str) -> None:
    close(*both(name, GuidedBackprop(), lambda m, x, c: attr.GuidedBackprop(m).attribute(x, target=c)))
