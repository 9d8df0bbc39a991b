"""Ensembles of decision trees (ai.onnx.ml): sums, means and extremes of what the open leaves say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from verifier.check.numbers.discrete import to_form
from verifier.check.numbers.integers import Array, Form
from verifier.check.numbers.relaxations import tournament
from verifier.check.operators.reduce import total
from verifier.check.operators.registry import LARGEST_TENSOR, Context, Node, Value, operator
from verifier.check.operators.scores import labelled, labels_of, of_two, post_transform, transformed, winner
from verifier.check.operators.tree_paths import Trees, doubles, levels, newer_trees, older_trees, open_leaves

__all__: list[str] = []

HOW = ["AVERAGE", "SUM", "MIN", "MAX"]  # in the order of their codes


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees, and a weight for every leaf and target (leaves, targets); NaN where a leaf says nothing."""

    trees: Trees
    weights: Array
    base: Array
    how: str

    def scores(self, ctx: Context, node: Node, x: Form) -> Form:
        """The scores (rows, targets)."""
        compared, weights, base = ctx.once(
            node,
            lambda: (
                levels(ctx, self.trees),
                ctx.ar.constant(np.nan_to_num(self.weights)),
                ctx.ar.constant(self.base),
            ),
        )
        parts = [
            self._per_tree(ctx, leaves, weights) for leaves in open_leaves(ctx, node, self.trees, x, compared)
        ]
        form = _side_by_side(ctx, parts)  # (trees, rows, targets)
        if self.how in ("MIN", "MAX"):
            out = tournament(ctx.ar, form, self.how == "MIN")
        else:
            out = total(ctx, form, (0,)).each(lambda a: a[0])
        if self.how == "AVERAGE":
            out = ctx.product(out, ctx.number(Fraction(1, len(self.trees.starts))))
        if self.base.size:
            out = ctx.ar.add(out, base)
        return ctx.lifted(out) if x.degree else out

    def _per_tree(self, ctx: Context, leaves: Array, weights: Form) -> Form:
        """Between the least and the greatest open leaf of each tree: (trees, rows, targets)."""
        ends = []
        for worst, best, numbers in (
            (np.minimum, weights.size, weights.c - weights.r),
            (np.maximum, -weights.size, weights.c + weights.r),
        ):
            columns = [
                worst.reduceat(np.where(leaves, numbers[:, k, None], 2 * best), self.trees.starts, axis=0)
                for k in range(numbers.shape[1])
            ]
            ends.append(np.stack(columns, axis=2))
        return ctx.ar.from_bounds(ends[0], ends[1], weights.e)


def _side_by_side(ctx: Context, parts: list[Form]) -> Form:
    parts = ctx.ar.aligned(parts)
    c, d, r = (np.concatenate([getattr(f, k) for f in parts], axis=1) for k in "cdr")
    return Form(c, d, r, parts[0].e)


def _weights(node: Node, trees: Trees, what: str, targets: int) -> Array:
    """The weights that the leaves of `older_trees` have, NaN where there is none."""
    given = doubles(node, f"{what}_weights")
    lists = [list(node.get(f"{what}_{part}") or []) for part in ("treeids", "nodeids", "ids")]
    if len({len(given), *map(len, lists)}) != 1:
        raise node.refuse("the lists of its weights differ in length")
    rows = {
        (node.get("nodes_treeids")[k], node.get("nodes_nodeids")[k]): row for row, k in enumerate(trees.ids)
    }
    entries = [
        (rows[tree, k], target, weight)
        for tree, k, target, weight in zip(*lists, given.tolist(), strict=True)
        if (tree, k) in rows
    ]
    return _table(node, entries, len(trees.ids), targets)


def _table(node: Node, entries: list[tuple[int, int, float]], leaves: int, targets: int) -> Array:
    if not 0 < targets * leaves <= LARGEST_TENSOR >> 2:
        raise node.refuse("it has too many targets")
    table = np.full((leaves, targets), np.nan)
    for leaf, target, weight in entries:
        if not 0 <= target < targets or not np.isnan(table[leaf, target]):
            raise node.refuse("a weight is for no target, or the second one for the same")
        table[leaf, target] = weight
    return table


def _ensemble(node: Node, trees: Trees, weights: Array, how: str) -> Ensemble:
    base = doubles(node, "base_values")
    if base.size not in (0, weights.shape[1]):
        raise node.refuse("it needs one base value per target")
    if how not in HOW or how in ("MIN", "MAX") and np.isnan(weights).any():
        raise node.refuse("its leaves cannot be aggregated")
    return Ensemble(trees, weights, base, how)


def _regressor(node: Node) -> Ensemble:
    trees = older_trees(node)
    weights = _weights(node, trees, "target", node.get("n_targets", 1))
    return _ensemble(node, trees, weights, node.get("aggregate_function", b"SUM").decode())


def _newer(node: Node) -> Ensemble:
    trees = newer_trees(node)
    given = onnx.numpy_helper.to_array(node.get("leaf_weights")).reshape(-1).astype(np.float64).tolist()
    targets = node.get("leaf_targetids")
    if len(given) != len(targets) or not np.isfinite(given).all():
        raise node.refuse("its leaves are not as many numbers as targets")
    if not all(0 <= k < len(given) for k in trees.ids):
        raise node.refuse("a branch leads to a leaf that does not exist")
    entries = [(row, targets[k], given[k]) for row, k in enumerate(trees.ids)]
    weights = _table(node, entries, len(trees.ids), node.get("n_targets", 1))
    return _ensemble(node, trees, weights, HOW[node.get("aggregate_function")])


READERS: dict[str, Callable[[Node], Ensemble]] = {
    "TreeEnsembleRegressor": _regressor,
    "TreeEnsemble": _newer,
}


@operator(*READERS, ties=True)
def _regression(ctx: Context, node: Node, inputs: list[Any]) -> Value:
    """The scores of the targets."""
    ensemble = ctx.once(node, lambda: READERS[node.op](node), exact=True)
    return transformed(ctx, node, ensemble.scores(ctx, node, to_form(ctx.ar, inputs[0])))


@operator("TreeEnsembleClassifier", ties=True)
def _classifier(ctx: Context, node: Node, inputs: list[Any]) -> list[Value]:
    """The label and the scores of the classes. Votes for the first of two classes only are one score, and it
    is the second class's.
    """
    count, labels = labels_of(node, "classlabels_int64s")
    one = count == 2 and set(node.get("class_ids")) == {0}
    plain = post_transform(node) == "NONE"
    if count < 2 or one and not plain and post_transform(node) != "LOGISTIC":
        raise node.refuse("these classes with this transform")

    def read() -> Ensemble:
        trees = older_trees(node)
        return _ensemble(node, trees, _weights(node, trees, "class", 1 if one else count), "SUM")

    ensemble = ctx.once(node, read, exact=True)
    scores = ensemble.scores(ctx, node, to_form(ctx.ar, inputs[0]))
    if not one:
        return labelled(ctx, node, winner(ctx, scores, labels), scores)
    positive = plain and not (ensemble.weights < 0).any()
    label, pair = of_two(ctx, scores, labels, 0.5 if positive else 0.0)
    return labelled(ctx, node, label, pair)
