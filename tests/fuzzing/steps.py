"""One use of something damaged, for `fuzz.py`: it works, or it is refused in one sentence."""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sureline as sl

__all__ = ["SECONDS", "Outcome", "Step", "Wrong", "run_step"]

REFUSALS = (sl.SurelineError, sl.InvalidCertificate, sl.UnusableCertificate)
SECONDS = 60
"""Of processor time, for one step."""


class Wrong(Exception):
    """Something happened that must not."""


class Step(str):
    """The name of a step and what came of it; and what was said."""

    message = ""


@dataclass
class Outcome:
    """What came of one case: a word for every step, and what must be looked at."""

    steps: list[Step]
    look: str = ""


def run_step(do: Callable[[], Any], name: str) -> Step:
    """Run a step; a refusal is one sentence, and anything else must not be."""
    spoken, printed = io.StringIO(), io.StringIO()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # the default is to end the process
    try:
        with contextlib.redirect_stderr(spoken), contextlib.redirect_stdout(printed):
            do()
    except REFUSALS as error:
        _one_sentence(str(error))
        step = Step(f"{name} {type(error).__name__}")
        step.message = str(error)
        return step
    except SystemExit as error:
        if error.code not in (0, 1, 2):
            raise Wrong(f"{name} ended with {error.code}") from None
        if error.code == 2:
            _one_sentence(spoken.getvalue().strip())
        return Step(f"{name} ok" if error.code == 0 else f"{name} exit {error.code}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Step(f"{name} ok")


def _one_sentence(text: str) -> None:
    if not text or "\n" in text or len(text) > 2500:
        raise Wrong(f"not one sentence: {text[:300]!r}")
