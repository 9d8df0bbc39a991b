"""The child of `runtime.py`: reads a model and inputs from standard input, runs it once, writes the
outputs."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, Any


def main() -> None:
    """Answer one request: a line of JSON, then raw bytes, in both directions."""
    # Whatever the runtime prints must not mix with the answer.
    answer = os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    request = sys.stdin.buffer
    header = json.loads(request.readline())
    _limit(header["seconds"], header["memory"])
    try:
        entries, parts, seconds = _run(request, header)
    except MemoryError:
        _answer(answer, {"error": "the model needs more memory than the limit"})
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if "bad_alloc" in words or "Failed to allocate memory" in words:
            words = "the model needs more memory than the limit"
        _answer(answer, {"error": words[:300]})
    else:
        _answer(answer, {"outputs": entries, "seconds": seconds}, parts)
    # The runtime's own threads and destructors have nothing left to do.
    os._exit(0)


def _answer(stream: IO[bytes], header: dict[str, Any], parts: list[bytes] | None = None) -> None:
    stream.write(json.dumps(header).encode() + b"\n")
    for part in parts or []:
        stream.write(part)
    stream.flush()


def _limit(seconds: int, memory: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    for what, value in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", seconds),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
    ):
        try:
            kind = getattr(resource, what)
            hard = resource.getrlimit(kind)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (bound, bound))
        except (AttributeError, ValueError, OSError):
            pass  # not every system has every limit


def _run(request: IO[bytes], header: dict[str, Any]) -> tuple[list[list[Any]], list[bytes], float]:
    import numpy as np
    import onnxruntime

    model = request.read(header["model"])
    feeds = {}
    for name, type_text, shape in header["feeds"]:
        dtype = np.dtype(type_text)
        count = 1
        for length in shape:
            count *= length
        feeds[name] = np.frombuffer(request.read(count * dtype.itemsize), dtype=dtype).reshape(shape)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    began = time.perf_counter()
    values = session.run(header["outputs"], feeds)
    seconds = time.perf_counter() - began
    entries: list[list[Any]] = []
    parts: list[bytes] = []
    for name, value in zip(header["outputs"], values, strict=True):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"output {name} is no array of numbers")
        entries.append([name, array.dtype.str, list(array.shape)])
        parts.append(array.tobytes())
    return entries, parts, seconds


if __name__ == "__main__":
    main()
