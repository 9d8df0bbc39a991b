"""One side of the comparison of explanations: a process that sets up, and explains when told to.

Takes one JSON object: side, network, method, references, threads, folder. Prints one JSON object per line:
what setting up took; per "go" on standard input the seconds of one explanation; on "end" the peak of memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Explain = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    asked = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    x = np.load(Path(asked["folder"]) / "x.npy")
    start = time.perf_counter()
    explain, loaded = SIDES[asked["side"]](asked)
    say(setup=time.perf_counter() - start, loaded=loaded)
    found = None
    for line in sys.stdin:
        if line.strip() == "end":
            break
        start = time.perf_counter()
        found = explain(x)
        say(seconds=time.perf_counter() - start)
    if found is not None:
        np.save(Path(asked["folder"]) / f"{asked['side']}.npy", found)
    say(peak=resident("VmHWM"))


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def resident(field: str = "VmRSS") -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM the most so far."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sureline(asked: dict[str, Any]) -> tuple[Explain, float]:
    """ONNX Runtime on the file that `sureline explain` wrote."""
    session = _session(Path(asked["folder"]), asked["threads"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(["attribution"], {name: x})[0], resident()


def _session(folder: Path, threads: int, profile: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = profile
    options.profile_file_prefix = str(folder / "profile")
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(
        folder / "explained.onnx", options, providers=["CPUExecutionProvider"]
    )


def profiled(folder: str) -> str:
    """Time by operator, as JSON."""
    session = _session(Path(folder), 2, profile=True)
    name, x = session.get_inputs()[0].name, np.load(Path(folder) / "x.npy")
    for _ in range(2):
        session.run(["attribution"], {name: x})
    spent: dict[str, float] = {}
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            kind = event["args"]["op_name"]
            spent[kind] = spent.get(kind, 0) + event["dur"]
    return json.dumps(spent)


def torch_network(asked: dict[str, Any]) -> Any:
    import torch
    from torch_networks import network

    torch.set_num_threads(asked["threads"])
    return network(asked["network"])


def shap(asked: dict[str, Any]) -> tuple[Explain, float]:
    """DeepExplainer for the class with the greatest score."""
    import shap as library
    import torch

    model = torch_network(asked)
    loaded = resident()
    background = torch.from_numpy(np.load(Path(asked["folder"]) / "background.npy"))
    explainer = library.DeepExplainer(model, background)

    def explain(x: np.ndarray) -> np.ndarray:
        found = explainer.shap_values(torch.from_numpy(x), ranked_outputs=1, check_additivity=False)[0]
        return np.asarray(found[0] if isinstance(found, list) else found)[..., 0].reshape(x.shape)

    return explain, loaded


def captum(asked: dict[str, Any]) -> tuple[Explain, float]:
    """Saliency without absolute values, or integrated gradients, of the predicted class."""
    import torch
    from captum import attr

    model = torch_network(asked)
    loaded = resident()
    if asked["method"] == "gradient":
        how = attr.Saliency(model)
        options: dict[str, Any] = {"abs": False}
    else:
        how = attr.IntegratedGradients(model)
        options = {"n_steps": 16, "baselines": 0.0}

    def explain(x: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(x)
        with torch.no_grad():
            target = int(model(given).argmax())
        return how.attribute(given.requires_grad_(), target=target, **options).detach().numpy()

    return explain, loaded


def zennit(asked: dict[str, Any]) -> tuple[Explain, float]:
    """The composite EpsilonPlus, batch normalisation merged."""
    import torch

    model = torch_network(asked)
    loaded = resident()
    from zennit.attribution import Gradient
    from zennit.canonizers import NamedMergeBatchNorm
    from zennit.composites import EpsilonPlus

    blocks = [n for n, m in model.named_modules() if hasattr(m, "conv") and hasattr(m, "bn")]
    merged = NamedMergeBatchNorm([([f"{n}.conv"], f"{n}.bn") for n in blocks if model.get_submodule(n).bn])
    attributor = Gradient(model, EpsilonPlus(canonizers=[merged]))

    def explain(x: np.ndarray) -> np.ndarray:
        def target(y: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(y.argmax(1), y.shape[1]) * y

        with attributor:
            return attributor(torch.from_numpy(x), target)[1].numpy()

    return explain, loaded


SIDES = {"sureline": sureline, "shap": shap, "captum": captum, "zennit": zennit}

if __name__ == "__main__":
    main()
