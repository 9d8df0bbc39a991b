"""The head: the last layers, from which on maxima are wide reductions; evaluated where it is asked for.

Between two points of the line every unit that the head reads lies within a radius of a straight line (what is
swept, and its error). So each unit of the head gets two straight lines, given by their values at both ends,
and each layer a radius: the unit lies between the lower line minus and the upper line plus the radius, at
every point between. Sums add lines. A maximum lies below the chord of the maxima of the upper lines at the
ends (which is convex), and above each lower line. Steps and winners are known, or not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Program, Step, Winner
from verifier.sweep.fusing import reads
from verifier.sweep.layout import KINDS, LINEAR
from verifier.sweep.ordering import Units

__all__ = ["Head", "Scratch", "head_of", "head_start", "scratch_of"]

REDUCTION = 16
"""Maxima of more units are reductions."""
LOGIC = 3
"""Units that a row of And, Or, Not reads at most."""


class Head(NamedTuple):
    """The layers of the head; units as in `ordering`.

    Attributes
    ----------
    kind, start, size, mode, places : per layer
    rows : per layer
        Where the pointers of its rows begin in ``pointers``.
    divisor, gain, most, rounding : per layer
        Largest sum of absolute weights of a row, largest absolute bias, and a bound of the rounding relative
        to what is summed, of linear layers.
    pointers, sources, weights, bias, numbers : rows of all layers
    single : per layer
        Whether the lower line of every unit is the upper one: sums of such, and of the body.
    link, link_layer : per layer, and one more
        Which layers each reads; the number of layers stands for the body.
    layer_of : per unit
        The layer of the head, or -1.
    body_layer : per unit
        The swept layer of units that are not the head's (the inputs count as the last), or -1.
    outputs, seen : per output element
        Its unit and its observed value.
    decider : per output element
        The unit whose sign the element is, or -1.
    """

    kind: Ids
    start: Ids
    size: Ids
    mode: Ids
    rows: Ids
    divisor: Array
    gain: Array
    most: Array
    rounding: Array
    pointers: Ids
    sources: Ids
    weights: Array
    bias: Array
    numbers: Array
    single: NDArray[np.bool_]
    link: Ids
    link_layer: Ids
    layer_of: Ids
    body_layer: Ids
    outputs: Ids
    seen: Array
    decider: Ids


class Scratch(NamedTuple):
    """What evaluating the head changes.

    Attributes
    ----------
    lower, upper : (2, units)
        Lines by their values at both ends.
    radius, size : per layer of the head
        ``size`` bounds absolute values.
    wanted : per unit
    needed, pointers : units by layer, those of the body last
    error : per swept layer, and the inputs
        Assumed bounds of the error of every unit.
    witness : one element
    """

    lower: Array
    upper: Array
    radius: Array
    size: Array
    wanted: NDArray[np.int8]
    needed: Ids
    pointers: Ids
    error: Array
    witness: Ids


def head_start(program: Program, lives: NDArray[np.bool_]) -> int:
    """The first layer of the head."""
    start = len(program.layers)
    logic = np.ones(program.size, dtype=bool)  # units that only small flat rows, or the outputs, read
    for k in reversed(range(len(program.layers))):
        layer = program.layers[k]
        if not lives[k]:
            start -= 1
            continue
        if isinstance(layer, Linear):
            fits = not layer.taps
            small = fits and int(np.diff(layer.pointers).max(initial=0)) <= LOGIC
            small = small and bool(program.flat[layer.units].all())
        elif isinstance(layer, Maximum):
            fits, small = layer.sources.shape[1] > REDUCTION, False
        else:
            fits = isinstance(layer, (Step, Winner)) and bool(logic[layer.units].all())
            small = isinstance(layer, Step) and bool(logic[layer.units].all())
        if not fits:
            break
        if not small or not logic[layer.units].all():
            logic[reads(layer)] = False
        elif isinstance(layer, Step) and not program.flat[layer.sources].all():
            logic[reads(layer)] = False
        start -= 1
    return start


def head_of(
    program: Program,
    units: Units,
    layers: list[int],
    body: list[int],
    observed: dict[str, Array],
) -> Head:
    """The head's layers as arrays."""
    layer_of = np.full(program.size, -1)
    body_layer = np.full(program.size, -1)
    body_layer[1 : 1 + program.n_inputs] = len(body)
    for j, k in enumerate(body):
        body_layer[program.layers[k].units] = j
    parts: dict[str, list[Any]] = {name: [] for name in ("pointers", "sources", "weights", "bias", "numbers")}
    rows: list[int] = []
    facts: list[tuple[float, ...]] = []
    at, length = 0, 0
    links: list[Ids] = []
    single = np.zeros(len(layers) + 1, dtype=bool)
    single[-1] = True
    for j, k in enumerate(layers):
        layer = program.layers[k]
        layer_of[layer.units] = j
        owners = layer_of[reads(layer)]
        links.append(np.unique(np.where(owners >= 0, owners, len(layers))))
        single[j] = isinstance(layer, Linear) and bool(single[links[-1]].all())
        order = units.old[layer.units] - layer.start
        pointers, sources, weights, bias, numbers = _rows(layer, order)
        parts["pointers"].append(pointers + at)
        parts["sources"].append(units.new[sources])
        parts["weights"].append(weights)
        parts["bias"].append(bias)
        parts["numbers"].append(numbers)
        rows.append(length)
        at, length = at + len(sources), length + len(pointers)
        facts.append(_facts(layer, pointers, weights, bias))
    chosen = [program.layers[k] for k in layers]
    table = np.array(facts, dtype=np.float64).reshape(-1, 4)
    whole = {name: np.concatenate([*found, []]) for name, found in parts.items()}
    elements = units.new[
        np.concatenate([np.zeros(0, dtype=np.int64), *(program.outputs[n].reshape(-1) for n in observed)])
    ]
    decider = np.full(program.size, -1)
    for k in (*body, *layers):
        layer = program.layers[k]
        if isinstance(layer, Step):
            decider[units.new[np.arange(layer.start, layer.start + layer.size)]] = units.new[layer.sources]
    return Head(
        kind=np.array([KINDS[type(layer)] for layer in chosen], dtype=np.int64),
        start=np.array([layer.start for layer in chosen], dtype=np.int64),
        size=np.array([layer.size for layer in chosen], dtype=np.int64),
        mode=np.array([int(getattr(layer, "strict", False)) for layer in chosen], dtype=np.int64),
        rows=np.array(rows, dtype=np.int64),
        divisor=table[:, 0].copy(),
        gain=table[:, 1].copy(),
        most=table[:, 2].copy(),
        rounding=table[:, 3].copy(),
        pointers=whole["pointers"].astype(np.int64),
        sources=whole["sources"].astype(np.int64),
        weights=whole["weights"],
        bias=whole["bias"],
        numbers=whole["numbers"],
        single=single[:-1].copy(),
        link=np.concatenate([[0], np.cumsum([len(found) for found in links])]).astype(np.int64),
        link_layer=np.concatenate([*links, np.zeros(0, dtype=np.int64)]).astype(np.int64),
        layer_of=layer_of,
        body_layer=body_layer,
        outputs=elements,
        seen=np.concatenate([np.zeros(0), *(v.reshape(-1) for v in observed.values())]),
        decider=np.where(layer_of[elements] >= 0, decider[elements], -1),
    )


def _rows(layer: Any, order: Ids) -> tuple[Ids, Ids, Array, Array, Array]:
    """Pointers, sources, weights, constants and numbers of a layer's rows, in a new order."""
    if isinstance(layer, Linear):
        counts = np.diff(layer.pointers)[order]
        pointers = np.concatenate([[0], np.cumsum(counts)])
        inner = np.arange(pointers[-1]) - np.repeat(pointers[:-1], counts)
        take = np.repeat(layer.pointers[:-1][order], counts) + inner
        return pointers, layer.sources[take], layer.weights[take], layer.bias[order], np.zeros(len(take))
    table = layer.sources[order] if layer.sources.ndim == 2 else layer.sources[order][:, None]
    seen = table >= 0
    pointers = np.concatenate([[0], np.cumsum(seen.sum(axis=1))])
    sources = table[seen]
    numbers = layer.numbers[order][seen] if isinstance(layer, Winner) else np.zeros(len(sources))
    return pointers, sources, np.ones(len(sources)), np.zeros(layer.size), numbers


def _facts(layer: Any, pointers: Ids, weights: Array, bias: Array) -> tuple[float, ...]:
    """Divisor, largest row sum, largest bias, and the relative rounding of a row's sum."""
    if KINDS[type(layer)] != LINEAR:
        return 1.0, 1.0, 0.0, 0.0
    longest = int(np.diff(pointers).max(initial=0))
    sums = np.zeros(len(pointers) - 1)
    used = np.diff(pointers) > 0
    if used.any():
        sums[used] = np.add.reduceat(np.abs(weights), pointers[:-1][used])
    up = 1 + (longest + 8) * 2.0**-52
    return (
        float(layer.divisor),
        float(sums.max(initial=0.0)) * up,
        float(np.abs(bias).max(initial=0.0)),
        (longest + 4) * 2.0**-52,
    )


def scratch_of(program: Program, head: Head, swept: int) -> Scratch:
    """Room for evaluating a head."""
    layers = len(head.kind)
    return Scratch(
        lower=np.zeros((2, program.size)),
        upper=np.zeros((2, program.size)),
        radius=np.zeros(layers + 1),
        size=np.zeros(layers + 1),
        wanted=np.zeros(program.size, dtype=np.int8),
        needed=np.zeros(program.size, dtype=np.int64),
        pointers=np.zeros(layers + 2, dtype=np.int64),
        error=np.zeros(swept + 1),
        witness=np.zeros(1, dtype=np.int64),
    )
