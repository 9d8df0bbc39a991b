"""A check of a sample: what is drawn, how often false cells are met, and what is said."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import small_nets
from check_folder import Folder
from flint import arb
from many_cells import split
from scipy import special, stats

import sureline as sl
from sureline.cli import main
from verifier.check.checking import InvalidCertificate, UnusableCertificate, check
from verifier.check.claims.certificate import CellClaim
from verifier.check.claims.laws.families import Normal
from verifier.check.claims.laws.law import Law, bounds
from verifier.check.claims.sampling import distribution, draw

LAW = Law(Fraction(7, 4), Fraction(2), Normal(Fraction(2), Fraction(0)), "two-sided")


def cells(*ends: object) -> list[CellClaim]:
    numbers = [e if isinstance(e, float) else Fraction(str(e)) for e in ends]
    return [CellClaim(lo, hi, "inside") for lo, hi in zip(numbers[:-1], numbers[1:], strict=True)]


def z(t: object) -> float:
    return float((LAW.stat + LAW.scale * Fraction(t)) if not isinstance(t, float) else t) / math.sqrt(2)


def test_distribution_is_that_of_the_normal_law() -> None:
    claims = cells(-math.inf, -3, "-3/2", "-5/4", "-3/4", "-1/4", 0, "1/1024", 2, 5, math.inf)
    weights, error, _ = distribution(LAW, claims)
    expected = [stats.norm.cdf(z(c.hi)) - stats.norm.cdf(z(c.lo)) for c in claims[:-2]]
    expected += [stats.norm.sf(z(c.lo)) - stats.norm.sf(z(c.hi)) for c in claims[-2:]]
    found = np.array([w / sum(weights) for w in weights])
    assert 0 < error < 2**-100
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tails_among_themselves() -> None:
    """Where only tails are decided (1e-350 of the null mass), they are drawn in their proportion."""
    claims = cells(40, 41, "83/2", 45, math.inf)
    weights, error, _ = distribution(LAW, claims)
    logs = [special.log_ndtr(-z(c.lo)) for c in claims] + [-math.inf]
    masses = np.exp(np.array(logs) - logs[0])
    found = np.array([w / sum(weights) for w in weights])
    np.testing.assert_allclose(found, masses[:-1] - masses[1:], rtol=1e-9, atol=2**-120)
    assert 0 < error < 2**-64


def test_narrow_cells_among_themselves() -> None:
    tiny = Fraction(1, 1 << 300)
    claims = [CellClaim(k * tiny, (k + 1) * tiny, "inside") for k in range(3)]
    weights, error, _ = distribution(LAW, claims)
    np.testing.assert_allclose([w / sum(weights) for w in weights], 1 / 3, rtol=1e-15)
    assert 0 < error < 2**-64


def test_draws_follow_the_weights() -> None:
    claims = cells(-math.inf, -2, "-3/2", "-5/4", "-3/4", "-1/4", 2, math.inf)
    weights, _, _ = distribution(LAW, claims)
    count = 20_000
    found = Counter(draw(weights, count, 1))
    expected = [count * w / sum(weights) for w in weights]
    assert stats.chisquare([found[k] for k in range(len(claims))], expected).pvalue > 0.001
    assert list(draw(weights, 50, 7)) == list(draw(weights, 50, 7)) != list(draw(weights, 50, 8))
    assert set(draw([0, 3, 0, 0], 100, 3)) == {1}


def test_false_cells_are_met_as_often_as_their_mass_says(tmp_path: Path) -> None:
    folder = Folder()
    folder.document["cells"][3][4] = 0  # -5/4 to -3/4: the wrong witness
    path = folder.write(tmp_path / "c")
    mass = stats.norm.cdf(z("-3/4")) - stats.norm.cdf(z("-5/4"))
    draws, seeds, met = 4, 250, 0
    for seed in range(seeds):
        try:
            assert not check(path, sample=draws, seed=seed).valid
        except InvalidCertificate as error:
            assert "cell 3, from -5/4 to -3/4" in str(error)
            met += 1
    rate = 1 - (1 - mass) ** draws
    assert 0.3 < rate < 0.9
    assert abs(met - seeds * rate) < 4 * math.sqrt(seeds * rate * (1 - rate))


def test_report(tmp_path: Path) -> None:
    path = split(Folder().write(tmp_path / "c"), 500)
    report = check(path, sample=300)
    found = report.sampled
    assert not report.valid and found is not None and not found.foreseeable
    assert found.draws == 300 and 0 < found.distinct <= 300
    assert math.log(20) / 300 <= float(found.false_mass) < math.log(20) / 300 + 1e-6
    assert float(found.inf_p) < float(report.inf_p) < float(report.sup_p) < float(found.sup_p)
    assert "valid" not in str(report) and str(report).startswith("sampled, not proved: 300 draws")
    again = check(path, sample=300, seed=found.seed).sampled
    assert again is not None and again.foreseeable
    assert (again.distinct, again.false_mass) == (found.distinct, found.false_mass)
    other = check(path, sample=300).sampled
    assert other is not None and other.seed != found.seed
    assert check(path).sampled is None


def test_p_with_false_cells() -> None:
    """The bounds of p hold for every way to move mass, and are attained."""
    inside = [(Fraction(-1), Fraction(-1, 2)), (Fraction(-1, 4), Fraction(1, 2))]
    gaps = [(Fraction(-1, 2), Fraction(-1, 4)), (Fraction(2), math.inf)]
    null = stats.norm.cdf(np.array([-math.inf, -1, -0.5, -0.25, 0, 0.5, 2, math.inf]) + 1 / 3)
    steps = np.diff(null)  # outside, inside, gap, inside | inside, outside, gap
    masses = [(steps[1] + steps[3], steps[2], steps[0]), (steps[4], steps[6], steps[5])]
    rng = random.Random(0)
    for alternative in ("less", "greater", "two-sided"):
        law = Law(Fraction(1, 3), Fraction(1), Normal(Fraction(1), Fraction(0)), alternative)
        for wrong in (0.0, 0.01, 0.1, 0.6, 1.5):
            p = bounds(law, inside, gaps, arb(wrong))
            least = 0.0 if p.least is None else float(p.least.lower())
            most = float(p.most.upper())
            seen = [_p_after_moving(rng, alternative, masses, wrong) for _ in range(3000)]
            assert least - 1e-12 <= min(seen) and max(seen) <= most + 1e-12
            assert min(seen) < least + 0.02 and max(seen) > most - 0.02, (alternative, wrong)


def _p_after_moving(
    rng: random.Random, alternative: str, masses: list[tuple[float, float, float]], wrong: float
) -> float:
    """p after claims of mass `wrong` were found false, and the gaps were decided, somehow."""
    extreme = rng.random() < 0.5

    def share() -> float:
        return rng.choice([0.0, 1.0]) if extreme else rng.random()

    moves = [share() for _ in range(4)]
    sides = []
    for (inside, gap, outside), lost, won in zip(masses, moves[::2], moves[1::2], strict=True):
        scale = wrong / max(sum(moves), 1e-9)
        sides.append(inside - min(lost * scale, inside) + min(won * scale, outside) + share() * gap)
    f = sides[0] / sum(sides) if sum(sides) > 0 else 0.5
    return {"less": f, "greater": 1 - f, "two-sided": 2 * min(f, 1 - f)}[alternative]


def test_everything_else_is_checked(tmp_path: Path) -> None:
    for k, (key, field, value) in enumerate(
        (("claim", "sup_p", "0.72472249123"), ("claim", "stat", "9/4"), ("noise", "value", "2"))
    ):
        folder = Folder()
        folder.document[key][field] = value
        with pytest.raises(InvalidCertificate):
            check(folder.write(tmp_path / f"c{k}"), sample=1, seed=0)
    folder = Folder()
    folder.document["cells"][0][4] = 2  # a witness that does not exist, in a cell of no mass
    with pytest.raises(InvalidCertificate, match="does not exist"):
        check(folder.write(tmp_path / "d"), sample=1, seed=0)


def test_nothing_to_draw_from(tmp_path: Path) -> None:
    folder = Folder()
    for cell in folder.document["cells"]:
        cell[2:] = ["gap"]
    folder.document["claim"] |= {"inf_p": "0", "sup_p": "1", "log_inf_p": "-inf", "log_sup_p": "0"}
    path = folder.write(tmp_path / "c")
    assert check(path).valid
    with pytest.raises(UnusableCertificate, match="nothing to draw from"):
        check(path, sample=1)


@pytest.mark.parametrize("options", [{"sample": 0}, {"sample": "9"}, {"sample": 2, "seed": -1}, {"seed": 3}])
def test_wrong_options(options: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UnusableCertificate, match="must be an integer|belongs to a sample"):
        check(Folder().write(tmp_path / "c"), **options)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code says that less was proved than validity."""
    path = str(split(Folder().write(tmp_path / "c"), 100))
    with pytest.raises(SystemExit) as stopped:
        main(["check", path, "--sample", "40", "--seed", "11"])
    assert stopped.value.code == 3
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Sampled, not proved" in out and "Valid" not in out
    assert "40 random draws met no false cell" in out and "the seed was given" in out
    document = json.loads((Path(path) / "certificate.json").read_text())
    for cell in document["cells"]:
        cell[2:] = ["outside", 0, 0]
    (Path(path) / "certificate.json").write_text(json.dumps(document))
    with pytest.raises(SystemExit) as stopped:
        main(["check", path, "--sample", "40"])
    assert stopped.value.code == 1


def test_ten_thousand_cells(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1, 12)).astype(np.float32)
    net = sl.load(small_nets.dense(), sl.BackMeanDiff(threshold="0.5", use_norm=True))
    net.inference(x, var=1).certificate.save(tmp_path / "c")
    seen: list[int] = []
    report = check(split(tmp_path / "c", 10_000), sample=300, progress=lambda done, total: seen.append(total))
    assert report.cells == 10_000 and report.sampled is not None
    assert set(seen) == {report.sampled.distinct}
