"""Explanations by ONNX Runtime against the libraries that people use: seconds, memory, completeness.

    make explain-benchmark

Both sides of a cell are processes that stay; they explain the same image in turns. Peaks are of whole
processes, "beyond" less what the process held when the weights were loaded. The other side's network is the
one that was exported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
NETWORKS = ("VGG19", "ResNet50", "DenseNet201", "EfficientNet-B0")
CELLS = [(n, "deepshap", "shap", r) for n in NETWORKS for r in (1, 5, 10)]
CELLS += [(n, m, "captum", 1) for m in ("gradient", "integrated-gradients") for n in NETWORKS]
CELLS += [(n, "lrp.epsilon-plus", "zennit", 1) for n in ("VGG19", "ResNet50")]
HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm"}


class Side:
    """A process that explains when told to."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.name = asked["side"]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "side.py"), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.loaded = self._said()["loaded"]
        self.seconds: list[float] = []
        self.peak = 0.0

    def explain(self) -> float:
        return float(self._told("go")["seconds"])

    def end(self) -> None:
        self.peak = self._told("end")["peak"]
        self._process.wait()

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def _told(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._said()

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended")
        found: dict[str, Any] = json.loads(line)
        return found


def cell(network: str, method: str, peer: str, references: int, rounds: int, folder: Path) -> dict[str, Any]:
    """One comparison."""
    asked = {
        "network": network,
        "method": method,
        "references": references,
        "threads": 2,
        "folder": str(folder),
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "prepare.py"), json.dumps(asked)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout.splitlines()[-1])
    sides = [Side({**asked, "side": name}) for name in ("sureline", peer)]
    for k in range(rounds + 1):  # the first is a warm-up
        for side in sides if k % 2 else sides[::-1]:
            seconds = side.explain()
            if k:
                side.seconds.append(seconds)
    for side in sides:
        side.end()
    ours, theirs = (np.load(folder / f"{side.name}.npy").astype(float) for side in sides)
    return {
        "network": network,
        "method": method,
        "peer": peer,
        "references": references,
        "seconds": [side.median for side in sides],
        "ratio": statistics.median(b / a for a, b in zip(*(s.seconds for s in sides), strict=True)),
        "peak": [side.peak for side in sides],
        "beyond": [side.peak - side.loaded for side in sides],
        "missing": [abs(a.sum() - made["sum"]) / abs(made["sum"]) for a in (ours, theirs)],
        "apart": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        "compiled": made["seconds"],
        "mb": made["mb"],
        "heavy": profile(folder),
    }


def profile(folder: Path) -> float:
    """The share of convolutions and matrix products in the time of ONNX Runtime."""
    script = "import sys; from side import profiled; print(profiled(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, check=True, cwd=HERE
    )
    spent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return sum(v for k, v in spent.items() if k in HEAVY) / sum(spent.values())


def table(cells: list[dict[str, Any]]) -> str:
    """The report, in Markdown."""
    lines = [
        "| network | method | R | against | seconds | theirs | times faster | peak, MiB | theirs "
        "| beyond loading | theirs | missing of the sum | theirs | in convolutions | file, MB "
        "| to compile, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for c in cells:
        complete = c["method"] == "deepshap"
        missing = [f"{v:.1e}" if complete else "" for v in c["missing"]]
        lines.append(
            f"| {c['network']} | {c['method']} | {c['references'] if complete else ''} | {c['peer']} "
            f"| {c['seconds'][0]:.3f} | {c['seconds'][1]:.3f} | **{c['ratio']:.2f}** "
            f"| {c['peak'][0]:.0f} | {c['peak'][1]:.0f} | {c['beyond'][0]:.0f} | {c['beyond'][1]:.0f} "
            f"| {missing[0]} | {missing[1]} | {100 * c['heavy']:.0f} % "
            f"| {c['mb']:.0f} | {c['compiled']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="cells whose network, method or peer contains this text")
    parser.add_argument("--out", type=Path, default=HERE.parent / "data" / "explain.json")
    parser.add_argument("--docs", type=Path, help="a Markdown file with a place for the results")
    asked = parser.parse_args()
    chosen = [c for c in CELLS if asked.only is None or asked.only in " ".join(map(str, c))]
    found = []
    for network, method, peer, references in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found.append(cell(network, method, peer, references, asked.rounds, Path(folder)))
        print(table(found[-1:]).splitlines()[-1], flush=True)
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    if asked.docs:
        begin, end = "<!-- results: explain -->", "<!-- /results: explain -->"
        text = asked.docs.read_text()
        head, rest = text.split(begin)
        tail = rest.split(end)[1]
        said = f"Measured on {date.today():%d %B %Y}.\n\n{table(found)}\n"
        asked.docs.write_text(f"{head}{begin}\n{said}{end}{tail}")


if __name__ == "__main__":
    main()
