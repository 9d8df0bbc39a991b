"""si4onnx 0.1.13 in an environment of its own: another interpreter that answers line by line."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.study.comparators.base import Answer, Comparator, Skipped
from inference.study.drawn import Drawn

__all__ = ["Si4onnx"]

SCRIPT = Path(__file__).with_name("si4onnx_child.py")
LIMIT = 900.0
"""Seconds for one answer."""


class Si4onnx(Comparator):
    """The same question in the same words, with si4onnx's defaults."""

    name = "si4onnx"

    def answer(self, drawn: Drawn) -> Answer:
        if not drawn.si4onnx or drawn.network is None or isinstance(drawn.x, tuple):
            raise Skipped("no interpreter with si4onnx is declared, or the question is not one of its own.")
        network = drawn.network
        request = {
            "model": str(network.model), "x": drawn.x.tolist(), "hypothesis": network.hypothesis,
            "threshold": float(network.threshold), "post": list(network.post),
            "normalize": network.normalize, "variance": float(network.variance), "seed": network.seed,
        }  # fmt: skip
        record = _ask(drawn.si4onnx, request)
        if "error" in record:
            raise RuntimeError(f"si4onnx: {record['error']}")
        return Answer(record["p"], record["low"], seconds=record["seconds"])


def _ask(command: str, request: dict[str, Any]) -> dict[str, Any]:
    child = _child(command)
    if child.stdin is None or child.stdout is None or child.poll() is not None:
        _child.cache_clear()
        raise Skipped(f"{command} could not be run, or has no si4onnx.")
    timer = threading.Timer(LIMIT, child.kill)
    timer.start()
    try:
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
    except OSError:
        line = ""
    finally:
        timer.cancel()
    if not line:
        _child.cache_clear()
        late = child.wait() == -9
        return {"error": f"no answer in {LIMIT:.0f} s" if late else "its process ended"}
    record: dict[str, Any] = json.loads(line)
    return record


@lru_cache(maxsize=1)
def _child(command: str) -> subprocess.Popen[str]:
    """The other interpreter, which says "ready" when it has what it needs."""
    try:
        child = subprocess.Popen(
            [*shlex.split(command), "-W", "ignore", str(SCRIPT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except OSError:
        raise Skipped(f"{command} could not be run.") from None
    if child.stdout is None or child.stdout.readline().strip() != "ready":
        child.kill()
        raise Skipped(f"{command} has no si4onnx.")
    return child
