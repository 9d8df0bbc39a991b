"""The ONNX standard's own node tests, counted: what the engine encloses and what the checker evaluates.

    python tests/conformance.py                     # all tests, by outcome, against the committed floor
    python tests/conformance.py --only Gelu Conv    # the tests that use these operators, with the reasons
    python tests/conformance.py --write             # raise the floor (it is never lowered)

A test passes in the engine if, at the test's input, the enclosure of every output contains what the standard
expects (within the test's tolerance) and is of rounding size; and if, on random segments through that input
with every floating-point input moving (or the first, where others must be constant), it contains ONNX's
reference evaluation at random points. It passes in the checker if its value at the test's input is the
expected one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from conformance_checker import checker_outcome  # noqa: E402
from conformance_moving import constant_inputs  # noqa: E402
from onnx import TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from symbolic.bounds import enclose  # noqa: E402
from symbolic.errors import ModelError, SurelineError  # noqa: E402

FLOOR = Path(__file__).with_name("conformance.json")
FLOATS = {
    getattr(TensorProto, name)
    for name in "FLOAT DOUBLE FLOAT16 BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ "
    "FLOAT8E8M0 FLOAT4E2M1".split()
}
NARROW = {"float16": 2.0**-9, "bfloat16": 2.0**-6}
REFERENCE_ERRS = {"LpNormalization"}
"""Its 1-norm adds the numbers up with their signs."""
RANDOM = {"Bernoulli", "RandomUniformLike", "RandomNormalLike"}
ON_A_TIE = dict.fromkeys(
    ("test_dynamicquantizelinear", "test_dynamicquantizelinear_expanded"),
    "-2.5 / (5 / 255) is the tie -127.5 in real numbers; the expected output is that of float32, beside it",
)
POINTS = 3
LARGE = 10_000
"""Elements of an input; of more, every one is a sample, and one point is enough (the reference is slow)."""
WIDTHS = (2.0**-16, 2.0**-4)


@dataclass(frozen=True)
class Case:
    """One node test of the standard."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, Any]
    expected: list[Any]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        """The operator types of its graph."""
        return {node.op_type for node in self.model.graph.node}

    @property
    def rounding(self) -> float:
        """The relative error of what is computed in the narrowest type of the inputs."""
        narrow = [NARROW.get(array.dtype.name, 0.0) for array in self.feeds.values()]
        return 4 * max(narrow, default=0.0)


@dataclass(frozen=True)
class Outcome:
    """What became of a test: "pass", "refused" or "wrong", and why."""

    name: str
    operators: tuple[str, ...]
    engine: str
    why: str
    checker: str
    checker_why: str


@cache
def cases() -> list[Case]:
    """Node tests of the default domain with a floating-point graph input."""
    return [
        case
        for case in all_cases()
        if any(i.type.tensor_type.elem_type in FLOATS for i in case.model.graph.input)
    ]


def all_cases() -> list[Case]:
    """Node tests of the default domain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnx.backend.test.case.node as case_node

        found = case_node.collect_testcases(None)
    kept = []
    for test in found:
        if test.model is None or any(n.domain not in ("", "ai.onnx") for n in test.model.graph.node):
            continue
        names = [item.name for item in test.model.graph.input]
        for inputs, outputs in test.data_sets:
            feeds = dict(zip(names, map(_array, inputs), strict=True))
            kept.append(
                Case(test.name, test.model, feeds, [_array(o) for o in outputs], test.rtol, test.atol)
            )
    return sorted(kept, key=lambda case: case.name)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _moves(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or not array.size or array.dtype.kind in "iubOUS":
        return False
    if "int" in array.dtype.name or array.dtype.itemsize == 1:  # of a few bits: no line runs through them
        return False
    return bool(np.isfinite(array.astype(np.float64)).all())


def engine_outcome(case: Case) -> tuple[str, str]:
    """Whether the engine passes a test, and why not."""
    if case.name in ON_A_TIE:
        return "refused", ON_A_TIE[case.name]
    if case.operators & RANDOM:
        return "refused", "random: what is drawn depends on the generator"
    for value in [*case.feeds.values(), *case.expected]:
        if not isinstance(value, np.ndarray):
            return "refused", "a sequence or an optional value, not a tensor"
        if value.dtype.kind in "OUS":
            return "refused", "strings"
    try:
        fault = _at_the_input(case) or ("" if case.operators & REFERENCE_ERRS else _on_segments(case))
    except (SurelineError, MemoryError) as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001  (a defect, to be counted and not to end the run)
        return "wrong", f"{type(error).__name__}: {error}"
    return ("wrong", fault) if fault else ("pass", "")


def _at_the_input(case: Case) -> str:
    found = enclose(case.model, case.feeds, seed=0)
    for (name, (lo, hi)), wanted in zip(found.items(), case.expected, strict=True):
        if lo.shape != wanted.shape:
            return f"{name} has shape {lo.shape}, not {wanted.shape}"
        if wanted.dtype.kind in "iub":
            if not ((lo == wanted) & (hi == wanted)).all():
                return f"{name} is not known at the input"
            continue
        exact = wanted.astype(np.float64)
        real = np.isfinite(exact)  # 1/0 denotes no real number: nothing to contain
        # what is expected was computed in the graph's types
        rounded = (2.0**-22 + case.rounding) * np.max(np.abs(exact[real]), initial=0.0)
        slack = case.atol + case.rtol * np.abs(exact) + rounded
        if not ((lo - slack <= exact) & (exact <= hi + slack) | ~real).all():
            return f"{name} misses the expected output"
        with np.errstate(invalid="ignore"):
            width = np.where(real, hi - lo, 0.0)
        scale = 1 + np.abs(np.where(real, exact, 0.0))
        if not (width <= 1e-9 * scale).all():
            return f"{name} is {np.nanmax(width):.2g} wide at the input"
    return ""


def _on_segments(case: Case) -> str:
    """All floating-point inputs move, or only the first, where others must not (weights, scales, places)."""
    moving = [name for name, array in case.feeds.items() if _moves(array)]
    try:
        return _on_lines(case, moving)
    except ModelError as error:
        if "must not depend" not in str(error) or len(moving) < 2:
            raise
    return _on_lines(case, moving[:1])


def _on_lines(case: Case, moving: list[str]) -> str:
    if not moving:
        return ""
    rng = np.random.default_rng(len(case.name))
    directions = {name: rng.normal(size=case.feeds[name].shape) for name in moving}
    try:
        reference = ReferenceEvaluator(case.model)
    except Exception:  # noqa: BLE001  (it does not have the operator)
        return ""
    points = 1 if max(array.size for array in case.feeds.values()) > LARGE else POINTS
    for width in WIDTHS:
        found = enclose(case.model, case.feeds, directions, 0, width, seed=0)
        for z in rng.uniform(0, width, points):
            point = {
                name: (array.astype(np.float64) + z * directions[name]).astype(array.dtype)
                if name in directions
                else array
                for name, array in case.feeds.items()
            }
            fault = _contains(case, reference, found, point)
            if fault:
                return fault
    return ""


def _contains(case: Case, reference: Any, found: dict[str, Any], point: dict[str, Any]) -> str:
    """The reference's inputs are rounded to the graph's types: what that moves is allowed for."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            values = reference.run(None, point)
    except Exception:  # noqa: BLE001  (the reference has gaps of its own)
        return ""
    for (name, (lo, hi)), value in zip(found.items(), values, strict=True):
        got = np.asarray(value)
        if got.shape != lo.shape:
            return f"{name} has shape {lo.shape} on a segment, the reference has {got.shape}"
        got = got.astype(np.float64)
        real = np.isfinite(got)
        size = np.max(np.abs(got[real]), initial=1.0)
        slack = 0.0 if np.asarray(value).dtype.kind in "iub" else (1e-5 + case.rounding) * size
        inside = (lo.astype(np.float64) - slack <= got) & (got <= hi.astype(np.float64) + slack)
        if not (inside | ~real).all():
            return f"{name} misses the reference evaluation on a segment"
    return ""


def outcome(index: int) -> Outcome:
    """Run one test, by its place in `cases()`."""
    case = cases()[index]
    warnings.simplefilter("ignore")
    engine, why = engine_outcome(case)
    on_a_tie = ("refused", ON_A_TIE[case.name]) if case.name in ON_A_TIE else None
    checker, checker_why = on_a_tie or checker_outcome(case)
    return Outcome(case.name, tuple(sorted(case.operators)), engine, why, checker, checker_why)


def run(indices: Iterable[int], processes: int) -> Iterator[Outcome]:
    """Run tests over several processes."""
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(outcome, indices, chunksize=16)


def report(outcomes: list[Outcome], verbose: bool) -> None:
    """Print the counts and what did not pass."""
    print(f"onnx {onnx.__version__}: {len(outcomes)} node tests with a floating-point input")
    for side in ("engine", "checker"):
        print(f"  {side}: {dict(Counter(getattr(o, side) for o in outcomes))}")
    for o in outcomes:
        if "wrong" in (o.engine, o.checker) or verbose and (o.engine, o.checker) != ("pass", "pass"):
            print(f"{o.name}: engine {o.engine} ({o.why[:200]}); checker {o.checker} ({o.checker_why[:200]})")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="operators, or names of tests")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="raise the committed floor")
    given = parser.parse_args()
    wanted = set(given.only or ())
    indices = [
        k for k, case in enumerate(cases()) if not wanted or wanted & case.operators or case.name in wanted
    ]
    outcomes = list(run(indices, given.processes))
    report(outcomes, bool(wanted))
    if wanted:
        return int(any("wrong" in (o.engine, o.checker) for o in outcomes))
    counts: dict[str, Any] = {
        "onnx": onnx.__version__,
        "tests": len(outcomes),
        "engine": sum(o.engine == "pass" for o in outcomes),
        "checker": sum(o.checker == "pass" for o in outcomes),
    }
    floor = json.loads(FLOOR.read_text()) if FLOOR.exists() else {"engine": 0, "checker": 0}
    lower = [side for side in ("engine", "checker") if counts[side] < floor[side]]
    if lower:
        print(f"fewer tests pass than the committed floor: {', '.join(f'{s} {floor[s]}' for s in lower)}")
        return 1
    if given.write:
        counts["operators"] = {
            name: [len(found), *(sum(getattr(o, s) == "pass" for o in found) for s in ("engine", "checker"))]
            for name in sorted(set().union(*(o.operators for o in outcomes)))
            if (found := [o for o in outcomes if name in o.operators])
        }
        counts["constant"] = constant_inputs(all_cases())
        FLOOR.write_text(json.dumps(counts, indent=2) + "\n")
    return int(any("wrong" in (o.engine, o.checker) for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
