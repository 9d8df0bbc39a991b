"""Small networks as PyTorch exports them, by both of its exporters.

Made with torch 2.13.0 (CPU), onnx 1.23.2, onnxscript 0.7.2, onnx-ir 1.1.0 and numpy 1.26.4:

    python tests/exported/make_torch.py

Names end in _ts<opset> (dynamo=False, TorchScript) or _dy<opset> (dynamo=True, the default exporter).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
warnings.filterwarnings("ignore")


class Classifier(nn.Module):
    """Dense layers with an activation."""

    def __init__(self, activation: nn.Module, *, softmax: bool = False, width: int = 8) -> None:
        super().__init__()
        layers = [nn.Linear(6, width), activation, nn.Linear(width, 8), activation, nn.Linear(8, 3)]
        self.layers = nn.Sequential(*layers, *([nn.Softmax(-1)] if softmax else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Autoencoder(nn.Module):
    """Pooled, upsampled and transposed convolutions; an output of the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        self.middle = nn.Sequential(nn.LeakyReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU())
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 2, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.middle(self.down(x)))


class Bilinear(nn.Module):
    """Bilinear upsampling of a pooled image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        y = nn.functional.interpolate(
            nn.functional.avg_pool2d(y, 3, 2, padding=1), scale_factor=2, mode="bilinear"
        )
        return y.mean(1, keepdim=True)


class Residual(nn.Module):
    """A ResNet block and a classification head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        y = torch.relu(y + self.body(y))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(y, 1), 1))


class Recurrent(nn.Module):
    """A recurrent layer, read at its last step."""

    def __init__(self, kind: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.layer = kind(3, 4, batch_first=True, **options)
        self.head = nn.Linear(8 if options.get("bidirectional") else 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class Transformer(nn.Module):
    """One encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, activation="gelu", batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))


class Attention(nn.Module):
    """Scaled dot-product attention by the functional."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.parts(x[:, None]).chunk(3, -1)
        return nn.functional.scaled_dot_product_attention(q, k, v).sum((1, 2))


class Normalised(nn.Module):
    """Layer, group and instance normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3, padding=1)
        self.norms = nn.Sequential(
            nn.GroupNorm(2, 4), nn.SiLU(), nn.InstanceNorm1d(4, affine=True), nn.LayerNorm(6)
        )
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norms(self.conv(x[:, None])).flatten(1))


class Masked(nn.Module):
    """Indexing, comparisons, masks and reductions as they are written by hand."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.where(x > 0.25, x, -x)
        top = x.amax(1, keepdim=True)
        shifted = torch.cat([x[:, 1:], x[:, :1]], 1).clamp(-1, 2)
        return torch.stack([(x - top).abs().sum(1), shifted.std(1), torch.einsum("bi,bi->b", x, shifted)], 1)


class Dynamic(nn.Module):
    """Shapes that are computed in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x.reshape(x.shape[0], 2, -1)))
        return y.reshape(y.shape[0], 3, -1, 1).expand(-1, -1, -1, 2).flatten(2).mean(-1)


class Branch(nn.Module):
    """A condition on the size of the batch, and a loop over it."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 4:
            x = x * 2.0
        else:
            x = x - 1.0
        for _ in range(x.shape[0] + 2):
            x = torch.relu(self.step(x)) + x
        return self.head(x)


def trained(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network with random weights and statistics that are not the initial ones."""
    torch.manual_seed(seed)
    model = make()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return model.eval()


VECTOR, IMAGE, SERIES = (1, 6), (1, 1, 8, 8), (1, 5, 3)
TS, DY = "ts", "dy"
BOTH = ((TS, 17), (DY, 18), (DY, 21))


def cases() -> Iterator[tuple[str, Callable[[], nn.Module], tuple[int, ...], tuple[tuple[str, int], ...]]]:
    """Name, network, shape of the input, and exporters with operator sets."""
    every = tuple((TS, k) for k in (9, 11, 13, 15, 17, 20)) + tuple((DY, k) for k in (18, 20, 22, 24))
    yield "mlp", lambda: Classifier(nn.ReLU()), VECTOR, every
    yield "softmax", lambda: Classifier(nn.Tanh(), softmax=True), VECTOR, ((TS, 9), *BOTH)
    yield "autoencoder", Autoencoder, IMAGE, ((TS, 9), (TS, 11), (TS, 13), (TS, 17), (DY, 18), (DY, 22))
    yield "bilinear", Bilinear, IMAGE, ((TS, 11), *BOTH)
    yield "residual", Residual, IMAGE, ((TS, 9), *BOTH)
    for name, kind in (("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)):
        yield name, lambda kind=kind: Recurrent(kind), SERIES, ((TS, 9), (TS, 14), (DY, 18))
    yield "bilstm", lambda: Recurrent(nn.LSTM, bidirectional=True), SERIES, ((TS, 17), (DY, 18))
    yield "transformer", Transformer, (1, 4, 4), ((TS, 14), (TS, 17), (DY, 18), (DY, 23))
    yield "attention", Attention, (1, 4, 4), ((TS, 14), (DY, 18), (DY, 23))
    yield "normalised", Normalised, VECTOR, ((TS, 11), *BOTH)
    for name, activation in (
        ("gelu", nn.GELU()),
        ("gelutanh", nn.GELU("tanh")),
        ("silu", nn.SiLU()),
        ("hardswish", nn.Hardswish()),
        ("mish", nn.Mish()),
        ("elu", nn.ELU()),
        ("selu", nn.SELU()),
        ("softplus", nn.Softplus()),
        ("relu6", nn.ReLU6()),
        ("prelu", nn.PReLU()),
        ("hardtanh", nn.Hardtanh()),
        ("softsign", nn.Softsign()),
    ):
        yield name, lambda activation=activation: Classifier(activation), VECTOR, ((TS, 14), (DY, 18))
    yield "gelu", lambda: Classifier(nn.GELU()), VECTOR, ((DY, 20),)
    yield "masked", Masked, VECTOR, ((TS, 13), *BOTH)


def export(name: str, model: nn.Module, x: Tensor, exporter: str, opset: int, **options: object) -> None:
    """Write one file."""
    path = HERE / f"{name}_{exporter}{opset}.onnx"
    torch.onnx.export(
        model,
        (x,),
        str(path),
        input_names=["x"],
        output_names=["y"],
        opset_version=opset,
        dynamo=exporter == DY,
        **({"external_data": False, "verbose": False} if exporter == DY else {}),
        **options,
    )
    _lean(path)


def _lean(path: Path) -> None:
    """Without the exporter's notes on where each node comes from, which name folders of the maker."""
    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for item in (
            *graph.node,
            *graph.value_info,
            *getattr(graph, "input", []),
            *getattr(graph, "initializer", []),
        ):
            if hasattr(item, "metadata_props"):
                del item.metadata_props[:]
            if hasattr(item, "doc_string") and not isinstance(item, str):
                item.doc_string = ""
        for item in getattr(graph, "output", []):
            if hasattr(item, "metadata_props"):
                del item.metadata_props[:]
    onnx.save(model, path)


def main(wanted: list[str]) -> None:
    """Write all files (or those of some networks); say which combinations an exporter refuses."""
    refused = []
    for name, make, shape, exporters in cases():
        if wanted and name not in wanted:
            continue
        for exporter, opset in exporters:
            try:
                export(name, trained(make), torch.randn(shape), exporter, opset)
            except Exception as error:
                refused.append(f"{name}_{exporter}{opset}: {' '.join(str(error).split())[:200]}")
    x = torch.randn(VECTOR)
    for kind, word in ((torch.float16, "half"), (torch.bfloat16, "bfloat16"), (torch.float64, "double")):
        for exporter, opset in ((TS, 17), (DY, 18)):
            try:
                export(word, trained(lambda: Classifier(nn.ReLU())).to(kind), x.to(kind), exporter, opset)
            except Exception as error:
                refused.append(f"{word}_{exporter}{opset}: {' '.join(str(error).split())[:200]}")
    batch = torch.export.Dim("batch")
    wide = torch.randn(2, 8)
    export("dynamic", trained(Dynamic), wide, TS, 17, dynamic_axes={"x": {0: "batch", 1: "width"}})
    export(
        "dynamic",
        trained(Dynamic),
        wide,
        DY,
        18,
        dynamic_shapes={"x": {0: batch, 1: 2 * torch.export.Dim("half", min=2)}},
    )
    export("branch", torch.jit.script(trained(Branch)), x, TS, 17, dynamic_axes={"x": {0: "batch"}})
    path, wide_mlp = HERE / "external_dy18.onnx", trained(lambda: Classifier(nn.ReLU(), width=24))
    torch.onnx.export(
        wide_mlp,
        (x,),
        str(path),
        input_names=["x"],
        output_names=["y"],
        opset_version=18,
        dynamo=True,
        external_data=True,
    )
    _lean(path)
    print("\n".join(refused), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
