"""Certificates of many cells: the cells of a true one, cut into pieces, so that every claim is still true."""

from __future__ import annotations

import heapq
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

__all__ = ["split"]


def split(folder: Path, count: int) -> Path:
    """Rewrite certificate.json of `folder` with `count` cells, by halving the widest that claim something.

    Gaps and rays stay as they are. The halves of cells whose ends are dyadic have dyadic ends.
    """
    path = folder / "certificate.json"
    document = json.loads(path.read_text())
    kept: list[list[Any]] = []
    heap: list[tuple[Fraction, Fraction, list[Any]]] = []
    for lo, hi, *claim in document["cells"]:
        if "inf" in lo or "inf" in hi or claim == ["gap"]:
            kept.append([lo, hi, *claim])
        else:
            heapq.heappush(heap, (Fraction(lo) - Fraction(hi), Fraction(lo), claim))
    while len(kept) + len(heap) < count:
        width, lo, claim = heapq.heappop(heap)
        heapq.heappush(heap, (width / 2, lo, claim))
        heapq.heappush(heap, (width / 2, lo - width / 2, claim))
    cells = kept + [[str(lo), str(lo - width), *claim] for width, lo, claim in heap]
    document["cells"] = sorted(cells, key=lambda c: -math.inf if c[0] == "-inf" else Fraction(c[0]))
    path.write_text(json.dumps(document))
    return folder
