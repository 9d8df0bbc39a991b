"""Einsum: every term of every sum, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .call import Call, operator
from .exact import Array
from .reduction import summed


def labels(word: str, rank: int) -> list[str]:
    """What the axes are called; those of the ellipsis are numbered from its end."""
    if "..." not in word:
        return list(word)
    before, after = word.split("...")
    free = rank - len(before) - len(after)
    return [*before, *(str(k) for k in range(-free, 0)), *after]


@operator("Einsum")
def einsum(call: Call) -> list[Array]:
    text = call.attribute("equation").replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = [labels(w, x.ndim) for w, x in zip(left.split(","), call.inputs, strict=True)]
    numbered = sorted({label for term in terms for label in term if not label.isalpha()}, key=int)
    if arrow:
        output = labels(right, len(numbered) + len(right.replace("...", "")))
    else:
        output = numbered + sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, call.inputs, strict=True):
        for label, n in zip(term, x.shape, strict=True):
            sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
    inner = [label for label in sizes if label not in output]
    out = np.empty([sizes[label] for label in output], dtype=object)
    for index in np.ndindex(out.shape):
        values = []
        for rest in itertools.product(*(range(sizes[label]) for label in inner)):
            at = dict(zip([*output, *inner], [*index, *rest], strict=True))
            value: Any = None
            for term, x in zip(terms, call.inputs, strict=True):
                place = tuple(at[label] if n > 1 else 0 for label, n in zip(term, x.shape, strict=True))
                value = x[place] if value is None else value * x[place]
            values.append(value)
        out[index] = summed(values)
    return [out]
