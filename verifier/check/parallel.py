"""Many cells over several processes; the answer is that of one process, whatever their number.

Cells are confirmed in parts of a fixed size, each by itself, and the outcomes are read in the order of the
cells: so the first false claim is reported. The processes are spawned, not forked: the caller may have
threads (of a progress bar, of other libraries) that a fork would copy in the middle of their work. Each
builds the graph again.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from verifier.check.claims.cells import confirm_cells
from verifier.check.claims.certificate import CellClaim
from verifier.check.claims.model import parse_model
from verifier.check.errors import UnusableCertificate
from verifier.check.graph.batches import cells_at_once
from verifier.check.graph.graph import CheckedGraph
from verifier.check.numbers.integers import Array

__all__ = ["Progress", "Task", "confirm_all"]

Progress = Callable[[int, int], None]
Part = Sequence[tuple[int, CellClaim]]
SAVED = 2.0  # seconds that further processes must save to be started
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Task:
    """What a graph is built from, and the observed selection."""

    audited: bytes
    inputs: dict[str, Array]
    moving: str
    beta: list[Fraction]
    outputs: list[str]
    observed: list[Array]

    def graph(self) -> CheckedGraph:
        """The graph, from the bytes of its file."""
        audited = parse_model(self.audited, "audited.onnx")
        return CheckedGraph.build(audited, self.inputs, self.moving, self.beta, self.outputs)


def usable_workers() -> int:
    """One worker per core that this process may use, and no more than fit into half of the memory if each
    becomes as large as this process; one within a process that another one started for its work.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        import resource

        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except (ImportError, AttributeError, ValueError, OSError):  # not on this system
        return cores
    return max(1, min(cores, memory // 2 // max(own, 1)))


def confirm_all(
    task: Task,
    graph: CheckedGraph,
    claims: Part,
    workers: int | None,
    progress: Progress | None,
) -> None:
    """Confirm numbered cells, here or, once that promises to save time, in `workers` processes (by default as
    many as are of use).

    Raises what the first part that fails raises. `progress` is told how many of the cells are done.
    """
    size = cells_at_once(graph.elements)
    parts = [claims[k : k + size] for k in range(0, len(claims), size)]
    tell = progress or (lambda done, total: None)
    start, done = time.perf_counter(), 0
    for k, part in enumerate(parts):
        tell(done, len(claims))
        if k:
            count = min(workers or usable_workers(), len(parts) - k)
            rest = (time.perf_counter() - start) * (len(claims) - done) / done
            if count > 1 and rest * (1 - 1 / count) > SAVED:
                if _spread(task, parts[k:], count, tell, done):
                    return
                workers = 1
        confirm_cells(graph, part, task.observed)
        done += len(part)
    tell(done, len(claims))


def _spread(task: Task, parts: list[Part], workers: int, tell: Progress, done: int) -> bool:
    """Confirm the parts in other processes; False if this system starts none."""
    total = done + sum(map(len, parts))
    context = _Context()
    try:
        folder = tempfile.TemporaryDirectory(prefix="sureline-check-")
    except OSError:
        return False
    with folder:
        path = Path(folder.name) / "task"
        try:
            path.write_bytes(_pickled(task))
            pool = ProcessPoolExecutor(workers, context, _begin, (str(path),))
        except (ImportError, NotImplementedError, OSError):  # no room, or no semaphores
            return False
        try:
            try:
                futures = [pool.submit(_confirm, _pickled(part)) for part in parts]
            except OSError:  # no process
                return False
            for part, future in zip(parts, futures, strict=True):
                _outcome(future)
                done += len(part)
                tell(done, total)
        finally:
            if done < total:  # after a false claim, or Ctrl-C, what the others do is of no use
                pool.shutdown(wait=False, cancel_futures=True)
                context.terminate()
            pool.shutdown()
    return True


def _pickled(what: Any) -> bytes:
    """Pickled with numbers of any length: Python 3.11 writes a Fraction in decimal digits, of which it limits
    the number.
    """
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.dispatch_table = {Fraction: lambda v: (Fraction, (v.numerator, v.denominator))}
    pickler.dump(what)
    return stream.getvalue()


def _outcome(future: Future[None]) -> None:
    try:
        future.result()
    except BrokenProcessPool as error:
        raise UnusableCertificate(
            "the certificate cannot be checked here: a process ended before its work did; "
            "fewer workers need less memory"
        ) from error


class _Process(SpawnProcess):
    """A process that starts without the caller's main module (a script would run again in it), with one
    thread of arithmetic, and deaf to Ctrl-C, which is the caller's to answer.
    """

    def start(self) -> None:
        with _alone():
            super().start()


class _Context(SpawnContext):
    """Starts such processes, and remembers them."""

    def __init__(self) -> None:
        self.started: list[_Process] = []

    def Process(self, *args: Any, **options: Any) -> _Process:  # type: ignore[override]
        self.started.append(_Process(*args, **options))
        return self.started[-1]

    def terminate(self) -> None:
        """End the processes in the middle of their work."""
        for process in self.started:
            if process.pid is not None:
                process.terminate()


@contextmanager
def _alone() -> Iterator[None]:
    main, before = sys.modules["__main__"], {name: os.environ.get(name) for name in THREADS}
    masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(dict.fromkeys(THREADS, "1"))
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# ---- in the processes -------------------------------------------------------------------------------------


@dataclass
class _Work:
    """What a process does: the path of its task, later the task and its graph."""

    path: str = ""
    task: Task | None = None
    graph: CheckedGraph | None = None


_work = _Work()


def _begin(path: str) -> None:
    """Remember the task; it is read with the first cells, so that its errors travel back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _work.path = path
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _confirm(pickled: bytes) -> None:
    if _work.task is None or _work.graph is None:
        _work.task = pickle.loads(Path(_work.path).read_bytes())
        _work.graph = _work.task.graph()
    confirm_cells(_work.graph, pickle.loads(pickled), _work.task.observed)
