"""The order in which the search looks at the line: by definition, and without influence on what is found."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from test_hypotheses import X, convolutions

import sureline as sl
from inference.laws.chi import ChiLaw, FisherLaw
from inference.laws.normal import NormalLaw
from verifier.strategy import STRATEGIES, priorities

ONE = Fraction(1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_p_does_not_depend_on_the_order(strategy: str) -> None:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.3))
    p = test.inference(X, 1, engine="search", search_strategy=strategy)  # type: ignore[arg-type]
    reference = test.inference(X, 1, inference_mode="exhaustive")
    assert p.inf_p <= reference.sup_p and reference.inf_p <= p.sup_p
    assert p.sup_p - p.inf_p <= 1e-6


def frontier(stat: float, densities: dict[tuple[float, float], float]) -> list[tuple[float, float]]:
    """pi3 by its definition: always the next segment on the side of the greater density at the frontier."""
    left = sorted((s for s in densities if s[1] <= 0), key=lambda s: -s[1])
    right = sorted((s for s in densities if s[0] >= 0), key=lambda s: s[0])
    order = []
    while left or right:
        sides = [side for side in (left, right) if side]
        chosen = max(sides, key=lambda side: densities[side[0]])
        order.append(chosen.pop(0))
    return order


@pytest.mark.parametrize("stat", [-2, 0, 3])
def test_the_orders_by_definition(stat: int) -> None:
    law = NormalLaw(Fraction(stat), ONE, ONE, Fraction(0), "two-sided")
    ends = np.linspace(-6, 6, 41) + 0.0
    lo, hi = ends[:-1], ends[1:]
    segments = list(zip(lo.tolist(), hi.tolist(), strict=True))
    mass = law.log_mass(lo, hi)

    def order(name: str) -> list[tuple[float, float]]:
        keys = priorities(name, law, lo, hi, mass)  # type: ignore[arg-type]
        return [segments[k] for k in np.argsort(keys, kind="stable")]

    assert np.all(np.diff([mass[segments.index(s)] for s in order("mass")]) <= 0)
    near = [min(abs(a), abs(b)) for a, b in order("pi1")]
    assert near == sorted(near)
    from_mode = [min(abs(stat + a), abs(stat + b)) if not a <= -stat <= b else 0.0 for a, b in order("pi2")]
    assert np.all(np.diff(from_mode) >= -1e-9)
    densities = {s: -((stat + min(s, key=abs)) ** 2) / 2 for s in segments}
    # towards the mode the densities only rise, and so does the turn of what lies behind: it comes at once
    turns = [
        [min(densities[s], -(stat**2) / 2) for s in found]
        for found in (order("pi3"), frontier(stat, densities))
    ]
    assert turns[0] == pytest.approx(turns[1], abs=1e-9)


@pytest.mark.parametrize(
    "law", [ChiLaw(Fraction(9), 5, ONE, "greater"), FisherLaw(Fraction(9), 5, ONE, "greater", Fraction(20))]
)
def test_the_mode_has_the_greatest_density(law: ChiLaw | FisherLaw) -> None:
    u = np.linspace(1e-3, 0.999 if isinstance(law, FisherLaw) else 8, 5000)
    assert u[np.argmax(law.log_density(u))] == pytest.approx(law.mode, abs=2e-3)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(sl.OptionError, match="pi1"):
        sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1, search_strategy="pi4")  # type: ignore[arg-type]
