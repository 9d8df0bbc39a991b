"""Write a trained torch network as one self-contained ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

__all__ = ["export"]


def export(
    net: torch.nn.Module, example: torch.Tensor, path: Path, *, inputs: list[str], outputs: list[str]
) -> None:
    """Export ``net`` for inputs of the shape of ``example``, weights inside, and list its operators."""
    program = torch.onnx.export(
        net.eval(), (example,), input_names=inputs, output_names=outputs, opset_version=18, dynamo=True
    )
    if program is None:
        raise RuntimeError("torch did not return the exported program")
    model = program.model_proto
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for item in [*graph.node, *values, graph, model]:
        del item.metadata_props[:]  # source lines and paths of the machine that exported it
        item.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    operators = sorted({node.op_type for node in graph.node})
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, operators: {', '.join(operators)}")
