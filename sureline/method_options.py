"""Options of a method of explanation, from the words of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from numpy.typing import ArrayLike

from symbolic.errors import OptionError
from symbolic.explanations.method import Method, methods
from symbolic.reading.array_files import read_raw_array

__all__ = ["default_text", "method_from_words", "option_name", "takes"]


def method_from_words(name: str, words: Sequence[str]) -> Method:
    """Make a method from its name and words such as `--steps 64`.

    Raises
    ------
    OptionError
        There is no such method or option, or its value is of another kind.
    """
    import symbolic.explanations.methods  # noqa: F401  (fills the registry)

    if name not in methods:
        raise OptionError(f"--method: there is no method {name!r}; `sureline methods` lists all of them.")
    kind = methods[name]
    hints = get_type_hints(kind)
    known = {option_name(field): field for field in fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for option, text in _pairs(words, {o for o, f in known.items() if hints[f.name] is bool}):
        if option not in known:
            has = ", ".join(known) or "none"
            raise OptionError(f"{option}: method {name} has no such option; it has: {has}.")
        field = known[option]
        if field.name in given:
            raise OptionError(f"{option} is given twice.")
        given[field.name] = _value(option, text, hints[field.name])
    return kind(**given)


def option_name(field: Field[Any]) -> str:
    """As typed."""
    return "--" + field.name.replace("_", "-")


def takes(kind: type[Method], field: Field[Any]) -> str:
    """What an option takes, for people."""
    return _words(get_type_hints(kind)[field.name])


def default_text(field: Field[Any]) -> str:
    """The default, as typed; a dash where there is none."""
    if field.default is MISSING or field.default is None:
        return "-"
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return str(field.default)


def _pairs(words: Sequence[str], flags: set[str]) -> list[tuple[str, str | None]]:
    """Options with their texts; a flag has none, `--no-x` is the text "no" of `--x`."""
    found: list[tuple[str, str | None]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, text = word.partition("=")
        if not option.startswith("--"):
            raise OptionError(f"{word!r} belongs to no option; options of a method look like --steps 64.")
        if not equals and option in flags:
            found.append((option, None))
        elif not equals and f"--{option.removeprefix('--no-')}" in flags:
            found.append((f"--{option.removeprefix('--no-')}", "no"))
        elif equals:
            found.append((option, text))
        elif rest:
            found.append((option, rest.pop(0)))
        else:
            raise OptionError(f"{option} needs a value.")
    return found


def _value(option: str, text: str | None, hint: Any) -> Any:
    kinds = _kinds(hint)
    if bool in kinds:
        words = {None: True, "yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
        if text not in words:
            raise OptionError(f"{option} is {text!r}; give yes or no.")
        return words[text]
    assert text is not None
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices and not kinds & {int, float} and text not in choices:
        raise OptionError(f"{option} is {text!r}: give one of {', '.join(map(str, choices))}.")
    if ArrayLike in kinds and text.lower().endswith((".npy", ".npz")):
        return read_raw_array(text)
    several = _several(kinds) and "," in text
    real = kinds & {float, ArrayLike}
    for number in (int, float) if real else (int,) if int in kinds else ():
        try:
            return [number(part) for part in text.split(",")] if several else number(text)
        except ValueError:
            pass
    if str in kinds or Path in kinds or text in choices:
        return text
    raise OptionError(f"{option} is {text!r}; give: {_words(hint)}.")


ANY_ARRAY = frozenset(get_args(ArrayLike))


def _kinds(hint: Any) -> set[Any]:
    """The members of a union, with arrays as one of them."""
    found = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    return found - ANY_ARRAY | {ArrayLike} if found >= ANY_ARRAY else found


def _several(kinds: set[Any]) -> bool:
    return any(get_origin(kind) is Sequence for kind in kinds)


def _words(hint: Any) -> str:
    kinds = _kinds(hint)
    if bool in kinds:
        return "flag"
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    found = ["|".join(choices)] if choices else []
    if float in kinds or ArrayLike in kinds:
        found.append("number")
    elif int in kinds:
        found.append("whole number")
    found += ["numbers as 2,3"] if _several(kinds) else []
    found += ["array file"] if ArrayLike in kinds else []
    found += ["file"] if Path in kinds else ["text"] if str in kinds else []
    return " or ".join(found)
