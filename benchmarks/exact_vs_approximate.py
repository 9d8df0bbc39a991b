"""Sureline, si4onnx with sicore, and autosi on the networks of hard_networks.py, against the exact answers.

Every run is a process of its own with one thread, in the environment of its tool. `--docs FILE` replaces the
tables in FILE between its marks.
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

from catalogue import CACHE
from flint import ctx
from hard_networks import HardCase, Interval, cases, mass
from sides import HERE, ONE_THREAD
from summary import markdown, replace_results

Record = dict[str, Any]
RELATIVE = 1e-3
"""A p-value is called right within this relative error, a set within this share of its mass."""
BITS = 4000
FAR = 1e9
"""In standard deviations: a half-line may be cut here."""
LINE_TOOLS = {"sureline": "Sureline", "z3": "Sureline, engine z3", "si4onnx": "si4onnx", "autosi": "autosi"}
CERTIFIED = ("sureline", "z3")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter with Sureline")
    parser.add_argument("--si4onnx-python", default=sys.executable, help="interpreter with torch and si4onnx")
    parser.add_argument("--autosi-python", default=sys.executable, help="interpreter with autosi")
    parser.add_argument("--timeout", type=float, default=300, help="seconds of a run (300)")
    parser.add_argument("--out", type=Path, default=CACHE / "exact_vs_approximate", help="OUT.json, OUT.md")
    parser.add_argument("--picture", type=Path, help="PNG of some of the sets found (needs matplotlib)")
    parser.add_argument("--docs", type=Path, help="page whose tables are replaced")
    return parser.parse_args()


def run(python: str, tool: str, case: HardCase, timeout: float) -> Record:
    """What the tool answered, or {"error": its name}."""
    command = [python, "-W", "ignore", str(HERE / "run_hard.py"), tool, case.name]
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {timeout:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": last.split(":")[0].split(".")[-1], "message": last}
    record: Record = json.loads(done.stdout.strip().splitlines()[-1])
    return record


# ---- Judging by the exact answer ----


def read(intervals: Sequence[Sequence[str]]) -> list[Interval]:
    """The intervals of a record, as the exact numbers they are."""
    ends = {"inf": math.inf, "-inf": -math.inf}
    return [tuple(ends[e] if e in ends else Fraction(e) for e in pair) for pair in intervals]  # type: ignore[misc]


def overlap(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    """The intersection of two lists of disjoint intervals."""
    both = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return [(a, b) for a, b in both if a < b]


def difference(found: Sequence[Interval], exact: Sequence[Interval]) -> tuple[float, float]:
    """Null masses of what is claimed and false, and of what is missing, as shares of the exact set's mass."""
    with ctx.workprec(BITS):
        common, whole = mass(overlap(found, exact)), mass(exact)
        shares = [float((mass(s) - common) / whole) for s in (found, exact)]
    return max(0.0, shares[0]), max(0.0, shares[1])


def finite(intervals: Sequence[Interval]) -> list[list[float | Fraction]]:
    """Ends, those beyond `FAR` as infinite ones."""
    return [[e if abs(e) < FAR else math.copysign(math.inf, e) for e in pair] for pair in intervals]


def counted(number: int) -> str:
    return "1 interval" if number == 1 else f"{number} intervals"


def said_of_set(record: Record, case: HardCase) -> str:
    """One cell of the table of truncation sets."""
    if "error" in record:
        return f"error: {record['error']}"
    found = read(record["intervals"])
    false, missing = difference(found, case.exact)
    if finite(found) == finite(case.exact):
        cut = [abs(e) for pair in found for e in pair if FAR < abs(e) < math.inf]
        return f"exact up to {float(min(cut)):.0e}" if cut else "exact"
    if len(found) == len(case.exact) and max(false, missing) <= RELATIVE:
        return f"right but for {max(false, missing):.0e} of its mass"
    if record["certified"] and not false:
        return f"undecided: {missing:.2g} of its mass in gaps"
    words = [counted(len(found))]
    words += [f"{missing:.2g} of the mass missing"] if missing > RELATIVE else []
    words += [f"{false:.2g} too much"] if false > RELATIVE else []
    return f"**wrong**: {', '.join(words)}"


def said_of_p(record: Record, case: HardCase) -> str:
    """One cell of the table of p-values."""
    if "error" in record:
        return f"error: {record['error']}"
    exact, p = Fraction(case.exact_p(60)), record["p_value"]
    if record["certified"]:
        low, high = Fraction(record["inf_p"]), Fraction(record["sup_p"])
        if not low <= exact <= high:
            return f"**wrong**: [{record['inf_p']}, {record['sup_p']}]"
        if high - low > RELATIVE * exact:
            return f"undecided: [{record['inf_p']:.3g}, {record['sup_p']:.3g}]"
        return f"right: {p:.7g}, within {float(high - low):.0e}"
    right = math.isfinite(p) and abs(Fraction(p) - exact) <= RELATIVE * exact
    return f"right: {p:.7g}" if right else f"**wrong**: {p:.7g}"


def sets(found: dict[str, dict[str, Record]]) -> str:
    """The table of truncation sets and times."""
    rows = []
    for case in cases():
        records = [found[case.name][tool] for tool in LINE_TOOLS]
        seconds = " / ".join(f"{r['seconds']:.2g}" if "seconds" in r else "-" for r in records)
        cells = [said_of_set(record, case) for record in records]
        rows.append([case.name, counted(len(case.exact)), *cells, seconds])
    return markdown(["case", "exact set", *LINE_TOOLS.values(), "seconds"], rows)


def p_values(found: dict[str, dict[str, Record]]) -> str:
    """The table of p-values."""
    tools = (*LINE_TOOLS, "sicore")
    rows = [
        [case.name, case.exact_p(10), *(said_of_p(found[case.name][tool], case) for tool in tools)]
        for case in cases()
    ]
    return markdown(["case", "exact p", *LINE_TOOLS.values(), "sicore, given the exact set"], rows)


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def main() -> None:
    options = arguments()
    theirs = options.si4onnx_python
    pythons = dict.fromkeys(CERTIFIED, options.python)
    pythons |= {"si4onnx": theirs, "autosi": options.autosi_python, "sicore": theirs}
    found: dict[str, dict[str, Record]] = {}
    for case in cases():
        found[case.name] = {}
        for tool, python in pythons.items():
            record = run(python, tool, case, options.timeout) | {"certified": tool in CERTIFIED}
            found[case.name][tool] = record
            print(f"  {case.name}, {tool}: {said_of_p(record, case)}", file=sys.stderr, flush=True)
    checked = [of[tool].get("checked") for of in found.values() for tool in CERTIFIED]
    said = f"`sureline check` confirms {checked.count(True)} of {len(checked)} certificates."
    text = (
        f"Measured on {date.today():%d %B %Y} at commit {commit()}, one thread per process.\n\n"
        f"{sets(found)}\n\n{p_values(found)}\n\n{said}\n"
    )
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(text)
    if options.picture:
        from hard_picture import draw

        draw(found, options.picture, read)
    if options.docs:
        replace_results(options.docs, "exact-vs-approximate", text)


if __name__ == "__main__":
    main()
