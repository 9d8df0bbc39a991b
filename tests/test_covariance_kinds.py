"""Sparse and low-rank covariances give what the full matrix gives, and the checker refuses false ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from test_hypotheses import X, convolutions

import sureline as sl
from inference.noise import Noise

RNG = np.random.default_rng(3)
N = X.size
FACTORS = RNG.normal(size=(N, 3))
OWN = RNG.uniform(0.5, 2, size=N)
BAND = sparse.diags_array([np.full(N - 1, 0.4), np.full(N, 1.5), np.full(N - 1, 0.4)], offsets=[-1, 0, 1])
BLOCKS = sparse.block_diag([np.array([[2.0, 0.5], [0.5, 1.0]])] * (N // 2))
ETA = [Fraction(int(v), 7) for v in RNG.integers(-3, 4, size=N)]


@pytest.mark.parametrize(
    ("var", "full"),
    [
        (sl.LowRankCovariance(OWN, FACTORS), np.diag(OWN) + FACTORS @ FACTORS.T),
        (BAND, BAND.toarray()),
        (sparse.csc_matrix(BLOCKS), BLOCKS.toarray()),
    ],
)
def test_products_are_those_of_the_exact_matrix(var: Any, full: np.ndarray) -> None:
    noise = Noise.of(var, N)
    assert noise.size == N
    np.testing.assert_allclose(noise.variances, np.diag(full), rtol=1e-12)
    found = noise.times(ETA)
    np.testing.assert_allclose(
        [float(v) for v in found], full @ [float(e) for e in ETA], rtol=1e-9, atol=1e-9
    )
    if noise.kind == "sparse":  # its entries are the matrix's, so the product is the same rational number
        assert found == Noise.of(full, N).times(ETA)
    else:
        exact = [[Fraction(v) for v in row] for row in FACTORS.tolist()]
        inner = [sum((f[k] * e for f, e in zip(exact, ETA, strict=True)), Fraction(0)) for k in range(3)]
        own = [Fraction(d) * e for d, e in zip(OWN.tolist(), ETA, strict=True)]
        wanted = [
            o + sum((f * v for f, v in zip(row, inner, strict=True)), Fraction(0))
            for o, row in zip(own, exact, strict=True)
        ]
        assert found == wanted


@pytest.mark.parametrize("var", [sl.LowRankCovariance(OWN, FACTORS), BAND, BLOCKS])
def test_draws_have_the_covariance(var: Any) -> None:
    noise, rng = Noise.of(var, N), np.random.default_rng(0)
    drawn = np.array([noise.drawn(rng, N) for _ in range(4000)])
    full = np.asarray(var.toarray() if sparse.issparse(var) else var)
    assert np.abs(drawn.T @ drawn / 4000 - full).max() < 0.35 * np.abs(full).max()


def audit(var: Any, **options: Any) -> sl.InferenceResult:
    return sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, var, **options)


@pytest.mark.parametrize("var", [sl.LowRankCovariance(OWN, FACTORS), BAND, BLOCKS])
def test_audits_are_confirmed_and_agree_with_the_full_matrix(var: Any, tmp_path: Path) -> None:
    found = audit(var)
    full = audit(np.asarray(var.toarray() if sparse.issparse(var) else var))
    assert found.inf_p == pytest.approx(full.inf_p, abs=1e-5)
    found.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


def test_a_pair_takes_the_covariance_of_one(tmp_path: Path) -> None:
    test = sl.load(convolutions(), sl.ReferenceMeanDiff(0.3))
    result = test.inference((X, X * 0.5), BAND)
    assert result.certificate.document["noise"]["kind"] == "sparse"
    result.certificate.save(tmp_path / "c")
    assert sl.check(tmp_path / "c").valid


def of_table(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Forge the file of the covariance, with its hash."""

    def forge(folder: Path) -> None:
        import hashlib

        file = folder / "var.npy"
        np.save(file, change(np.load(file)))
        document = json.loads((folder / "certificate.json").read_text())
        document["noise"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / "certificate.json").write_text(json.dumps(document))

    return forge


def at(row: int, column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(table: np.ndarray) -> np.ndarray:
        table = table.copy()
        table[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("var", "change"),
    [
        (sl.LowRankCovariance(OWN, FACTORS), at(0, 0, -1.0)),
        (sl.LowRankCovariance(OWN, FACTORS), at(0, 0, 0.0)),
        (sl.LowRankCovariance(OWN, FACTORS), at(3, 1, np.nan)),
        (sl.LowRankCovariance(OWN, FACTORS), lambda table: table[:-1]),
        (sl.LowRankCovariance(OWN, FACTORS), lambda table: 1.3 * table),  # another law: p is another one
        (BAND, at(0, 2, -1.0)),
        (BAND, at(1, 2, 5.0)),  # no longer definite
        (BAND, at(0, 0, 0.5)),
        (BAND, at(0, 1, 1e15)),
        (BAND, lambda table: table[:-1]),  # the last element has no variance
        (BAND, lambda table: np.concatenate([table, table[:1]])),
        (BAND, lambda table: table[:, [1, 0, 2]]),
        (BAND, lambda table: table * [1, 1, 1.3]),
    ],
)
def test_the_checker_refuses_false_tables(
    var: Any, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    audit(var).certificate.save(tmp_path / "c")
    of_table(change)(tmp_path / "c")
    with pytest.raises((sl.InvalidCertificate, sl.UnusableCertificate)):
        sl.check(tmp_path / "c")


@pytest.mark.parametrize(
    "var",
    [
        sl.LowRankCovariance(OWN[:-1], FACTORS),
        sl.LowRankCovariance(-OWN, FACTORS),
        sl.LowRankCovariance(OWN[:-1], FACTORS[:-1]),
        sl.LowRankCovariance("a", FACTORS),
        sparse.csr_array(np.triu(np.ones((N, N)))),
        sparse.csr_array(np.ones((N, N)) * 2 - np.eye(N) * 3),
        sparse.csr_array(np.eye(N - 1)),
        sparse.csr_array(np.ones((2, 3))),
        sparse.csr_array(np.diag(np.full(N, np.nan))),
    ],
)
def test_bad_covariances_are_refused_in_a_sentence(var: Any) -> None:
    with pytest.raises(sl.NoiseError) as error:
        Noise.of(var, N)
    assert str(error.value).endswith(".")
