"""Decision trees as arrays, from both notations of the standard, and the leaves that a segment can reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from symbolic.enclosures.rounding import UP, Array, sum_error
from symbolic.enclosures.values import Affine
from symbolic.errors import ModelError
from symbolic.node import Node

__all__ = ["Forest", "floats", "listed_forest", "reachable", "split_forest", "thresholds"]

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]
Key = tuple[str, int]
"""("branch" or "leaf", position in the attributes)."""
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
MEMBER = MODES.index("BRANCH_MEMBER")


@dataclass(frozen=True)
class Forest:
    """Branches are numbered first, then leaves, tree by tree.

    Attributes
    ----------
    feature, mode, split : ndarray
        Per branch: what is compared, how (a position in MODES), and with what.
    owners, members : ndarray
        The sets of all BRANCH_MEMBER branches: whose, and the member.
    yes, no : ndarray of int
        Per branch: its children.
    levels : list of ndarray of int
        The branches, by depth.
    roots, first_leaves : ndarray of int
        Per tree; leaves are counted without the branches.
    leaves : ndarray of int
        Per leaf: its position in the attributes.
    """

    feature: Places
    mode: Places
    split: Array
    owners: Places
    members: Array
    yes: Places
    no: Places
    levels: list[Places]
    roots: Places
    first_leaves: Places
    leaves: Places


def floats(node: Node, name: str) -> Array | None:
    """A list of finite numbers: of floats, or a tensor (of doubles) under a name of its own."""
    given, tensor = node.attributes.get(name), node.attributes.get(f"{name}_as_tensor")
    if tensor is not None:
        if given:
            raise ModelError(f"{node.label} has {name} twice.")
        given = numpy_helper.to_array(tensor).reshape(-1)
    if given is None or len(given) == 0:
        return None
    values = np.asarray(given, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ModelError(f"{node.label}: {name} has entries that are no real numbers.")
    return values


def listed_forest(node: Node) -> Forest:
    """The notation of TreeEnsembleRegressor and TreeEnsembleClassifier: a leaf is a kind of node."""
    names = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids")
    trees, ids, yes, no, feature = (node.integers(name, ()) for name in names)
    modes = [mode.decode() for mode in node.attributes.get("nodes_modes", ())]
    split = floats(node, "nodes_values")
    if split is None or not len(trees) == len(ids) == len(yes) == len(no) == len(feature) == len(modes):
        raise ModelError(f"{node.label}: its lists of nodes differ in length.")
    places = {pair: k for k, pair in enumerate(zip(trees, ids, strict=True))}
    if len(places) < len(ids) or len(split) != len(ids):
        raise ModelError(f"{node.label}: two nodes of a tree have the same id, or values are missing.")
    children = {
        places.get((trees[k], child))
        for k in range(len(ids))
        if modes[k] != "LEAF"
        for child in (yes[k], no[k])
    }
    roots: dict[int, int] = {}
    for k, tree in enumerate(trees):
        roots.setdefault(tree, k)  # by custom a tree begins with its root
    if None in children or {k for k in range(len(ids)) if k not in children} != set(roots.values()):
        raise ModelError(f"{node.label}: its nodes do not form trees.")

    def key(k: int) -> Key:
        return ("leaf" if modes[k] == "LEAF" else "branch", k)

    def below(k: int) -> tuple[Key, Key]:
        return key(places[trees[k], yes[k]]), key(places[trees[k], no[k]])

    known = [MODES.index(mode) if mode in MODES[:MEMBER] else -1 for mode in modes]
    if any(code < 0 and mode != "LEAF" for code, mode in zip(known, modes, strict=True)):
        raise ModelError(f"{node.label} has an unknown mode.")
    tops = [key(k) for k in roots.values()]
    forest = _numbered(node, tops, below, np.array(feature), np.array(known), split, {})
    if len(forest.feature) + len(forest.leaves) < len(ids):  # the rest goes round in circles
        raise ModelError(f"{node.label}: its nodes do not form trees.")
    return forest


def split_forest(node: Node) -> Forest:
    """The notation of TreeEnsemble: branches and leaves in lists of their own."""
    names = ("nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs")
    yes, no, yes_leaf, no_leaf = (node.integers(name, ()) for name in names)
    feature = np.array(node.integers("nodes_featureids", ()))
    split = numpy_helper.to_array(node.attributes["nodes_splits"]).astype(np.float64).reshape(-1)
    mode = numpy_helper.to_array(node.attributes["nodes_modes"]).astype(np.int64).reshape(-1)
    if not len(yes) == len(no) == len(yes_leaf) == len(no_leaf) == len(feature) == len(split) == len(mode):
        raise ModelError(f"{node.label}: its lists of nodes differ in length.")
    if mode.size and not 0 <= mode.min() <= mode.max() <= MEMBER:
        raise ModelError(f"{node.label} has an unknown mode.")

    def key(k: int, is_leaf: int) -> Key:
        return ("leaf" if is_leaf else "branch", k)

    def below(k: int) -> tuple[Key, Key]:
        return key(yes[k], yes_leaf[k]), key(no[k], no_leaf[k])

    roots = [key(k, 0) for k in node.integers("tree_roots", ())]
    return _numbered(node, roots, below, feature, mode, split, _members(node, mode))


def _members(node: Node, mode: Places) -> dict[int, Array]:
    """The sets by branch; in the file they stand in this order, each followed by a NaN."""
    tensor = node.attributes.get("membership_values")
    values = np.zeros(0) if tensor is None else numpy_helper.to_array(tensor).astype(np.float64).reshape(-1)
    ends = np.nonzero(np.isnan(values))[0]
    branches = np.nonzero(mode == MEMBER)[0]
    if len(ends) != len(branches):
        raise ModelError(f"{node.label}: it has {len(branches)} branches of sets, but {len(ends)} sets.")
    starts = [0, *(ends + 1)]
    return {int(k): values[a:b] for k, a, b in zip(branches, starts, ends, strict=False)}


def _numbered(
    node: Node,
    roots: Sequence[Key],
    below: Callable[[int], tuple[Key, Key]],
    feature: Places,
    mode: Places,
    split: Array,
    members: dict[int, Array],
) -> Forest:
    """Number branches and leaves in the order of a walk from each root; no branch may be met twice."""
    branches: list[int] = []
    leaves: list[int] = []
    number: dict[int, int] = {}
    links: list[tuple[int, int, int]] = []  # branch, which child, leaf's number (negative: -1 - branch's)
    levels: list[list[int]] = []
    tops: list[int] = []
    first_leaves: list[int] = []

    def numbered(key: Key) -> int:
        kind, k = key
        if kind == "leaf":
            leaves.append(k)
            return len(leaves) - 1
        if k in number or not 0 <= k < len(feature):
            raise ModelError(f"{node.label}: its nodes do not form trees.")
        number[k] = len(branches)
        branches.append(k)
        return -1 - number[k]

    for root in roots:
        first_leaves.append(len(leaves))
        tops.append(numbered(root))
        front, depth = [root[1]] if root[0] == "branch" else [], 0
        while front:
            levels.extend([] for _ in range(depth + 1 - len(levels)))
            levels[depth].extend(number[k] for k in front)
            following = []
            for k in front:
                for side, key in enumerate(below(k)):
                    links.append((number[k], side, numbered(key)))
                    following.extend([key[1]] if key[0] == "branch" else [])
            front, depth = following, depth + 1

    def joint(k: int) -> int:
        return k + len(branches) if k >= 0 else -1 - k

    children = np.zeros((2, len(branches)), dtype=np.intp)
    for k, side, child in links:
        children[side, k] = joint(child)
    order = np.array(branches, dtype=np.intp)
    sets = [(number[k], value) for k, values in members.items() if k in number for value in values]
    return Forest(
        feature=feature[order],
        mode=mode[order],
        split=split[order],
        owners=np.array([k for k, _ in sets], dtype=np.intp),
        members=np.array([value for _, value in sets], dtype=np.float64),
        yes=children[0],
        no=children[1],
        levels=[np.array(level, dtype=np.intp) for level in levels],
        roots=np.array([joint(k) for k in tops], dtype=np.intp),
        first_leaves=np.array(first_leaves, dtype=np.intp),
        leaves=np.array(leaves, dtype=np.intp),
    )


def thresholds(forest: Forest) -> Array:
    """Every number that a feature is compared with: splits, then members of sets."""
    return np.concatenate([forest.split, forest.members])


def reachable(forest: Forest, x: Affine, levels: Affine) -> Bools:
    """Which leaves the rows of x (K, N, features) may reach: (K, N, leaves). Levels: `thresholds` (K, M)."""
    yes, no = _branchings(forest, x, levels)
    reach = np.zeros((*x.c.shape[:2], len(forest.feature) + len(forest.leaves)), dtype=bool)
    reach[..., forest.roots] = True
    for level in forest.levels:
        here = reach[..., level]
        reach[..., forest.yes[level]] = here & yes[..., level]
        reach[..., forest.no[level]] = here & no[..., level]
    return reach[..., len(forest.feature) :]


def _branchings(forest: Forest, x: Affine, levels: Affine) -> tuple[Bools, Bools]:
    """Where the condition of a branch may hold, and where it may fail, somewhere on the open segment."""
    count = len(forest.feature)
    below, at_most, equal, at_least, above = _signs(
        x, levels, np.concatenate([forest.feature, forest.feature[forest.owners]])
    )
    holds = (at_most, below, at_least, above, equal, below | above)
    fails = (above, at_least, below, at_most, below | above, equal)
    yes = np.zeros((*x.c.shape[:2], count), dtype=bool)
    no = np.ones_like(yes)
    for mode in range(MEMBER):
        at = np.nonzero(forest.mode == mode)[0]
        yes[..., at], no[..., at] = ~fails[mode][..., at], ~holds[mode][..., at]
    for owner in np.unique(forest.owners):
        at = count + np.nonzero(forest.owners == owner)[0]
        yes[..., owner] = ~(below | above)[..., at].all(axis=-1)
        no[..., owner] = ~equal[..., at].any(axis=-1)
    return yes, no


def _signs(x: Affine, levels: Affine, feature: Places) -> tuple[Bools, Bools, Bools, Bools, Bools]:
    """Where a feature minus its level is certainly < 0, <= 0, 0, >= 0, > 0."""
    c, d = x.c[..., feature] - levels.c[:, None], x.d[..., feature] - levels.d[:, None]
    h = (np.abs(d) + x.r[..., feature] + levels.r[:, None] + sum_error(c, d)) * UP
    finite = h < np.inf
    return (-c > h) & finite, (-c >= h) & finite, (c == 0) & (h == 0), (c >= h) & finite, (c > h) & finite
