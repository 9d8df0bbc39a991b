"""The independent checker: is every claim of a certificate true?

No search and no tolerance. Everything is derived again from the stored files: the selection nodes from the
hypothesis, eta from the observed selection, the line from eta, the covariance and the input; then the
observed selection, every cell, and the p-value. It imports nothing of the rest of Sureline.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from verifier.check.claims.cells import confirm_cells, confirm_observed
from verifier.check.claims.certificate import Certificate, read_certificate
from verifier.check.claims.contrast import Line, contrast, line
from verifier.check.claims.law import Law, confirm
from verifier.check.claims.model import compare_inputs, compare_model, parse_model
from verifier.check.claims.reading import file_bytes, parse_json, parse_npy, rational
from verifier.check.claims.selection import compare_selection, free_inputs
from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array

__all__ = ["CheckReport", "InvalidCertificate", "UnusableCertificate", "check"]


@dataclass(frozen=True)
class CheckReport:
    """What was confirmed; an invalid certificate raises instead."""

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

    def __str__(self) -> str:
        lines = [
            f"valid: {self.inf_p} <= p <= {self.sup_p}",
            f"{self.cells} cells confirmed: {self.inside} inside, {self.outside} outside, "
            f"{self.gaps} gaps (no claim)",
        ]
        return "\n".join([*lines, *self.notes])


def check(path: str | os.PathLike[str], model: Any = None, input: Any = None) -> CheckReport:
    """Check a certificate folder.

    Parameters
    ----------
    path : path
        The folder.
    model : path or onnx.ModelProto, optional
        Prove that the audited graph holds this model, unchanged.
    input : path or array, optional
        Prove that the certificate is about this input.

    Returns
    -------
    CheckReport

    Raises
    ------
    InvalidCertificate
        With the first claim that is false or cannot be confirmed, in one sentence.
    UnusableCertificate
        If the certificate cannot be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UnusableCertificate(f"the certificate is of type {type(path).__name__}; give its folder's path")
    if not isinstance(model, (str, os.PathLike, onnx.ModelProto, type(None))):
        raise UnusableCertificate(f"the model is of type {type(model).__name__}; give its path")
    try:
        return _check(read_certificate(path), model, input)
    except (MemoryError, RecursionError) as error:
        raise UnusableCertificate(
            f"the certificate cannot be checked here: {type(error).__name__}"
        ) from error


def _check(certificate: Certificate, model: Any, given: Any) -> CheckReport:
    document = certificate.document
    hypothesis, entry = document["hypothesis"], document["model"]
    audited = parse_model(certificate.file(document["audited"]), "audited.onnx")
    arrays = [(e["name"], parse_npy(certificate.file(e), e["file"])) for e in document["inputs"]]
    compare_inputs(free_inputs(audited.graph), arrays)
    if hypothesis["i_idx"] >= len(arrays):
        raise InvalidCertificate("i_idx names no input")
    moving, x = arrays[hypothesis["i_idx"]]
    observed = certificate.observed
    names = [o["output"] for o in document["observed"]]
    found = _line(certificate, audited, x)
    graph = CheckedGraph.build(audited, dict(arrays), moving, found.beta, names)

    def shape(name: str) -> tuple[int, ...]:
        if name not in graph.shapes:
            raise InvalidCertificate(f"the selection does not depend on tensor {name!r}")
        return graph.shapes[name]

    event = compare_selection(
        audited, entry, hypothesis, document["conditioning"] == "activation_pattern", shape, graph.upstream
    )
    if names != event:
        raise InvalidCertificate("the observed outputs are not those of the hypothesis")
    if model is not None:
        compare_model(audited, entry, model)
    if given is not None:
        array = (
            parse_npy(file_bytes(os.path.realpath(given)), "the input")
            if isinstance(given, (str, os.PathLike))
            else _array(given)
        )
        if array.shape != x.shape or array.tolist() != x.tolist():
            raise InvalidCertificate("the certificate is about another input")
    if found.stat != Fraction(document["claim"]["stat"]):
        raise InvalidCertificate(f"claim.stat is not eta'x = {found.stat}")
    for name, array in zip(names, observed, strict=True):
        if array.shape != graph.shapes[name]:
            raise InvalidCertificate(f"the observed value of {name!r} does not have the shape of that output")
    confirm_observed(graph, observed)
    confirm_cells(graph, certificate.cells, observed)
    _confirm_p(certificate, found)
    return _report(certificate, model is not None, given is not None)


def _array(given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise UnusableCertificate("the input is no array") from error


def _line(certificate: Certificate, audited: onnx.ModelProto, x: Array) -> Line:
    """eta and the line, from the observed selection, the covariance and the input."""
    document = certificate.document
    hypothesis = document["hypothesis"]
    values = [Fraction(v) for v in x.reshape(-1).tolist()]
    reference = document["reference"]
    if (reference is not None) != (hypothesis["name"] == "ReferenceMeanDiff"):
        raise InvalidCertificate("a reference belongs to ReferenceMeanDiff, and to nothing else")
    if reference is not None:
        other = parse_npy(certificate.file(reference), reference["file"])
        if other.shape != x.shape:
            raise InvalidCertificate("the reference does not have the shape of the input")
        values += [Fraction(v) for v in other.reshape(-1).tolist()]
    if hypothesis["name"] == "custom":
        listed = parse_json(certificate.file(hypothesis["eta"]), "eta.json")
        if not isinstance(listed, list) or len(listed) != x.size:
            raise InvalidCertificate("eta.json does not hold one number per element of the input")
        eta = [rational(v, "an entry of eta.json") for v in listed]
    else:
        masks = [
            onnx.numpy_helper.to_array(t) for t in audited.graph.initializer if t.name == "sureline/mask"
        ]
        if bool(masks) != hypothesis["mask"] or certificate.observed[0].dtype != np.bool_:
            raise InvalidCertificate("the mask of the audited graph is not that of the hypothesis")
        if masks and (masks[0].dtype != np.bool_ or masks[0].shape != certificate.observed[0].shape):
            raise InvalidCertificate("the mask does not have the shape of the selection")
        eta = contrast(hypothesis, certificate.observed[0], masks[0] if masks else None, x.size)
    noise = document["noise"]
    var = None if noise["kind"] == "scalar" else parse_npy(certificate.file(noise), noise["file"])
    return line(eta, noise, var, values, x.size, Fraction(document["line"]["scale"]))


def _confirm_p(certificate: Certificate, found: Line) -> None:
    document, claims = certificate.document, certificate.claims
    law = Law(
        found.stat,
        Fraction(document["line"]["scale"]),
        found.q,
        Fraction(document["law"]["null_value"]),
        document["law"]["alternative"],
    )
    by = {kind: [(c.lo, c.hi) for c in certificate.cells if c.verdict == kind] for kind in ("inside", "gap")}
    inf_p, sup_p = claims["inf_p"], claims["sup_p"]
    if inf_p is None or sup_p is None or not 0 <= inf_p <= sup_p <= 1:
        raise InvalidCertificate("the claimed bounds of p are not in order between 0 and 1")
    failed = confirm(law, by["inside"], by["gap"], claims)
    if failed is not None:
        raise InvalidCertificate(
            f"claim.{failed} = {document['claim'][failed]} does not follow from the cells"
        )


def _question(document: dict[str, Any]) -> str:
    """What the p-value is about, from the fields that were confirmed."""
    hypothesis, law, noise = document["hypothesis"], document["law"], document["noise"]
    rule = hypothesis["name"]
    if rule != "custom":
        rule += f", threshold {hypothesis['threshold']}"
        rule += " of the normalised map" if hypothesis["use_norm"] else ""
        rule += ", masked" if hypothesis["mask"] else ""
    variance = noise["value"] if noise["kind"] == "scalar" else f"{noise['kind']} covariance"
    return (
        f"question: {rule}; {law['alternative']}, null value {law['null_value']}; "
        f"noise variance {variance}; given the {document['conditioning'].replace('_', ' ')}"
    )


def _report(certificate: Certificate, model_checked: bool, input_checked: bool) -> CheckReport:
    document, claim = certificate.document, certificate.document["claim"]
    rederived = document["hypothesis"]["name"] != "custom"
    notes = [_question(document)]
    if not rederived:
        notes.append("eta as supplied by the user (not re-derived)")
    if not model_checked:
        notes.append("the model inside the audited graph was not compared with a model file (--model)")
    if not input_checked:
        notes.append("the input was not compared with an input file (--input)")
    if document["noise"]["kind"] == "full":
        notes.append("the covariance is positive definite up to 1e-12 of its largest variance")
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
    )
