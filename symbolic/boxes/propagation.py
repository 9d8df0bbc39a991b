"""Bounds of a network over a box of inputs, node by node.

Every tensor gets bounds by its rule for intervals (for maxima by the rule at both ends), and, where symbols
are carried, a form by the lifted rule; each is cut to what the other says. Before the nodes at the end of the
network that are all affine, every remainder becomes a symbol: what they make of it together is then exact,
such as the difference of two classes behind a last linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod

import numpy as np

from symbolic.boxes.ending import ending_of, forms_at
from symbolic.boxes.form import Form, above, below, meet, promoted, require_room
from symbolic.boxes.kinds import is_affine, is_bilinear, is_monotone, is_single
from symbolic.boxes.lifting import Lifted, affine, bilinear, single
from symbolic.boxes.maxima import as_form, greatest, negated, several, taps
from symbolic.boxes.normalised import NORMALISATIONS, normalised
from symbolic.boxes.shares import softmax
from symbolic.enclosures.rounding import Array
from symbolic.enclosures.undefined import unclaimed, undefined_on
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value, is_discrete
from symbolic.limits import Limits
from symbolic.network import Network, Step
from symbolic.operators.arithmetic import multiply

__all__ = ["BUDGET", "Passing"]

BUDGET = 1 << 30
"""Bytes that the symbols of one tensor may take."""
FRESH = 2048
"""Symbols that remainders get, and twice as many as the input has."""
ONE = Batch(1)
Held = Form | Range


class Passing:
    """How boxes pass a network.

    Parameters
    ----------
    network : Network
        Of one moving input.
    linear : bool
        Carry the symbols of the input; or else bounds alone, up to the affine end of the network.
    fresh : bool
        With them, give remainders symbols of their own behind every node that is not affine: a zonotope.
    budget : int
        Bytes that the symbols of one tensor may take.
    """

    def __init__(self, network: Network, *, linear: bool, fresh: bool = False, budget: int = BUDGET) -> None:
        self.network, self.linear, self.fresh, self.budget = network, linear, fresh and linear, budget
        self._largest = max(prod(network.shape), *(step.elements for step in network.steps), 1)
        self._symbols = 0  # carried so far
        self.ending = ending_of(network)

    def __call__(self, box: Form) -> dict[str, Held | Const]:
        """Enclose the outputs over a box of inputs; if anything is undefined somewhere, they are unknown.

        Raises
        ------
        BudgetError
            The symbols of a tensor do not fit.
        """
        network, ending = self.network, self.ending
        start = box if self.linear else Form.interval(box.lo, box.hi)
        values: dict[str, Held] = {network.moving: start}
        self._symbols = start.symbols
        self._most = min(FRESH + 2 * start.symbols, self.budget // (8 * self._largest))
        keep = set() if ending is None else set(ending.reads)
        last = set() if ending is None else {id(step) for step in ending.steps}
        with np.errstate(all="ignore"):
            defined = self._through((s for s in network.steps if id(s) not in last), values, keep)
            forms = None if ending is None else forms_at(ending, values)
            if ending is not None and forms is None:
                defined &= self._through(ending.steps, values, keep)
            made: dict[str, Held | Const] = {}
            for name in network.outputs:
                if name in network.constants:
                    made[name] = network.constants[name]
                    continue
                if name not in values and ending is not None and forms is not None:
                    plain = _bounds(ONE.lift(ending.rule(name)(ONE, [x.box() for x in forms])))
                    values[name] = Form.of(*ending.lifted(name, forms, self._symbols), *plain)
                    defined &= _is_known(values[name])
                made[name] = values[name] if defined else _unknown(values[name])
        return made

    def _through(self, steps: Iterable[Step], values: dict[str, Held], keep: set[str]) -> bool:
        """Go through steps, from values to values; whether all of them are known."""
        defined = all(map(_is_known, values.values()))
        for step in steps:
            for name, value in self._step(step, values):
                if self.fresh and isinstance(value, Form) and not self._is_affine(step, values):
                    value = promoted(value, self._symbols, self._most - self._symbols)
                    self._symbols = max(self._symbols, value.symbols)
                values[name] = value
                defined &= _is_known(value)
            for name in step.last_uses:
                if name not in keep:
                    values.pop(name, None)
        return defined

    def _is_affine(self, step: Step, values: Mapping[str, Held]) -> bool:
        return is_affine(step.node, [k for k, name in enumerate(step.inputs) if name in values])

    def _step(self, step: Step, values: Mapping[str, Held]) -> list[tuple[str, Held]]:
        """What a node makes of its inputs."""
        constants = self.network.constants
        given: list[Value | None] = []
        for name in step.inputs:
            held = values.get(name) if name not in constants else None
            given.append(held.box() if isinstance(held, Form) else held or constants.get(name))
        places = [k for k, name in enumerate(step.inputs) if name in values and name not in constants]
        found = _ends(step, given, values) or [_explicit(v) for v in step.rule(ONE, given)]
        held_inputs = [values[step.inputs[k]] for k in places]
        forms = [x if isinstance(x, Form) else _of_range(x) for x in held_inputs]
        symbols = max((x.symbols for x in forms), default=0)
        lifts = symbols > 0 and not any(
            isinstance(x, Range) and x.lo.dtype.kind in "iub" for x in held_inputs
        )
        made: list[tuple[str, Held]] = []
        for k, (name, value, limits) in enumerate(zip(step.outputs, found, step.limits, strict=False)):
            if not name or name in constants:
                continue
            if isinstance(value, Range):
                made.append((name, value))
                continue
            lo, hi = _limited(*_bounds(value), limits)
            form = None
            if lifts:
                require_room(step.node.label, symbols * prod(lo.shape) * 8, self.budget)
                form = _lifted(step, k, given, places, forms)
            if form is None:
                made.append((name, Form.interval(lo, hi)))
            else:
                made.append((name, Form.of(form[0], form[1], form[2], lo, hi)))
        return made


def _lifted(
    step: Step, k: int, given: Sequence[Value | None], places: Sequence[int], forms: Sequence[Form]
) -> Lifted | None:
    """A form of output number k; None where only bounds are known."""
    node = step.node

    def of(inputs: Sequence[int]) -> Callable[[Batch, Sequence[Affine]], Value]:
        def f(batch: Batch, values: Sequence[Affine]) -> Value:
            all_of_them = list(given)
            for place, value in zip(inputs, values, strict=True):
                all_of_them[place] = value
            return step.rule(batch, all_of_them)[k]

        return f

    if is_affine(node, places):
        return affine(of(places), forms)
    if is_single(node, places):
        alike = of(places)
        return single(lambda batch, values: alike(batch, list(values) * len(places)), forms[0])
    if is_bilinear(node, places):
        if node.op_type != "Div":
            return bilinear(of(places), forms[0], forms[1])
        inverse = _inverse(step, given, forms[1])
        return bilinear(lambda batch, values: multiply(batch, *values), forms[0], inverse)
    if node.op_type in ("Softmax", "LogSoftmax"):
        return softmax(node, forms[0])
    if node.op_type in NORMALISATIONS and tuple(places) == (0,) and k == 0:
        return normalised(node, forms[0], given)
    if is_monotone(node, given):
        best = _extremum(step, given, places, forms)
        return None if best is None else (best.c, best.d, best.r)
    return None


def _inverse(step: Step, given: Sequence[Value | None], x: Form) -> Form:
    """1 / x by the rule of a quotient."""
    one = Const(np.array(1.0))

    def f(batch: Batch, values: Sequence[Affine]) -> Value:
        return step.rule(batch, [one, values[0]])[0]

    return Form.of(*single(f, x), *_bounds(ONE.lift(f(ONE, [x.box()]))))


def _extremum(
    step: Step, given: Sequence[Value | None], places: Sequence[int], forms: Sequence[Form]
) -> Form | None:
    node = step.node
    if node.op_type in ("Max", "Min"):
        moving = dict(zip(places, forms, strict=True))
        every = [as_form(v, moving.get(n)) for n, v in enumerate(given) if v is not None]
        return several(node.op_type, every)
    found = taps(node, given)
    if found is None:
        return None
    lower = node.op_type == "ReduceMin"
    best = greatest(negated(forms[0]) if lower else forms[0], *found)
    return negated(best) if lower else best


def _ends(step: Step, given: Sequence[Value | None], values: Mapping[str, Held]) -> list[Value] | None:
    """Bounds of what is non-decreasing, from its rule at both ends."""
    if not is_monotone(step.node, given):
        return None
    bounds = []
    for side in ("lo", "hi"):
        at: list[Value | None] = []
        for name, value in zip(step.inputs, given, strict=True):
            held = values.get(name)
            if isinstance(held, Form) and isinstance(value, Affine):
                end = getattr(held, side)
                at.append(Affine(end, np.zeros_like(end), np.zeros_like(end)))
            else:
                at.append(value)
        bounds.append(_bounds(ONE.lift(step.rule(ONE, at)[0])))
    form = Form.interval(bounds[0][0], bounds[1][1])
    return [Affine(form.c, np.zeros_like(form.c), form.r)]


def _explicit(value: Value) -> Affine | Range:
    """With a batch axis."""
    if isinstance(value, Range):
        return value
    if isinstance(value, Const) and is_discrete(value):
        return Range(value.value[None], value.value[None])
    return ONE.lift(value)


def _of_range(value: Range) -> Form:
    return Form.interval(*_bounds(ONE.lift(value)))


def _bounds(value: Value) -> tuple[Array, Array]:
    """Bounds of a value on one segment; infinite where nothing is known."""
    x = ONE.lift(value)
    h = above(np.abs(x.d), x.r)
    lo, hi = below(x.c, h), above(x.c, h)
    unknown = np.isnan(lo) | np.isnan(hi)
    return np.where(unknown, -np.inf, lo), np.where(unknown, np.inf, hi)


def _limited(lo: Array, hi: Array, limits: Limits) -> tuple[Array, Array]:
    """Bounds cut to the limits of the tensor, where it is known to be defined."""
    held = limits.on(Affine(lo, lo, lo))
    if not isinstance(held, Affine):
        return lo, hi
    finite = np.isfinite(lo) & np.isfinite(hi)
    cut = meet((lo, hi), (np.full_like(lo, held.least), np.full_like(hi, held.most)))
    return np.where(finite, cut[0], lo), np.where(finite, cut[1], hi)


def _is_known(value: Held) -> bool:
    return value.known if isinstance(value, Form) else not bool(undefined_on(value).any())


def _unknown(value: Held) -> Held:
    """Nothing is claimed of it."""
    if isinstance(value, Form):
        return Form.interval(np.full_like(value.lo, -np.inf), np.full_like(value.hi, np.inf))
    found = unclaimed(value, np.ones(1, dtype=bool))
    if not isinstance(found, Range):
        raise TypeError("a range without a claim is a range")
    return found
