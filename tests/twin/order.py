"""Sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from .call import Call, operator, to_axis
from .exact import UNKNOWN, Array, Bracket, Unknown, bounds, greater


@operator("TopK")
def top_k(call: Call) -> list[Array]:
    x = call[0]
    axis = to_axis(call.attribute("axis", -1), x.ndim)
    count = call.integers(1)[0] if call.opset >= 10 else call.attribute("k")  # type: ignore[index]
    largest = call.attribute("largest", 1)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    values, indices = np.empty(shape, dtype=object), np.empty(shape, dtype=object)
    for place in np.ndindex((*x.shape[:axis], *x.shape[axis + 1 :])):
        row = [x[(*place[:axis], k, *place[axis:])] for k in range(x.shape[axis])]
        for rank, (value, index) in enumerate(_ranked(row, bool(largest), count)):
            values[(*place[:axis], rank, *place[axis:])] = value
            indices[(*place[:axis], rank, *place[axis:])] = index
    return [values, indices]


def _ranked(row: list[Any], largest: bool, count: int) -> list[tuple[Any, Any]]:
    """Pairs (value, index), the best first; of equal values the lower index comes first."""
    if any(isinstance(v, Unknown) for v in row):
        return [(UNKNOWN, UNKNOWN)] * count
    order = sorted(range(len(row)), key=lambda k: -bounds(row[k])[0] if largest else bounds(row[k])[0])
    if not any(isinstance(v, Bracket) for v in row):
        return [(row[k], k) for k in order[:count]]

    def ahead(i: int, j: int) -> bool:
        """Surely so: brackets that are equal still hold different numbers."""
        a, b = (row[i], row[j]) if largest else (row[j], row[i])
        exact = not isinstance(a, Bracket) and not isinstance(b, Bracket)
        return greater(a, b) is True or exact and a == b and i < j

    found = []
    for rank in range(count):
        mine = order[rank]
        known = all(ahead(k, mine) for k in order[:rank]) and all(ahead(mine, k) for k in order[rank + 1 :])
        ends = [sorted((bounds(v)[side] for v in row), reverse=largest)[rank] for side in (0, 1)]
        found.append((row[mine], mine) if known else (Bracket(ends[0], ends[1]), UNKNOWN))
    return found
