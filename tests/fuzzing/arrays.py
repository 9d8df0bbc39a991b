"""Arrays as nobody would give them, for `fuzz.py`: in files, and in memory."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import sureline as sl
from fuzzing.mutations import mutated_npy, pick
from fuzzing.sources import Base, nets
from fuzzing.steps import Outcome, Step, run_step
from sureline.cli import main

__all__ = ["array_case"]

QUICK = {"precision": 1e-2, "max_iter": 10}
SCALARS = [None, "abc", "1/3", "0.1", float("nan"), float("inf"), -1, 0, 10**400, True, 1j, b"1"]
SCALARS += [Decimal("0.1"), Fraction(1, 3), object(), [], {}, {1, 2}, [[1, 2], [3]], np.datetime64("2020")]
SCALARS += [5e-324, 1e308, -1e308]


def _in_memory(array: np.ndarray, rng: np.random.Generator) -> Any:
    """An array as nobody would give it."""
    flat = array.astype(np.float64)
    flat.reshape(-1)[rng.integers(flat.size)] = pick(
        rng, [np.nan, np.inf, 5e-324, 1.7e308, -0.0, 3e-39, 2.0**53 + 2]
    )
    dtypes = [
        "f2",
        "f4",
        "f8",
        "g",
        "i1",
        "i8",
        "u8",
        "?",
        "O",
        "c16",
        "U9",
        "S3",
        "M8[s]",
        "m8[s]",
        ">f8",
        "V8",
    ]
    makes: list[Callable[[], Any]] = [
        lambda: flat,
        lambda: pick(rng, SCALARS),
        lambda: np.array(pick(rng, SCALARS), dtype=object),
        lambda: np.array([[pick(rng, SCALARS) for _ in range(array.size)]], dtype=object),
        lambda: array.astype(pick(rng, dtypes)),
        lambda: np.zeros(array.shape, pick(rng, dtypes)),
        lambda: array[..., ::-1],
        lambda: array.reshape(-1),
        lambda: array[..., :-1],
        lambda: array[None],
        lambda: np.broadcast_to(array, (3, *array.shape)),
        lambda: np.ma.masked_array(array, mask=array > 0),
        lambda: np.broadcast_to(np.float64(1), (2**20, 2**20)),
        lambda: np.zeros((0, *array.shape[1:])),
        lambda: array.tolist(),
        lambda: np.zeros(array.shape, [("a", "f8")]),
        lambda: (array, array),
        lambda: {"x": array, 3: array},
        lambda: memoryview(np.ascontiguousarray(array)),
        lambda: np.eye(array.size) * pick(rng, [1, 0, -1, 1e-300, 1e300, np.nan]),
    ]
    return pick(rng, makes)()


def array_case(rng: np.random.Generator, folder: Path) -> Outcome:
    base = nets()[0] if rng.random() < 0.6 else pick(rng, nets()[:3])
    x = next(iter(base.feeds.values()))
    if rng.random() < 0.5:
        return Outcome([_array_file(base, x, rng, folder)])
    bad, role = _in_memory(x, rng), int(rng.integers(8))
    model, hypothesis = base.model, sl.BackMeanDiff(threshold=0.1)
    halves = lambda chosen: bad  # noqa: E731
    uses: list[Callable[[], Any]] = [
        lambda: sl.load(model, hypothesis).inference(bad, 1, **QUICK),
        lambda: sl.load(model, hypothesis).inference(x, bad, **QUICK),
        lambda: sl.load(model, hypothesis).inference(x, 1, bad, **QUICK),
        lambda: sl.load(model, sl.ReferenceMeanDiff(threshold=0)).inference((x, bad), 1, **QUICK),
        lambda: sl.enclose(model, bad),
        lambda: sl.enclose(model, x, bad, 0, 1),
        lambda: sl.load(model, sl.BackMeanDiff(threshold=pick(rng, SCALARS))).inference(
            x, 1, precision=pick(rng, [1e-2, *SCALARS]), null_value=pick(rng, [0, *SCALARS]), max_iter=40
        ),
        lambda: sl.enclose(model, x, x, pick(rng, SCALARS), pick(rng, SCALARS)),
        lambda: sl.load(model, sl.Selection(output="y", eta=halves)).inference(x, 1, **QUICK),
    ]
    return Outcome([run_step(uses[role], f"array {role}")])


def _array_file(base: Base, x: np.ndarray, rng: np.random.Generator, folder: Path) -> Step:
    """Through the command line."""
    onnx.save(base.model, folder / "model.onnx")
    sound, bad = folder / "sound.npy", folder / pick(rng, ["bad.npy", "bad.npy", "bad.npz"])
    np.save(sound, x)
    bad.write_bytes(mutated_npy(x, rng))
    role = pick(rng, ["input", "var", "mask", "reference"])
    words = [
        "audit",
        str(folder / "model.onnx"),
        str(bad if role == "input" else sound),
        "--threshold",
        "0.1",
    ]
    words += ["--precision", "0.01", "--var", str(bad) if role == "var" else "1"]
    words += ["--mask", str(bad)] if role == "mask" else []
    words += ["--hypothesis", "reference", "--reference", str(bad)] if role == "reference" else []
    return run_step(lambda: main(words), f"file as {role}")
