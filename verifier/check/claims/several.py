"""The line of several contrasts, along which only the length of what they see changes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import fmpq, fmpq_mat

from verifier.check.claims.line import Line, covariance_times
from verifier.check.errors import InvalidCertificate, UnusableCertificate
from verifier.check.numbers.integers import Array

__all__ = ["MOST_CONTRASTS", "line_of_several"]

MOST_CONTRASTS = 4096


def line_of_several(
    rows: list[list[Fraction]],
    noise: dict[str, Any],
    var: Array | None,
    values: list[Fraction],
    model_size: int,
    scale: Fraction,
    second: Fraction = Fraction(1),
) -> Line:
    """The line of the contrasts `rows` through the noise vector `values`.

    With M = P Sigma P' and M y = P x: T**2 = y' P x, and the part of x that P sees is Sigma P' y.
    """
    if len(rows) > MOST_CONTRASTS:
        raise UnusableCertificate(f"there are more than {MOST_CONTRASTS} contrasts")
    moved = [covariance_times(row, noise, var, model_size, second) for row in rows]
    p = fmpq_mat([[_fmpq(v) for v in row] for row in rows])
    sigma_p = fmpq_mat([[_fmpq(v) for v in row] for row in moved]).transpose()
    seen = p * fmpq_mat([[_fmpq(v)] for v in values])
    try:
        y = (p * sigma_p).solve(seen)
    except ZeroDivisionError as error:
        raise InvalidCertificate("the contrasts are linearly dependent") from error
    square = _fraction((seen.transpose() * y)[0, 0])
    if square <= 0:
        raise InvalidCertificate("all the contrasts are zero at the input")
    direction = sigma_p * y
    beta = [scale * _fraction(direction[k, 0]) for k in range(model_size)]
    return Line(1 / square, Fraction(1), beta, len(rows))


def _fmpq(v: Fraction) -> fmpq:
    return fmpq(v.numerator, v.denominator)


def _fraction(v: fmpq) -> Fraction:
    return Fraction(int(v.p), int(v.q))
