"""x times a sigmoid: functions that are concave, convex and concave again (Gelu, Mish, Swish)."""

from __future__ import annotations

import functools

from flint import arb, arb_series, ctx

from verifier.check.numbers.smooth_branches import Ball, Branch, Function, Series, root

__all__ = ["GELUS", "MISH", "logistic", "sigmoid", "sigmoid_slope", "softplus", "swish"]


def sigmoid(v: arb) -> arb:
    """1 / (1 + exp(-v))."""
    if v > 0:
        return 1 / (1 + (-v).exp())
    return v.exp() / (1 + v.exp())


def sigmoid_slope(v: arb) -> arb:
    """Its derivative."""
    return sigmoid(v) * sigmoid(-v)


def logistic(v: arb_series) -> arb_series:
    """1 / (1 + exp(-v)) of a power series."""
    return 1 / (1 + (-v).exp())


def softplus(v: arb) -> arb:
    """log(1 + exp(v))."""
    return v + (-v).exp().log1p() if v > 0 else v.exp().log1p()


def _hill(
    f: Ball, slope: Ball, left: Ball, right: Ball, low: int, high: int, series: Series | None = None
) -> Function:
    """Inflections at the zeros of `left`(-v) and of `right`, both falling between `low` and `high`."""
    branches = tuple(Branch(f, slope, bend) for bend in (-1, 1, -1))
    return Function(
        branches,
        (lambda: -root(left, low, high, ctx.prec), lambda: root(right, low, high, ctx.prec)),
        series=series,
    )


def _density(v: arb) -> arb:
    return (-v * v / 2).exp() / (2 * arb.pi()).sqrt()


def _normal(v: arb) -> arb:
    """The distribution function of the standard normal law."""
    return (-v / arb(2).sqrt()).erfc() / 2


def _gelu(v: arb) -> arb:
    return v * _normal(v)


def _gelu_slope(v: arb) -> arb:
    return _normal(v) + v * _density(v)


def _gelu_bend(v: arb) -> arb:
    """f'' = density(v) * this."""
    return 2 - v * v


def _rate(v: arb) -> tuple[arb, arb, arb]:
    """w = sqrt(8 / pi) (v + 0.044715 v**3) and its derivatives: (1 + tanh(w / 2)) / 2 = sigmoid(w)."""
    k, c = (8 / arb.pi()).sqrt(), arb(44715) / 1000000
    return k * (v + c * v**3), k * (1 + 3 * c * v * v), 6 * k * c * v


def _gelu_tanh(v: arb) -> arb:
    return v * sigmoid(_rate(v)[0])


def _gelu_tanh_slope(v: arb) -> arb:
    w, dw, _ = _rate(v)
    return sigmoid(w) + v * dw * sigmoid_slope(w)


def _gelu_tanh_bend(v: arb) -> arb:
    """f'' = sigmoid'(w) * this, which is even in v."""
    w, dw, ddw = _rate(v)
    return 2 * dw + v * ddw - v * dw * dw * (w / 2).tanh()


def _mish_slope(v: arb) -> arb:
    factor = softplus(v).tanh()
    return factor + v * sigmoid(v) * (1 - factor * factor)


def _mish_bend(v: arb) -> arb:
    """f'' = positive * this, with e = exp(v)."""
    e = v.exp()
    return 2 * (e + 1) * (e * e + 2 * e + 2) + v * (2 + 2 * e - 3 * e * e - 2 * e**3)


def _swish_bend(v: arb) -> arb:
    """f'' = sigmoid'(v) * this, which is even in v."""
    return 2 - v * (v / 2).tanh()


def _left_mish_bend(v: arb) -> arb:
    return _mish_bend(-v)


def _gelu_series(v: arb_series) -> arb_series:
    return v * (v / -arb(2).sqrt()).erfc() / 2


def _gelu_tanh_series(v: arb_series) -> arb_series:
    k, c = (8 / arb.pi()).sqrt(), arb(44715) / 1000000
    return v * logistic(k * (v + c * v * v * v))


def _mish_series(v: arb_series) -> arb_series:
    """With d = 1 + exp(v), tanh(log(d)) = 1 - 2 / (d**2 + 1)."""
    d = 1 + v.exp()
    return v * (1 - 2 / (d * d + 1))


GELUS = {
    "none": _hill(_gelu, _gelu_slope, _gelu_bend, _gelu_bend, 1, 2, _gelu_series),
    "tanh": _hill(_gelu_tanh, _gelu_tanh_slope, _gelu_tanh_bend, _gelu_tanh_bend, 1, 2, _gelu_tanh_series),
}
MISH = _hill(lambda v: v * softplus(v).tanh(), _mish_slope, _left_mish_bend, _mish_bend, 1, 3, _mish_series)


@functools.lru_cache(maxsize=64)
def swish(alpha: float) -> Function:
    """x*sigmoid(alpha*x), alpha not 0: inflections at +-x0/|alpha|, upside down for alpha < 0."""
    rate = arb(alpha)

    def slope(v: arb) -> arb:
        return sigmoid(rate * v) + rate * v * sigmoid_slope(rate * v)

    def cut() -> arb:
        return root(_swish_bend, 2, 3, ctx.prec) / abs(rate)

    inside = 1 if alpha > 0 else -1
    branches = tuple(Branch(lambda v: v * sigmoid(rate * v), slope, b) for b in (-inside, inside, -inside))
    return Function(branches, (lambda: -cut(), cut), series=lambda v: v * logistic(rate * v))
