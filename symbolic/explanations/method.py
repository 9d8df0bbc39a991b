"""What a method of explanation is, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, Optional, TypeVar, Union, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symbolic.errors import OptionError
from symbolic.explanations.graph import Graph, Tensor
from symbolic.explanations.option_checks import as_numbers, require_whole
from symbolic.explanations.passage import Passage
from symbolic.explanations.targets import Target

__all__ = ["Method", "Task", "methods", "named", "option"]


@dataclass(frozen=True, eq=False)
class Task:
    """What a method gets to work with.

    Attributes
    ----------
    passage : Passage
        The network's own run.
    target : Target
    weights : Tensor
        Of the scores, in their shape: 1 at the explained class.
    run : callable
        From the names of tensors and several inputs to their values at each, in the network before anything
        was appended: for what a method computes once, such as the activations of its references.
    """

    passage: Passage
    target: Target
    weights: Tensor
    run: Callable[[list[str], Iterable[NDArray[Any]]], list[list[NDArray[Any]]]]

    @property
    def graph(self) -> Graph:
        """The graph that grows."""
        return self.passage.graph

    @property
    def x(self) -> Tensor:
        """The explained input."""
        return self.passage.x

    @cached_property
    def value(self) -> Tensor:
        """The explained number of every row, (N,)."""
        scores = self.passage.y
        return self.graph.sum(scores * self.weights, range(1, scores.rank), keep=False)


class Method(ABC):
    """Base of all methods: a frozen dataclass whose fields are its options.

    Attributes
    ----------
    name : str
        As in `--method`.
    on_a_line : str
        What the attribution is along x(z) = a + b z in a piecewise-linear network.
    summary : str
        One line.
    source : str
        Paper or standard.
    undivided : frozenset of str
        Operators without a derivative here that it has rules for: they are not replaced by their definitions.
    """

    undivided: ClassVar[frozenset[str]] = frozenset()
    name: ClassVar[str]
    on_a_line: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    def __init_subclass__(cls) -> None:
        checked = getattr(cls, "__post_init__", None)

        def check(self: Method) -> None:
            _check_kinds(self)
            if checked is not None:
                checked(self)

        cls.__post_init__ = check  # type: ignore[attr-defined]

    @abstractmethod
    def attribution(self, task: Task) -> Tensor:
        """Append the attribution, in the shape of the input."""

    def options(self) -> dict[str, Any]:
        """The options as numbers, texts and lists."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]


ARRAYS = (ArrayLike, Union[float, ArrayLike], Optional[ArrayLike])  # noqa: UP007, UP045
KINDS: dict[Any, tuple[type, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a finite number"),
    str: (str, "a text"),
    bool: ((bool, np.bool_), "True or False"),  # type: ignore[dict-item]
}
methods: dict[str, type[Method]] = {}
"""By name."""
M = TypeVar("M", bound=type[Method])


def named(name: str, on_a_line: str, source: str) -> Callable[[M], M]:
    """Register a method; its summary is the first line of its docstring."""

    def register(cls: M) -> M:
        cls.name, cls.on_a_line, cls.source = name, on_a_line, source
        cls.summary = (cls.__doc__ or "").strip().splitlines()[0]
        methods[name] = cls
        return cls

    return register


def _check_kinds(method: Method) -> None:
    """Options that are one number, text or flag are that."""
    hints = get_type_hints(type(method))
    for f in fields(method):  # type: ignore[arg-type]
        value, hint = getattr(method, f.name), hints[f.name]
        if value is None and type(None) in get_args(hint):
            continue
        alone = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
        kind, words = KINDS.get(alone[0], (object, "")) if len(alone) == 1 else (object, "")
        good = isinstance(value, kind) and not (isinstance(value, bool) and kind in (Integral, Real))
        if not good or kind is Real and not isfinite(value):
            raise OptionError(f"{f.name} is {value!r}; it must be {words}.")
        if hint in ARRAYS:
            as_numbers(f.name, value)
        if f.name == "seed":
            require_whole("seed", value, least=0)


def option(value: object) -> Any:
    """An option as it is stored in the file."""
    return _plain(value)


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return f"array of shape {list(value.shape)}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
