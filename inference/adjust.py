"""Many p-values, one statement: Holm, Benjamini-Hochberg, Benjamini-Yekutieli, Bonferroni, fixed sequence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import accumulate
from typing import Any, Literal, get_args

import numpy as np

from inference.uniformity import p_array
from symbolic.errors import InputError, OptionError
from symbolic.reading.exact import exact_number

__all__ = ["METHODS", "Adjusted", "Method", "adjust", "bonferroni"]

Method = Literal["holm", "benjamini-yekutieli", "benjamini-hochberg", "fixed-sequence", "bonferroni"]
METHODS: tuple[Method, ...] = get_args(Method)

CONDITIONS: dict[Method, str] = {
    "holm": "Controls the probability of one false rejection or more, under any dependence: also for the "
    "regions of one image. All declared hypotheses must be in the list.",
    "benjamini-yekutieli": "Controls the expected share of false rejections, under any dependence: also for "
    "the regions of one image.",
    "benjamini-hochberg": "Controls the expected share of false rejections; valid across independent inputs; "
    "inside one image use Holm or Benjamini-Yekutieli.",
    "fixed-sequence": "Controls the probability of one false rejection or more, under any dependence, if the "
    "order was fixed before the data were seen; it stops at the first hypothesis that is not rejected.",
    "bonferroni": "Controls the probability of one false rejection or more, under any dependence, if all "
    "settings were declared beforehand: p times their number, also for the best of them.",
}
_LIBRARY = {"holm": "holm", "benjamini-hochberg": "fdr_bh", "benjamini-yekutieli": "fdr_by"}


@dataclass(frozen=True)
class Adjusted:
    """Adjusted p-values; reject those that are at most alpha.

    Attributes
    ----------
    method : str
        One of METHODS.
    p_values : tuple of float
        As given: the certified upper bounds, in the order of the hypotheses.
    adjusted : tuple of float
        Rounded up: never below the exact value for the given p-values.
    count : int
        Number of hypotheses or settings that were declared.
    alpha : Fraction
        The level.
    condition : str
        What the method controls, and when.
    """

    method: Method
    p_values: tuple[float, ...]
    adjusted: tuple[float, ...]
    count: int
    alpha: Fraction
    condition: str

    @property
    def rejected(self) -> tuple[bool, ...]:
        """Decisions at alpha, exactly."""
        return tuple(Fraction(p) <= self.alpha for p in self.adjusted)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "method": self.method,
            "count": self.count,
            "alpha": str(self.alpha),
            "p_values": list(self.p_values),
            "adjusted": list(self.adjusted),
            "rejected": list(self.rejected),
            "condition": self.condition,
        }

    def __str__(self) -> str:
        rows = [
            f"{k + 1:>4}  {p:<12.6g}  {a:<12.6g}  {'rejected' if r else 'not rejected'}"
            for k, (p, a, r) in enumerate(zip(self.p_values, self.adjusted, self.rejected, strict=True))
        ]
        heads = f"   #  {'p (upper)':<12}  {'adjusted':<12}  at {float(self.alpha):g}"
        title = f"{self.method}, {self.count} declared. {self.condition}"
        return "\n".join([title, heads, *rows])


def adjust(
    p_values_or_results: Iterable[Any],
    method: Method = "holm",
    *,
    alpha: float | str | Fraction = "0.05",
    count: int | None = None,
) -> Adjusted:
    """Adjust p-values for there being several of them.

    Parameters
    ----------
    p_values_or_results : iterable of float or InferenceResult
        Of a result the certified upper bound ``sup_p`` is taken. For "fixed-sequence" in the declared order.
    method : str
        "holm", "benjamini-yekutieli", "benjamini-hochberg", "fixed-sequence" or "bonferroni".
    alpha : number
        Level of the decisions.
    count : int, optional
        With "bonferroni": number of declared settings; default: as many as are given.

    Returns
    -------
    Adjusted

    Raises
    ------
    InputError
        No p-value, or one that is not a number between 0 and 1.
    OptionError
        An unknown method, a level outside (0, 1), or a count that does not fit.

    Notes
    -----
    Holm, Benjamini-Hochberg and Benjamini-Yekutieli come from ``statsmodels.stats.multitest.multipletests``
    (the extra ``study``). Its doubles are then raised until they are at least the exact value: rejecting an
    adjusted p-value that is at most alpha is never due to rounding.
    """
    if method not in METHODS:
        raise OptionError(f"method is {method!r}; choose one of {', '.join(METHODS)}.")
    level = exact_number(alpha, "alpha", error=OptionError)
    if not 0 < level < 1:
        raise OptionError(f"alpha is {alpha}; it must be between 0 and 1.")
    p = tuple(float(v) for v in p_array([_upper(one) for one in _listed(p_values_or_results)]))
    if count is not None and method != "bonferroni":
        raise OptionError("count goes with the method bonferroni; the others count the p-values.")
    declared = len(p) if count is None else count
    if isinstance(declared, bool) or not isinstance(declared, (int, np.integer)) or declared < len(p):
        raise OptionError(f"count is {count!r}; it must be a whole number, at least {len(p)}.")
    exact = [Fraction(v) for v in p]
    if method == "fixed-sequence":
        adjusted = tuple(float(v) for v in np.maximum.accumulate(p))
    elif method == "bonferroni":
        adjusted = tuple(_up(min(Fraction(1), declared * v)) for v in exact)
    else:
        found = _multipletests(p, _LIBRARY[method])
        needed = _exact(method, exact)
        adjusted = tuple(max(_up(n), f) for n, f in zip(needed, found, strict=True))
    return Adjusted(method, p, adjusted, int(declared), level, CONDITIONS[method])


def bonferroni(p_value_or_result: Any, count: int) -> float:
    """p times the number of declared settings, at most 1, rounded up.

    Parameters
    ----------
    p_value_or_result : float or InferenceResult
        The (possibly smallest) p-value.
    count : int
        How many settings were declared beforehand.
    """
    return adjust([p_value_or_result], "bonferroni", count=count).adjusted[0]


def _listed(given: Iterable[Any]) -> list[Any]:
    try:
        return list(given)
    except TypeError:
        raise InputError("adjust takes a list of p-values or of results.") from None


def _upper(one: Any) -> Any:
    """The upper bound of a result's p-value; a number is taken as it is, a Fraction rounded up."""
    bound = getattr(one, "sup_p", one)
    return _up(bound) if isinstance(bound, Fraction) else bound


def _up(value: Fraction) -> float:
    """The least double that is not below a rational."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


def _multipletests(p: Sequence[float], method: str) -> list[float]:
    try:
        library = import_module("statsmodels.stats.multitest")
    except ImportError:
        raise OptionError(
            "this adjustment needs statsmodels; install it with pip install 'sureline[study]'."
        ) from None
    return [min(1.0, float(v)) for v in library.multipletests(p, method=method)[1]]


def _exact(method: str, p: list[Fraction]) -> list[Fraction]:
    """What the library's doubles must not fall below, in rational arithmetic."""
    n, one = len(p), Fraction(1)
    order = sorted(range(n), key=lambda k: p[k])
    if method == "holm":
        scaled = [min(one, (n - rank) * p[k]) for rank, k in enumerate(order)]
        in_order = list(accumulate(scaled, max))
    else:
        whole = n * (sum(Fraction(1, k) for k in range(1, n + 1)) if method.endswith("yekutieli") else one)
        scaled = [min(one, whole * p[k] / (rank + 1)) for rank, k in enumerate(order)]
        in_order = list(accumulate(reversed(scaled), min))[::-1]
    return [value for _, value in sorted(zip(order, in_order, strict=True))]
