"""What was added before the selection, and what the input was compared with, are checked too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_hypotheses import X, convolutions

import sureline as sl
from inference.laws.public import truncated_normal_log_p_value, truncated_normal_p_value


def randomised(kind: Any, folder: Path, var: Any = 1.0) -> Path:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.3))
    test.inference(X, var, randomisation=kind(1, seed=3)).certificate.save(folder)
    return folder


def replaced(folder: Path, file: str, array: np.ndarray) -> None:
    """Another array in a file, with its hash."""
    path = folder / file
    np.save(path, array)
    document = json.loads((folder / "certificate.json").read_text())
    for entry in document["randomisation"]["original"]:
        if entry["file"] == file:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "certificate.json").write_text(json.dumps(document))


@pytest.mark.parametrize("kind", [sl.Randomised, sl.Fission])
@pytest.mark.parametrize("var", [1.0, np.linspace(0.5, 2, X.size)])
def test_the_input_is_the_one_before_noise_was_added(kind: Any, var: Any, tmp_path: Path) -> None:
    folder = randomised(kind, tmp_path / "c", var)
    report = sl.check(folder, input=X)
    assert report.valid and report.input_checked
    assert any("drawn again and the same" in note for note in report.notes)
    with pytest.raises(sl.InvalidCertificate, match="another input"):
        sl.check(folder, input=np.load(folder / "input_0.npy"))


@pytest.mark.parametrize("kind", [sl.Randomised, sl.Fission])
def test_another_original_is_refused(kind: Any, tmp_path: Path) -> None:
    folder = randomised(kind, tmp_path / "c")
    replaced(folder, "original_0.npy", np.load(folder / "original_0.npy") + 3)
    with pytest.raises(sl.InvalidCertificate, match="not the noise of the stated seed"):
        sl.check(folder)


def test_another_seed_is_refused(tmp_path: Path) -> None:
    folder = randomised(sl.Randomised, tmp_path / "c")
    document = json.loads((folder / "certificate.json").read_text())
    document["randomisation"]["seed"] = 4
    (folder / "certificate.json").write_text(json.dumps(document))
    with pytest.raises(sl.InvalidCertificate, match="stated seed"):
        sl.check(folder)


def test_a_full_covariance_is_not_drawn_again_and_the_report_says_so(tmp_path: Path) -> None:
    folder = randomised(sl.Fission, tmp_path / "c", np.eye(X.size) + 0.1)
    assert any("not checked" in note for note in sl.check(folder).notes)


def test_the_reference_is_compared_or_named(tmp_path: Path) -> None:
    other = np.asarray(X) * 0.5
    test = sl.load(convolutions(), sl.ReferenceMeanDiff(0.3))
    test.inference((X, other), 1.0).certificate.save(tmp_path / "c")
    assert any("reference was not compared" in note for note in sl.check(tmp_path / "c", input=X).notes)
    report = sl.check(tmp_path / "c", input=X, reference=other)
    assert not any("compared with" in note and "model" not in note for note in report.notes)
    with pytest.raises(sl.InvalidCertificate, match="another reference"):
        sl.check(tmp_path / "c", reference=other + 1)


def test_a_certificate_without_a_reference_is_about_none(tmp_path: Path) -> None:
    sl.load(convolutions(), sl.BackMeanDiff(0.3)).inference(X, 1.0).certificate.save(tmp_path / "c")
    with pytest.raises(sl.InvalidCertificate, match="no reference"):
        sl.check(tmp_path / "c", reference=X)


@pytest.mark.parametrize("kind", [sl.Randomised, sl.Fission])
def test_an_estimated_variance_and_added_noise_do_not_go_together(kind: Any) -> None:
    test = sl.load(convolutions(), sl.BackMeanDiff(0.3))
    with pytest.raises(sl.OptionError, match="known variance"):
        test.inference(X, 1.0, degrees_of_freedom=4, law="normal", randomisation=kind(1, seed=3))


def test_a_small_side_gets_its_bits() -> None:
    low, high = truncated_normal_p_value(stat=0, intervals=[(-1, "1e-80")], var=1)
    assert 0 < low <= high < 1e-79 and high < low * (1 + 1e-6)
    first, last = truncated_normal_log_p_value(stat=0, intervals=[(-1, "1e-80")], var=1)
    assert last - first < 1e-6
