"""Integer affine forms: every operation encloses the exact result, at all precisions and extreme values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.check.numbers.discrete import COMPARISONS, to_integer
from verifier.check.numbers.integers import EXACT, FAST, FINE, Arithmetic, Form
from verifier.check.numbers.limbs import joined, split
from verifier.check.numbers.products import Weights, linear
from verifier.check.numbers.relaxations import absolute, maximum, minimum, relu, select, tournament

PRECISIONS = (FAST, FINE, 128, EXACT)
BIG = 2**60 - 1
sizes = st.sampled_from([0, 1, 3, 2**20, 2**40, BIG])


@st.composite
def forms(draw: Any, count: int = 4) -> tuple[int | None, list[Form]]:
    """Forms of one shape, with small, large and extreme coefficients."""
    bits = draw(st.sampled_from(PRECISIONS))
    ar = Arithmetic(bits)
    shape, made = (draw(st.integers(1, 3)), draw(st.integers(1, 2))), []
    n = shape[0] * shape[1]
    for _ in range(count):
        parts = []
        for low in (True, True, False):
            top = draw(sizes)
            parts.append(
                np.array(
                    draw(st.lists(st.integers(-top if low else 0, top), min_size=n, max_size=n)), dtype=object
                ).reshape(shape)
            )
        made.append(Form(*(ar.integers(p) for p in parts), draw(st.integers(-70, 10))))
    return bits, made


def at(form: Form, index: tuple[int, ...], t: Fraction) -> tuple[Fraction, Fraction]:
    """The least and greatest value of an element at t."""
    index = tuple(k % n for k, n in zip(index, form.c.shape, strict=True))
    c, d, r = (int(a[index]) * Fraction(2) ** form.e for a in (form.c, form.d, form.r))
    return c + d * t - r, c + d * t + r


def assert_contains(form: Form, index: tuple[int, ...], t: Fraction, values: list[Fraction]) -> None:
    low, high = at(form, index, t)
    assert low <= min(values) and max(values) <= high
    if form.c.dtype == np.int64:
        assert form.size <= 2**60


OPERATIONS = {
    "add": (Arithmetic.add, lambda a, b: a + b),
    "subtract": (Arithmetic.subtract, lambda a, b: a - b),
    "multiply": (Arithmetic.multiply, lambda a, b: a * b),
    "maximum": (maximum, max),
    "minimum": (minimum, min),
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(data=forms(2), t=st.fractions(-1, 1))
def test_binary_operations(name: str, data: tuple[int | None, list[Form]], t: Fraction) -> None:
    bits, (a, b) = data
    ours, exact = OPERATIONS[name]
    out = ours(Arithmetic(bits), a, b)
    for index in np.ndindex(out.c.shape):
        assert_contains(out, index, t, [exact(x, y) for x in at(a, index, t) for y in at(b, index, t)])


@given(data=forms(1), t=st.fractions(-1, 1))
def test_unary_operations(data: tuple[int | None, list[Form]], t: Fraction) -> None:
    bits, (a,) = data
    ar = Arithmetic(bits)
    for out, exact in (
        (relu(ar, a), lambda v: max(v, Fraction(0))),
        (absolute(ar, a), abs),
        (ar.negative(a), lambda v: -v),
    ):
        for index in np.ndindex(out.c.shape):
            assert_contains(out, index, t, [exact(v) for v in at(a, index, t)])


@given(data=forms(2), t=st.fractions(-1, 1), known=st.sampled_from([(0, 0), (1, 1), (0, 1)]))
def test_select(data: tuple[int | None, list[Form]], t: Fraction, known: tuple[int, int]) -> None:
    bits, (a, b) = data
    lo, hi = (np.full(a.c.shape, k) for k in known)
    out = select(Arithmetic(bits), lo, hi, a, b)
    for index in np.ndindex(out.c.shape):
        chosen = [x for x, used in ((a, known[1]), (b, not known[0])) if used]
        assert_contains(out, index, t, [v for x in chosen for v in at(x, index, t)])


@given(data=forms(1), t=st.fractions(-1, 1))
def test_tournament(data: tuple[int | None, list[Form]], t: Fraction) -> None:
    bits, (a,) = data
    out = tournament(Arithmetic(bits), a)
    for cell in range(a.c.shape[1]):
        ends = [at(a, (k, cell), t) for k in range(len(a.c))]
        assert_contains(out, (cell,), t, [max(low for low, _ in ends), max(high for _, high in ends)])


@given(
    data=forms(2),
    t=st.fractions(-1, 1).filter(lambda t: abs(t) < 1),
    name=st.sampled_from(sorted(COMPARISONS)),
)
def test_comparisons_hold_on_the_open_cell(
    data: tuple[int | None, list[Form]], t: Fraction, name: str
) -> None:
    bits, (a, b) = data
    truth = {
        "Greater": lambda x, y: x > y,
        "GreaterOrEqual": lambda x, y: x >= y,
        "Less": lambda x, y: x < y,
        "LessOrEqual": lambda x, y: x <= y,
        "Equal": lambda x, y: x == y,
    }[name]
    out = COMPARISONS[name](Arithmetic(bits), a, b)
    for index in np.ndindex(out.lo.shape):
        values = {truth(x, y) for x in at(a, index, t) for y in at(b, index, t)}
        assert int(out.lo[index]) <= min(values) and max(values) <= int(out.hi[index])


def test_zero_is_not_greater_than_zero_and_a_touching_end_is_decided() -> None:
    ar = Arithmetic(EXACT)
    zero = ar.form(np.zeros((1, 1), dtype=object), 0)
    rising = ar.form(np.array([[1]], dtype=object), 0, np.array([[1]], dtype=object))  # 1 + t: 0 at t = -1
    assert COMPARISONS["Greater"](ar, zero, zero).hi[0, 0] == 0
    assert COMPARISONS["Greater"](ar, rising, zero).lo[0, 0] == 1
    assert COMPARISONS["GreaterOrEqual"](ar, zero, zero).lo[0, 0] == 1


@given(
    bits=st.sampled_from(PRECISIONS),
    inner=st.sampled_from([1, 2, 9, 40, 700]),
    seed=st.integers(0, 10**6),
    extreme=st.booleans(),
    kind=st.sampled_from(["float32", "float64", "integers", "third"]),
)
def test_linear_maps(bits: int | None, inner: int, seed: int, extreme: bool, kind: str) -> None:
    rng = np.random.default_rng(seed)
    ar = Arithmetic(bits)
    stored: Any = rng.normal(size=(2, 2, inner)) * (
        2.0 ** rng.integers(-40, 40, size=(2, 2, inner)) if extreme else 1
    )
    stored = {
        "float32": stored.astype(np.float32),
        "float64": stored,
        "integers": np.rint(stored * 4).clip(-9e15, 9e15),
        "third": np.array(
            [Fraction(int(v), 3) for v in rng.integers(-9, 9, stored.size)], dtype=object
        ).reshape(stored.shape),
    }[kind]
    n, cells = inner + 2, 2
    tops = [int(rng.choice([0, 1, 2**30, BIG])) for _ in range(3)]
    c, d, r = (
        [int(v) if not extreme else int(np.sign(v)) * top for v in rng.integers(-top, top + 1, n * cells)]
        for top in tops
    )
    shaped = [ar.integers(np.array(a, dtype=object).reshape(n, cells)) for a in (c, d, [abs(v) for v in r])]
    x, index = Form(*shaped, -17), rng.integers(0, n + 1, (2, inner, 3))
    out = linear(ar, Weights.of(ar, ar.constant(stored)), x, index)
    t = Fraction(int(rng.integers(-64, 65)), 64)
    padded = [np.concatenate([np.array(a, dtype=object), np.zeros((1, cells), dtype=object)]) for a in shaped]
    for g, o, k, cell in np.ndindex(2, 2, 3, cells):
        weights = [Fraction(v) for v in stored[g, o].tolist()]
        pc, pd, pr = (
            sum(
                (
                    (abs(w) if which == 2 else w) * int(padded[which][index[g, i, k], cell])
                    for i, w in enumerate(weights)
                ),
                Fraction(0),
            )
            / 2**17
            for which in range(3)
        )
        assert_contains(out, (g, o, k, cell), t, [pc + pd * t - pr, pc + pd * t + pr])
        if bits is EXACT and kind != "third" and not any(tops[2:]):
            assert at(out, (g, o, k, cell), t) == (pc + pd * t,) * 2


@pytest.mark.parametrize("bits", PRECISIONS)
@given(stored=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_constants_are_what_they_are(bits: int | None, stored: list[float]) -> None:
    form = Arithmetic(bits).constant(np.array(stored))
    for k, v in enumerate(stored):
        assert_contains(form, (k, 0), Fraction(0), [Fraction(v)])


@given(
    numerator=st.integers(-(10**9), 10**9), denominator=st.integers(1, 1000), bits=st.sampled_from(PRECISIONS)
)
def test_truncation(numerator: int, denominator: int, bits: int | None) -> None:
    value = Fraction(numerator, denominator)
    ar = Arithmetic(bits)
    out = to_integer(ar, ar.constant(np.array(value, dtype=object)), truncate=True)
    assert int(out.lo[0]) <= int(value) <= int(out.hi[0]) and int(out.hi[0]) - int(out.lo[0]) <= 1


def test_a_great_radius_or_weight_leaves_small_ones_alone() -> None:
    ar = Arithmetic(256)
    zeros = np.zeros((3, 1), dtype=object)
    x = Form(zeros, zeros, np.array([[1 << 120], [1], [3 << 60]], dtype=object), -100)
    weights = Weights.of(ar, ar.constant(np.array([[[2.0**60, 2.0**-20, 1.0]]])))
    radius = linear(ar, weights, x, np.array([[[0, 3, 3], [3, 1, 3], [3, 3, 2]]]))
    found = [Fraction(int(r)) * Fraction(2) ** (radius.e + 100) for r in radius.r[0, 0, :, 0]]
    exact = [2**180, Fraction(1, 2**20), 3 << 60]
    assert all(a <= b <= a * (1 + Fraction(1, 2**10)) for a, b in zip(exact, found, strict=True))


@given(
    numbers=st.lists(st.one_of(st.integers(-(2**70), 2**70), st.integers(-(2**900), 2**900)), max_size=6),
    extreme=st.sampled_from([0, 1, 2**23, 2**24, 2**47, 2**895, 2**896]),
    width=st.sampled_from([8, 16, 24, 27, 48]),
)
def test_limbs_are_small_and_give_the_number_again(numbers: list[int], extreme: int, width: int) -> None:
    whole = np.array([*numbers, extreme, -extreme, 1 - extreme, extreme - 1], dtype=object).reshape(-1, 1)
    limbs = split(whole, width)
    assert all(np.abs(limb).max() <= 2 ** (width - 1) for limb in limbs)
    back = sum(
        (limb.astype(np.int64).astype(object) << (width * i) for i, limb in enumerate(limbs)), 0 * whole
    )
    assert (back == whole).all()
    if width % 8 == 0:
        assert (joined(limbs, width) == whole).all()


@given(
    width=st.sampled_from([8, 24, 48]),
    limbs=st.lists(
        st.lists(
            st.one_of(st.integers(-(2**53), 2**53), st.sampled_from([2**53, -(2**53)])),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=9,
    ),
)
def test_sums_of_products_are_joined(width: int, limbs: list[tuple[int, ...]]) -> None:
    found = joined([np.array(limb, dtype=np.float64) for limb in limbs], width)
    exact = [sum(limb[k] << (width * i) for i, limb in enumerate(limbs)) for k in range(3)]
    assert found.tolist() == exact and all(type(v) is int for v in found)
