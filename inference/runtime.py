"""ONNX Runtime on a stranger's model: once, in a child process with limits, while the audit goes on.

The child (`runtime_child.py`) imports numpy and onnxruntime only. Model, inputs and outputs travel through
pipes as plain bytes; nothing is unpickled on either side, and a crash of the child is an answer like any
other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from numpy.typing import NDArray

__all__ = ["ChildRun", "RuntimeOutcome", "run_in_child", "trimmed"]

_CHILD = Path(__file__).with_name("runtime_child.py")
_MAX_HEADER = 2**20
_BASE_MEMORY = 4 * 2**30


@dataclass(frozen=True)
class RuntimeOutcome:
    """What came of running a model.

    Attributes
    ----------
    outputs : dict of str to numpy.ndarray, or None
        The outputs asked for; None if there are none.
    reason : str or None
        Why there are none, in one line.
    seconds : float or None
        Time of the forward pass alone.
    """

    outputs: dict[str, NDArray[Any]] | None
    reason: str | None
    seconds: float | None = None


class ChildRun:
    """A run that has been started; `result` waits for it.

    Parameters
    ----------
    model : bytes
        A serialised, self-contained model.
    feeds : mapping of str to numpy.ndarray
        The model's inputs, in the graph's types.
    outputs : sequence of str
        Names of graph outputs.
    timeout : float
        Seconds of wall-clock and of processor time.
    memory_bytes : int, optional
        Address space of the child; default: 4 GiB and four times the size of model and inputs.
    max_output_bytes : int
        Most bytes of output.
    """

    def __init__(
        self,
        model: bytes,
        feeds: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        *,
        timeout: float = 60.0,
        memory_bytes: int | None = None,
        max_output_bytes: int = 2**30,
    ) -> None:
        self._timeout = timeout
        self._max_output = max_output_bytes
        self._outcome: RuntimeOutcome | None = None
        self._late = False
        arrays = [np.ascontiguousarray(value).reshape(value.shape) for value in feeds.values()]
        size = len(model) + sum(array.nbytes for array in arrays)
        header = {
            "model": len(model),
            "feeds": [[n, a.dtype.str, list(a.shape)] for n, a in zip(feeds, arrays, strict=True)],
            "outputs": list(outputs),
            "seconds": max(1, int(timeout) + 1),
            "memory": memory_bytes if memory_bytes is not None else _BASE_MEMORY + 4 * size,
        }
        self._parts = [json.dumps(header).encode() + b"\n", model, *(array.tobytes() for array in arrays)]
        self._deadline = time.monotonic() + timeout
        self._process = _spawn()
        # Kills the child when this object goes, also when the interpreter exits.
        self._kill = weakref.finalize(self, _kill, self._process)
        threading.Thread(target=_feed, args=(self._process, self._parts), daemon=True).start()

    def result(self) -> RuntimeOutcome:
        """Wait for the run, at most until its time is over. Never raises for anything that the child does."""
        if self._outcome is None:
            timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._stop)
            timer.daemon = True
            timer.start()
            try:
                self._outcome = self._read()
            finally:
                timer.cancel()
                self._kill()
        return self._outcome

    def cancel(self) -> None:
        """End the child; `result` then says that it was cancelled."""
        self._kill()
        if self._outcome is None:
            self._outcome = RuntimeOutcome(None, "the run was cancelled")

    def _stop(self) -> None:
        self._late = True
        _kill(self._process, wait=False)

    def _read(self) -> RuntimeOutcome:
        stream = self._process.stdout
        if stream is None:
            return RuntimeOutcome(None, "the runtime could not be started")
        try:
            with stream:
                header = json.loads(stream.readline(_MAX_HEADER))
                if "error" in header:
                    return RuntimeOutcome(None, " ".join(str(header["error"]).split())[:300])
                outputs = _read_arrays(stream, header["outputs"], self._max_output)
                return RuntimeOutcome(outputs, None, float(header["seconds"]))
        except (ValueError, KeyError, TypeError, OSError, RecursionError, MemoryError):
            pass  # what came is no answer
        return RuntimeOutcome(None, self._why())

    def _why(self) -> str:
        if self._late:
            return f"the runtime took longer than {self._timeout:g} s"
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "the runtime gave no readable answer"
        if code in (-getattr(signal, "SIGXCPU", 24), -getattr(signal, "SIGKILL", 9)):
            return "the runtime was stopped at a limit"
        return f"the runtime crashed (exit status {code})"


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=os.path.abspath(os.sep),
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        start_new_session=True,  # Ctrl-C is the parent's business
    )


def _feed(process: subprocess.Popen[bytes], parts: list[bytes]) -> None:
    if process.stdin is None:
        return
    try:
        with process.stdin as pipe:
            for part in parts:
                pipe.write(part)
    except (OSError, ValueError):
        pass  # the child is gone; `result` says why


def _kill(process: subprocess.Popen[bytes], wait: bool = True) -> None:
    if process.poll() is None:
        process.kill()
    if wait:
        process.wait()


def _read_arrays(stream: IO[bytes], entries: list[list[Any]], limit: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, type_text, shape in entries:
        dtype = np.dtype(str(type_text))
        count = 1
        for length in shape:
            if not isinstance(length, int) or length < 0:
                raise ValueError("a damaged shape")
            count *= length
        size = count * dtype.itemsize
        limit -= size
        if dtype.kind not in "biuf" or limit < 0:
            raise ValueError("an output that is no array of numbers, or too large")
        data = stream.read(size)
        if len(data) != size:
            raise ValueError("a truncated output")
        arrays[str(name)] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return arrays


def run_in_child(
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    *,
    timeout: float = 60.0,
    memory_bytes: int | None = None,
) -> RuntimeOutcome:
    """Run a model once and wait for it; the parameters are those of `ChildRun`."""
    return ChildRun(model, feeds, outputs, timeout=timeout, memory_bytes=memory_bytes).result()


def trimmed(proto: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Give the part of a model that some of its outputs need.

    The runtime refuses a whole graph for one node that it has no kernel for, also where nothing asks for
    that node.
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    needed = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(proto.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _read_by(node)
    del result.graph.node[:]
    result.graph.node.extend(reversed(kept))
    del result.graph.output[:]
    result.graph.output.extend(value for value in proto.graph.output if value.name in outputs)
    return result


def _read_by(node: onnx.NodeProto) -> set[str]:
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= _read_by(inner)
            names.update(value.name for value in graph.output)
    return names
