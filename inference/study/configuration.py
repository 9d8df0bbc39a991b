"""What a study does, read from one TOML file: everything is declared before the first draw."""

from __future__ import annotations

import hashlib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from inference.study.noises import require_noise
from inference.workers import require_count
from symbolic.errors import OptionError

__all__ = ["Configuration", "Network", "Part", "read_configuration"]

RULES = ("back", "neighbor", "reference")
KINDS = ("draws", "constructed", "function")
WIDEST = 0.1
"""Of a constructed sliver or hole, in standard deviations."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class Network:
    """One network and the question asked of it.

    Attributes
    ----------
    name : str
    model : Path
        Relative to the configuration file.
    shape : tuple of int
        Of the input.
    threshold : str
    hypothesis : "back", "neighbor" or "reference"
    post : tuple of str
        Steps to the score, as on the command line.
    normalize : bool
    variance : str
        Of the noise.
    seed : int or None
        Of random nodes.
    optional : bool
        Left out with a word where the file is missing.
    """

    name: str
    model: Path
    shape: tuple[int, ...]
    threshold: str
    hypothesis: str = "back"
    post: tuple[str, ...] = ()
    normalize: bool = False
    variance: str = "1"
    seed: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Part:
    """Conditions (every network with every noise and effect), their repetitions and comparators.

    Attributes
    ----------
    name : str
    kind : "draws", "constructed" or "function"
        Simulated draws; constructed networks with known sets; a Python function that audits draw k.
    repetitions : int
        Seeds 0 to repetitions - 1.
    networks : tuple of str
    noises : tuple of str
        What the noise is; the analysis always takes it as independent and normal.
    effects : tuple of float
        Height of the planted block, in standard deviations; 0: the null is true.
    comparators : tuple of str
        Beside "exact", which is always there.
    check_every : int
        The independent checker re-checks each N-th certificate; 0: none.
    widths : tuple of float
        Of slivers and holes of constructed networks.
    function : str
        FILE.py:NAME, relative to the configuration file.
    """

    name: str
    kind: str = "draws"
    repetitions: int = 1
    networks: tuple[str, ...] = ()
    noises: tuple[str, ...] = ("normal",)
    effects: tuple[float, ...] = (0.0,)
    comparators: tuple[str, ...] = ("naive",)
    check_every: int = 0
    widths: tuple[float, ...] = ()
    function: str = ""


@dataclass(frozen=True)
class Configuration:
    """The whole study.

    Attributes
    ----------
    title : str
    levels : tuple of float
    confidence : float
    networks : tuple of Network
    parts : tuple of Part
    si4onnx : str
        Command of a Python interpreter with si4onnx 0.1.13; empty: none.
    folder : Path
        Of the configuration file.
    sha256 : str
        Of the configuration file.
    """

    title: str
    levels: tuple[float, ...]
    confidence: float
    networks: tuple[Network, ...]
    parts: tuple[Part, ...]
    si4onnx: str
    folder: Path
    sha256: str

    def network(self, name: str) -> Network:
        """The network of that name."""
        return next(one for one in self.networks if one.name == name)

    def part(self, name: str) -> Part:
        """The part of that name.

        Raises
        ------
        OptionError
        """
        for one in self.parts:
            if one.name == name:
                return one
        raise OptionError(f"the study has no part {name!r}; it has {', '.join(p.name for p in self.parts)}.")


def read_configuration(path: str | os.PathLike[str]) -> Configuration:
    """Read and check a study's configuration.

    Raises
    ------
    OptionError
        It cannot be read, or something in it is not what it should be; one sentence names it.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OptionError(f"{file}: {error.strerror or error}.") from None
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{file.name} is no TOML file: {error}.") from None
    study = dict(document.pop("study", {}))
    networks = tuple(_network(table, file.parent) for table in _tables(document, "network"))
    parts = tuple(_part(table) for table in _tables(document, "part"))
    if document:
        raise OptionError(f"{file.name}: there is no section {next(iter(document))!r}.")
    found = Configuration(
        title=str(study.pop("title", file.stem)),
        levels=_levels(study.pop("levels", [0.05, 0.01, 0.001])),
        confidence=_levels([study.pop("confidence", 0.99)])[0],
        networks=networks,
        parts=parts,
        si4onnx=str(study.pop("si4onnx", "")),
        folder=file.parent.resolve(),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    if study:
        raise OptionError(f"{file.name}: [study] has no key {next(iter(study))!r}.")
    _consistent(found)
    return found


def _tables(document: dict[str, Any], name: str) -> list[Mapping[str, Any]]:
    tables = document.pop(name, [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise OptionError(f"write [[{name}]] with two brackets.")
    return tables


def _network(table: Mapping[str, Any], folder: Path) -> Network:
    given = dict(table)
    if "model" in given:
        given["model"] = (folder / str(given["model"])).resolve()
    for key in ("threshold", "variance"):
        if key in given:
            given[key] = str(given[key])
    network = _made(Network, given, "network")
    if network.hypothesis not in RULES:
        raise OptionError(f"network {network.name}: hypothesis is one of {', '.join(RULES)}.")
    for length in network.shape:
        require_count(length, f"network {network.name}: a length of shape")
    if not network.optional and not network.model.is_file():
        raise OptionError(f"network {network.name}: there is no file {network.model}.")
    return network


def _part(table: Mapping[str, Any]) -> Part:
    from inference.study.comparators import comparator

    given = dict(table)
    if "effects" in given:
        given["effects"] = [float(e) for e in _numbers(given["effects"], "effects")]
    if "widths" in given:
        given["widths"] = [float(e) for e in _numbers(given["widths"], "widths")]
        if not all(0 < width < WIDEST for width in given["widths"]):
            raise OptionError(f"widths of constructed slivers and holes lie between 0 and {WIDEST}.")
    part = _made(Part, given, "part")
    where = f"part {part.name}"
    if part.kind not in KINDS:
        raise OptionError(f"{where}: kind is one of {', '.join(KINDS)}.")
    require_count(part.repetitions, f"{where}: repetitions")
    require_count(part.check_every, f"{where}: check_every", 0)
    for name in part.comparators:
        comparator(name)
    for noise in part.noises:
        require_noise(noise)
    if part.kind == "draws" and not part.networks:
        raise OptionError(f"{where}: name its networks.")
    if part.kind == "function" and ":" not in part.function:
        raise OptionError(f"{where}: function should be FILE.py:NAME.")
    return part


def _made(kind: type[Made], given: dict[str, Any], what: str) -> Made:
    """The dataclass of a table; lists become tuples."""
    known = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    where = f"{what} {given.get('name', '')}".strip()
    for key, value in given.items():
        if key not in known:
            raise OptionError(f"{where}: there is no key {key!r}; keys are {', '.join(known)}.")
        wanted: Any = {"str": str, "bool": bool, "int": int}.get(known[key])
        if known[key].startswith("tuple"):
            wanted = list
        if wanted is not None and not isinstance(value, wanted):
            raise OptionError(f"{where}: {key} should be {known[key]}, not {value!r}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise OptionError(f"{where}: {str(error).split('()')[-1].strip()}.") from None


def _numbers(value: Any, name: str) -> list[float]:
    if not isinstance(value, list) or not all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value
    ):
        raise OptionError(f"{name} should be a list of numbers, not {value!r}.")
    return value


def _levels(value: Any) -> tuple[float, ...]:
    found = tuple(float(v) for v in _numbers(value, "levels"))
    if not found or not all(0 < v < 1 for v in found):
        raise OptionError(f"levels and confidence are between 0 and 1, not {value!r}.")
    return found


def _consistent(study: Configuration) -> None:
    for kind, names in (
        ("network", [n.name for n in study.networks]),
        ("part", [p.name for p in study.parts]),
    ):
        if len(set(names)) < len(names):
            raise OptionError(f"two {kind}s have the same name.")
    if not study.parts:
        raise OptionError("the study has no [[part]].")
    known = {n.name for n in study.networks}
    for part in study.parts:
        for name in part.networks:
            if name not in known:
                raise OptionError(f"part {part.name}: there is no network {name!r}.")
