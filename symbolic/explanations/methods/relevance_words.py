"""Rules of relevance propagation in words."""

from __future__ import annotations

from collections.abc import Callable

from symbolic.errors import OptionError
from symbolic.explanations.methods import relevance_rules as rules
from symbolic.explanations.methods.relevance_rules import LayerRule, require_stabiliser

__all__ = ["rule_from_words"]


def rule_from_words(words: str, stabiliser: float) -> LayerRule:
    """A rule from words such as "alpha-beta:2,1".

    Raises
    ------
    OptionError
        There is no such rule, or its numbers are wrong.
    """
    name, _, rest = words.partition(":")
    try:
        numbers = [float(part) for part in rest.split(",")] if rest else []
    except ValueError:
        raise OptionError(f"rules: {rest!r} in {words!r} are no numbers.") from None
    if name not in RULES or len(numbers) not in RULES[name][0]:
        raise OptionError(
            f"rules: {words!r} is no rule; there are z, epsilon[:E], gamma[:G], alpha-beta[:A,B], z-plus, "
            "w-square, flat, bounded:LOW,HIGH and excitation."
        )
    if name == "alpha-beta" and numbers:
        require_stabiliser(numbers[1], f"beta in {words!r}")
        if abs(numbers[0] - numbers[1] - 1) > 1e-9:
            raise OptionError(f"rules: {words!r} should have alpha = 1 + beta.")
    elif numbers and name != "bounded":
        require_stabiliser(numbers[0], f"{name} in {words!r}")
    return RULES[name][1](numbers, stabiliser)


Make = Callable[[list[float], float], LayerRule]
RULES: dict[str, tuple[tuple[int, ...], Make]] = {
    "z": ((0,), lambda n, e: rules.epsilon(0.0)),
    "epsilon": ((0, 1), lambda n, e: rules.epsilon(n[0] if n else 1e-6)),
    "gamma": ((0, 1), lambda n, e: rules.gamma(n[0] if n else 0.25, e)),
    "alpha-beta": ((0, 2), lambda n, e: rules.alpha_beta(*((n[0], n[1]) if n else (2.0, 1.0)), True, e)),
    "z-plus": ((0,), lambda n, e: rules.z_plus(True, e)),
    "w-square": ((0,), lambda n, e: rules.w_square()),
    "flat": ((0,), lambda n, e: rules.flat()),
    "bounded": ((2,), lambda n, e: rules.bounded(n[0], n[1], e)),
    "excitation": ((0,), lambda n, e: rules.excitation(e)),
}
