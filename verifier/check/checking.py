"""The independent checker: is every claim of a certificate true?

No search and no tolerance. Everything is derived again from the stored files: the selection nodes from the
hypothesis, eta from the observed selection, the line from eta, the covariance and the input; then the
observed selection, every cell (or a sample of them, which is then said), and the p-value. It imports nothing
of the rest of Sureline.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from verifier.check.claims.added import confirm_drawn
from verifier.check.claims.cells import confirm_observed, decided
from verifier.check.claims.certificate import Certificate, read_certificate
from verifier.check.claims.contrast import contrasts
from verifier.check.claims.hypothesis import LABELS, scale_of_reference
from verifier.check.claims.laws.law import Law
from verifier.check.claims.line import Line, line
from verifier.check.claims.model import compare_inputs, compare_model, parse_model
from verifier.check.claims.overlap import NAME as OVERLAPS
from verifier.check.claims.overlap import OverlapReport, confirm_overlaps
from verifier.check.claims.reading import file_bytes, parse_json, parse_npy, rational
from verifier.check.claims.sampling import LARGEST_SEED, MOST_DRAWS, sample_cells
from verifier.check.claims.selection import compare_selection, free_inputs
from verifier.check.claims.several import line_of_several
from verifier.check.claims.statistics import claimed_law, confirm_claims
from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array
from verifier.check.parallel import Progress, Task, confirm_all
from verifier.check.report import CheckReport, report

__all__ = ["CheckReport", "InvalidCertificate", "OverlapReport", "UnusableCertificate", "check"]

MOST_WORKERS = 1024


def check(
    path: str | os.PathLike[str],
    model: Any = None,
    input: Any = None,
    *,
    reference: Any = None,
    workers: int | None = None,
    progress: Progress | None = None,
    sample: int | None = None,
    seed: int | None = None,
) -> CheckReport | OverlapReport:
    """Check a certificate folder, of an audit or of a verified perturbation analysis.

    Parameters
    ----------
    path : path
        The folder.
    model : path or onnx.ModelProto, optional
        Prove that the audited graph holds this model, unchanged.
    input : path or array, optional
        Prove that the certificate is about this input (before noise was added to it, if any was).
    reference : path or array, optional
        Prove that the input was compared with this one.
    workers : int, optional
        How many processes may share the cells; default: one per usable core, if there is memory for them.
        Few cells are checked in this process alone. The outcome does not depend on it.
    progress : callable, optional
        Called with the number of cells (of an EVA certificate: of balls) done and the number to do.
    sample : int, optional
        Check the cells of this many random draws in place of all. What that shows is in `sampled` of the
        report, whose `valid` is then False. All else is checked in full.
    seed : int, optional
        Repeat the draws of an earlier report. Without it they cannot be foreseen, on which their meaning
        rests.

    Returns
    -------
    CheckReport or OverlapReport

    Raises
    ------
    InvalidCertificate
        With the first claim that is false or cannot be confirmed, in one sentence.
    UnusableCertificate
        If the certificate cannot be read, or an option has no meaning.
    """
    start = time.perf_counter()
    if not isinstance(path, (str, os.PathLike)):
        raise UnusableCertificate(f"the certificate is of type {type(path).__name__}; give its folder's path")
    if not isinstance(model, (str, os.PathLike, onnx.ModelProto, type(None))):
        raise UnusableCertificate(f"the model is of type {type(model).__name__}; give its path")
    effort = Effort.of(workers, progress, sample, seed)
    if (Path(path) / OVERLAPS).exists():
        further = reference is not None or sample is not None
        return _overlaps(path, model, input, further, effort.progress, start)
    try:
        found = _check(read_certificate(path), model, input, reference, effort)
    except (MemoryError, RecursionError) as error:
        raise UnusableCertificate(
            f"the certificate cannot be checked here: {type(error).__name__}"
        ) from error
    return replace(found, seconds=time.perf_counter() - start)


def _overlaps(
    path: str | os.PathLike[str],
    model: Any,
    given: Any,
    further: bool,
    progress: Progress | None,
    start: float,
) -> OverlapReport:
    if further:
        raise UnusableCertificate("an EVA certificate has no reference, and no cells to be sampled")
    try:
        found = confirm_overlaps(path, model, given, progress)
    except (MemoryError, RecursionError) as error:
        raise UnusableCertificate(
            f"the certificate cannot be checked here: {type(error).__name__}"
        ) from error
    return replace(found, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class Effort:
    """How much is checked, and by how many."""

    workers: int | None
    progress: Progress | None
    draws: int | None
    seed: int | None

    @classmethod
    def of(
        cls, workers: int | None, progress: Progress | None, sample: int | None, seed: int | None
    ) -> Effort:
        """The options of `check`, after looking at them."""
        for name, value, least, most in (
            ("workers", workers, 1, MOST_WORKERS),
            ("sample", sample, 1, MOST_DRAWS),
            ("seed", seed, 0, LARGEST_SEED),
        ):
            if value is not None and not (type(value) is int and least <= value <= most):
                raise UnusableCertificate(f"{name} must be an integer from {least} to {most}")
        if seed is not None and sample is None:
            raise UnusableCertificate("a seed belongs to a sample; give sample too")
        return cls(workers, progress, sample, seed)


def _check(certificate: Certificate, model: Any, given: Any, reference: Any, effort: Effort) -> CheckReport:
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
    found = _tested(certificate, audited, x)
    beta = found.line.beta
    graph = CheckedGraph.build(audited, dict(arrays), moving, beta, names)

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
    for number, (array, what) in enumerate(((given, "input"), (reference, "reference"))):
        if array is not None:
            _compare(certificate, number, x, array, what)
    stat = 1 / found.line.q if found.line.rank > 1 else found.law.stat
    if stat != Fraction(document["claim"]["stat"]):
        raise InvalidCertificate(f"claim.stat is not the statistic, {stat}")
    for name, array in zip(names, observed, strict=True):
        if array.shape != graph.shapes[name]:
            raise InvalidCertificate(f"the observed value of {name!r} does not have the shape of that output")
    confirm_observed(graph, observed)
    claims, law = decided(certificate.cells, observed), found.law
    sampled = None
    if effort.draws is not None:
        claims, sampled = sample_cells(law, certificate, claims, effort.draws, effort.seed)
    task = Task(certificate.file(document["audited"]), dict(arrays), moving, beta, names, observed)
    confirm_all(task, graph, claims, effort.workers, effort.progress)
    _confirm_p(certificate, law)
    return report(certificate, model is not None, given is not None, reference is not None, sampled)


def _compare(certificate: Certificate, number: int, x: Array, given: Any, what: str) -> None:
    """Refuse a certificate about another input (or reference), as it was before noise was added."""
    document = certificate.document
    if number and document["reference"] is None:
        raise InvalidCertificate("the certificate is about no reference")
    if "randomisation" in document:
        files = document["randomisation"]["original"]
        stored = parse_npy(certificate.file(files[number]), files[number]["file"])
    else:
        entry = document["reference"]
        stored = parse_npy(certificate.file(entry), entry["file"]) if number else x
    array = (
        parse_npy(file_bytes(os.path.realpath(given)), f"the {what}")
        if isinstance(given, (str, os.PathLike))
        else _array(given)
    )
    if array.shape != stored.shape or array.tolist() != stored.tolist():
        raise InvalidCertificate(f"the certificate is about another {what}")


def _array(given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise UnusableCertificate("the input is no array") from error


@dataclass(frozen=True)
class Tested:
    """The line, and the null law along it."""

    line: Line
    law: Law


def _tested(certificate: Certificate, audited: onnx.ModelProto, x: Array) -> Tested:
    """Line and law from the observed selection, the covariance and the input."""
    document = certificate.document
    values = [Fraction(v) for v in x.reshape(-1).tolist()]
    audited_parts = [x]
    reference = document["reference"]
    if (reference is not None) != (document["hypothesis"]["name"] == "ReferenceMeanDiff"):
        raise InvalidCertificate("a reference belongs to ReferenceMeanDiff, and to nothing else")
    if reference is not None:
        other = parse_npy(certificate.file(reference), reference["file"])
        if other.shape != x.shape:
            raise InvalidCertificate("the reference does not have the shape of the input")
        values += [Fraction(v) for v in other.reshape(-1).tolist()]
        audited_parts.append(other)
    rows = _contrasts(certificate, audited, x)
    noise = document["noise"]
    var = None if noise["kind"] == "scalar" else parse_npy(certificate.file(noise), noise["file"])
    scale = Fraction(document["line"]["scale"])
    second = scale_of_reference(document["hypothesis"])
    if len(rows) > 1:
        found = line_of_several(rows, noise, var, values, x.size, scale, second)
    else:
        found = line(rows[0], noise, var, values, x.size, scale, second)
    tested = found.stat
    if "randomisation" in document:
        originals = _originals(certificate, [part.shape for part in audited_parts])
        confirm_drawn(document, var, originals, audited_parts, second)
        tested = _without_added(certificate, rows[0], values, originals)
    return Tested(found, claimed_law(document, found.q, found.stat, tested, found.rank))


def _contrasts(certificate: Certificate, audited: onnx.ModelProto, x: Array) -> list[list[Fraction]]:
    """eta, or several of them, from the observed selection."""
    hypothesis = certificate.document["hypothesis"]
    if "eta" in hypothesis:
        listed = parse_json(certificate.file(hypothesis["eta"]), "eta.json")
        several = isinstance(listed, list) and bool(listed) and all(isinstance(v, list) for v in listed)
        rows = listed if several else [listed]
        if not all(isinstance(row, list) and len(row) == x.size for row in rows):
            raise InvalidCertificate("eta.json does not hold one number per element of the input")
        return [[rational(v, "an entry of eta.json") for v in row] for row in rows]
    masks = [onnx.numpy_helper.to_array(t) for t in audited.graph.initializer if t.name == "sureline/mask"]
    kind = np.int64 if hypothesis["name"] in LABELS else np.bool_
    if bool(masks) != hypothesis["mask"] or any(o.dtype != kind for o in certificate.observed[:1]):
        raise InvalidCertificate("the mask of the audited graph is not that of the hypothesis")
    if masks and (masks[0].dtype != np.bool_ or masks[0].shape != certificate.observed[0].shape):
        raise InvalidCertificate("the mask does not have the shape of the selection")
    return contrasts(hypothesis, certificate.observed, masks[0] if masks else None, x.size)


def _originals(certificate: Certificate, shapes: list[tuple[int, ...]]) -> list[Array]:
    """The noise vector before noise was added."""
    found = []
    for file, shape in zip(certificate.document["randomisation"]["original"], shapes, strict=True):
        array = parse_npy(certificate.file(file), file["file"])
        if array.shape != shape:
            raise InvalidCertificate("the input without added noise does not have the shape of the input")
        found.append(array)
    return found


def _without_added(
    certificate: Certificate, eta: list[Fraction], audited: list[Fraction], originals: list[Array]
) -> Fraction:
    """eta'x of the input before noise was added, or eta'(x - added / scale) of data fission."""
    entry = certificate.document["randomisation"]
    values = [Fraction(v) for array in originals for v in array.reshape(-1).tolist()]
    own = sum((e * v for e, v in zip(eta, values, strict=True) if e), Fraction(0))
    if entry["test"] == "selection":
        return own
    added = sum((e * (w - v) for e, v, w in zip(eta, values, audited, strict=True) if e), Fraction(0))
    return own - added / Fraction(entry["scale"])


def _confirm_p(certificate: Certificate, law: Law) -> None:
    claims = certificate.claims
    by = {kind: [(c.lo, c.hi) for c in certificate.cells if c.verdict == kind] for kind in ("inside", "gap")}
    inf_p, sup_p = claims["inf_p"], claims["sup_p"]
    if inf_p is None or sup_p is None or not 0 <= inf_p <= sup_p <= 1:
        raise InvalidCertificate("the claimed bounds of p are not in order between 0 and 1")
    confirm_claims(certificate.document, law, by["inside"], by["gap"], claims)
