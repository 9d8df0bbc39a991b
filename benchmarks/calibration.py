"""Are the p-values what they claim to be? Simulated inputs, certified audits, no discards.

Null: standard normal noise, so that every H0 is true. sup_p must be uniform and reject at 5, 1 and 0.1 % as
often as it says; the naive p-value of the same draws must visibly not be. Power: a block of known height is
added; the exact test must reject more often than the over-conditioned one. A draw that fails counts as a
rejection; a draw without a region has nothing to test and is counted apart. Writes OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import CACHE, CALIBRATION, EXPLAINED
from draws import Draw, Job, case_of, draws, workers
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.uniformity import LEVELS, mcnemar, uniformity

CONFIDENCE = 0.99
ALPHA = 0.05


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=10_000, help="null draws per network (10000)")
    parser.add_argument("--power-repetitions", type=int, default=1_000, help="draws per effect (1000)")
    parser.add_argument("--effects", type=float, nargs="*", default=[0.5, 1.0, 1.5, 2.0], help="in noise sd")
    parser.add_argument("--check-every", type=int, default=100, help="re-check each N-th certificate (100)")
    parser.add_argument("--nets", nargs="+", choices=[*CALIBRATION, *EXPLAINED], default=list(CALIBRATION))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=CACHE / "calibration")
    return parser.parse_args()


def collect(jobs: list[Job], pool: ProcessPoolExecutor, what: str, console: Console) -> list[Draw]:
    """Run the jobs behind a progress bar; say what failed."""
    shown = track(draws(jobs, pool), what, len(jobs), console=console, disable=not console.is_terminal)
    found = list(shown)
    for problem in sorted({d.error for d in found if d.error}):
        console.print(f"[red]failed[/red] ({sum(d.error == problem for d in found)} draws): {problem}")
    return found


def null_summary(found: list[Draw]) -> dict[str, Any]:
    """Levels and uniformity of the exact and the naive p-value, over all draws that had a region."""
    tested = [d for d in found if d.tested]
    summary: dict[str, Any] = {
        "draws": len(found),
        "without_roi": len(found) - len(tested),
        "failed": sum(d.error is not None for d in found),
        "checked": sum(d.checked is not None for d in found),
        "check_refused": sum(d.checked is False for d in found),
        "median_seconds": float(np.nanmedian([d.seconds for d in tested])),
        "largest_width": max(d.sup_p - d.inf_p for d in tested),
    }
    for name, p in (("exact", [d.sup_p for d in tested]), ("naive", [d.naive_p for d in tested])):
        report = uniformity(p, LEVELS, CONFIDENCE)
        rates = [asdict(rate) | {"holds": rate.holds} for rate in report.rates]
        summary[name] = {
            "ks_distance": report.ks_distance, "ks_p": report.kolmogorov_smirnov, "levels": rates
        }  # fmt: skip
    return summary


def power_summary(effect: float, found: list[Draw]) -> dict[str, Any]:
    """Rejection rates of the exact and the over-conditioned test on the same draws, and McNemar's p-value."""
    tested = [d for d in found if d.tested]
    exact = np.array([d.sup_p <= ALPHA for d in tested])
    pattern = np.array([d.over_conditioning_p <= ALPHA for d in tested])
    return {
        "effect": effect,
        "draws": len(found),
        "without_roi": len(found) - len(tested),
        "failed": sum(d.error is not None for d in found),
        "exact": float(exact.mean()),
        "over_conditioning": float(pattern.mean()),
        "mcnemar_p": mcnemar(exact, pattern).first_more,
    }


def percent(rate: dict[str, Any]) -> str:
    """A rejection rate with its interval, marked when the nominal level is outside."""
    observed = 100 * rate["rejections"] / rate["repetitions"]
    mark = "" if rate["holds"] else " !"
    return f"{observed:.2f} [{100 * rate['low']:.2f}, {100 * rate['high']:.2f}]{mark}"


def null_table(nulls: dict[str, dict[str, Any]]) -> Table:
    """Rejection rates in percent, with the Clopper-Pearson intervals."""
    title = f"Null: rejections in % [{CONFIDENCE:.0%} Clopper-Pearson interval], !: nominal level outside"
    table = Table(title=title)
    for heading in ("network", "p-value", "KS p", *(f"{a:.1%}" for a in LEVELS)):
        table.add_column(heading)
    for name, null in nulls.items():
        for kind in ("exact", "naive"):
            rates = [percent(rate) for rate in null[kind]["levels"]]
            table.add_row(name, kind, f"{null[kind]['ks_p']:.2g}", *rates)
    return table


def counts(name: str, null: dict[str, Any]) -> str:
    """What happened to the draws of one network, in a line."""
    return (
        f"{name}: {null['draws']} draws, {null['without_roi']} without a region, {null['failed']} failed; "
        f"{null['checked']} certificates re-checked, {null['check_refused']} refused; p at most "
        f"{null['largest_width']:.1e} wide; {null['median_seconds']:.3f} s each (median)"
    )


def power_table(powers: dict[str, list[dict[str, Any]]]) -> Table:
    """Rejection rates at 5 % against the height of the planted block."""
    table = Table(title=f"Power at {ALPHA:.0%}: a block of known height is added")
    for heading in ("network", "height / sd", "draws", "exact", "over-conditioning", "McNemar p"):
        table.add_column(heading)
    for name, rows in powers.items():
        for row in rows:
            rates = (f"{row['exact']:.3f}", f"{row['over_conditioning']:.3f}", f"{row['mcnemar_p']:.2g}")
            table.add_row(name, f"{row['effect']:g}", str(row["draws"]), *rates)
    return table


def findings(nulls: dict[str, dict[str, Any]], powers: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Everything that is not as it should be; empty when the calibration stands."""
    wrong = []
    for name, null in nulls.items():
        if null["exact"]["ks_p"] < 1 - CONFIDENCE:
            wrong.append(f"{name}: exact p is not uniform (KS p = {null['exact']['ks_p']:.2g})")
        wrong += [f"{name}: level {r['level']:g} missed" for r in null["exact"]["levels"] if not r["holds"]]
        if null["naive"]["ks_p"] >= 1e-6:
            wrong.append(f"{name}: naive p is not visibly non-uniform, so the run proves nothing")
        if null["failed"] or null["check_refused"]:
            wrong.append(
                f"{name}: {null['failed']} draws failed, {null['check_refused']} certificates refused"
            )
    for name, rows in powers.items():
        if rows and min(row["mcnemar_p"] for row in rows) > 0.01:
            wrong.append(f"{name}: the exact test is not more powerful than over-conditioning")
        wrong += [f"{name}: {r['failed']} power draws failed" for r in rows if r["failed"]]
    return wrong


def main() -> None:
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 110)
    nulls: dict[str, dict[str, Any]] = {}
    powers: dict[str, list[dict[str, Any]]] = {}
    values: dict[str, dict[str, list[float]]] = {}
    start = time.perf_counter()
    with workers(options.processes) as pool:
        for name in options.nets:
            jobs = [Job(name, s, check=s % options.check_every == 0) for s in range(options.repetitions)]
            found = collect(jobs, pool, f"{name}: null", console)
            nulls[name] = null_summary(found)
            tested = [d for d in found if d.tested]
            values[name] = {"exact": [d.sup_p for d in tested], "naive": [d.naive_p for d in tested]}
            console.print(counts(name, nulls[name]), highlight=False)
            powers[name] = []
            for effect in options.effects if case_of(name).over_conditioning else ():
                jobs = [
                    Job(name, s, effect, over_conditioning=True) for s in range(options.power_repetitions)
                ]
                found = collect(jobs, pool, f"{name}: height {effect:g}", console)
                powers[name].append(power_summary(effect, found))
    console.print(null_table(nulls), power_table(powers))
    wrong = findings(nulls, powers)
    console.print("\n".join(wrong) or "Calibrated: every level in its interval, naive p visibly not uniform.")
    console.print(f"{time.perf_counter() - start:.0f} s with {options.processes} processes")
    save(options.out, {"null": nulls, "power": powers, "findings": wrong, "confidence": CONFIDENCE}, values)
    raise SystemExit(bool(wrong))


def save(out: Path, record: dict[str, Any], values: dict[str, dict[str, list[float]]]) -> None:
    """The JSON with every p-value, and the picture."""
    from calibration_figure import figure  # here, so that the worker processes need not load matplotlib

    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(record | {"p": values}) + "\n")
    figure(values, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
