"""The fields of a certificate about noise, law and what was estimated, and the law that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verifier.check.claims.laws.estimates import Estimates, confirm_estimates
from verifier.check.claims.laws.factors import BergerBoos, confirm_berger_boos, confirm_factors
from verifier.check.claims.laws.families import Chi, End, Family, Fisher, Normal, Randomised, Student
from verifier.check.claims.laws.law import Cells, Law, confirm
from verifier.check.claims.reading import END_DIGITS, fields, rational, require
from verifier.check.errors import InvalidCertificate

__all__ = [
    "OPTIONAL",
    "Drawn",
    "assumptions",
    "claimed_law",
    "confirm_claims",
    "read_claims",
    "read_law",
    "read_noise",
    "read_randomisation",
]

OPTIONAL = {"ends": list, "decision": dict, "estimates": dict, "robustness": dict, "randomisation": dict}
KNOWN = "The noise of the input is Gaussian with the stated covariance, fixed before the selection was seen."
ESTIMATED = (
    "The noise of the input is Gaussian; its covariance is the stated one up to an unknown factor. The "
    "stated "
    "scale was estimated independently of the input, with a chi-square law on the stated degrees of freedom, "
    "before the selection was seen."
)
DRAWN = (
    "The noise added to the input was drawn from the stated seed, which was chosen before the selection was "
    "seen."
)
ALWAYS = (
    "The certified function is the real-number function of the stored constants; rounding inside a runtime, "
    "and Cast between float32 and float64, are not modelled.",
    "The model was fixed before, and not trained on, the audited input.",
)
ALTERNATIVES = ("two-sided", "less", "greater")
WITH_ESTIMATE = ("t", "f", "berger-boos")
"""Laws of an estimated variance."""
LENGTHS = ("chi", "f")
DRAWS = {"selection": "randomised-normal", "fission": "fission"}
"""The law that goes with each use of added noise."""


@dataclass(frozen=True)
class Drawn:
    """Noise of the auditor's own: what was added has `scale` times the covariance of the input's noise."""

    scale: Fraction
    fission: bool


def read_noise(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the "noise" entry; the files that it names."""
    text = (str, type(None))
    common = {"kind": str, "source": text, "degrees_of_freedom": text}
    if entry.get("degrees_of_freedom") is not None:
        require(isinstance(entry["degrees_of_freedom"], str), "noise.degrees_of_freedom is no text")
        require(rational(entry["degrees_of_freedom"], "noise.degrees_of_freedom") > 0, "it is not positive")
    if entry.get("kind") == "scalar":
        fields(entry, "noise", value=str, **common)
        rational(entry["value"], "noise.value")
        return []
    fields(entry, "noise", file=str, sha256=str, **common)
    require(entry["kind"] in ("diagonal", "full", "low-rank", "sparse"), "noise.kind is not known")
    return [entry]


def read_law(law: dict[str, Any], noise: dict[str, Any], randomisation: dict[str, Any] | None) -> None:
    """Check the "law" entry: that it is complete, and goes with the noise and what was added to it."""
    family = law.get("family")
    more: dict[str, Any] = {"null_margin": str} if "null_margin" in law else {}
    if family == "berger-boos":
        more = {"gamma": str, "factors": list, "witness": str}
    fields(law, "law", family=str, null_value=str, alternative=str, **more)
    families = ("normal", "chi", *WITH_ESTIMATE, *DRAWS.values())
    require(family in families and law["alternative"] in ALTERNATIVES, "the law is not known")
    null = rational(law["null_value"], "law.null_value")
    require(
        noise["degrees_of_freedom"] is None or family not in DRAWS.values(),
        "noise that is added needs a known variance",
    )
    require(
        (noise["degrees_of_freedom"] is not None) >= (family in WITH_ESTIMATE),
        "the law needs the degrees of freedom of the variance",
    )
    require(
        family == DRAWS.get(randomisation["test"] if randomisation else "", family)
        and (randomisation is not None) == (family in DRAWS.values()),
        "the law does not go with the noise that was added",
    )
    if family in LENGTHS:
        require(null == 0 and law["alternative"] != "two-sided" and not more, "a length is compared with 0")
    if "null_margin" in law:
        margin = rational(law["null_margin"], "law.null_margin")
        fits = family in ("normal", "t", "randomised-normal") and law["alternative"] == "two-sided"
        require(margin >= 0 and fits, "law.null_margin does not go with the law")
        if family == "t":
            nu = Fraction(noise["degrees_of_freedom"])
            require(nu >= 2, "a null that is an interval needs 2 degrees of freedom")
    if family == "berger-boos":
        require(0 < rational(law["gamma"], "law.gamma") < 1, "law.gamma is not between 0 and 1")
        factors = law["factors"]
        require(len(factors) == 2 and all(isinstance(f, str) for f in factors), "law.factors is no pair")
        low, high = (rational(f, "law.factors") for f in factors)
        require(0 < low <= high, "law.factors is no interval of positive numbers")
        rational(law["witness"], "law.witness")


def read_randomisation(entry: dict[str, Any], halves: int) -> list[dict[str, Any]]:
    """Check the "randomisation" entry; the files that it names."""
    fields(entry, "randomisation", test=str, scale=str, seed=int, original=list)
    require(entry["test"] in DRAWS, "randomisation.test is not known")
    require(0 <= entry["seed"] < 2**63, "randomisation.seed is no seed")
    require(rational(entry["scale"], "randomisation.scale") > 0, "randomisation.scale is not positive")
    require(len(entry["original"]) == halves, "randomisation.original does not hold the noise vector")
    return [fields(e, "randomisation.original", file=str, sha256=str) for e in entry["original"]]


def read_claims(document: dict[str, Any]) -> None:
    """Check the form of "decision", "estimates" and "robustness"."""
    if "estimates" in document:
        found = fields(
            document["estimates"],
            "estimates",
            level=str,
            lower=list,
            upper=list,
            median_unbiased=list,
            maximum_likelihood=(list, type(None)),
        )
        require(0 < rational(found["level"], "estimates.level") < 1, "estimates.level is not between 0 and 1")
        _estimates(found)
    if "decision" in document:
        found = fields(document["decision"], "decision", level=str, verdict=str)
        require(0 < rational(found["level"], "decision.level") < 1, "decision.level is no level")
        require(found["verdict"] in ("reject", "accept"), "decision.verdict is not known")
    if "robustness" in document:
        found = fields(document["robustness"], "robustness", level=str, decision=str, factors=list)
        require(0 < rational(found["level"], "robustness.level") < 1, "robustness.level is no level")
        require(found["decision"] in ("reject", "accept"), "robustness.decision is not known")
        factors = found["factors"]
        require(
            len(factors) == 2 and all(isinstance(f, str) for f in factors), "robustness.factors is no pair"
        )
        low, high = (rational(f, "robustness.factors") for f in factors)
        require(0 < low <= 1 <= high, "robustness.factors is no interval around 1")


def assumptions(document: dict[str, Any]) -> None:
    """What is assumed is part of what is claimed: no other words than these."""
    first = ESTIMATED if document["law"]["family"] in WITH_ESTIMATE else KNOWN
    wanted = [first, *ALWAYS, *([DRAWN] if "randomisation" in document else [])]
    if document["assumptions"] != wanted:
        raise InvalidCertificate("the assumptions are not those of a certificate of version 1")


def claimed_law(document: dict[str, Any], q: Fraction, stat: Fraction, tested: Fraction, rank: int) -> Law:
    """The law of the "law" entry.

    Of one contrast q is the declared variance and `stat` the coordinate of the audited input; `tested` is
    what the test is about. Of several, q is 1 / T**2.
    """
    entry, nu = document["law"], document["noise"]["degrees_of_freedom"]
    family, null = entry["family"], Fraction(entry["null_value"])
    scale, alternative = Fraction(document["line"]["scale"]), entry["alternative"]
    freedom = Fraction(nu) if nu is not None else Fraction(0)
    factor = Fraction(document["randomisation"]["scale"]) if "randomisation" in document else Fraction(0)
    if (rank > 1) != (family in LENGTHS):
        raise InvalidCertificate("the law does not go with the number of contrasts")

    def of(mean: Fraction) -> Family:
        if family == "chi":
            return Chi(1 / q, rank)
        if family == "f":
            return Fisher(1 / q / (1 / q + freedom), rank, freedom)
        if family == "t":
            return Student((stat - mean) ** 2 + freedom * q, mean, freedom)
        if family == "randomised-normal":
            return Randomised(q, mean, factor, tested)
        if family == "fission":
            return Normal(q * (1 + 1 / factor), mean)
        return Normal(q, mean)

    if family == "fission":
        return Law(tested, scale, of(null), alternative)
    if "null_margin" not in entry:
        return Law(stat, scale, of(null), alternative)
    margin = Fraction(entry["null_margin"])
    near, far = null - margin, null + margin
    if tested >= null:
        near, far = far, near
    return Law(stat, scale, of(near), alternative, of(far), far > near)


def confirm_claims(
    document: dict[str, Any], law: Law, inside: Cells, gaps: Cells, p: dict[str, Fraction | None]
) -> None:
    """Everything that is claimed about the law: p, estimates and the range of variances."""
    if document["law"]["family"] == "fission":  # no selection truncates it
        inside, gaps = [(-math.inf, math.inf)], []
    if document["law"]["family"] == "berger-boos":
        failed = confirm_berger_boos(law, _berger_boos(document), inside, gaps, p)
    else:
        failed = confirm(law, inside, gaps, p)
    if failed is not None:
        claim = document["claim"].get(failed, "")
        raise InvalidCertificate(f"claim.{failed} = {claim} does not follow from the cells")
    if "decision" in document:
        level, rejects = Fraction(document["decision"]["level"]), document["decision"]["verdict"] == "reject"
        least, most = p["inf_p"], p["sup_p"]
        if least is None or most is None or not (most <= level if rejects else least > level):
            raise InvalidCertificate("the decision does not follow from the bounds of p")
    if "estimates" in document:
        # under Berger-Boos the variance is known to an interval only, which no estimate here accounts for
        if document["law"]["family"] not in ("normal", "fission", "t", "randomised-normal"):
            raise InvalidCertificate("estimates do not go with the law")
        failed = confirm_estimates(law, _estimates(document["estimates"]), inside, gaps)
        if failed is not None:
            raise InvalidCertificate(f"estimates.{failed} does not follow from the cells")
    if "robustness" in document:
        if document["law"]["family"] not in ("normal", "fission") or law.other is not None:
            raise InvalidCertificate("robustness does not go with the law")
        entry = document["robustness"]
        low, high = (Fraction(f) for f in entry["factors"])
        rejects = entry["decision"] == "reject"
        if not confirm_factors(law, low, high, Fraction(entry["level"]), rejects, inside, gaps):
            raise InvalidCertificate("robustness does not follow from the cells")


def _berger_boos(document: dict[str, Any]) -> BergerBoos:
    law = document["law"]
    low, high = (Fraction(f) for f in law["factors"])
    nu = Fraction(document["noise"]["degrees_of_freedom"])
    return BergerBoos(Fraction(law["gamma"]), low, high, Fraction(law["witness"]), nu)


def _estimates(entry: dict[str, Any]) -> Estimates:
    def bracket(name: str) -> tuple[End, End]:
        ends = entry[name]
        require(len(ends) == 2 and all(isinstance(e, str) for e in ends), f"estimates.{name} is no pair")
        known = {"-inf": -math.inf, "inf": math.inf}
        low, high = (known[e] if e in known else rational(e, f"estimates.{name}", END_DIGITS) for e in ends)
        return low, high

    return Estimates(
        Fraction(entry["level"]),
        bracket("lower"),
        bracket("upper"),
        bracket("median_unbiased"),
        None if entry["maximum_likelihood"] is None else bracket("maximum_likelihood"),
    )
