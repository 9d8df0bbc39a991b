"""Many independent jobs over several processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from symbolic.errors import OptionError, SurelineError

__all__ = ["ONE_THREAD", "as_they_come", "require_count"]

Job = TypeVar("Job")
Done = TypeVar("Done")

ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
}
AHEAD = 4
"""Jobs handed to the pool per process: what is not handed over yet is not lost when the run is cut."""


def as_they_come(
    function: Callable[[Job], Done], jobs: Sequence[Job] | Iterable[Job], processes: int = 1
) -> Iterator[tuple[Job, Done]]:
    """Yield (job, result) as results arrive; with one process in order, and here.

    Parameters
    ----------
    function : callable
        With more than one process a function of a module, so that other processes can import it.
    jobs : iterable
        Read as processes become free.
    processes : int
        Started afresh (spawn), so that a script needs ``if __name__ == "__main__":``.

    Raises
    ------
    OptionError
        The function or a job cannot be sent to another process, or ``processes`` is no positive integer.
    """
    require_count(processes, "processes")
    if processes == 1:
        for job in jobs:
            yield job, function(job)
        return
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as problem:
        raise OptionError(
            f"the analysis cannot be sent to another process ({problem}); use functions defined in a "
            "module, or processes=1."
        ) from None
    with _one_thread():
        pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
        waiting: dict[Future[Done], Job] = {}
        try:
            for job in jobs:
                waiting[pool.submit(function, job)] = job
                if len(waiting) >= AHEAD * processes:
                    yield from _finished(waiting)
            while waiting:
                yield from _finished(waiting)
        except BrokenProcessPool:
            raise SurelineError(
                "a worker process ended on its own; too little memory, or a script without "
                'if __name__ == "__main__":.'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(waiting: dict[Future[Any], Any]) -> Iterator[tuple[Any, Any]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started in here get one thread of arithmetic each; this process's settings come back."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def require_count(value: Any, name: str, least: int = 1) -> int:
    """A whole number that is at least ``least``.

    Raises
    ------
    OptionError
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise OptionError(f"{name} is {value!r}; it must be a whole number, at least {least}.")
    return int(value)
