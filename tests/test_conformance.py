"""The ONNX standard's node tests: enclosures at the point of the test contain what the standard expects."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import twin
from enclosure_checks import contradictions, tau_of
from node_tests import NodeTest, node_tests

from symbolic.enclosures.values import Const, Range, Value
from symbolic.errors import ModelError
from symbolic.network import Line, Network

# What the engine refuses, in a sentence that names the reason.
REFUSED = (
    "training mode",
    "Cast to",
    "float16",
    "powers of integers",
    "with a scale that gives no whole size",  # the standard's text and ONNX Runtime differ
    "into an output shape other than",  # the same
    "the shape of its result depends on its input",
    "its depth must not depend",  # a real one, the only real input of the test
    "its parameters must not depend",  # MelWeightMatrix: likewise
)


def moving_input(test: NodeTest) -> str | None:
    """The first input of real numbers."""
    return next((name for name, value in test.feeds.items() if value.dtype.kind == "f" and value.size), None)


def is_real(test: NodeTest) -> bool:
    """All inputs are numbers."""
    return all(value.dtype.kind != "f" or np.isfinite(value).all() for value in test.feeds.values())


TESTS = [t for t in node_tests() if moving_input(t) and is_real(t) and t.size < 50_000]


def enclosed(test: NodeTest, width: float) -> dict[str, Value]:
    """The engine's view of the outputs on [0, width] of a line through the test's input."""
    name = moving_input(test)
    assert name is not None
    start = test.feeds[name]
    outputs = [item.name for item in test.model.graph.output]
    network = Network(test.model, test.feeds, name, outputs)
    direction = [Fraction(k % 3 - 1) for k in range(start.size)]
    line = Line.of(list(twin.exact_array(start).reshape(-1)), direction, start.shape)
    values = network.enclose(line, [(0.0, width)])
    return {output: values[output] for output in outputs}


def bounds(value: Value) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(value, Const):
        radius = 0.0 if value.radius is None else value.radius
        centre = value.value.astype(np.float64)
        return centre - radius, centre + radius
    if isinstance(value, Range):
        return value.lo[0].astype(np.float64), value.hi[0].astype(np.float64)
    return tuple(side[0] for side in value.bounds())  # type: ignore[return-value]


def test_there_are_tests() -> None:
    assert len(TESTS) >= 330


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.name)
def test_standard(test: NodeTest) -> None:
    try:
        values = enclosed(test, 0.0)
    except ModelError as error:
        if any(reason in str(error) for reason in REFUSED):
            pytest.skip(str(error))
        raise
    exact = twin.evaluate(test.model, test.feeds)
    for (name, value), expected in zip(values.items(), test.expected, strict=True):
        assert value.shape == expected.shape
        lo, hi = bounds(value)
        wanted = expected.astype(np.float64)
        slack = test.atol + test.rtol * np.abs(wanted)
        if "DFT" in test.operators:  # float32 transforms err by the size of the whole, not of each entry
            slack = slack + 2.0**-23 * np.abs(wanted).max(initial=0.0)
        real = np.isfinite(wanted)  # 1/0 denotes no real number: nothing to contain
        assert np.all((lo - slack <= wanted) | ~real)
        assert np.all((wanted <= hi + slack) | ~real)
        unknown = np.array([v is twin.UNKNOWN for v in exact[name].reshape(-1)], dtype=bool).reshape(
            wanted.shape
        )
        with np.errstate(all="ignore"):
            narrow = hi - lo <= 1e-6 * (1 + np.abs(wanted))
        if not isinstance(value, Range) and not test.operators & {"Sign", "Cast"}:  # these may sit on a step
            assert np.all(narrow | ~real | unknown), "worth having"
    assert not list(contradictions(values, exact, 0, Fraction(0)))


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.name)
def test_standard_on_a_segment(test: NodeTest) -> None:
    """The same node on a segment of the line: it contains the twin's value at a point inside."""
    if test.size > 3000:
        pytest.skip("the twin is slow")
    try:
        values = enclosed(test, 0.125)
    except ModelError as error:
        if any(reason in str(error) for reason in REFUSED):
            pytest.skip(str(error))
        raise
    name = moving_input(test)
    start = twin.exact_array(test.feeds[name])
    direction = np.array([Fraction(k % 3 - 1) for k in range(start.size)], dtype=object).reshape(start.shape)
    for t in (Fraction(1, 24), Fraction(1, 10)):
        exact = twin.evaluate(test.model, {**test.feeds, name: start + direction * t})
        assert not list(contradictions(values, exact, 0, tau_of((0.0, 0.125), t)))
