"""How a network's numbers are held: exact rationals, balls around irrational constants, or enclosures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from symbolic.enclosures.values import Const, Value
from symbolic.node import Node, given_to, operators

__all__ = ["Exactness", "exactness_of"]

NAMED = 4


@dataclass(frozen=True)
class Exactness:
    """What stands between an audited graph and exact rational arithmetic.

    Attributes
    ----------
    enclosed : tuple of str
        Nodes that are not piecewise linear in what moves.
    irrational : tuple of str
        Nodes whose constants are no rational numbers (the square root of a variance, sines and cosines, an
        exponential of a constant): they are balls, as narrow as the precision in use.
    """

    enclosed: tuple[str, ...] = ()
    irrational: tuple[str, ...] = ()

    @property
    def rational(self) -> bool:
        """Whether everything is piecewise linear with rational numbers."""
        return not self.enclosed and not self.irrational

    def __str__(self) -> str:
        if self.enclosed:
            return f"by enclosures: {_some(self.enclosed)}"
        if self.irrational:
            return f"piecewise linear, irrational constants as balls: {_some(self.irrational)}"
        return "piecewise linear with rational numbers, decided exactly"


def exactness_of(
    nodes: Iterable[Node], moving: Collection[int], known: Mapping[str, Value], solved: Collection[str]
) -> Exactness:
    """What of some nodes is not piecewise linear with rational numbers.

    Parameters
    ----------
    nodes : iterable of Node
    moving : collection of int
        Which of them move (their ids).
    known : mapping of str to Value
        All tensors.
    solved : collection of str
        Thresholds that are inverses of functions.
    """
    enclosed, irrational = [], []
    for node in nodes:
        how, given = operators[node.op_type], given_to(node, known)
        balls = {name for name in (*node.proto.input, *node.proto.output) if _is_ball(known.get(name))}
        exact = how.is_exact(node, given)
        if id(node) in moving and not exact:
            enclosed.append(node.label)
        elif how.irrational or not exact and balls & set(node.proto.output) or balls & set(solved):
            irrational.append(node.label)
    return Exactness(tuple(enclosed), tuple(irrational))


def _is_ball(value: Value | None) -> bool:
    return isinstance(value, Const) and value.radius is not None


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
