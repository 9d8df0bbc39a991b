"""Relevance propagation: zennit's rules and composites, on networks of modules that it knows.

Deliberate differences. zennit passes the gradient through `+` where no Sum module stands, so that relevance
is doubled; here a sum shares it. It passes relevance unchanged through a BatchNorm that it cannot merge; here
that shares it in proportion to contributions, its shift included, and one that stands before a layer is
merged too. Where it merges one, the module stays and divides by sqrt(1 + eps), so that eps is next to 0 here.
Its w-square has the squared bias in the denominator; here a bias takes no share there. To known sums, those
of squared weights and the numbers of inputs, it adds its stabiliser, so that small weights lose relevance;
here nothing, so that it is next to 0 there. Its rules begin with what the caller gives; here with the score
(excitation backpropagation with 1).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from networks import NETWORKS, exported, images, network
from torch import nn
from zennit import rules as theirs
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    LayerMapComposite,
    SpecialFirstLayerMapComposite,
)
from zennit.layer import Sum
from zennit.types import Activation, AvgPool, Convolution, Linear

import sureline as sl


class Residual(nn.Module):
    """With batch normalisation behind every convolution, and zennit's Sum."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
            nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer),
        )  # fmt: skip
        self.short = nn.Sequential(nn.Conv2d(inner, outer, 1), nn.BatchNorm2d(outer))
        self.sum, self.relu = Sum(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.sum(torch.stack([self.long(x), self.short(x)], dim=-1)))


def residual() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(6, 8),
        nn.AvgPool2d(2), nn.Conv2d(8, 6, 3, groups=2), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(24, 7),
        nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5),
    ).double()  # fmt: skip
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            module.eps = 1e-14
    return model.eval(), torch.randn(2, 3, 16, 16, dtype=torch.float64)


def taken(name: str) -> tuple[nn.Module, torch.Tensor]:
    if name == "residual":
        return residual()
    return network(name, double=True), images(name, 2, double=True)


def base(stabiliser: float) -> list[Any]:
    return [(Activation, theirs.Pass()), (AvgPool, theirs.Norm(stabiliser)), (Sum, theirs.Norm(stabiliser))]


def alike(rule: Any, stabiliser: float = 1e-6) -> Any:
    merge = [SequentialMergeBatchNorm()]
    return LayerMapComposite([*base(stabiliser), (Convolution, rule), (Linear, rule)], canonizers=merge)


def by_zennit(model: nn.Module, x: torch.Tensor, composite: Any, ones: bool = False) -> np.ndarray:
    def start(y: torch.Tensor) -> torch.Tensor:
        hot = nn.functional.one_hot(y.argmax(1), y.shape[1]).to(y)
        return hot if ones else hot * y

    with Gradient(model, composite) as attributor, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attributor(x, start)[1].detach().numpy()


BOX = {"low": -4.0, "high": 5.0}
LOW, HIGH = torch.tensor(-4.0).double(), torch.tensor(5.0).double()
ONE_RULE = {
    "epsilon": (sl.LrpEpsilon(1e-2), lambda: alike(theirs.Epsilon(1e-2), 1e-2)),
    "epsilon without bias": (
        sl.LrpEpsilon(1e-2, bias=False),
        lambda: alike(theirs.Epsilon(1e-2, zero_params="bias"), 1e-2),
    ),
    "z-plus": (sl.LrpZPlus(bias=True), lambda: alike(theirs.ZPlus())),
    "alpha-beta": (sl.LrpAlphaBeta(), lambda: alike(theirs.AlphaBeta(2, 1))),
    "alpha 3 beta 2": (sl.LrpAlphaBeta(alpha=3, beta=2), lambda: alike(theirs.AlphaBeta(3, 2))),
    "gamma": (sl.LrpGamma(gamma=0.3), lambda: alike(theirs.Gamma(0.3))),
    "flat": (sl.LrpFlat(), lambda: alike(theirs.Flat())),
    "w-square": (sl.LrpWSquare(), lambda: alike(theirs.WSquare(stabilizer=1e-14, zero_params="bias"))),
    "bounded": (
        sl.LrpComposite("first=bounded:-4,5; *=z-plus"),
        lambda: SpecialFirstLayerMapComposite(
            [*base(1e-6), (Convolution, theirs.ZPlus()), (Linear, theirs.ZPlus())],
            [(Convolution, theirs.ZBox(LOW, HIGH)), (Linear, theirs.ZBox(LOW, HIGH))],
            canonizers=[SequentialMergeBatchNorm()],
        ),
    ),
    "epsilon-plus": (sl.LrpEpsilonPlus(), lambda: EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])),
    "epsilon-plus-flat": (
        sl.LrpEpsilonPlus(flat=True),
        lambda: EpsilonPlusFlat(canonizers=[SequentialMergeBatchNorm()]),
    ),
    "epsilon-alpha2-beta1": (
        sl.LrpEpsilonAlpha2Beta1(),
        lambda: EpsilonAlpha2Beta1(canonizers=[SequentialMergeBatchNorm()]),
    ),
    "epsilon-alpha2-beta1-flat": (
        sl.LrpEpsilonAlpha2Beta1(flat=True),
        lambda: EpsilonAlpha2Beta1Flat(canonizers=[SequentialMergeBatchNorm()]),
    ),
    "epsilon-gamma-box": (
        sl.LrpEpsilonGammaBox(**BOX),
        lambda: EpsilonGammaBox(LOW, HIGH, canonizers=[SequentialMergeBatchNorm()]),
    ),
}


@pytest.mark.parametrize("name", ["lenet", "vgg", "residual"])
@pytest.mark.parametrize("rule", ONE_RULE)
def test_agrees_with_zennit(name: str, rule: str) -> None:
    ours, composite = ONE_RULE[rule]
    model, x = taken(name)
    _, found = sl.explain(exported(model, x), ours)(x.numpy())
    wanted = by_zennit(model, x, composite())
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("rule", ONE_RULE)
def test_normalisation_before_a_layer_agrees_with_zennit_on_folded_weights(rule: str) -> None:
    ours, composite = ONE_RULE[rule]
    torch.manual_seed(7)
    norm, conv, folded = nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(3, 6, 3, stride=2)
    for module in (norm, conv, folded):
        module.double()
    rest = [nn.ReLU(), nn.Flatten(), nn.Linear(54, 8), nn.ReLU(), nn.Linear(8, 5)]
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        norm.weight.uniform_(-2, 2)
        norm.bias.uniform_(-1, 1)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        folded.weight.copy_(conv.weight * scale[:, None, None])
        folded.bias.copy_(conv.bias + (conv.weight * shift[:, None, None]).sum((1, 2, 3)))
    model = nn.Sequential(norm, conv, *rest).double().eval()
    merged = nn.Sequential(folded, *rest).double().eval()
    x = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    _, found = sl.explain(exported(model, x), ours)(x.numpy())
    wanted = by_zennit(merged, x, composite())
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["lenet", "vgg"])
def test_excitation_agrees_with_zennit(name: str) -> None:
    model, x = taken(name)
    _, found = sl.explain(exported(model, x), sl.ExcitationBackprop())(x.numpy())
    positive = theirs.BasicHook(
        input_modifiers=[lambda v: v],
        param_modifiers=[theirs.ClampMod(min=0.0, zero_params="bias")],
        output_modifiers=[lambda v: v],
        gradient_mapper=lambda g, o: [g / (o[0] + torch.where(o[0] >= 0, 1e-6, -1e-6))],
        reducer=lambda i, g: i[0] * g[0],
    )
    composite = LayerMapComposite(
        [(Activation, theirs.Pass()), (Convolution, positive), (Linear, positive.copy())]
    )
    wanted = by_zennit(model, x, composite, ones=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_0_without_biases_sums_to_the_score(name: str) -> None:
    model, x = network(name, double=True), images(name, 2, double=True)
    _, found = sl.explain(exported(model, x), sl.LrpZ(bias=False))(x.numpy())
    with torch.no_grad():
        score = model(x).max(1).values.numpy()
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), score, rtol=1e-9)
