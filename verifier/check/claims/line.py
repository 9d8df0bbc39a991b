"""What follows from eta and the covariance: the line."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from verifier.check.claims.covariance import OTHERS, definite
from verifier.check.errors import InvalidCertificate
from verifier.check.numbers.integers import Array

__all__ = ["Line", "covariance_times", "line"]


@dataclass(frozen=True)
class Line:
    """q = eta' Sigma eta, z_obs = eta' x_obs, and scale * b = beta on the model's input.

    Of several contrasts P (`rank` of them) z_obs is 1, q is 1 / T**2 with T**2 = (P x)' (P Sigma P')**-1 P x,
    and b is the part of the input that P sees.
    """

    q: Fraction
    stat: Fraction
    beta: list[Fraction]
    rank: int = 1


def line(
    eta: list[Fraction],
    noise: dict[str, Any],
    var: Array | None,
    values: list[Fraction],
    model_size: int,
    scale: Fraction,
    second: Fraction = Fraction(1),
) -> Line:
    """The line through the noise vector `values`, whose first `model_size` entries are the model's input; the
    covariance of what follows them is `second` times as large.
    """
    sigma_eta = covariance_times(eta, noise, var, model_size, second)
    q = sum((a * b for a, b in zip(eta, sigma_eta, strict=True) if a), Fraction(0))
    if q <= 0:
        raise InvalidCertificate("the statistic has no positive variance")
    stat = sum((a * b for a, b in zip(eta, values, strict=True) if a), Fraction(0))
    factor = scale / q
    known: dict[Fraction, Fraction] = {}
    return Line(
        q,
        stat,
        [known.setdefault(v, v * factor) if v not in known else known[v] for v in sigma_eta[:model_size]],
    )


def covariance_times(
    eta: list[Fraction], noise: dict[str, Any], var: Array | None, half: int, second: Fraction = Fraction(1)
) -> list[Fraction]:
    """Sigma * eta; a covariance of half the length is used for both halves, which are then independent."""
    n = len(eta)
    if second != 1:
        if n != 2 * half:
            raise InvalidCertificate("there is no reference that could have another covariance")
        first = covariance_times(eta[:half], noise, var, half)
        return first + [second * v for v in covariance_times(eta[half:], noise, var, half)]
    if noise["kind"] == "scalar":
        value = Fraction(noise["value"])
        if value <= 0:
            raise InvalidCertificate("the variance is not positive")
        return [value * v for v in eta]
    if var is None:
        raise InvalidCertificate("the covariance has no entries")
    kind = noise["kind"]
    if kind in OTHERS:
        size, times = OTHERS[kind](var, (half, n))
        return [v for k in range(0, n, size) for v in times(eta[k : k + size])]
    size = var.shape[0] if var.ndim else 0
    if size not in (half, n) or var.shape != ((size,) if kind == "diagonal" else (size, size)):
        raise InvalidCertificate("the covariance does not have the shape of the noise vector")
    parts = [eta[k : k + size] for k in range(0, n, size)]
    if kind == "diagonal":
        diagonal = [Fraction(v) for v in var.tolist()]
        if min(diagonal) <= 0:
            raise InvalidCertificate("a variance is not positive")
        return [a * b for part in parts for a, b in zip(diagonal, part, strict=True)]
    sigma = definite(var)
    rows = sigma.c[..., 0]
    out = []
    for part in parts:
        sums = [Fraction(0)] * size
        for value in set(part) - {
            Fraction(0)
        }:  # eta has few different values: exact sums of columns for each
            columns = rows[:, [v == value for v in part]].sum(axis=1)
            sums = [s + value * int(c) for s, c in zip(sums, columns, strict=True)]
        out += [s * Fraction(2) ** sigma.e for s in sums]
    return out
