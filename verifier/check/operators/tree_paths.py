"""Decision trees of ai.onnx.ml as paths: a leaf can be reached where every condition on its path can hold.

A condition is one side of a branch. The sides of all branches are numbered 2*k (the condition of branch k
holds) and 2*k + 1 (it fails); each leaf has the list of its sides, filled up with a side that is always open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from verifier.check.numbers.discrete import COMPARISONS, Discrete, logical_not
from verifier.check.numbers.integers import Array, Form
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node
from verifier.check.operators.structure import gather

__all__ = ["Trees", "doubles", "levels", "newer_trees", "older_trees", "open_leaves"]

KINDS = ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER"]  # in the order of their codes
COMPARED = {"LEQ": "LessOrEqual", "LT": "Less", "GTE": "GreaterOrEqual", "GT": "Greater"}
BLOCK = 1 << 24  # numbers in hand at a time
Child = tuple[bool, int]  # is it a leaf, and which one of the attributes


@dataclass(frozen=True, eq=False)
class Trees:
    """All trees of a node: branches (feature, kind, value or set of values), and leaves, tree by tree.

    `paths` (leaves, longest path) are numbers of sides, `starts` the first leaf of each tree, `ids` the
    leaves' positions in the attributes.
    """

    features: Array
    kinds: list[str]
    values: list[list[float]]
    paths: Array
    starts: Array
    ids: list[int]


def doubles(node: Node, name: str) -> Array:
    """The numbers called `name`, or `name_as_tensor`."""
    tensor = node.get(f"{name}_as_tensor")
    given = np.array(node.get(name) or [], dtype=np.float64)
    if tensor is not None:
        if given.size:
            raise node.refuse(f"{name} is given twice")
        given = onnx.numpy_helper.to_array(tensor).reshape(-1).astype(np.float64)
    if not np.isfinite(given).all():
        raise node.refuse(f"{name} has an entry that is no number")
    return given


def older_trees(node: Node) -> Trees:
    """The nodes of TreeEnsembleRegressor and TreeEnsembleClassifier."""
    columns = ["treeids", "nodeids", "truenodeids", "falsenodeids", "featureids", "modes"]
    lists = [list(node.get(f"nodes_{name}") or []) for name in columns]
    values = doubles(node, "nodes_values")
    if len({len(values), *map(len, lists)}) != 1:
        raise node.refuse("the lists of its nodes differ in length")
    kinds = [mode.decode().removeprefix("BRANCH_") for mode in lists[5]]
    at: dict[tuple[int, int], int] = {}
    for k, pair in enumerate(zip(lists[0], lists[1], strict=True)):
        if pair in at:
            raise node.refuse("two nodes have one number")
        at[pair] = k
    sides: dict[int, tuple[Child, Child]] = {}
    children: set[int] = set()
    for k, kind in enumerate(kinds):
        if kind != "LEAF":
            below = [at.get((lists[0][k], lists[c][k]), -1) for c in (2, 3)]
            if min(below) < 0:
                raise node.refuse("a branch leads nowhere")
            children.update(below)
            sides[k] = tuple((kinds[b] == "LEAF", b) for b in below)  # type: ignore[assignment]
    tops = [k for k in range(len(kinds)) if k not in children]
    if tops != sorted({tree: k for k, tree in reversed(list(enumerate(lists[0])))}.values()):
        raise node.refuse("its nodes are no trees that begin with their roots")
    roots = [(kinds[k] == "LEAF", k) for k in tops]
    trees = _walked(node, roots, sides, lists[4], kinds, [[v] for v in values.tolist()])
    if len(trees.kinds) + len(trees.ids) != len(kinds):
        raise node.refuse("some of its nodes are in no tree")
    return trees


def newer_trees(node: Node) -> Trees:
    """The nodes and leaves of TreeEnsemble."""
    columns = ["truenodeids", "trueleafs", "falsenodeids", "falseleafs", "featureids"]
    lists = [list(node.get(f"nodes_{name}") or []) for name in columns]
    codes = onnx.numpy_helper.to_array(node.get("nodes_modes")).reshape(-1).tolist()
    splits = onnx.numpy_helper.to_array(node.get("nodes_splits")).reshape(-1).astype(np.float64).tolist()
    if len({len(codes), len(splits), *map(len, lists)}) != 1:
        raise node.refuse("the lists of its nodes differ in length")
    kinds = [KINDS[code] for code in codes]
    sets: list[list[float]] = [[]]
    if node.get("membership_values") is not None:
        for v in onnx.numpy_helper.to_array(node.get("membership_values")).reshape(-1).tolist():
            sets = [*sets, []] if v != v else [*sets[:-1], [*sets[-1], v]]
    if len(sets) - 1 != kinds.count("MEMBER") or sets[-1]:
        raise node.refuse("there is not one set for every branch that asks for membership")
    following = iter(sets)
    values = [
        next(following) if kind == "MEMBER" else [split] for kind, split in zip(kinds, splits, strict=True)
    ]
    sides = {
        k: ((bool(a_leaf), a), (bool(b_leaf), b))
        for k, (a, a_leaf, b, b_leaf) in enumerate(zip(*lists[:4], strict=True))
    }
    roots = [(False, k) for k in node.get("tree_roots") or []]
    return _walked(node, roots, sides, lists[4], kinds, values)


def _walked(
    node: Node,
    roots: list[Child],
    sides: dict[int, tuple[Child, Child]],
    features: list[int],
    kinds: list[str],
    values: list[list[float]],
) -> Trees:
    """Follow every path from the roots; no branch lies on two."""
    if not roots:
        raise node.refuse("it has no trees")
    number: dict[int, int] = {}
    found: list[tuple[int, list[int]]] = []
    starts, room = [], LARGEST_TENSOR
    for root in roots:
        starts.append(len(found))
        waiting: list[tuple[Child, list[int]]] = [(root, [])]
        while waiting:
            (is_leaf, k), path = waiting.pop()
            room -= len(path)
            if room < 0:
                raise node.refuse("its trees are too large")
            if is_leaf:
                found.append((k, path))
                continue
            if k in number or k not in sides:
                raise node.refuse("its nodes are no trees")
            number[k] = len(number)
            waiting.extend((child, [*path, 2 * number[k] + side]) for side, child in enumerate(sides[k]))
    longest = max(len(path) for _, path in found)
    if longest * len(found) > LARGEST_TENSOR:
        raise node.refuse("its trees are too large")
    paths = np.full((len(found), longest), 2 * len(number))
    for row, (_, path) in zip(paths, found, strict=True):
        row[: len(path)] = path
    if any(kinds[k] not in KINDS for k in number):
        raise node.refuse("a branch has an unknown mode")
    return Trees(
        np.array([features[k] for k in number], dtype=np.int64),
        [kinds[k] for k in number],
        [values[k] for k in number],
        paths,
        np.array(starts),
        [k for k, _ in found],
    )


def levels(ctx: Context, trees: Trees) -> dict[str, tuple[list[int], list[int], Form]]:
    """By kind: the branches, the branch of every number that they compare with, and these numbers."""
    found = {}
    for kind in sorted(set(trees.kinds)):
        branches = [k for k, its in enumerate(trees.kinds) if its == kind]
        numbers = [(k, v) for k in branches for v in trees.values[k]]
        form = ctx.ar.constant(np.array([v for _, v in numbers], dtype=np.float64))
        found[kind] = branches, [k for k, _ in numbers], form
    return found


def open_leaves(
    ctx: Context, node: Node, trees: Trees, x: Form, compared: dict[str, tuple[list[int], list[int], Form]]
) -> Iterator[Array]:
    """Which leaves the rows of `x` can reach: (leaves, rows, cells), some rows at a time."""
    rows, width, cells = *x.shape, x.c.shape[-1]
    if trees.features.size and not 0 <= trees.features.min() <= trees.features.max() < width:
        raise node.refuse("a tree reads a feature that the input lacks")
    step = max(1, BLOCK // max(trees.paths.size * cells, 1))
    for start in range(0, rows, step):
        part = np.arange(start, min(start + step, rows))
        sides = np.ones((2 * len(trees.kinds) + 1, len(part), cells), dtype=bool)
        for kind, (branches, owners, numbers) in compared.items():
            index = part[:, None] * width + trees.features[owners]
            truth = _truth(ctx, kind, *ctx.alike(gather(ctx, [x], index), numbers))
            may, may_not = (np.moveaxis(a, 0, 1) for a in (truth.hi != 0, truth.lo == 0))
            if kind == "MEMBER":
                rank = np.array(owners, dtype=np.int64)
                may = np.stack([may[rank == k].any(axis=0) for k in branches])
                may_not = np.stack([may_not[rank == k].all(axis=0) for k in branches])
            at = 2 * np.array(branches)
            sides[at], sides[at + 1] = may, may_not
        yield np.asarray(sides[trees.paths].all(axis=1))


def _truth(ctx: Context, kind: str, x: Form, numbers: Form) -> Discrete:
    truth = COMPARISONS[COMPARED.get(kind, "Equal")](ctx.ar, x, numbers)
    return logical_not(truth) if kind == "NEQ" else truth
