"""The checker's smooth functions: enclosures in balls, their domains, and the signs of their curvature."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import twin
from flint import arb, arb_series, ctx
from onnx import helper
from twin.call import Call

from symbolic.operators.activations import GELU, GELU_TANH, MISH, SWISH
from verifier.check.errors import Undecided
from verifier.check.numbers.integers import EXACT, FAST, FINE, Arithmetic, Form
from verifier.check.numbers.smooth import FUNCTIONS, smooth
from verifier.check.numbers.smooth_branches import Function
from verifier.check.numbers.smooth_hills import GELUS, swish
from verifier.check.numbers.smooth_power import power
from verifier.check.operators.smooth import _exponential_unit

PRECISIONS = (FAST, FINE, 128, EXACT)
TANH = {"approximate": "tanh"}
# the twin's operator with its attributes (or an exponent), the checker's function, and where to look
CASES: dict[str, tuple[str, dict[str, object], Function, tuple[float, float]]] = {
    **{name: (name, {}, rule, (-4.0, 4.0)) for name, rule in FUNCTIONS.items()},
    **{name: (name, {}, FUNCTIONS[name], (0.75, 4.0)) for name in ("Log", "Sqrt", "Reciprocal")},
    **{name: (name, {}, FUNCTIONS[name], (-0.4, 0.4)) for name in ("Asin", "Acos", "Atanh", "Tan")},
    "Tan elsewhere": ("Tan", {}, FUNCTIONS["Tan"], (101.0, 101.5)),  # 32 pi is 100.5
    "Acosh": ("Acosh", {}, FUNCTIONS["Acosh"], (1.75, 4.0)),
    "Gelu": ("Gelu", {}, GELUS["none"], (-4.0, 4.0)),
    "Gelu tanh": ("Gelu", TANH, GELUS["tanh"], (-4.0, 4.0)),
    "Swish": ("Swish", {"alpha": 1.75}, swish(1.75), (-4.0, 4.0)),
    "Swish upside down": ("Swish", {"alpha": -0.5}, swish(-0.5), (-9.0, 9.0)),
    "Elu": ("Elu", {"alpha": 2.0}, _exponential_unit(2.0, 1.0, 1.0), (-4.0, 4.0)),
    "Elu upside down": ("Elu", {"alpha": -0.5}, _exponential_unit(-0.5, 1.0, 1.0), (-4.0, 4.0)),
    "Celu": ("Celu", {"alpha": 0.5}, _exponential_unit(0.5, 0.5, 1.0), (-4.0, 4.0)),
    "Celu upside down": ("Celu", {"alpha": -2.0}, _exponential_unit(-2.0, -2.0, 1.0), (-4.0, 4.0)),
    "Selu": ("Selu", {"alpha": 1.5, "gamma": -2.0}, _exponential_unit(-3.0, 1.0, -2.0), (-4.0, 4.0)),
    **{f"Pow {p}": ("Pow", {"p": p}, power(Fraction(p)), (-4.0, 4.0)) for p in (2, 3, 4, 7)},
    **{f"Pow {p}": ("Pow", {"p": p}, power(Fraction(p)), (0.75, 4.0)) for p in (-1, -2, -3, 0.5, 1.5, -2.5)},
    **{f"Pow {p} below": ("Pow", {"p": p}, power(Fraction(p)), (-4.0, -0.75)) for p in (-2, -3)},
}


def exact(name: str, x: Fraction) -> object:
    """The twin's value."""
    op, attributes, _, _ = CASES[name]
    inputs = [twin.exact_array(np.array(x, dtype=object))]
    if op == "Pow":
        inputs.append(twin.exact_array(np.array(Fraction(attributes["p"]), dtype=object)))
        attributes = {}
    return twin.OPERATORS[op](Call(helper.make_node(op, ["x"], ["y"], **attributes), inputs, 24))[0][()]


def form_of(ar: Arithmetic, middles: np.ndarray, halves: np.ndarray) -> Form:
    """One cell with these elements, in units of 2**-120."""
    c, d = (np.array([[int(Fraction(v) * 2**120)] for v in a], dtype=object) for a in (middles, halves))
    return ar.form(c, -120, d)


def at(form: Form, k: int, t: Fraction) -> tuple[Fraction, Fraction]:
    c, d, r = (int(a[k, 0]) * Fraction(2) ** form.e for a in (form.c, form.d, form.r))
    return c + d * t - r, c + d * t + r


def radius(form: Form) -> float:
    return float(max(int(r) for r in form.r.flat) * Fraction(2) ** form.e)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bits", PRECISIONS)
def test_contains(name: str, bits: int | None) -> None:
    rng = np.random.default_rng(len(name))
    ar, (_, _, rule, (low, high)) = Arithmetic(bits), CASES[name]
    for scale in (0.0, 1.0, 2.0**-6, 2.0**-30):
        middles = rng.uniform(low, high, size=6)
        middles[0] = 0.0 if low < 0 < high else middles[0]
        halves = rng.uniform(0.25, 0.5, size=6) * scale
        out = smooth(ar, rule, form_of(ar, middles, halves))
        for k in range(6):
            for t in (Fraction(-1), Fraction(-1, 3), Fraction(0), Fraction(7, 8), Fraction(1)):
                lo, hi = twin.bounds(exact(name, Fraction(middles[k]) + Fraction(halves[k]) * t))
                below, above = at(out, k, t)
                assert below <= hi and lo <= above
        if not scale:
            size = max(1, *(abs(int(c)) for c in out.c.flat)) * 2.0**out.e
            assert radius(out) <= max(size, 1) * 2.0**-50


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bits", PRECISIONS)
def test_halving_quarters_the_radius(name: str, bits: int | None) -> None:
    ar, (_, _, rule, (low, high)) = Arithmetic(bits), CASES[name]
    middles = np.linspace(low, high, 8) * 0.9 + (low + high) * 0.05
    widths = [radius(smooth(ar, rule, form_of(ar, middles, np.full(8, 2.0**-k)))) for k in (6, 7)]
    assert 2.5 < widths[0] / widths[1] < 6


@pytest.mark.parametrize("bits", PRECISIONS)
@pytest.mark.parametrize(
    "name", ["Erf", "Tanh", "Sigmoid", "Softsign", "Atan", "Softplus", "Mish", "Sin", "Cos"]
)
def test_far_out(name: str, bits: int | None) -> None:
    """Alone in a tensor, an element may be as large as it likes."""
    ar = Arithmetic(bits)
    for x in (1e3, -1e3, 2.0**60, -(2.0**200), 1e300, -1e300):
        out = smooth(ar, FUNCTIONS[name], ar.constant(np.array([x])))
        value = exact(name, Fraction(x))
        lo, hi = twin.bounds(value) if value is not twin.UNKNOWN else (Fraction(0), Fraction(0))
        below, above = at(out, 0, Fraction(0))
        assert below <= hi and lo <= above
        assert above - below <= max(1, abs(lo)) * Fraction(1, 2**40)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("Asin", [-1, 1], [1 + 2.0**-40, -1.5]),
        ("Acos", [-1, 1], [1 + 2.0**-40, -1.5]),
        ("Atanh", [1 - 2.0**-40], [1, -1, 3]),
        ("Acosh", [1], [1 - 2.0**-40, 0, -2]),
        ("Sqrt", [0], [-(2.0**-40)]),
        ("Log", [2.0**-40], [0, -1]),
        ("Reciprocal", [2.0**-40, -2], [0]),
        ("Exp", [-1e5, 1e4], [1e5]),
        ("Sinh", [1e4], [-1e5]),
    ],
)
def test_edges(name: str, inside: list[float], outside: list[float]) -> None:
    for bits in PRECISIONS:
        ar = Arithmetic(bits)
        for x in inside:
            value = smooth(ar, name, ar.constant(np.array([float(x)])))
            lo, hi = twin.bounds(exact(name, Fraction(x))) if name not in ("Exp", "Sinh") else (None, None)
            if lo is not None:
                below, above = at(value, 0, Fraction(0))
                assert below <= hi and lo <= above
        for x in outside:
            with pytest.raises(Undecided):
                smooth(ar, name, ar.constant(np.array([float(x)])))


@pytest.mark.parametrize("name", ["Asin", "Acos", "Sqrt", "Acosh", "Pow 0.5"])
def test_cells_that_end_at_an_edge(name: str) -> None:
    rule = CASES[name][2]
    edges = {"Asin": (1, -1), "Acos": (1, -1), "Acosh": (1,)}.get(name, (0,))
    for bits in PRECISIONS:
        ar = Arithmetic(bits)
        for edge in edges:
            inward = -1 if (name in ("Asin", "Acos") and edge > 0) else 1
            for half in (0.25, 2.0**-20, 2.0**-40):
                form = form_of(ar, np.array([edge + inward * half]), np.array([half]))
                out = smooth(ar, rule, form)
                for t in (Fraction(-1), Fraction(-99, 100), Fraction(0), Fraction(1)):
                    lo, hi = twin.bounds(exact(name, Fraction(edge + inward * half) + Fraction(half) * t))
                    below, above = at(out, 0, t)
                    assert below <= hi and lo <= above
                assert radius(out) <= 2 * half**0.5


def test_poles_of_tan() -> None:
    ar = Arithmetic(128)
    for k in (0, 1, -7, 10**6):
        pole = float((arb(k) + arb(0.5)) * arb.pi())
        for half in (0.0, 2.0**-30):
            near = form_of(ar, np.array([pole - 2.0**-10, pole + 2.0**-10]), np.full(2, half))
            out = smooth(ar, "Tan", near)
            lo, hi = twin.bounds(exact("Tan", Fraction(pole - 2.0**-10)))
            assert at(out, 0, Fraction(0))[0] <= hi and lo <= at(out, 0, Fraction(0))[1]
        with pytest.raises(Undecided):
            smooth(ar, "Tan", form_of(ar, np.array([pole]), np.array([2.0**-20])))


def test_only_the_bad_cell_is_undecided() -> None:
    ar = Arithmetic(FAST)
    cells = ar.constant(np.array([1.0]))
    both = Form(
        np.array([[cells.c[0, 0], -cells.c[0, 0]]]), *(np.zeros((1, 2), dtype=np.int64),) * 2, cells.e
    )
    with pytest.raises(Undecided) as caught:
        smooth(ar, "Log", both)
    assert caught.value.cells == [1]


# --- the signs of the curvature ---


def _logistic(v: arb_series) -> arb_series:
    return 1 / (1 + (-v).exp())


def _gelu(v: arb_series) -> arb_series:
    return v * (v * (arb(-1) / arb(2).sqrt())).erfc() / 2


def _gelu_tanh(v: arb_series) -> arb_series:
    return v * _logistic((8 / arb.pi()).sqrt() * (v + v * v * v * (arb(44715) / 1000000)))


def _mish(v: arb_series) -> arb_series:
    """tanh(log(d)) = 1 - 2 / (d**2 + 1)."""
    d = 1 + v.exp()
    return v * (1 - 2 / (d * d + 1))


def _swish(v: arb_series) -> arb_series:
    return v * _logistic(v)


HILLS = {
    "Gelu": (_gelu, 12, GELUS["none"], GELU),
    "Gelu tanh": (_gelu_tanh, 6, GELUS["tanh"], GELU_TANH),
    "Mish": (_mish, 30, FUNCTIONS["Mish"], MISH),
    "Swish": (_swish, 30, swish(1.0), SWISH),
}


def second_derivative(f: Callable[[arb_series], arb_series], v: arb) -> tuple[arb, arb]:
    """Half the second derivative on a ball, by the mean value theorem, and a sixth of the third."""
    third = f(arb_series([v, 1], prec=4)).coeffs()[3]
    middle = f(arb_series([v.mid(), 1], prec=3)).coeffs()[2]
    return middle + 3 * third * (v - v.mid()), third


@pytest.mark.parametrize("name", HILLS)
def test_signs_of_the_second_derivatives(name: str) -> None:
    """Concave, convex, concave, with the inflections where engine and checker have them.

    Further out the second derivative is exp(-g(v)) times a polynomial whose leading term decides, but for
    exponentially small terms.
    """
    f, farthest, checker, engine = HILLS[name]
    with ctx.workprec(100):
        cuts = [cut() for cut in checker.cuts]
        windows = [cut.mid() + arb("0 +/- 0.0625") for cut in cuts]
        for k in range(-farthest * 512, farthest * 512):
            ball = arb(k / 512).union(arb((k + 1) / 512))
            second, third = second_derivative(f, ball)
            near = [k for k, window in enumerate(windows) if ball.overlaps(window)]
            if near:  # the second derivative is monotone
                assert third < 0 if near[0] else third > 0
            else:
                assert second > 0 if windows[0] < ball < windows[1] else second < 0
        for cut, piece in zip(cuts, engine.pieces, strict=False):
            edge = arb(float(piece.end))
            before, after = (second_derivative(f, edge + side * arb(2) ** -51)[0] for side in (-1, 1))
            assert before * after < 0  # so the only root of the window is within 2**-51 of the engine's cut
            assert abs(cut - edge) < arb(2) ** -51
            assert abs(second_derivative(f, edge.union(cut))[1] * 6) < 4
