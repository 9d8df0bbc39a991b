"""Damaged models, certificates and arrays by the thousand: each is refused in one sentence, or works.

``python tests/fuzz.py --count 10000 --seed 0 --processes 2``; a failure is replayed with ``--only SEED``.
Every worker has limits: a case that crashes it, takes too long or wants too much memory is a failure like a
traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fuzzing.cases import run_case
from fuzzing.sources import prepare
from fuzzing.steps import SECONDS

BYTES = 2 * 2**30
SHARES = ["models"] * 6 + ["certificates"] * 3 + ["arrays"]
WALL = 20 * SECONDS


def kind_of(seed: int) -> str:
    return SHARES[seed % len(SHARES)]


def _status(field: str) -> int:
    """Bytes, from the process's own account."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def run_limited(seed: int) -> dict[str, Any]:
    """One case: what came of it, its seconds, and the memory that it needed."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before, start, failure = _status("VmRSS"), time.process_time(), ""
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    steps, look = [], ""
    try:
        outcome = run_case(kind_of(seed), seed, folder)
        steps, look = outcome.steps, outcome.look
    except BaseException:  # whatever it is, it is a finding
        failure = traceback.format_exc(limit=-8)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "seed": seed,
        "kind": kind_of(seed),
        "steps": steps,
        "look": look,
        "failure": failure,
        "seconds": time.process_time() - start,
        "bytes": _status("VmHWM") - before,
    }


def _worker(pipe: Connection, log: str) -> None:
    stream = open(log, "a")  # noqa: SIM115  (faulthandler keeps it)
    faulthandler.enable(stream)
    faulthandler.register(signal.SIGPROF, stream, chain=True)
    size = _status("VmSize") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (seed := pipe.recv()) is not None:
        pipe.send(run_limited(seed))


class Worker:
    """A process that runs one case at a time, and is replaced when a case ends it."""

    def __init__(self, context: Any, log: str) -> None:
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_worker, args=(other, log), daemon=True)
        self.process.start()
        other.close()
        self.seed, self.since = -1, 0.0

    def give(self, seed: int) -> None:
        self.seed, self.since = seed, time.monotonic()
        self.pipe.send(seed)

    def answer(self) -> dict[str, Any]:
        """What came, or how the process ended."""
        try:
            found: dict[str, Any] = self.pipe.recv()
            return found
        except EOFError:
            self.process.join()
            return self.lost(f"the process ended with {self.process.exitcode}")

    def lost(self, why: str) -> dict[str, Any]:
        kind = kind_of(self.seed)
        return {
            "seed": self.seed,
            "kind": kind,
            "steps": [],
            "look": "",
            "failure": why,
            "seconds": 0,
            "bytes": 0,
        }


def fuzz(seeds: list[int], processes: int, log: str, report: Any) -> list[dict[str, Any]]:
    """Run all cases; `report` gets each result as it comes."""
    context = multiprocessing.get_context("fork")
    workers = [Worker(context, log) for _ in range(min(processes, len(seeds)))]
    left, results = list(reversed(seeds)), []
    for worker in workers:
        worker.give(left.pop())
    while workers:
        ready = wait([w.pipe for w in workers], timeout=5)
        for k, worker in reversed(list(enumerate(workers))):
            late = time.monotonic() - worker.since > WALL
            if worker.pipe not in ready and not late:
                continue
            result = worker.answer() if worker.pipe in ready else worker.lost("it hangs")
            results.append(result)
            report(result, len(results))
            if late or not worker.process.is_alive():
                worker.process.kill()
                worker = workers[k] = Worker(context, log)
            if left:
                worker.give(left.pop())
            else:
                worker.process.kill()
                del workers[k]
    return results


def summary(results: list[dict[str, Any]]) -> str:
    """Counts of what came of the steps, by kind of case."""
    lines = []
    for kind in dict.fromkeys(SHARES):
        mine = [r for r in results if r["kind"] == kind]
        if not mine:
            continue
        lines.append(
            f"{kind}: {len(mine)} cases, {sum(bool(r['failure']) for r in mine)} failures, "
            f"at most {max(r['seconds'] for r in mine):.1f} s and {max(r['bytes'] for r in mine) >> 20} MiB"
        )
        counts = Counter(step for r in mine for step in r["steps"])
        lines += [f"  {count:6d} {step}" for step, count in sorted(counts.items())]
    return "\n".join(lines)


def main() -> int:
    """Run, print failures as they come and figures at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="replay one case, here")
    parser.add_argument("--keep", type=Path, help="write every result there, one line of JSON each")
    options = parser.parse_args()
    prepare()
    if options.only is not None:
        faulthandler.register(signal.SIGPROF, chain=True)
        result = run_limited(options.only)
        print(result.pop("failure") or "no failure", json.dumps(result, indent=1), sep="\n")
        return 0
    kept = open(options.keep, "a") if options.keep else None  # noqa: SIM115
    start = time.monotonic()

    def report(result: dict[str, Any], done: int) -> None:
        if kept:
            print(json.dumps(result), file=kept, flush=True)
        if result["failure"] or result["look"]:
            print(
                f"seed {result['seed']} ({result['kind']}): {result['failure'] or result['look']}", flush=True
            )
        if done % 100 == 0:
            print(f"{done} of {options.count}, {time.monotonic() - start:.0f} s", flush=True)

    with tempfile.NamedTemporaryFile("r", suffix=".log", prefix="fuzz") as log:
        seeds = list(range(options.seed, options.seed + options.count))
        results = fuzz(seeds, options.processes, log.name, report)
        print(log.read()[-20_000:])
    print(summary(results))
    return int(any(r["failure"] for r in results))


if __name__ == "__main__":
    sys.exit(main())
