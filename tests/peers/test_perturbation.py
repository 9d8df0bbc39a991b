"""Occlusion, Shapley values and LIME against captum, shap and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shap
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnRidge
from networks import NETWORKS, SIZE, exported, images, network
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_distances
from torch import nn

from symbolic.explanations.explain import explain
from symbolic.explanations.method import Method
from symbolic.explanations.methods.lime import Lime
from symbolic.explanations.methods.perturbation import Occlusion
from symbolic.explanations.methods.shapley import ExactShapley, KernelShap

Peer = Callable[[nn.Module, torch.Tensor, torch.Tensor], Any]
COUNT = 2


def compare(name: str, method: Method, peer: Peer) -> None:
    """Attributions of images, and the peer's, in double precision."""
    model, x = network(name, double=True), images(name, COUNT, double=True)
    ours = explain(exported(model, x), method)(x.numpy())[1]
    with torch.no_grad():
        theirs = np.asarray(peer(model, x, model(x).argmax(1)))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9 * abs(theirs).max())


def grid(cells: int) -> torch.Tensor:
    """The cell of every pixel, (1, 1, SIZE, SIZE)."""
    side = torch.arange(SIZE) * cells // SIZE
    return (side[:, None] * cells + side)[None, None]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("window", "stride", "baseline"), [(4, 4, 0.0), ((7, 5), (4, 3), 0.3)])
def test_occlusion(name: str, window: Any, stride: Any, baseline: float) -> None:
    def peer(model: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        shape, steps = ([x.shape[1], *np.broadcast_to(n, 2).tolist()] for n in (window, stride))
        return attr.Occlusion(model).attribute(
            x, tuple(shape), tuple(steps), baselines=baseline, target=classes
        )

    compare(name, Occlusion(window, stride, baseline), peer)


def test_occlusion_of_single_channels() -> None:
    def peer(model: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return attr.Occlusion(model).attribute(x, (2, 6, 6), (1, 5, 5), target=classes)

    compare("resnet", Occlusion((2, 6, 6), (1, 5, 5)), peer)


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_shapley_values(name: str) -> None:
    """captum goes through all orders of the four regions."""

    def peer(model: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        mask = grid(2).repeat(1, x.shape[1], 1, 1)
        return attr.ShapleyValues(model).attribute(x, baselines=0.2, target=classes, feature_mask=mask)

    compare(name, ExactShapley(2, 0.2), peer)


def of_coalitions(
    model: nn.Module, x: torch.Tensor, target: int, cells: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The score as a function of which cells are kept, (S, cells^2)."""

    def score(kept: np.ndarray) -> np.ndarray:
        masks = torch.as_tensor(np.asarray(kept, dtype=np.float64))[:, grid(cells)[0]]
        with torch.no_grad():
            return model(masks * x)[:, target].numpy()

    return score


def spread(values: np.ndarray, row: torch.Tensor, cells: int) -> np.ndarray:
    return np.broadcast_to(values[grid(cells)[0].numpy()], row.shape)


@pytest.mark.parametrize(
    ("name", "method", "kind"),
    [
        ("lenet", ExactShapley, "kernel"),
        ("densenet", KernelShap, "kernel"),
        ("vgg", KernelShap, "exact"),
    ],
)
def test_shapley_values_of_nine_regions(name: str, method: Callable[..., Method], kind: str) -> None:
    """shap's kernel explainer, which gets every coalition and must not select features, and its exact one."""

    def peer(model: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
        found = []
        for row, target in zip(x, classes, strict=True):
            score, none = of_coalitions(model, row, int(target), 3), np.zeros((1, 9))
            if kind == "kernel":
                explainer = shap.KernelExplainer(score, none)
                values = explainer.shap_values(np.ones(9), nsamples=2**9 - 2, l1_reg=False, silent=True)
            else:
                values = shap.ExactExplainer(score, none)(np.ones((1, 9))).values
            found.append(spread(np.ravel(values), row, 3))
        return np.array(found)

    compare(name, method(grid(3)[0, 0].numpy()), peer)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("alpha", "width"), [(1.0, 0.25), (0.01, 0.1)])
def test_lime(name: str, alpha: float, width: float) -> None:
    """The regression by scikit-learn, on our samples."""
    method = Lime(4, samples=80, alpha=alpha, width=width)
    kept, _ = method.drawn(16)
    distances = cosine_distances(kept, np.ones((1, 16)))[:, 0]

    def peer(model: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
        found = []
        for row, target in zip(x, classes, strict=True):
            values = of_coalitions(model, row, int(target), 4)(kept)
            weights = np.exp(-(distances**2) / (2 * width**2))
            found.append(spread(Ridge(alpha=alpha).fit(kept, values, weights).coef_, row, 4))
        return np.array(found)

    compare(name, method, peer)


@pytest.mark.parametrize("name", ["lenet", "resnet", "efficientnet"])
def test_lime_of_captum(name: str) -> None:
    """With our samples and the kernel of the paper's authors: its own kernel is a distance of pixels.

    captum rounds scores to single precision before the regression, whatever the network's type, so that
    coefficients agree to the rounding of the scores.
    """
    method = Lime(4, samples=80)
    kept, _ = method.drawn(16)

    def similarity(original: Any, moved: Any, bits: torch.Tensor, **_: Any) -> torch.Tensor:
        cosine = nn.functional.cosine_similarity(bits.double(), torch.ones_like(bits).double())
        return torch.exp(-((1 - cosine) ** 2) / (2 * method.width**2))

    def samples(original: Any, **_: Any) -> Any:
        for bits in kept:
            yield torch.as_tensor(bits[None]).long()

    model, x = network(name, double=True), images(name, COUNT, double=True)
    ours = explain(exported(model, x), method)(x.numpy())[1]
    with torch.no_grad():
        tops, classes = model(x).max(1)
    for row, target, found in zip(x, classes, ours, strict=True):
        lime = attr.Lime(model, SkLearnRidge(alpha=method.alpha), similarity, samples)
        theirs = lime.attribute(row[None], target=int(target), feature_mask=grid(4), n_samples=len(kept))
        rounding = np.finfo(np.float32).eps * float(tops.abs().max())
        np.testing.assert_allclose(found, theirs[0].expand(row.shape).numpy(), rtol=1e-5, atol=rounding)
