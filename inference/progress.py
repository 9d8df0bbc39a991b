"""Progress of a search, as short lines of text."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["reporter"]


def reporter(progress: bool | Callable[[str], None]) -> Callable[[float, float, int], None] | None:
    """Turn the option ``progress`` into the search's callback.

    Parameters
    ----------
    progress : bool or callable
        False: silent. True: one line on standard error, rewritten in place, if that is a terminal. A callable
        gets each message.
    """
    if progress is False:
        return None
    show: Callable[[str], None]
    if callable(progress):
        show = progress
    elif sys.stderr.isatty():

        def show(text: str) -> None:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    else:
        return None

    def report(inf_p: float, sup_p: float, evaluations: int) -> None:
        show(f"p in [{inf_p:.4g}, {sup_p:.4g}], {evaluations} cells looked at")

    return report
