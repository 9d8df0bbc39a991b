"""What a check found out, in fields and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any

from verifier.check.claims.added import is_redrawn
from verifier.check.claims.certificate import Certificate
from verifier.check.claims.sampling import Sampled

__all__ = ["CheckReport", "report"]


@dataclass(frozen=True)
class CheckReport:
    """What was confirmed; a false claim raises instead.

    `valid` is True only if every claim was proved. After a check of a sample it is False, and `sampled` says
    what was shown.
    """

    cells: int
    inside: int
    outside: int
    gaps: int
    inf_p: str
    sup_p: str
    log_inf_p: str
    log_sup_p: str
    eta_rederived: bool
    model_checked: bool
    input_checked: bool
    notes: tuple[str, ...]
    valid: bool = True
    sampled: Sampled | None = None
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        kinds = f"{self.inside} inside, {self.outside} outside, {self.gaps} gaps (no claim)"
        if self.sampled is None:
            lines = [f"valid: {self.inf_p} <= p <= {self.sup_p}", f"{self.cells} cells confirmed: {kinds}"]
        else:
            lines = [
                f"sampled, not proved: {self.sampled}",
                f"if all cells are right, {self.inf_p} <= p <= {self.sup_p}",
                f"{self.cells} cells: {kinds}",
            ]
        return "\n".join([*lines, *self.notes, f"checked in {self.seconds:.2f} s"])


def _question(document: dict[str, Any]) -> str:
    """What the p-value is about, from the fields that were confirmed."""
    hypothesis, law, noise = document["hypothesis"], document["law"], document["noise"]
    rule = hypothesis["name"]
    known = {"name", "i_idx", "o_idx", "post_process", "outputs", "eta", "use_norm", "mask", "given"}
    for key, value in sorted(hypothesis.items()):
        if key not in known and value is not None:
            rule += f", {key.replace('_', ' ')} {value}"
    rule += " of the normalised map" if hypothesis.get("use_norm") else ""
    rule += ", masked" if hypothesis.get("mask") else ""
    variance = noise["value"] if noise["kind"] == "scalar" else f"{noise['kind']} covariance"
    if noise["degrees_of_freedom"] is not None:
        variance += f", estimated on {noise['degrees_of_freedom']} degrees of freedom"
    beside = "".join(f" and the output {name}" for name in hypothesis.get("given", []))
    margin = f" within {law['null_margin']}" if "null_margin" in law else ""
    return (
        f"question: {rule}; {law['family']} law, {law['alternative']}, null value "
        f"{law['null_value']}{margin}; "
        f"noise variance {variance}; given the {document['conditioning'].replace('_', ' ')}{beside}"
    )


def _cautions(document: dict[str, Any]) -> list[str]:
    """What the law rests on, beyond the assumptions that all certificates share."""
    law, noise = document["law"], document["noise"]
    notes = []
    if law["family"] in ("normal", "chi") and noise["degrees_of_freedom"] is not None:
        notes.append("the estimated variance is inserted as known: the certificate is conditional on it")
    if "randomisation" in document:
        entry = document["randomisation"]
        how = "drawn again and the same" if is_redrawn(document) else "not drawn again, so not checked"
        notes.append(f"noise was added before the selection, from seed {entry['seed']}: {how}")
    return notes


def _further(document: dict[str, Any]) -> list[str]:
    """What was claimed beside p, and confirmed too: numbers in few digits, rounded away from the claim."""
    notes = []
    if "decision" in document:
        entry = document["decision"]
        relation = "at most" if entry["verdict"] == "reject" else "more than"
        notes.append(f"confirmed: p is {relation} {entry['level']}, whatever the gaps hold")
    if "estimates" in document:
        entry = document["estimates"]
        low, high = _down(entry["lower"][0]), _up(entry["upper"][1])
        notes.append(f"confirmed: confidence interval of level {entry['level']}: {low} to {high}")
        for name in ("median_unbiased", "maximum_likelihood"):
            if entry[name] is not None:
                words = name.replace("_", " " if name.startswith("max") else "-")
                notes.append(f"confirmed: {words} estimate {_bracket(entry[name])}")
    if "robustness" in document:
        entry = document["robustness"]
        relation = "at most" if entry["decision"] == "reject" else "more than"
        low, high = _up(entry["factors"][0]), _down(entry["factors"][1])
        notes.append(
            f"confirmed: p is {relation} {entry['level']} for every variance factor from {low} to {high}"
        )
    return notes


def _bracket(ends: list[str]) -> str:
    return f"between {_down(ends[0])} and {_up(ends[1])}"


def _down(number: str) -> str:
    return _decimal(number, ROUND_FLOOR)


def _up(number: str) -> str:
    return _decimal(number, ROUND_CEILING)


def _decimal(number: str, rounding: str) -> str:
    """Six digits of an exact number."""
    if number.endswith("inf"):
        return number
    exact, context = Fraction(number), Context(prec=6, rounding=rounding, Emin=-999_999, Emax=999_999)
    found = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return f"{found.normalize(context):g}"


def report(
    certificate: Certificate,
    model_checked: bool,
    input_checked: bool,
    reference_checked: bool,
    sampled: Sampled | None,
) -> CheckReport:
    """The report on a certificate of which everything, or a sample of the cells, was confirmed."""
    document, claim = certificate.document, certificate.document["claim"]
    rederived = "eta" not in document["hypothesis"]
    notes = [_question(document), *_further(document), *_cautions(document)]
    if not rederived:
        notes.append("eta as supplied by the user (not re-derived)")
    if not model_checked:
        notes.append("the model inside the audited graph was not compared with a model file (--model)")
    if not input_checked:
        notes.append("the input was not compared with an input file (--input)")
    if document["reference"] is not None and not reference_checked:
        notes.append("the reference was not compared with a file (--reference)")
    if len(document["inputs"]) > 1:
        notes.append("the model's other inputs, which stay as they are, were not compared with files")
    if document["noise"]["kind"] in ("full", "sparse"):
        notes.append("the covariance is positive definite up to 1e-12 of its largest variance")
    if sampled is not None and sampled.foreseeable:
        notes.append(
            "the seed was given: the confidence rests on its being unknown to who made the certificate"
        )
    counts = {
        kind: sum(c.verdict == kind for c in certificate.cells) for kind in ("inside", "outside", "gap")
    }
    return CheckReport(
        len(certificate.cells),
        counts["inside"],
        counts["outside"],
        counts["gap"],
        claim["inf_p"],
        claim["sup_p"],
        claim["log_inf_p"],
        claim["log_sup_p"],
        rederived,
        model_checked,
        input_checked,
        tuple(notes),
        valid=sampled is None,
        sampled=sampled,
    )
