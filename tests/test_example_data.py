"""The parts of the examples that need no download: cutting, shrinking, and the network as it is written."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def module(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file of an example under a name of its own: every example has a data.py."""
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", EXAMPLES / folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_beats_are_cut_at_the_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    data = module("arterial_pressure", "data", monkeypatch)
    beat = np.concatenate([np.linspace(60, 100, 40), np.linspace(100, 60, 150)])
    firsts, found = data.cut(np.tile(beat, 5))
    assert np.diff(firsts).tolist() == [190] * (len(firsts) - 1) and len(firsts) >= 3
    assert found.shape == (len(firsts), data.BLOCKS)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape))
    whole = np.tile(beat, 5)
    assert all(whole[f + data.BEFORE - 1] < data.RISE <= whole[f + data.BEFORE] for f in firsts)
    assert found[0][0] == pytest.approx(whole[firsts[0] : firsts[0] + data.SAMPLES].mean())


def test_a_window_has_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    data = module("arterial_pressure", "data", monkeypatch)
    for place in range(data.BLOCKS - data.WIDTH + 1):
        assert np.flatnonzero(data.window(place)).tolist() == list(range(place, place + data.WIDTH))


def test_images_shrink_to_block_means(monkeypatch: pytest.MonkeyPatch) -> None:
    data = module("solar_cells", "data", monkeypatch)
    image = np.arange(300 * 300, dtype=np.uint32).reshape(300, 300)
    small = data.shrink(image)
    assert small.shape == (data.SIDE, data.SIDE)
    assert small[1, 2] == image[15:30, 30:45].mean()


def test_dense_network_is_written_as_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = module("example_tools", "dense", monkeypatch)
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(5, 7)), rng.normal(size=7)), (rng.normal(size=(7, 4)), rng.normal(size=4))]
    path = tmp_path / "model.onnx"
    dense.save_dense(path, layers, output="score", place="place")
    x = rng.normal(size=(1, 5)).astype(np.float32)
    expected = np.maximum(x @ layers[0][0] + layers[0][1], 0) @ layers[1][0] + layers[1][1]
    score, place = onnxruntime.InferenceSession(path).run(None, {"x": x})
    np.testing.assert_allclose(score, expected, rtol=1e-5)
    assert place.item() == expected.argmax()
