"""LpPool and GlobalLpPool: norms over windows."""

from __future__ import annotations

from symbolic.enclosures.convex import norm
from symbolic.enclosures.curves import relax
from symbolic.enclosures.values import Affine, Batch, Value
from symbolic.errors import ModelError
from symbolic.node import Inputs, Node, Rule, operator, required
from symbolic.operators.extremum import windowed
from symbolic.operators.reductions import ABSOLUTE, Places, total
from symbolic.operators.windows import window_of

LARGEST_ORDER = 64


def _order(node: Node) -> int:
    p = int(node.attributes["p"])
    if not 1 <= p <= LARGEST_ORDER:
        raise ModelError(f"{node.label}: p = {p} is no order of a norm, or too large.")
    return p


def _norm(x: Affine, p: int, places: Places) -> Affine:
    if p == 1 or all(x.c.shape[a] == 1 for a in places):
        return total(relax(x, ABSOLUTE), places)
    return norm(x, p, places)


@operator("LpPool", exact=False)
def lp_pool(node: Node, inputs: Inputs) -> Rule:
    """The p-norm over windows; padding adds nothing."""
    p = _order(node)
    window = window_of(node, required(node, inputs).shape[2:], tuple(node.attributes["kernel_shape"]))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        x = batch.lift(required(node, values))
        found = _norm(Affine(*(windowed(v, window, 0.0) for v in (x.c, x.d, x.r))), p, (0,))
        return (Affine(found.c[0], found.d[0], found.r[0]),)

    return rule


@operator("GlobalLpPool", exact=False)
def global_lp_pool(node: Node, inputs: Inputs) -> Rule:
    """The p-norm over all spatial axes."""
    p, rank = _order(node), len(required(node, inputs).shape)
    places = tuple(range(3, rank + 1))
    return lambda batch, values: (_norm(batch.lift(required(node, values)), p, places),)
