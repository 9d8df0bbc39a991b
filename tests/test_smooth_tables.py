"""The checker's smooth functions and log sum exp in 64-bit integers: errors as claimed, and much covered."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import test_check_smooth
from flint import arb, arb_series, ctx, fmpq

from verifier.check.numbers import smooth
from verifier.check.numbers.integers import FAST, Arithmetic, Form
from verifier.check.numbers.smooth import FUNCTIONS
from verifier.check.numbers.smooth_branches import Function
from verifier.check.numbers.smooth_fixed import covered
from verifier.check.numbers.smooth_hills import GELUS, swish
from verifier.check.numbers.smooth_power import power
from verifier.check.numbers.smooth_sums import covered_sums
from verifier.check.numbers.smooth_tables import UNIT, Table, product, table

RULES: dict[str, Function] = {
    **{name: rule for name, rule in FUNCTIONS.items() if rule.series is not None},
    "Gelu": GELUS["none"],
    "Gelu tanh": GELUS["tanh"],
    "Swish": swish(1.75),
    "Swish upside down": swish(-0.5),
}
EVERYWHERE = [name for name in RULES if name not in ("Exp", "Log", "Sqrt", "Reciprocal")]
POWERS = [Fraction(p) for p in (-3, -2, -1, -0.5, 0.5, 1.5, -2.5, 2, 3, 4, 0.75)]


def branch_at(rule: Function, v: arb) -> int:
    return sum(bool(cut() < v) for cut in rule.cuts)


@pytest.mark.parametrize("limits", [(59, 59), (60, 56), (48, 60), (3, 60)])
def test_product(limits: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-(1 << k), (1 << k) + 1, size=2000) for k in limits)
    a[:4], b[:4] = np.repeat([-1, 1], 2) << limits[0], np.tile([-1, 1], 2) << limits[1]
    keep = np.abs(a.astype(object) * b) <= 1 << 116
    for x, y, p in zip(a[keep].tolist(), b[keep].tolist(), product(a, b)[keep].tolist(), strict=True):
        assert 0 <= x * y - (p << UNIT) < 2 << UNIT


@pytest.mark.parametrize("name", RULES)
def test_values_and_slopes(name: str) -> None:
    """Against the functions themselves, not their series; at nodes, half way between and anywhere."""
    rule, rng = RULES[name], np.random.default_rng(len(name))
    assert rule.series is not None
    known = table(rule.series)
    nodes = np.arange(-15 << 6, 15 << 6, 7) << UNIT - 6
    x = np.concatenate([nodes, nodes + (1 << UNIT - 7), nodes + rng.integers(0, 1 << UNIT - 6, nodes.size)])
    x = x[known.covers(x)]
    assert x.size > 350
    (values, errors), (slopes, doubts) = known.value(x), known.slope(x)
    assert errors.max() < 20
    with ctx.workprec(200):
        for v, f, error, slope, doubt in np.stack([x, values, errors, slopes, doubts]).T.tolist():
            ball = arb((v, -UNIT))
            branch = rule.branches[branch_at(rule, ball)]
            assert abs(branch.f(ball) * arb((1, UNIT)) - f) <= error
            assert abs(branch.slope(ball) * arb((1, UNIT)) - slope) <= doubt


@pytest.mark.parametrize("name", EVERYWHERE)
def test_series_are_the_functions(name: str) -> None:
    """Both are analytic, and agree on a whole interval of every branch."""
    rule = RULES[name]
    assert rule.series is not None
    with ctx.workprec(300):
        for k in range(-12, 13):
            v = arb((4 * k + 1, -2))
            value, slope = (rule.series(arb_series([v, 1], prec=2))[j] for j in range(2))
            branch = rule.branches[branch_at(rule, v)]
            assert abs(branch.f(v) - value) < arb((1, -250))
            assert abs(branch.slope(v) - slope) < arb((1, -250))


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("scale", [-1, -4, -12, -30, -53])
def test_enclosures(name: str, scale: int) -> None:
    """Of narrow elements most are covered; wherever one is, the function is within its form."""
    rule, rng, ar = RULES[name], np.random.default_rng(-scale), Arithmetic(FAST)
    size = 300
    c = rng.integers(-9 << UNIT, 9 << UNIT, size=size)
    d, r = (rng.integers(0, 1 << UNIT + scale, size=size) >> k for k in (0, 2))
    d[::5], r[::7], r[1::11] = 0, 0, r[1::11] << 5
    v = Form(c << 3, d << 3, np.minimum(r, 1 << UNIT - 1) << 3, -UNIT - 3)
    found = covered(ar, rule, v, None, None)
    ((places, form),) = found
    assert len(places) > size * (0.2 if scale == -1 else 0.9)
    with ctx.workprec(200):
        rows = np.stack([places, form.c, form.d, form.r]).T.tolist()
        for k, m, s, q in rows:
            for t, side in ((-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0), (0.375, -1), (0.5, 0.5)):
                x = int(v.c[k]) + Fraction(t) * int(v.d[k]) + Fraction(side) * int(v.r[k])
                ball = arb((x.numerator, v.e)) / x.denominator
                value = rule.branches[branch_at(rule, ball)].f(ball) / arb((1, form.e))
                assert abs(value - m - s * arb(t)) <= q
        narrow = [q for k, _, _, q in rows if v.d[k] == v.r[k] == 0]
        assert not narrow or max(narrow) <= 1 << -form.e - 50


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("scale", [2, 10, 50])
def test_powers(p: Fraction, scale: int) -> None:
    """However large or small the elements are, next to one another."""
    rng, ar, size, rule = np.random.default_rng(scale), Arithmetic(FAST), 200, power(p)
    c = rng.integers(1 << 50, 1 << 60, size=size) >> rng.integers(0, 40, size=size)
    d, r = (c >> scale) * rng.integers(-1, 2, size=size), c >> scale + 2
    r[::5] = 0
    if p.denominator == 1:
        c[::3] *= -1
    v = Form(c, d, r, -20)
    parts = covered(ar, rule, v, None, None)
    places = np.concatenate([at for at, _ in parts])
    assert len(places) == len(set(places.tolist())) > size * (0.9 if p == -0.5 and scale > 2 else 0.02)
    with ctx.workprec(200):
        for at, form in parts:
            for k, m, s, q in np.stack([at, form.c, form.d, form.r]).T.tolist():
                for t, side in ((-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0), (0.5, 0.5)):
                    x = int(c[k]) + Fraction(t) * int(d[k]) + Fraction(side) * int(r[k])
                    ball = arb((x.numerator, v.e)) / x.denominator
                    value = rule.branches[branch_at(rule, ball)].f(ball) / arb((1, form.e))
                    assert abs(value - m - s * arb(t)) <= q
                if r[k] == 0 and p.denominator <= 2:
                    assert q <= abs(m) * 32 * (4.0**-scale + 2.0**-50)


@pytest.mark.parametrize("name", test_check_smooth.CASES)
def test_as_the_balls_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of balls holds here, too."""
    monkeypatch.setattr(smooth, "FEW", 0)
    test_check_smooth.test_contains(name, FAST)
    test_check_smooth.test_halving_quarters_the_radius(name, FAST)


def test_what_is_not_covered_has_no_value() -> None:
    known = Table(arb_series.exp)
    with pytest.raises(LookupError):
        known.value(np.array([0]))
    assert not known.covers(np.array([3 << UNIT]))[0]  # exp(3) is too large
    with pytest.raises(LookupError):
        known.slope(np.array([3 << UNIT]))


@pytest.mark.parametrize("count", [1, 2, 5, 17, 64, 200, 1000])
@pytest.mark.parametrize("scale", [0, 1, 6, 20, 45])
def test_sums(count: int, scale: int) -> None:
    """log sum exp of the elements that are there, at places that the form allows."""
    rng, ar, size = np.random.default_rng(scale), Arithmetic(FAST), 12
    c = rng.integers(-5 << UNIT, 5 << UNIT, size=(count, size))
    c[:, 0], c[:, 1] = c[0, 0], c[:, 1] >> 30
    d, r = (rng.integers(-1 << UNIT, 1 << UNIT, size=c.shape) >> scale + k for k in (0, 2))
    d, r = d // count, np.abs(r) // count
    there = rng.random(c.shape) < 0.8
    there[rng.integers(count, size=size), np.arange(size)] = True
    there[:, 2] = True
    v = Form(np.where(there, c << 2, 1 << 59), d << 2, r << 2, -UNIT - 2)
    found = covered_sums(ar, v, there)
    ((places, form),) = found
    assert len(places) == size
    middle, slope, radius = (a.tolist() for a in (form.c, form.d, form.r))
    with ctx.workprec(200):
        for k in range(size):
            for t, side in ((-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0), (0.25, 1)):
                x = v.c[:, k] + Fraction(t) * v.d[:, k].astype(object) + side * v.r[:, k].astype(object)
                balls = [arb(fmpq(*e.as_integer_ratio())) * arb((1, v.e)) for e in x[there[:, k]]]
                value = sum((b.exp() for b in balls), arb(0)).log() / arb((1, form.e))
                assert abs(value - middle[k] - slope[k] * arb(t)) <= radius[k]
    gap = 2.0 ** (-2 * scale) + 2.0**-scale
    assert max(radius) * 2.0**form.e <= gap + (count + 20) * 2.0**-50


def test_wide_sums_are_left_to_balls() -> None:
    ar = Arithmetic(FAST)
    c = np.array([[0, 0, 8], [1, 9, 16], [2, 16, 0]]) << 55
    v = Form(c, np.zeros_like(c), np.zeros_like(c), -UNIT)
    found = covered_sums(ar, v, np.ones(c.shape, dtype=bool))
    assert [places.tolist() for places, _ in found] == [[0]]
