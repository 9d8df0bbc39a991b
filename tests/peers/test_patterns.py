"""PatternNet and PatternAttribution against gradients of torch, where layers go back by other weights.

No library of torch has these methods: here a layer's output is that of its patterns, plus a constant that
makes up the difference, so that torch's own gradient is the definition.
"""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from networks import NETWORKS, exported, images, network
from torch import nn

from symbolic.explanations.explain import explain
from symbolic.explanations.methods.patterns import PatternAttribution, PatternNet
from symbolic.explanations.pattern_file import Patterns
from symbolic.explanations.pattern_fitting import fit_patterns


class Backward(nn.Module):
    """The output of one module, the gradient of another."""

    def __init__(self, forward: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.real, self.back = forward, back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.back(x)
        return y + (self.real(x) - y).detach()


def patterned(model: nn.Module, patterns: Patterns, attributes: bool) -> nn.Module:
    """The network with layers that go back by patterns, in the order of the file."""
    made, rest = copy.deepcopy(model), list(patterns.arrays.values())
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Conv2d, nn.Linear)):
                back = copy.deepcopy(child)
                pattern = torch.from_numpy(rest[child.place])
                back.weight.data = child.weight.data * pattern if attributes else pattern
                setattr(parent, name, Backward(child, back))
            elif isinstance(child, nn.BatchNorm2d):
                back = copy.deepcopy(child)
                factor = child.weight.data / torch.sqrt(child.running_var + child.eps)
                nn.init.zeros_(back.running_mean)
                back.running_var = torch.ones_like(factor) - child.eps
                back.weight.data = torch.ones_like(factor) if attributes else 1 / factor
                setattr(parent, name, Backward(child, back))
    return made


def placed(model: nn.Module, x: torch.Tensor) -> None:
    """Number the layers in the order in which they run."""
    count = iter(range(1000))
    hooks = [
        module.register_forward_hook(lambda m, *_: setattr(m, "place", next(count)))
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()


def unfolded(model: nn.Module, x: torch.Tensor) -> onnx.ModelProto:
    """The network as it is: the usual export folds normalisations into convolutions."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keep = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(model, (x[:1],), file, opset_version=18, dynamo=False, training=keep)
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_gradients_of_torch(name: str, attributes: bool) -> None:
    model, x = network(name, double=True), images(name, 3, double=True)
    net, data = unfolded(model, x), images(name, 24, double=True, seed=5).numpy()
    patterns = fit_patterns(net, data)
    placed(model, x)
    twin = patterned(model, patterns, attributes)
    moved = x.clone().requires_grad_()
    scores = twin(moved)
    with torch.no_grad():
        torch.testing.assert_close(scores, model(x))
    top = scores.max(1).values
    start = top.detach() if attributes else torch.ones_like(top)
    (expected,) = torch.autograd.grad((top * start).sum(), moved)
    method = PatternAttribution(patterns) if attributes else PatternNet(patterns)
    ours, least = explain(net, method)(x.numpy())[1], 1e-9 * float(expected.abs().max())
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5, atol=least)
    folded = exported(model, x)
    count = [sum(node.op_type == "BatchNormalization" for node in n.graph.node) for n in (folded, net)]
    assert count[0] < count[1] or count == [0, 0]
    again = explain(folded, type(method)(fit_patterns(folded, data)))(x.numpy())[1]
    np.testing.assert_allclose(again, ours, rtol=1e-5, atol=100 * least)
