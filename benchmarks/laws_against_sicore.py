"""Truncated laws by themselves: Sureline's bounds against sicore 3.0.0 and mpmath on thousands of sets.

sicore runs in a process of its own environment (`run_sicore.py`). `--docs FILE` replaces the results in FILE
between its marks.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from law_cases import NAMED, Case, drawn, truth
from rich.console import Console
from rich.progress import track
from sides import HERE, ONE_THREAD
from summary import markdown, replace_results

import sureline as sl
from inference.laws.public import _cells
from inference.laws.randomised import RandomisedLaw
from inference.uniformity import clopper_pearson

KINDS = {"ordinary": 3000, "far": 1000, "slivers": 1000, "many": 100, "chi": 1000, "randomised": 400}
VERIFIED = 40
"""Cases of each kind whose p-value mpmath works out."""
CLOSE, NEAR = 1e-9, 1e-3
SMALL = 1e-12
"""Differences below this are in the last digits of 1 - p, which sicore computes with."""
LEAST = 1e-300
"""Below it p is beyond the range of normal doubles."""
VARIANCES, ADDED, ABOVE, SCORE = (10.0, 0.1), 10.0, 8.0, np.array([1.0, -0.5])
"""Of the two pixels of `run_sicore.rate`."""


def certified(case: Case) -> tuple[float, float]:
    """Sureline's bounds of the p-value."""
    asked: dict[str, Any] = {
        "stat": case["stat"],
        "intervals": case["intervals"],
        "alternative": case["alternative"],
    }
    if case["law"] == "chi":
        return sl.truncated_chi_p_value(**asked, degrees_of_freedom=case["df"])
    if case["law"] == "normal":
        return sl.truncated_normal_p_value(**asked, var=1, null_value=case["null"])
    moved = Fraction(case["randomised"])
    law = RandomisedLaw(moved, Fraction(case["stat"]), Fraction(1), Fraction(case["tau"]) ** 2, Fraction(1),
                        Fraction(case["null"]), case["alternative"])  # fmt: skip
    p = law.p_value(_cells(moved, case["intervals"], Fraction(1)))
    return p.inf_p, p.sup_p


def class_of(said: float | str, low: float, high: float) -> str:
    """How far the peer's answer is from the certified bounds."""
    if isinstance(said, str) or math.isnan(said):
        return "no number"
    off = max(low - said, said - high, 0.0)
    if off <= CLOSE * low:
        return "close"
    if off <= NEAR * low:
        return "near"
    return "small" if off <= SMALL else "wrong"


def ask_peer(python: str, cases: Sequence[Case]) -> list[float | str]:
    command = [python, "-W", "ignore", str(HERE / "run_sicore.py")]
    done = subprocess.run(
        command,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env=os.environ | ONE_THREAD,
        check=True,
    )
    answers: list[float | str] = json.loads(done.stdout)
    return answers


def our_rate(draws: int) -> int:
    """Rejections at 5 % on the two pixels of `run_sicore.rate`: noise of their own covariance is added."""
    rng = np.random.default_rng(0)
    variance = np.array(VARIANCES)
    factor = float(ADDED / variance.mean())
    score, total = SCORE, float(variance.sum())
    slope = Fraction(float(score @ variance)) / Fraction(total)
    rejected = audited = 0
    while audited < draws:
        x = rng.normal(size=2) * np.sqrt(variance)
        seen = x + rng.normal(size=2) * np.sqrt(factor * variance)
        if score @ seen <= ABOVE:
            continue
        audited += 1
        at = Fraction(float(seen.sum()))
        edge = at + (Fraction(ABOVE) - Fraction(float(score @ seen))) / slope
        tested = Fraction(float(x.sum()))
        law = RandomisedLaw(
            at, tested, Fraction(total), Fraction(factor), Fraction(1), Fraction(0), "two-sided"
        )
        rejected += law.p_value(_cells(at, [(edge, math.inf)], Fraction(1))).sup_p <= 0.05
    return rejected


def compare(python: str, kind: str, count: int, console: Console) -> tuple[list[str], list[str]]:
    """One line of the table; what mpmath contradicts."""
    cases = [drawn(kind, seed) for seed in range(count)]
    theirs = ask_peer(python, cases)
    shown = track(cases, kind, console=console, disable=not console.is_terminal)
    ours = [certified(case) for case in shown]
    classes = [class_of(said, *p) for said, p in zip(theirs, ours, strict=True)]
    outside = [
        c["stat"]
        for c, (low, high) in zip(cases[:VERIFIED], ours, strict=False)
        if not low <= truth(c) <= high
    ]
    widest = max((high - low) / high for low, high in ours if high > LEAST)
    counts = [f"{classes.count(c)}" for c in ("close", "near", "small", "wrong", "no number")]
    wrong = [abs(s - high) for s, (_, high), c in zip(theirs, ours, classes, strict=True)
             if c == "wrong" and isinstance(s, float)]  # fmt: skip
    checked = min(VERIFIED, count)
    line = [kind, str(count), *counts, f"{max(wrong):.1g}" if wrong else "", f"{widest:.0e}",
            f"{checked - len(outside)} of {checked}"]  # fmt: skip
    return line, [f"{kind}: {stat}" for stat in outside]


def named(python: str) -> list[list[str]]:
    """The table of single cases."""
    rows = []
    for (name, case), said in zip(NAMED.items(), ask_peer(python, list(NAMED.values())), strict=True):
        low, high = certified(case)
        answer = said if isinstance(said, str) else "NaN" if math.isnan(said) else f"{said:.6g}"
        rows.append([name, mpmath.nstr(truth(case), 10), f"[{low:.10g}, {high:.10g}]", answer])
    return rows


def rates(python: str, draws: int) -> str:
    """Rejections of true hypotheses by the randomised tests."""
    command = [python, "-W", "ignore", str(HERE / "run_sicore.py"), "rate", str(draws)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=True)
    found = {name: record["rejected"] for name, record in json.loads(done.stdout).items()}
    lines = [("sicore, variances 10 and 0.1", found["unequal"]), ("sicore, both 5", found["equal"]),
             ("Sureline, variances 10 and 0.1", our_rate(draws))]  # fmt: skip
    rows = []
    for name, count in lines:
        low, high = clopper_pearson(count, draws, 0.99)
        rows.append([name, str(draws), f"{100 * count / draws:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"])
    return markdown(["test", "audits", "rejects at 5 % [99 % interval]"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sicore-python", default=sys.executable, help="interpreter with sicore 3.0.0")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases and draws (1)")
    parser.add_argument("--draws", type=int, default=10_000, help="of the randomised tests (10000)")
    parser.add_argument("--docs", type=Path, help="page whose results are replaced")
    given = parser.parse_args()
    console = Console(stderr=True)
    lines, contradicted = [], []
    for kind, count in KINDS.items():
        line, wrong = compare(given.sicore_python, kind, max(5, int(count * given.share)), console)
        lines.append(line)
        contradicted += wrong
    headings = ["sets", "number", "within 1e-9 p", "within 1e-3 p", "within 1e-12", "wrong", "no number",
                "largest error", "widest bounds / p", "mpmath inside ours"]  # fmt: skip
    said = "\n\n".join([
        f"Measured on {date.today():%d %B %Y}.", markdown(headings, lines),
        markdown(["case", "p by mpmath", "Sureline", "sicore"], named(given.sicore_python)),
        rates(given.sicore_python, max(50, int(given.draws * given.share))),
    ])  # fmt: skip
    print(said)
    if given.docs:
        replace_results(given.docs, "laws-against-sicore", said)
    if contradicted:
        sys.exit(f"mpmath contradicts Sureline: {contradicted}")


if __name__ == "__main__":
    main()
