"""What a study must show for its calibration to mean anything, and what of it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference.adjust import adjust
from inference.uniformity import mcnemar

if TYPE_CHECKING:
    from inference.study.summary import Condition

__all__ = ["findings", "holm"]

VISIBLE = 1e-6
"""Kolmogorov-Smirnov p-value below which naive p-values are visibly not uniform."""
ENOUGH = 200
"""Null draws from which on the naive p-values are expected to be visibly not uniform."""


def holm(conditions: Sequence[Condition]) -> dict[str, float]:
    """Kolmogorov-Smirnov p-values of the certified p-values under true nulls, adjusted by Holm."""
    found = {}
    for condition in conditions:
        exact = condition.methods.get("exact")
        if condition.is_null and exact is not None and exact.report is not None:
            found[condition.name] = exact.report.kolmogorov_smirnov
    if not found:
        return {}
    return dict(zip(found, adjust(list(found.values()), "holm").adjusted, strict=True))


def findings(conditions: Sequence[Condition], adjusted: dict[str, float], confidence: float) -> list[str]:
    """Everything that is not as it should be, in sentences."""
    wrong = []
    nulls = [c for c in conditions if c.is_null and len(c.methods)]
    for c in conditions:
        if c.failed:
            said = next(
                (r["message"] for r in c.records if r.get("message") and r["outcome"] == "failed"), ""
            )
            first = f" The first: {said}" if said else ""
            wrong.append(f"{c.name}: {c.failed} draws failed (counted as rejections).{first}")
        if c.refused:
            wrong.append(f"{c.name}: the checker refused {c.refused} certificates.")
        for record in c.records:
            known = record.get("known_p")
            if known is not None and not _encloses(record["inf_p"], known, record["sup_p"]):
                wrong.append(f"{c.name}: the known p-value {known:.9g} is not in the certified bounds.")
    for c in nulls:
        exact = c.methods["exact"]
        if exact.report is None:
            continue
        wrong += [
            f"{c.name}: certified p rejects too often at {100 * r.level:g} % ({r})."
            for r in exact.report.rates
            if r.exceeds
        ]
        if adjusted.get(c.name, 1) < 1 - confidence:
            wrong.append(f"{c.name}: certified p is not uniform (Holm-adjusted p {adjusted[c.name]:.2g}).")
    wrong += _naive(nulls)
    wrong += _power(conditions)
    return wrong


def _naive(nulls: Sequence[Condition]) -> list[str]:
    """Naive p-values must be visibly wrong on the most draws that a network has (parts share them)."""
    most: dict[str, tuple[int, float, str]] = {}
    for c in nulls:
        naive = c.methods.get("naive")
        if naive and naive.report and naive.report.repetitions >= ENOUGH:
            found = naive.report.repetitions, naive.report.kolmogorov_smirnov, c.name
            most[c.network] = max(most.get(c.network, found), found)
    return [
        f"{name}: naive p is not visibly non-uniform, so that this run shows nothing."
        for _, p, name in most.values()
        if p >= VISIBLE
    ]


def _encloses(low: float, known: float, high: float) -> bool:
    """Up to the rounding of the known number to a double."""
    slack = 1e-15 * known
    return low - slack <= known <= high + slack


def _power(conditions: Sequence[Condition]) -> list[str]:
    """Exact selective inference must reject more often than over-conditioning on the same draws."""
    best: dict[str, float] = {}
    for c in conditions:
        exact, other = c.methods.get("exact"), c.methods.get("over-conditioning")
        if not c.effect or exact is None or other is None or len(exact.p) != len(other.p) or not len(other.p):
            continue
        p = mcnemar(exact.p <= 0.05, other.p <= 0.05).first_more
        best[c.network] = min(p, best.get(c.network, 1.0))
    return [
        f"{network}: certified p does not reject more often than over-conditioning (McNemar p {p:.2g})."
        for network, p in best.items()
        if p > 0.01
    ]
