"""Progress of a search, as short lines of text."""

from __future__ import annotations

import sys
from collections.abc import Callable

from inference.digits import at_least, at_most

__all__ = ["reporter", "shower"]


def shower(progress: bool | Callable[[str], None]) -> Callable[[str], None] | None:
    """Turn the option ``progress`` into a function that shows a message.

    Parameters
    ----------
    progress : bool or callable
        False: silent. True: one line on standard error, rewritten in place, if that is a terminal. A callable
        gets each message.
    """
    if callable(progress):
        return progress
    if not progress or not sys.stderr.isatty():
        return None

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    return show


def reporter(show: Callable[[str], None] | None) -> Callable[[float, float, int], None] | None:
    """The search's callback, as messages."""
    if show is None:
        return None

    def report(inf_p: float, sup_p: float, evaluations: int) -> None:
        show(f"p in [{at_most(inf_p, 4)}, {at_least(sup_p, 4)}], {evaluations} cells looked at")

    return report
