"""Random truncation sets for comparing truncated laws, and what their p-values are, by mpmath.

Statistic, set and null are doubles and the variance is 1, so that every tool is asked exactly the same
question. A case is plain JSON: it is handed to the peer's process.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np

__all__ = ["NAMED", "Case", "drawn", "truth"]

Case = dict[str, Any]
"""law ("normal", "chi", "randomised"), kind, stat, intervals, alternative; df of chi, null of the others; the
randomised statistic and tau, the standard deviation of what was added, of "randomised"."""
DIGITS = 60
"""Beyond the leading digit of the smallest mass."""

NAMED: dict[str, Case] = {
    "a sliver of 2e-16": {"law": "normal", "stat": 1.0, "intervals": [[1.0 - 2**-53, 1.0 + 2**-52]]},
    "a sliver beside an interval": {
        "law": "normal", "stat": 1.0, "intervals": [[1.0 - 2**-53, 1.0 + 2**-52], [3.0, 4.0]],
    },
    "holes narrower than 1e-10": {
        "law": "normal",
        "stat": 1.0 + 2**-35,
        "intervals": [[1.0, 1.0 + 2**-34], [1.0 + 2**-33, 1.0 + 2**-33 + 2**-34]],
    },
    "a far tail": {"law": "normal", "stat": 8.0, "intervals": [[-1.0, math.inf]], "alternative": "greater"},
    "a farther tail": {
        "law": "normal", "stat": 12.0, "intervals": [[-1.0, math.inf]], "alternative": "greater",
    },
    "chi, a far tail": {"law": "chi", "df": 3, "stat": 12.0, "intervals": [[0.5, math.inf]]},
}  # fmt: skip
for _case in NAMED.values():
    _case.setdefault("alternative", "greater" if _case["law"] == "chi" else "two-sided")
    _case.setdefault("kind", "named")
    if _case["law"] != "chi":
        _case.setdefault("null", 0.0)


def drawn(kind: str, seed: int) -> Case:
    """A random case of a kind; the same for the same seed.

    Kinds: "ordinary" (up to 20 intervals, statistic within 8), "far" (8 to 40), "slivers" (intervals and
    holes of 1e-16 to 1e-8), "many" (1,000 to 10,000 intervals), "chi" (1 to 10,000 degrees of freedom),
    "randomised".
    """
    rng = np.random.default_rng([seed, *kind.encode()])
    if kind == "chi":
        df = int(10 ** rng.uniform(0, 4))
        stat = float(abs(math.sqrt(df) + rng.normal() * 3))
        return {"law": "chi", "kind": kind, "df": df, "stat": stat, "alternative": "greater",
                "intervals": around(rng, stat, rng.integers(1, 10), 1.0, floor=0.0)}  # fmt: skip
    alternative = str(rng.choice(["two-sided", "less", "greater"]))
    null = float(rng.normal())
    case = {"law": "normal", "kind": kind, "null": null, "alternative": alternative}
    if kind == "randomised":
        tau = float(10 ** rng.uniform(-0.5, 0.5))
        stat = float(null + 2 * rng.normal())
        moved = float(stat + tau * rng.normal())
        sets = around(rng, moved, rng.integers(1, 6), 1.0)
        return case | {"law": kind, "stat": stat, "randomised": moved, "tau": tau, "intervals": sets}
    if kind == "slivers":
        stat = float(rng.uniform(-6, 6))
        return case | {"stat": stat, "intervals": around(rng, stat, rng.integers(1, 6), None)}
    if kind == "many":
        stat = float(rng.uniform(-6, 6))
        count = int(rng.integers(1000, 10_001))
        return case | {"stat": stat, "intervals": around(rng, stat, count, 10 / count)}
    size = float(rng.uniform(8, 40) if kind == "far" else rng.uniform(0, 8))
    stat = float(rng.choice([-1, 1])) * size
    return case | {"stat": stat, "intervals": around(rng, stat, rng.integers(1, 21), 1.0)}


def around(
    rng: np.random.Generator, stat: float, count: int, width: float | None, floor: float = -math.inf
) -> list[list[float]]:
    """Disjoint intervals, one of which contains stat; widths of 1e-16 to 1e-8 if width is None."""
    shares = rng.exponential(size=2 * count) if width else 10 ** rng.uniform(-16, -8, size=2 * count)
    ends = stat + np.cumsum(shares * (width or 1.0))
    at = 2 * int(rng.integers(count))  # the interval that contains stat starts at this end
    ends += stat - ends[at] - rng.uniform() * (ends[at + 1] - ends[at])
    pairs = [[max(float(a), floor), float(b)] for a, b in ends.reshape(-1, 2) if a < b and b > floor]
    if not any(a < stat < b for a, b in pairs):  # rounded away
        pairs = [p for p in pairs if p[1] < stat or p[0] > stat]
        pairs.append([math.nextafter(stat, -math.inf), math.nextafter(stat, math.inf)])
    if rng.uniform() < 0.3 and width:
        pairs[-1][1] = math.inf
    return sorted(pairs)


def truth(case: Case) -> mpmath.mpf:
    """The p-value, by mpmath: erfc, the incomplete gamma function, integrals of the randomised law."""
    stat = case["stat"]
    at = case.get("randomised", stat)
    with mpmath.workdps(DIGITS + int(max(abs(at - case.get("null", 0.0)), abs(stat), 10) ** 2 / 4)):
        if case["law"] == "randomised":
            below, above = _randomised(case)
        else:
            mass = _chi(case["df"]) if case["law"] == "chi" else _normal(case["null"])
            below = mpmath.fsum(mass(a, min(b, stat)) for a, b in case["intervals"] if a < stat)
            above = mpmath.fsum(mass(max(a, stat), b) for a, b in case["intervals"] if b > stat)
        low, high = below / (below + above), above / (below + above)
        p = {"less": low, "greater": high, "two-sided": 2 * min(low, high)}[case["alternative"]]
        return mpmath.mpf(p)


def _normal(null: float) -> Any:
    def mass(a: float, b: float) -> mpmath.mpf:
        low, high = mpmath.mpf(a) - null, mpmath.mpf(b) - null
        if low < 0:
            low, high = -high, -low
        return (mpmath.erfc(low / mpmath.sqrt(2)) - mpmath.erfc(high / mpmath.sqrt(2))) / 2

    return mass


def _chi(df: int) -> Any:
    def mass(a: float, b: float) -> mpmath.mpf:
        half, low, high = mpmath.mpf(df) / 2, mpmath.mpf(a) ** 2 / 2, mpmath.mpf(b) ** 2 / 2
        return mpmath.gammainc(half, low, high, regularized=True)

    return mass


def _randomised(case: Case) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Masses of T <= stat and T > stat with W = T + noise in the set; both normal with means null."""
    null, tau = mpmath.mpf(case["null"]), mpmath.mpf(case["tau"])
    stat, whole = case["stat"] - null, mpmath.sqrt(1 + tau**2)

    def part(sign: int) -> mpmath.mpf:
        def density(w: mpmath.mpf) -> mpmath.mpf:
            away = sign * (w / whole**2 - stat) * whole / tau
            return mpmath.npdf(w, 0, whole) * mpmath.erfc(away / mpmath.sqrt(2)) / 2

        found = mpmath.mpf(0)
        for a, b in case["intervals"]:
            first, last = max(a - null, -45 * whole), min(b - null, 45 * whole)
            steps = max(1, int((last - first) / whole * 2))
            found += mpmath.quad(density, mpmath.linspace(first, last, steps + 1))
        return found

    return part(1), part(-1)
