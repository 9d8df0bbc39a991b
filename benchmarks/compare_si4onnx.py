"""Sureline against si4onnx 0.1.13 on the same networks, inputs and hypotheses.

Every run is a process of its own with one thread; the tools alternate, and which goes first alternates too.
Both load the file and do their default inference: si4onnx to 1e-3 in p, Sureline to a certified 1e-6.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from catalogue import CACHE, CASES, Case
from sides import HERE, ONE_THREAD, Record, Side
from summary import HEADERS, Pair, line, markdown, verdict


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter with Sureline (default: this one)"
    )
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with torch and si4onnx")
    parser.add_argument("--nets", nargs="+", choices=list(CASES), help="which networks (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="inputs per network: seeds 0 .. N-1 (default 3)")
    parser.add_argument("--quick", action="store_true", help="the small networks and one seed")
    parser.add_argument(
        "--peer-timeout", type=float, default=900, help="processor seconds of a si4onnx run (900)"
    )
    parser.add_argument("--only", choices=["si4onnx", "sureline", "none"], help="run this; rest cached")
    parser.add_argument("--no-check", action="store_true", help="do not time sl.check")
    parser.add_argument("--out", type=Path, default=CACHE / "compare", help="writes OUT.json and OUT.md")
    return parser.parse_args()


def one(side: Side, case: Case, seed: int, fresh: bool, earlier: list[Pair]) -> Record | None:
    """A record of one side, run now or from the cache; none once a run of this network hit the time limit."""
    if not fresh:
        return side.load(case, seed)
    position = 0 if side.tool == "si4onnx" else 1
    if any((pair[position] or {}).get("timeout") for pair in earlier):
        return None
    record = side.run(case, seed)
    said = record.get("error") or ("time limit" if "timeout" in record else f"{record['seconds']:.2f} s")
    print(f"  {case.name} seed {seed} {side.tool}: {said}", file=sys.stderr, flush=True)
    return record


def compare(cases: list[Case], seeds: int, peer: Side, own: Side, only: str | None) -> dict[str, list[Pair]]:
    """All records, by network, one pair per seed."""
    pairs: dict[str, list[Pair]] = {case.name: [] for case in cases}
    for seed in range(seeds):
        for k, case in enumerate(cases):
            order = [peer, own] if (seed + k) % 2 == 0 else [own, peer]
            found = {s.tool: one(s, case, seed, only in (None, s.tool), pairs[case.name]) for s in order}
            pairs[case.name].append((found[peer.tool], found[own.tool]))
    return pairs


def main() -> None:
    options = arguments()
    names = options.nets or [name for name, case in CASES.items() if case.quick or not options.quick]
    seeds = 1 if options.quick else options.seeds
    builder = [options.peer_python, "-W", "ignore", str(HERE / "networks.py"), *names]
    subprocess.run(builder, check=True, env=os.environ | ONE_THREAD)
    peer = Side("si4onnx", options.peer_python, limit=options.peer_timeout)
    own = Side("sureline", options.python, () if options.no_check else ("--check",))
    pairs = compare([CASES[name] for name in names], seeds, peer, own, options.only)
    table = markdown(HEADERS, [line(name, several) for name, several in pairs.items()])
    text = f"{table}\n\n{verdict(pairs)}\n"
    print(text)
    machine = {"platform": platform.platform(), "processors": os.cpu_count()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    record = json.dumps({"machine": machine, "pairs": pairs}, indent=1)
    options.out.with_suffix(".json").write_text(record + "\n")
    options.out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
