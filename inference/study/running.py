"""Run a study: every draw is a line on disk as soon as it is done, and is never repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inference.study.configuration import Configuration
from inference.study.drawing import Job, draw, jobs_of
from inference.workers import as_they_come
from symbolic.errors import InputError, OptionError

__all__ = ["DRAWS", "read_draws", "run"]

DRAWS = "draws.jsonl"
HEADER = "study.json"


def run(
    study: Configuration,
    out: str | os.PathLike[str],
    *,
    processes: int = 1,
    parts: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make the draws that are not on disk yet.

    Parameters
    ----------
    study : Configuration
    out : path
        Folder; it is made. What an interrupted run left there is kept.
    processes : int
        Each of one thread.
    parts : sequence of str
        Names; default: all.
    progress : callable, optional
        Gets (done, total) after every draw, those on disk included.

    Returns
    -------
    Path
        The file with one JSON object per draw.

    Raises
    ------
    OptionError
        The folder belongs to another configuration, or there is no such part.
    """
    chosen = [study.part(name) for name in parts] or list(study.parts)
    folder = Path(out)
    _claim(study, folder)
    file = folder / DRAWS
    _drop_cut_line(file)
    known = {_key(record) for record in read_draws(folder)}
    jobs = [job for part in chosen for job in jobs_of(study, part)]
    waiting = [job for job in jobs if _key(vars(job)) not in known]
    done = len(jobs) - len(waiting)
    if progress is not None:
        progress(done, len(jobs))
    with file.open("a", encoding="utf-8") as lines:
        for _, record in as_they_come(partial(draw, study), waiting, processes):
            lines.write(json.dumps(record, allow_nan=False) + "\n")
            lines.flush()
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    return file


def read_draws(out: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a study's folder.

    Raises
    ------
    InputError
        A line is damaged.
    """
    file = Path(out) / DRAWS
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                _key(record)
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{file}, line {number} is damaged; remove that line.") from None
            yield record


def _key(record: Any) -> tuple[str, str, str, float, int]:
    job = Job(*(record[name] for name in ("part", "network", "noise", "effect", "seed")))
    return job.part, job.network, job.noise, job.effect, job.seed


def _claim(study: Configuration, folder: Path) -> None:
    """Make the folder, or see that it is this study's."""
    header = folder / HEADER
    if header.exists():
        if json.loads(header.read_text()).get("configuration_sha256") != study.sha256:
            raise OptionError(f"{folder} belongs to another configuration; give another folder.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / DRAWS).exists():
        raise OptionError(f"{folder} holds draws of an unknown configuration; give another folder.")
    header.write_text(json.dumps({"title": study.title, "configuration_sha256": study.sha256}) + "\n")


def _drop_cut_line(file: Path) -> None:
    """An interrupted run may have left half a line."""
    if not file.exists():
        return
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        file.write_bytes(content[: content.rfind(b"\n") + 1])
