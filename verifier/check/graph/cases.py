"""A jump inside a cell: each value that an undecided element may have is a case of its own.

Where a comparison changes on a cell, what is computed from it is enclosed as if it had both values at every
point, however narrow the cell is. But at every point the element has one of its values: so what holds on the
whole cell in each of the cases holds on the cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verifier.check.numbers.discrete import Discrete

__all__ = ["Case"]

Supposed = Mapping[int, int]
MOST = 16
"""Cases of one tensor; where it has more, the cell is too wide."""


@dataclass
class Case:
    """Values that discrete elements, by tensor and flat index, are supposed to have on one cell.

    An evaluation of the graph under it tells which tensor is the first that is still undecided.
    """

    supposed: Mapping[str, Supposed] = field(default_factory=dict)
    open: tuple[str, Discrete] | None = None

    def hold(self, name: str, value: Any) -> Any:
        """The tensor as it is in this case."""
        if not isinstance(value, Discrete):
            return value
        if name in self.supposed:
            lo, hi = value.lo.copy(), value.hi.copy()
            for place, known in self.supposed[name].items():
                lo.reshape(-1, lo.shape[-1])[place] = hi.reshape(-1, hi.shape[-1])[place] = known
            value = Discrete(lo, hi)
        if self.open is None and (value.lo < value.hi).any():
            self.open = name, value
        return value

    def split(self) -> list[Case]:
        """The cases that this one consists of; none if they are too many, or no element is undecided."""
        if self.open is None:
            return []
        name, value = self.open
        lo, hi = (a.reshape(-1, a.shape[-1]).astype(object) for a in (value.lo, value.hi))
        least, most = lo.min(axis=1), hi.max(axis=1)
        places = np.flatnonzero(least < most)
        if len(places) > MOST:
            return []
        count = 1
        for place in places:
            count *= most[place] - least[place] + 1
        if count > MOST:
            return []
        ranges = [range(least[place], most[place] + 1) for place in places]
        return [
            Case({**self.supposed, name: dict(zip(map(int, places), values, strict=True))})
            for values in itertools.product(*ranges)
        ]
