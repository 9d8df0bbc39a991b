"""Windows of two scans of one head in which nothing happened: a real control of a study."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "examples" / "scanner_retest"))

from data import Window, audited_windows, load_scans, noise  # noqa: E402
from question import ask, load  # noqa: E402

__all__ = ["scanner"]


@cache
def _loaded() -> tuple[Any, list[Window]]:
    return load(), audited_windows(load_scans())


def scanner(number: int) -> tuple[Any, Any, Any, Any]:
    """Audit of a window: result, audited model, input, noise."""
    test, windows = _loaded()
    window = windows[number]
    return ask(test, window), test, window.scans, noise(window)
