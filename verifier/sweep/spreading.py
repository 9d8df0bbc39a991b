"""How errors spread from layer to layer by the layers' norms, as the theorem of `rigour` has it."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Linear, Maximum, Product, Program
from verifier.sweep.layout import Net
from verifier.sweep.norms import norms_of, whole_numbers
from verifier.sweep.residuals import ULP, UP, l2_norm, terms
from verifier.sweep.sweeper import Plan

__all__ = ["handed_on", "rigorous", "spread"]

LEAST = 1e-290
"""Of a norm: zero means that a layer is not read."""


def rigorous(plan: Plan) -> Plan:
    """The same plan with norms, which take a while.

    Raises
    ------
    ModelError
        If some constants are not rational, or integers may leave their types: the sweep does not look.
    """
    plan.program.require_exact()
    plan.program.require_held()
    found = _known.setdefault(plan.program, {})
    body = tuple(plan.body)
    if body not in found:
        found[body] = _norms(plan.program, body)
    norm, absolute, gamma = found[body]
    net: Net = plan.net._replace(norm=norm, absolute=absolute, gamma=gamma)
    return replace(plan, net=net)


Norms = tuple[Array, Array, Array]
_known: WeakKeyDictionary[Program, dict[tuple[int, ...], Norms]] = WeakKeyDictionary()
"""By the swept layers."""


def _norms(program: Program, body: tuple[int, ...]) -> Norms:
    """Norms of the swept layers in what they read, with absolute weights, and the rounding of their sums."""
    n = len(body)
    place = {k: j for j, k in enumerate(body)} | {-1: n}
    norm, absolute, gamma = np.zeros((n, n + 1)), np.zeros((n, n + 1)), np.zeros(n)
    most = whole_numbers(program)
    for j, k in enumerate(body):
        layer = program.layers[k]
        if isinstance(layer, (Linear, Maximum, Product)):
            for s, value in norms_of(program, k, most=most).items():
                norm[j, place[s]] = max(value, LEAST)
        if isinstance(layer, Linear):
            for s, value in norms_of(program, k, absolute=True).items():
                absolute[j, place[s]] = value
            gamma[j] = (terms(layer) + 6) * ULP * UP
    return norm, absolute, gamma


def spread(plan: Plan, inputs: float, own: Array) -> Array:
    """The bounds e_l of all swept layers, and of the inputs last.

    Parameters
    ----------
    plan : Plan
    inputs : float
        Bounds e of the inputs.
    own : ndarray, shape (layers,)
        Bounds of |r_l|.
    """
    net = plan.net
    found = np.zeros(len(own) + 1)
    found[-1] = inputs
    for j, k in enumerate(plan.body):
        parts = handed_on(net, j, found)
        together = l2_norm(parts) if isinstance(plan.program.layers[k], Maximum) else parts.sum()
        found[j] = (own[j] + together) * UP
    return np.where(np.isnan(found), np.inf, found)


def handed_on(net: Net, layer: int, bounds: Array) -> Array:
    """What a layer makes of the errors of each that it reads, at most; zero of all others."""
    norm = net.norm[layer]
    return np.where(norm > 0, norm * np.where(norm > 0, bounds, 0.0), 0.0)
