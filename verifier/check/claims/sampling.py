"""A sample of the cells, drawn in proportion to their null mass, and what it shows if none of it is false.

Let p_k be the null mass of the decided cell k divided by that of all decided cells. A draw takes cell k with
a probability q_k, and it is proved that q(A) >= p(A) - error for every set A of cells. If the false cells
had p(A) > b = ln(1/delta)/draws + error, all draws would miss them with probability (1 - q(A))^draws <
exp(-draws * (b - error)) = delta.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from flint import arb, ctx, fmpq

from verifier.check.claims.certificate import CellClaim, Certificate
from verifier.check.claims.laws.law import PRECISIONS, Law, bounds, masses
from verifier.check.errors import UnusableCertificate

__all__ = ["Sampled", "distribution", "draw", "sample_cells"]

Claims = list[tuple[int, CellClaim]]
DELTA = Fraction(1, 20)
BITS, ENOUGH = 128, 64  # of the weights; the error of the distribution is below 2**-ENOUGH if it can be
MOST_DRAWS, LARGEST_SEED = 10_000_000, 1 << 256
SMALLEST = 10_000  # p below 2**-SMALLEST is not told from 0


@dataclass(frozen=True)
class Sampled:
    """What a sample shows.

    With `confidence`, the cells that are claimed falsely have at most the share `false_mass` of the null mass
    of all cells that claim something, and so at most that null mass; p is then between `inf_p` and `sup_p`.
    `foreseeable`: the seed was given, so this holds only if who made the certificate could not know it.
    Decimal strings, rounded the safe way.
    """

    draws: int
    distinct: int
    seed: int
    false_mass: str
    inf_p: str
    sup_p: str
    foreseeable: bool
    confidence: str = "0.95"

    def __str__(self) -> str:
        return (
            f"{self.draws} draws (seed {self.seed}), {self.distinct} distinct cells, all confirmed; with "
            f"confidence 95 % at most {self.false_mass} of the null mass is claimed falsely, "
            f"and then {self.inf_p} <= p <= {self.sup_p}"
        )


def sample_cells(
    law: Law, certificate: Certificate, claims: Claims, draws: int, given: int | None
) -> tuple[Claims, Sampled]:
    """The distinct cells of the draws, in their order, and what it shows if all of them are confirmed."""
    seed = secrets.randbits(128) if given is None else given
    if not claims:
        raise UnusableCertificate("no cell claims anything: there is nothing to draw from")
    if law.other is not None or certificate.document["law"]["family"] == "berger-boos":
        # false cells that are light under one null law may be heavy under another
        raise UnusableCertificate(
            "p rests on several null laws here, and a sample is drawn under one: check all"
        )
    weights, error, claimed = distribution(law, [c for _, c in claims])
    drawn = sorted(set(draw(weights, draws, seed)))
    false_mass, inf_p, sup_p = _shown(law, certificate, draws, error, claimed)
    found = Sampled(draws, len(drawn), seed, false_mass, inf_p, sup_p, given is not None)
    return [claims[k] for k in drawn], found


def distribution(law: Law, cells: Sequence[CellClaim]) -> tuple[list[int], Fraction, arb]:
    """Weights in proportion to the null masses; the error: q(A) >= p(A) - error for every set of cells, where
    q is the law of `draw` and p that of the masses; and the null mass of all cells.
    """
    found: tuple[list[int], Fraction, arb] | None = None
    for precision in PRECISIONS:
        with _precision(precision):
            each = masses(law, [(c.lo, c.hi) for c in cells])
            total = sum(each, arb(0))
            if not total > 0:
                continue
            scaled = [m / total * (1 << BITS) for m in each]
            if not all(s.is_finite() for s in scaled):
                continue
            weights = [max(0, _floor(s.lower())) for s in scaled]
            # p_k <= ceil(upper) / 2**BITS; one more for the draw itself, which takes 256 bits for uniform
            excess = sum(-_floor(-s.upper()) - w for s, w in zip(scaled, weights, strict=True)) + 1
        if sum(weights):
            found = weights, Fraction(excess, 1 << BITS), total
            if found[1] * (1 << ENOUGH) < 1:
                break
    if found is None:
        raise UnusableCertificate("the null masses of the cells are too small to draw from")
    return found


def draw(weights: Sequence[int], draws: int, seed: int) -> Iterator[int]:
    """Independent draws: draw k is the SHA-256 hash of "sureline-sample:SEED:k", as a number below 1."""
    ends = list(itertools.accumulate(weights))
    for k in range(draws):
        digest = hashlib.sha256(f"sureline-sample:{seed}:{k}".encode()).digest()
        yield bisect.bisect_right(ends, int.from_bytes(digest, "big") * ends[-1] >> 256)


def _shown(
    law: Law, certificate: Certificate, draws: int, error: Fraction, claimed: arb
) -> tuple[str, str, str]:
    """The greatest share of false cells that `draws` draws may have missed, and the least and greatest p."""
    with _precision(PRECISIONS[1]):
        share = min(_fraction((1 / _ball(DELTA)).log().upper()) / draws + error, Fraction(1))
        ends = {
            kind: [(c.lo, c.hi) for c in certificate.cells if c.verdict == kind] for kind in ("inside", "gap")
        }
        p = bounds(law, ends["inside"], ends["gap"], claimed.upper() * _ball(share))
        least = Fraction(0) if p.least is None else max(_fraction(p.least.lower()), Fraction(0))
        most = Fraction(1)
        if p.most.is_finite():
            most = min(_fraction(p.most.upper()) + Fraction(1, 1 << SMALLEST), most)
    return _text(share, ROUND_CEILING), _text(least, ROUND_FLOOR), _text(most, ROUND_CEILING)


@contextmanager
def _precision(bits: int) -> Iterator[None]:
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def _ball(v: Fraction) -> arb:
    return arb(fmpq(v.numerator, v.denominator))


def _floor(exact: arb) -> int:
    """The floor of a ball that is a point."""
    man, exp = (int(v) for v in exact.man_exp())
    return man << exp if exp >= 0 else man >> -exp if -exp < man.bit_length() else -(man < 0)


def _fraction(exact: arb) -> Fraction:
    """A ball that is a point (0 if it is none); what is closer to 0 than 2**-SMALLEST is moved towards minus
    infinity.
    """
    if not exact.is_finite():
        return Fraction(0)
    man, exp = (int(v) for v in exact.man_exp())
    if man and exp + man.bit_length() < -SMALLEST:
        return Fraction(-(man < 0), 1 << SMALLEST)
    return man * Fraction(2) ** exp


def _text(v: Fraction, rounding: str) -> str:
    return format(
        Context(prec=5, rounding=rounding).divide(Decimal(v.numerator), Decimal(v.denominator)), "g"
    )
