"""Bounds of a tensor over a box of inputs, node by node, in the checker's integers.

Every tensor has bounds, by its operator on one cell in which nothing moves and the box is all radius. Zones
(see `zones`) ride on top, by the same operators, in two ways. What is affine in its moving inputs is run on
one cell with the centres and remainders, and one cell for every symbol, in which only the symbol moves: what
a cell says at both of its ends, subtracted, bounds what the map makes of the symbol, and constants cancel. A
continuous function of single elements is run on the segment between the bounds of each element. All else
keeps its bounds alone. Every remainder is then a symbol, unless a zone would have more than `most` of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from verifier.check.boxes.kinds import is_affine, is_single
from verifier.check.boxes.zones import Zone, aligned, larger, lifted, meet, of_form
from verifier.check.errors import InvalidCertificate, NotHomogeneous, Undecided
from verifier.check.graph.graph import CheckedGraph
from verifier.check.graph.nodes import applied
from verifier.check.numbers.discrete import Discrete, to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.operators.reduce import pool
from verifier.check.operators.registry import Context, Node

__all__ = ["bounds_over", "value_at"]

PRECISION = 128
MOST_NUMBERS = 1 << 24
"""Of a zone; a larger one is forgotten, and the bounds stay."""


@dataclass(frozen=True, eq=False)
class Held:
    """A tensor over the box: its bounds as one cell, and a zone if there is one."""

    bounds: Form | Discrete
    zone: Zone | None = None

    def as_zone(self, ctx: Context) -> Zone:
        """The zone, or one of the bounds."""
        return self.zone or of_form(to_form(ctx.ar, self.bounds))


def bounds_over(
    graph: CheckedGraph, name: str, low: Array, high: Array, zones: bool = True
) -> tuple[list[Fraction], list[Fraction]]:
    """Bounds of a tensor over a box.

    Parameters
    ----------
    graph : CheckedGraph
        What it says of its line plays no part.
    name : str
        A tensor that moves.
    low, high : array of Fraction
        The dyadic ends of the box.
    zones : bool
        Whether zones are carried from the input on.

    Returns
    -------
    (list of Fraction, list of Fraction)
        Lower and upper bounds of every element.

    Raises
    ------
    Undecided
        Something may be undefined within the box.
    """
    run = _Run(graph, name, zones)
    held = run.through(low, high)
    if isinstance(held.bounds, Discrete) or held.bounds.special is not None:
        raise InvalidCertificate(f"{name!r} holds no real numbers, or infinities")
    zone = of_form(held.bounds)
    lo, hi = zone.bounds()
    unit = Fraction(2) ** zone.e
    return [int(v) * unit for v in lo.flat], [int(v) * unit for v in hi.flat]


def value_at(graph: CheckedGraph, name: str, x: Array) -> tuple[list[Fraction], list[Fraction]]:
    """Bounds of a tensor at one point, an array of dyadic Fractions."""
    return bounds_over(graph, name, x, x, zones=False)


class _Run:
    def __init__(self, graph: CheckedGraph, name: str, zones: bool) -> None:
        self.graph, self.name, self.zones = graph, name, zones
        constants, self.known = graph._constants(PRECISION)
        self.ctx = replace(constants, scale=None, case=None)
        needed = graph.upstream([name])
        self.nodes = [n for n in graph.nodes if needed & set(n.outputs) and graph.moves & set(n.outputs)]
        self.affine_from = self._affine_end()
        made = {name for n in self.nodes[self.affine_from :] for name in n.outputs}
        self.reads = {name for n in self.nodes[self.affine_from :] for name in n.inputs} - made

    def _affine_end(self) -> int:
        """From which node on all are affine."""
        start = len(self.nodes)
        while start and is_affine(self.nodes[start - 1], self._moving(self.nodes[start - 1])):
            start -= 1
        return start

    def _moving(self, node: Node) -> list[int]:
        return [k for k, name in enumerate(node.inputs) if name in self.graph.moves]

    def through(self, low: Array, high: Array) -> Held:
        """The tensor over the box."""
        values: dict[str, Held] = {self.graph.moving: self._box(low, high)}
        self.symbols = 0
        if self.zones or not self.affine_from:
            values = {name: self._apart(held) for name, held in values.items()}
        for k, node in enumerate(self.nodes):
            if k == self.affine_from:  # what all of them make of a remainder together is exact
                values = {name: self._apart(held) for name, held in values.items() if name in self.reads}
            made = self._outputs(node, values, self.zones or k >= self.affine_from)
            values |= {name: held for name, held in made.items() if name}
        return values[self.name]

    def _box(self, low: Array, high: Array) -> Held:
        shape = (*low.shape, 1)
        ends = [Fraction(v) for v in (*low.flat, *high.flat)]
        k = max(v.denominator.bit_length() - 1 for v in ends)
        if any((1 << k) % v.denominator for v in ends):
            raise InvalidCertificate("an end of the box is not dyadic")
        lo, hi = (np.array([int(v * 2**k) for v in a.flat], dtype=object).reshape(shape) for a in (low, high))
        return Held(Form(lo + hi, np.zeros_like(lo), hi - lo, -k - 1))

    def _apart(self, held: Held) -> Held:
        """With every remainder as a symbol, if there are not too many."""
        if isinstance(held.bounds, Discrete):
            return held
        zone = held.as_zone(self.ctx)
        fresh = int((zone.r != 0).sum())
        if (self.symbols + fresh) * zone.c.size > MOST_NUMBERS:
            return held
        made = Held(held.bounds, zone.told_apart(self.symbols))
        self.symbols += fresh
        return made

    def _outputs(self, node: Node, values: Mapping[str, Held], zones: bool) -> dict[str, Held]:
        given: list[Any] = [
            values[name].bounds if name in values else self.graph._value(self.ctx, node, self.known, name)
            for name in node.inputs
        ]
        try:
            found = applied(self.ctx, node, given)
        except NotHomogeneous as error:
            raise Undecided([]) from error
        moving = self._moving(node)
        made = {}
        for k, (name, bounds) in enumerate(zip(node.outputs, found, strict=False)):
            held = Held(bounds)
            if zones and isinstance(bounds, Form) and bounds.special is None:
                zone = self._zone(node, k, given, moving, values)
                if zone is not None:
                    plain = replace(bounds, same=None)
                    held = Held(meet(plain, zone.without_symbols()), zone)
                    held = held if is_affine(node, moving) else self._apart(held)
                elif self.zones:
                    held = self._apart(held)
            made[name] = held
        return made

    def _zone(
        self, node: Node, k: int, given: list[Any], moving: list[int], values: Mapping[str, Held]
    ) -> Zone | None:
        held = [values[node.inputs[place]] for place in moving]
        if any(isinstance(h.bounds, Discrete) or h.bounds.special is not None for h in held):
            return None
        if is_affine(node, moving):
            return self._affine(node, k, given, moving, [h.as_zone(self.ctx) for h in held])
        if is_single(node, moving):
            segment = _segment(held[0].bounds)
            value = applied(self.ctx, node, [segment, *given[1:]])[k]
            return lifted(held[0].as_zone(self.ctx), segment, value)
        if node.op == "MaxPool" and k == 0:
            return self._pooled(node, held[0])
        return None

    def _affine(
        self, node: Node, k: int, given: list[Any], moving: list[int], zones: list[Zone]
    ) -> Zone | None:
        symbols = max(z.symbols for z in zones)
        inputs = list(given)
        for place, zone in zip(moving, zones, strict=True):
            z = zone.widened(symbols)
            none, alone = np.zeros_like(z.d), np.zeros_like(z.c)
            inputs[place] = Form(
                np.concatenate([z.c, none], axis=-1),
                np.concatenate([alone, z.d], axis=-1),
                np.concatenate([z.r, none], axis=-1),
                z.e,
            )
        out = applied(self.ctx, node, inputs)[k]
        shape = (*out.shape, symbols + 1)
        c, d, r = (np.broadcast_to(np.asarray(a).astype(object), shape) for a in (out.c, out.d, out.r))
        rest = r.sum(axis=-1, keepdims=True) + np.abs(d[..., :1])
        return Zone.of(c[..., :1], d[..., 1:], rest, out.e)

    def _pooled(self, node: Node, held: Held) -> Zone:
        """Two at a time; padding never wins, and its place is taken by another element of the window."""
        x = held.as_zone(self.ctx)
        found, index = pool(self.ctx, node, x.shape)
        size = math.prod(x.shape)
        table = np.asarray(index)
        some = np.where(table < size, table, -1).max(axis=0)
        table = np.where(table < size, table, some)
        flat = x.each(lambda a: a.reshape(size, -1))
        bounds = of_form(held.bounds)  # type: ignore[arg-type]
        plain = bounds.each(lambda a: a.reshape(size, -1))
        rows = table.reshape(len(table), -1)
        players = [(_taken(flat, row), _taken(plain, row)) for row in rows]
        while len(players) > 1:
            first, second = players.pop(0), players.pop(0)
            players.append(_winner(first, second))
        return players[0][0].each(lambda a: a.reshape(*x.shape[:2], *found.shape, -1))


def _taken(x: Zone, row: Array) -> Zone:
    return x.each(lambda a: a[row])


def _winner(first: tuple[Zone, Zone], second: tuple[Zone, Zone]) -> tuple[Zone, Zone]:
    """The larger of two zones, and of their bounds."""
    p, q = aligned(first[1], second[1])
    (low_p, high_p), (low_q, high_q) = p.bounds(), q.bounds()
    lo, hi = low_p - high_q, high_p - low_q
    zone = larger(first[0], second[0], Form(lo + hi, np.zeros_like(lo), hi - lo, p.e - 1))
    lo, hi = np.maximum(low_p, low_q), np.maximum(high_p, high_q)
    nothing = np.zeros((*lo.shape[:-1], 0), dtype=object)
    return zone, Zone(lo + hi, nothing, hi - lo, p.e - 1)


def _segment(bounds: Form | Discrete) -> Form:
    """Between the bounds, as one segment of every element."""
    zone = of_form(bounds)  # type: ignore[arg-type]
    lo, hi = zone.bounds()
    return Form(lo + hi, hi - lo, np.zeros_like(lo), zone.e - 1)
