"""The bounds that `enclosures/rounding.py` states for NumPy's and SciPy's functions, against python-flint.

An error of more than a sixteenth of what is allowed fails (a quarter in the tails of the sigmoids, where the
error is that of the argument): the rest is room for other processors and libraries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flint import arb, ctx
from scipy import special

from symbolic.enclosures.rounding import ELEMENTARY, FLUSHED
from symbolic.operators.activations import SQRT_HALF, TAIL, _gelu_tanh, _mish, _sigmoid

COUNT = 12_000
LAST = 1.0 - 2.0**-53
LOWEST = 5e-324

Function = Callable[[np.ndarray], np.ndarray]


def points(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Uniform ones, others of every order of magnitude, subnormal ones, the ends and their neighbours."""
    uniform = rng.uniform(max(low, -1e300), min(high, 1e300), COUNT // 3)
    small = rng.choice([-1, 1], COUNT // 3) * 2.0 ** rng.uniform(-40, 12, COUNT // 3)
    any_size = rng.choice([-1, 1], COUNT // 3) * 2.0 ** rng.uniform(-1074, 1023, COUNT // 3)
    near = [np.nextafter(end, 0) for end in (low, high)]
    x = np.concatenate([uniform, small, any_size, [low, high, *near, LOWEST, -LOWEST, 2.0**-1022, 0.0]])
    return x[(x >= low) & (x <= high) & np.isfinite(x)]


def worst(f: Function, exact: Callable[[arb], arb], x: np.ndarray, absolute: float = FLUSHED) -> float:
    """The largest relative error, after an absolute one."""
    with np.errstate(all="ignore"):
        values = f(x)
    found = 0.0
    with ctx.workprec(160):
        for at, value in zip(x.tolist(), values.tolist(), strict=True):
            wanted = exact(arb(at))
            if not np.isfinite(value):
                assert abs(wanted) > arb(2) ** 1023, at  # an overflow, which reads as unknown
                continue
            error = abs(arb(value) - wanted).upper() - arb(absolute)
            if error > 0:
                assert not wanted.contains(0), at
                found = max(found, float((error / abs(wanted)).upper()))
    return found


NUMPY: dict[str, tuple[Function, Callable[[arb], arb], float, float]] = {
    "exp": (np.exp, arb.exp, -800.0, 709.7),
    "expm1": (np.expm1, arb.expm1, -800.0, 709.7),
    "log": (np.log, arb.log, LOWEST, np.finfo(float).max),
    "logaddexp": (lambda v: np.logaddexp(0.0, v), lambda v: v.exp().log1p(), -800.0, 1e4),
    "sin": (np.sin, arb.sin, -3.1, 3.1),
    "tan": (np.tan, arb.tan, -1.5707963267948966, 1.5707963267948966),
    "arcsin": (np.arcsin, arb.asin, -1.0, 1.0),
    "arccos": (np.arccos, arb.acos, -1.0, 1.0),
    "arctan": (np.arctan, arb.atan, -np.inf, np.inf),
    "sinh": (np.sinh, arb.sinh, -710.0, 710.0),
    "cosh": (np.cosh, arb.cosh, -710.0, 710.0),
    "tanh": (np.tanh, arb.tanh, -np.inf, np.inf),
    "arcsinh": (np.arcsinh, arb.asinh, -np.inf, np.inf),
    "arccosh": (np.arccosh, arb.acosh, 1.0, np.inf),
    "arctanh": (np.arctanh, arb.atanh, -LAST, LAST),
    "hypot": (lambda v: np.hypot(1.0, v), lambda v: (1 + v * v).sqrt(), -np.inf, np.inf),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numpy(name: str) -> None:
    f, exact, low, high = NUMPY[name]
    error = worst(f, exact, points(np.random.default_rng(len(name)), low, high))
    print(f"\n{name}: {error * 2**52:.2f} units in the last place")
    assert error <= ELEMENTARY / 4  # four units


def test_cos_is_near_in_absolute_terms() -> None:
    x = points(np.random.default_rng(0), -3.1, 3.1)
    assert worst(np.cos, arb.cos, x, absolute=2.0**-50) == 0.0


@pytest.mark.parametrize("exponent", [-5.0, -1.0, -0.5, 1.0 / 3, 0.5, 1.5, 2.0, 3.0, 7.0, 64.0, 1000.5])
def test_power(exponent: float) -> None:
    rng = np.random.default_rng(int(abs(exponent)))
    x = points(rng, LOWEST, np.finfo(float).max)
    x = x[np.abs(np.log2(x) * exponent) < 1020]
    near_one = 1 + rng.normal(size=2000) / max(1.0, abs(exponent))
    x = np.concatenate([x, near_one[near_one > 0]])

    def exact(v: arb) -> arb:
        return v ** arb(exponent)

    assert worst(lambda v: np.power(v, exponent), exact, x) <= ELEMENTARY / 4
    if exponent == np.rint(exponent):
        assert worst(lambda v: np.power(v, exponent), lambda v: v ** int(exponent), -x) <= ELEMENTARY / 4


def test_erf() -> None:
    x = points(np.random.default_rng(1), -1e3, 1e3)
    x = np.concatenate([x, np.random.default_rng(2).normal(size=COUNT) * 2])
    assert worst(special.erf, arb.erf, x) <= 4 * ELEMENTARY / 16


def test_erfc() -> None:
    rng = np.random.default_rng(3)
    left = np.concatenate([points(rng, -1e3, 1.5), rng.uniform(-3, 1.5, COUNT)])
    assert worst(special.erfc, arb.erfc, left) <= 16 * ELEMENTARY / 16
    tail = np.concatenate([points(rng, 1.5, 1e3), rng.uniform(1.5, 27.5, COUNT)])
    assert worst(special.erfc, arb.erfc, tail) <= TAIL / 16


def test_sigmoids_where_their_argument_is_moderate() -> None:
    """The factors of Gelu, Mish and Swish, from their left inflections on."""
    rng = np.random.default_rng(4)

    def normal(v: arb) -> arb:
        return v * (-v / arb(2).sqrt()).erfc() / 2

    def by_tanh(v: arb) -> arb:
        w = (8 / arb.pi()).sqrt() * (v + v**3 * arb(44715) / 1000000)
        return v / (1 + (-w).exp())

    def mish(v: arb) -> arb:
        return v * (v + (-v).exp().log1p() if v > 0 else v.exp().log1p()).tanh()

    cases = {
        "Gelu": (lambda v: v * (0.5 * special.erfc(-v * SQRT_HALF)), normal, -1.42),
        "Gelu tanh": (_gelu_tanh, by_tanh, -1.42),
        "Mish": (_mish, mish, -2.26),
        "Swish": (lambda v: v * _sigmoid(v), lambda v: v / (1 + (-v).exp()), -2.4),
    }
    for name, (f, exact, left) in cases.items():
        x = np.concatenate([rng.uniform(left, 8, COUNT // 3), points(rng, left, 1e3)[::4]])
        assert worst(f, exact, x) <= 16 * ELEMENTARY / 16, name
        tail = np.concatenate([rng.uniform(-40, left, COUNT // 3), points(rng, -1e3, left)[::4]])
        assert worst(f, exact, tail) <= TAIL / 4, name
