"""DeepSHAP: completeness on every network, and shap where it is right.

shap overwrites instead of adding where windows of a MaxPool overlap, and has no rule for products, so that it
is compared on networks without either.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from networks import NETWORKS, exported, images, network

from symbolic.explanations.explain import explain
from symbolic.explanations.methods.deep_lift import DeepLift, DeepShap


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("references", [1, 4])
def test_complete(name: str, references: int) -> None:
    model, x = network(name, double=True), images(name, 3, double=True)
    background = images(name, references, double=True, seed=9)
    _, found = explain(exported(model, x), DeepShap(background.numpy()))(x.numpy())
    with torch.no_grad():
        y = model(x)
        predicted = y.argmax(1)
        wanted = y[range(3), predicted] - model(background)[:, predicted].mean(0)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), wanted.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["lenet", "vgg"])
def test_agrees_with_shap(name: str) -> None:
    shap = pytest.importorskip("shap")
    model, x = network(name, double=True), images(name, 2, double=True)
    background = images(name, 3, double=True, seed=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = shap.DeepExplainer(model, background).shap_values(x)
    for number in range(theirs.shape[-1]):
        _, ours = explain(exported(model, x), DeepShap(background.numpy()), number)(x.numpy())
        np.testing.assert_allclose(ours, theirs[..., number], rtol=1e-5, atol=1e-9 * abs(theirs).max())


def test_one_reference_is_deep_lift() -> None:
    model, x = network("resnet", double=True), images("resnet", 2, double=True)
    one = exported(model, x)
    _, a = explain(one, DeepLift(0.25))(x.numpy())
    _, b = explain(one, DeepShap(np.full((1, 3, 16, 16), 0.25)))(x.numpy())
    np.testing.assert_array_equal(a, b)
