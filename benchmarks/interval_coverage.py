"""Do p-values, intervals and estimates of every law hold what they promise? Thousands of audits of each.

A small ReLU network marks pixels of pure noise, and every null hypothesis is true. sup_p must reject at 5, 1
and 0.1 % as often as it says, the 95 % interval must cover the true contrast, and half of the
median-unbiased estimates must lie below it; then the same with a planted block, where the null is false and
interval and estimate must still hold. The variance of the t and F laws is estimated anew in every draw, from
noise of its own. Nothing is dropped: a draw that fails counts as a rejection and as not covered. `--docs
FILE` replaces the table in FILE between its marks, `--picture FILE` draws the p-values, `--draws FOLDER`
keeps every draw, and a second call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from calibration_figure import figure
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.progress import track
from summary import markdown, replace_results

import sureline as sl
from inference.uniformity import LEVELS, clopper_pearson, uniformity
from inference.workers import as_they_come
from symbolic.errors import NoHypothesisError

SIZE = 12
WOBBLE = 0.15
"""Standard deviation of what is added to the weights."""
THRESHOLD = 0.5
FREEDOM = 8
"""Degrees of freedom of an estimated variance: few, so that a plug-in would be visibly wrong."""
HEIGHT = 1.5
"""Of the planted block, in standard deviations."""
FEWER = 5
"""Only every fifth draw where the null is false, and of randomised audits, whose intervals are slow."""
CONFIDENCE = 0.99
LAWS = ("normal", "t", "chi", "F", "randomised", "fission")


@dataclass(frozen=True)
class Kept:
    """What is kept of a draw; p is nan where the network marked nothing.

    Attributes
    ----------
    p, naive, width : float
    covered, below : bool or None
        Whether the interval covers the true contrast, and the median-unbiased estimate lies below it; None
        of a length, which has neither.
    length : float
        Of the interval, in true standard deviations.
    """

    p: float
    naive: float = math.nan
    width: float = 0.0
    covered: bool | None = None
    below: bool | None = None
    length: float = math.nan
    failed: bool = False


def network() -> onnx.ModelProto:
    """Two dense layers that redraw their input, relu(x) - relu(-x), with some noise of a fixed seed in the
    weights: what they mark is what is high, so that forgetting the selection is visibly wrong."""
    rng = np.random.default_rng(0)
    eye = np.eye(SIZE)
    redraws = {
        "A": np.vstack([eye, -eye]),
        "a": np.zeros(2 * SIZE),
        "B": np.hstack([eye, -eye]),
        "b": np.zeros(SIZE),
    }
    weights = [
        numpy_helper.from_array((w + WOBBLE * rng.normal(size=w.shape)).astype(np.float32), n)
        for n, w in redraws.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "A", "a"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "B", "b"], ["y"], transB=1),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, SIZE]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "marks", ports[:1], ports[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@cache
def loaded(contrasts: str) -> sl.SelectiveInferenceModel:
    """The network and its question, once per process: the marked pixels against the others."""
    return sl.load(network(), sl.BackMeanDiff(threshold=THRESHOLD, contrasts=contrasts))


def draw(law: str, height: float, seed: int) -> Kept:
    """One audit."""
    rng = np.random.default_rng([seed, LAWS.index(law)])
    mean = np.zeros(SIZE)
    mean[: SIZE // 3] = height
    x = (mean + rng.normal(size=SIZE)).astype(np.float32)[None]
    length = law in ("chi", "F")
    asked: dict[str, Any] = {"exact_ends": False}
    variance = 1.0
    if law in ("t", "F"):
        variance = float(rng.chisquare(FREEDOM) / FREEDOM)
        asked["degrees_of_freedom"] = FREEDOM
    if law in ("randomised", "fission"):
        kind = sl.Randomised if law == "randomised" else sl.Fission
        asked["randomisation"] = kind(1, seed=int(rng.integers(2**62)))
    if not length:
        asked["confidence_level"] = "0.95"
    try:
        result = loaded("elements" if length else "mean").inference(x, variance, **asked)
    except NoHypothesisError:
        return Kept(math.nan)
    except Exception:
        return Kept(0.0, 0.0, covered=None if length else False, failed=True)
    kept = Kept(result.sup_p, result.naive_p_value(), result.sup_p - result.inf_p)
    if result.estimates is None:
        return kept
    inside = result.roi.reshape(-1)
    truth = float(mean[inside].mean() - mean[~inside].mean())
    sd = math.sqrt(1 / inside.sum() + 1 / (~inside).sum())
    low, high = result.estimates.interval
    median = result.estimates.median_unbiased
    return Kept(
        kept.p,
        kept.naive,
        kept.width,
        low <= truth <= high,
        median.lo + median.hi < 2 * truth,
        (high - low) / sd,
    )


def draws_of(law: str, height: float, count: int, processes: int, folder: Path | None) -> list[Kept]:
    """All draws of a line of the table, in order of their seeds."""
    path = folder / f"{law}_{height:g}.jsonl" if folder else None
    known = {}
    if path and path.exists():
        known = {d.pop("seed"): Kept(**d) for d in map(json.loads, path.read_text().splitlines())}
    missing = [seed for seed in range(count) if seed not in known]
    jobs = as_they_come(partial(draw, law, height), missing, processes)
    with path.open("a") if path else nullcontext() as file:
        for seed, kept in track(jobs, f"{law}, {height:g}", len(missing), disable=not sys.stdout.isatty()):
            known[seed] = kept
            if file:
                file.write(json.dumps({"seed": seed, **asdict(kept)}) + "\n")
                file.flush()
    return [known[seed] for seed in range(count)]


def percent(count: int, total: int) -> str:
    """Share with its Clopper-Pearson interval."""
    low, high = clopper_pearson(count, total, CONFIDENCE)
    return f"{100 * count / total:.2f} ({100 * low:.2f}-{100 * high:.2f})"


def row(law: str, height: float, draws: Sequence[Kept]) -> list[str]:
    """One line of the table."""
    tested = [d for d in draws if not math.isnan(d.p)]
    report = uniformity([d.p for d in tested], LEVELS, CONFIDENCE)
    null = height == 0
    rates = [percent(rate.rejections, rate.repetitions) for rate in report.rates]
    cells = [law, "0" if null else f"{height:g}", f"{len(tested)}", str(sum(d.failed for d in tested))]
    cells += rates if null else [rates[0], "", ""]
    cells.append(f"{report.kolmogorov_smirnov:.2g}" if null else "")
    naive = sum(d.naive <= LEVELS[0] for d in tested)
    cells.append(percent(naive, len(tested)) if null and law not in ("fission",) else "")
    covers = [d.covered for d in tested if d.covered is not None]
    below = [d.below for d in tested if d.below is not None]
    cells.append(percent(sum(covers), len(covers)) if covers else "")
    cells.append(percent(sum(below), len(below)) if below else "")
    lengths = [d.length for d in tested if not math.isnan(d.length)]
    cells.append(f"{np.median(lengths):.3g}" if lengths else "")
    cells.append(f"{max(d.width for d in tested):.1e}")
    return cells


HEADINGS = [
    "law", "planted, sd", "audits", "failed", "p <= 5 %", "p <= 1 %", "p <= 0.1 %", "KS p", "naive p <= 5 %",
    "95 % interval covers", "estimate below truth", "median length, sd", "widest enclosure of p",
]  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repetitions",
        type=int,
        default=10_000,
        help="draws per law where H0 is true (10000); a fifth otherwise",
    )
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=list(LAWS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--draws", type=Path, help="existing folder that keeps every draw")
    parser.add_argument("--docs", type=Path, help="page whose table is replaced")
    parser.add_argument("--picture", type=Path, help="PNG of the p-values")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    console = Console()
    rows, p = [], {}
    for law in given.laws:
        for height in (0.0,) if law in ("chi", "F") else (0.0, HEIGHT):
            count = given.repetitions // FEWER if height or law == "randomised" else given.repetitions
            draws = draws_of(law, height, count, given.processes, given.draws)
            rows.append(row(law, height, draws))
            console.print("  ".join(rows[-1]), highlight=False)
            if not height:
                tested = [d for d in draws if not math.isnan(d.p)]
                p[law] = {"exact": [d.p for d in tested], "naive": [d.naive for d in tested]}
    head = f"Measured on {date.today():%d %B %Y}."
    said = f"{head}\n\n{markdown(HEADINGS, rows)}"
    if given.docs:
        replace_results(given.docs, "coverage", said)
    if given.picture:
        figure(p, given.picture)


if __name__ == "__main__":
    main()
