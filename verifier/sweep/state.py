"""What a sweep changes."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["State"]


class State(NamedTuple):
    """What a sweep changes.

    Attributes
    ----------
    slope, ahead : per unit
        ``ahead`` is the value at the horizon.
    dslope, dahead : per unit
        Changes by the event at hand; those of ``ahead`` only if something jumps.
    branch : per unit
    margin : per unit
        By how much, at least, a maximum's winner has been ahead of its other entries since the last check;
        negative if it has changed.
    times : per block of gates
        Its next event.
    soonest : per chunk of blocks of gates
    flag, changed, count : per block, per block, per layer
        Which blocks of a layer have changed: flags, and a list.
    marked, looked : per block, or target
        Which blocks of gates, or targets of products, are to be looked at: flags, and a list.
    dirty, chunks : per chunk
    nonzero : per block
        How many of its units have changed; 0 also where that has not been counted.
    places, values, jumps : per unit
        Their places in the block and changes, from the block's first unit on.
    tally : (layers + 1, 3)
        Bounds of the l2 norms of what a linear layer's slopes and values at the horizon are off what it makes
        of its sources, and the square of that of a maximum (the inputs last: off the line).
    delta : (layers, 4)
        Of the event at hand: l2 norms of the changes of slopes, of their rounding, of what the changes of
        values are off (horizon - z) times them, or of their rounding if something jumps, and of the changes
        of values.
    at : the point, the horizon, the step to the next, events since the last, whether to keep the tally,
        the longest step
    """

    slope: Any
    ahead: Any
    dslope: Any
    dahead: Any
    branch: Any
    margin: Any
    times: Any
    soonest: Any
    flag: Any
    changed: Any
    count: Any
    marked: Any
    looked: Any
    dirty: Any
    chunks: Any
    nonzero: Any
    places: Any
    values: Any
    jumps: Any
    tally: Any
    delta: Any
    at: Any
