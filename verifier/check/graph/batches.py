"""How many cells are evaluated together: as many as pay, in the memory that is allowed."""

from __future__ import annotations

from verifier.check.numbers.integers import FAST, FINE

__all__ = ["cells_at_once"]

MEMORY = 1 << 29
LEAST, MOST = 16, 64
TOGETHER = (
    1 << 16
)  # elements of a tensor over all cells of a batch; more than LEAST cells pay only up to here


def cells_at_once(elements: int, bits: int | None = FAST, length: int = 0) -> int:
    """For a graph whose largest moving tensor has `elements`, at a precision; `length` is how many bits exact
    numbers have to begin with.
    """
    size = max(elements, 1)
    per_cell = size * (400 if bits in (FAST, FINE) else 2000 + length)
    return max(1, min(MOST, max(LEAST, TOGETHER // size), MEMORY // per_cell))
