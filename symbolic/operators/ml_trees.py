"""Ensembles of decision trees: piecewise constant, and exact where each tree can reach one leaf only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from symbolic.enclosures import forms
from symbolic.enclosures.rounding import UP, Array, gamma
from symbolic.enclosures.values import Affine, Batch, Const, Range, Value
from symbolic.errors import ModelError
from symbolic.node import ML, Inputs, Node, Rule, operator, required
from symbolic.operators.arithmetic import divide
from symbolic.operators.ml_forest import Forest, floats, listed_forest, reachable, split_forest, thresholds
from symbolic.operators.ml_scores import (
    class_labels,
    is_untransformed,
    of_two,
    scores_are_exact,
    transform,
    winner,
)

Aggregate = Literal["SUM", "AVERAGE", "MIN", "MAX"]
AGGREGATES: tuple[Aggregate, ...] = ("AVERAGE", "SUM", "MIN", "MAX")
BLOCK = 2**22
"""Numbers in hand at a time: rows times nodes."""
MOST_WEIGHTS = 2**24


@dataclass(frozen=True)
class Ensemble:
    """A forest with what its leaves say.

    Attributes
    ----------
    forest : Forest
    weights : ndarray
        (leaves, targets).
    base : ndarray or None
        Added per target.
    aggregate : str
        How the trees' weights become one.
    """

    forest: Forest
    weights: Array
    base: Array | None
    aggregate: Aggregate

    def scores(self, batch: Batch, x: Affine) -> Affine:
        """The score of every target for every row of x: (K, N, targets)."""
        low, high = self._bounds(x, batch.lift(Const(thresholds(self.forest))))
        scores = batch.lift(Range(low, high))
        if self.aggregate == "AVERAGE":
            scores = divide(batch, scores, Const(np.array(float(len(self.forest.roots)))))
        if self.base is not None and self.aggregate != "SUM":
            scores = forms.add(scores, batch.lift(Const(self.base)))
        return scores

    def _bounds(self, x: Affine, levels: Affine) -> tuple[Array, Array]:
        """Lower and upper bounds of what all trees together say, a block of rows at a time."""
        size, rows = x.c.shape[0], x.c.shape[1]
        low = np.empty((size * rows, self.weights.shape[1]))
        high = np.empty_like(low)
        flat = [v.reshape(size * rows, 1, -1) for v in (x.c, x.d, x.r)]
        of_row = np.arange(size * rows) // max(rows, 1)
        step = max(1, BLOCK // (len(self.forest.feature) + len(self.forest.leaves) + 1))
        for start in range(0, size * rows, step):
            part = slice(start, start + step)
            at = of_row[part]
            reach = reachable(
                self.forest,
                Affine(*(v[part] for v in flat)),
                Affine(levels.c[at], levels.d[at], levels.r[at]),
            )[:, 0]
            for target in range(self.weights.shape[1]):
                low[part, target] = self._combined(reach, target, lower=True)
                high[part, target] = self._combined(reach, target, lower=False)
        shape = (size, rows, -1)
        return low.reshape(shape), high.reshape(shape)

    def _combined(self, reach: np.ndarray, target: int, lower: bool) -> Array:
        """A bound of one target over the leaves that each tree can reach."""
        weights, first = self.weights[:, target], self.forest.first_leaves
        worst, end = (np.minimum, np.inf) if lower else (np.maximum, -np.inf)
        trees = worst.reduceat(np.where(reach, weights, end), first, axis=-1)
        if self.aggregate in ("MIN", "MAX"):
            return np.asarray(trees.min(axis=-1) if self.aggregate == "MIN" else trees.max(axis=-1))
        if self.base is not None and self.aggregate == "SUM":
            trees = np.concatenate([trees, np.full((len(trees), 1), self.base[target])], axis=1)
        total = trees.sum(axis=-1)
        error = self._sum_error(target)
        return np.asarray(total - error if lower else total + error)

    def _sum_error(self, target: int) -> float:
        """A bound of the rounding of a sum over the trees: none where every partial sum is a float."""
        weights = np.abs(self.weights[:, target])
        largest = np.maximum.reduceat(weights, self.forest.first_leaves)
        if self.base is not None:
            weights, largest = (np.append(v, abs(self.base[target])) for v in (weights, largest))
        most = float(largest.sum()) * UP
        if not most or most < _unit(weights[weights > 0]) * 2.0**53:
            return 0.0
        return 2 * gamma(len(largest) + 2) * most


def _unit(numbers: Array) -> float:
    """A power of two of which all positive numbers are multiples."""
    mantissa, exponent = np.frexp(numbers)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return float(np.ldexp((whole & -whole).astype(np.float64), exponent - 53).min())


def _weights(node: Node, forest: Forest, what: str, count: int) -> Array:
    """What the leaves of `listed_forest` say: one weight per leaf and target, 0 where none is given."""
    trees, ids = node.integers("nodes_treeids", ()), node.integers("nodes_nodeids", ())
    leaf_at = {(trees[k], ids[k]): leaf for leaf, k in enumerate(forest.leaves)}
    given = floats(node, f"{what}_weights")
    names = [node.integers(f"{what}_{part}", ()) for part in ("treeids", "nodeids", "ids")]
    if given is None or any(len(values) != len(given) for values in names):
        raise ModelError(f"{node.label}: its lists of weights differ in length.")
    places = [
        (leaf_at[tree, k], target, weight)
        for tree, k, target, weight in zip(*names, given, strict=True)
        if (tree, k) in leaf_at
    ]
    return _table(node, places, (len(forest.leaves), count))


def _table(node: Node, places: Sequence[tuple[int, int, float]], shape: tuple[int, int]) -> Array:
    if not 0 < shape[0] * shape[1] <= MOST_WEIGHTS:
        raise ModelError(f"{node.label}: {shape[1]} targets are too many, or none.")
    if any(not 0 <= target < shape[1] for _, target, _ in places):
        raise ModelError(f"{node.label}: a weight is for no target.")
    if len({(leaf, target) for leaf, target, _ in places}) < len(places):
        raise ModelError(f"{node.label}: a leaf has two weights for the same target.")
    table = np.zeros(shape)
    for leaf, target, weight in places:
        table[leaf, target] = weight
    return table


def _ensemble(
    node: Node, forest: Forest, weights: Array, base: Array | None, aggregate: Aggregate, complete: bool
) -> Ensemble:
    if not len(forest.roots):
        raise ModelError(f"{node.label} has no trees.")
    if base is not None and len(base) != weights.shape[1]:
        raise ModelError(f"{node.label} needs one base value per target.")
    if aggregate in ("MIN", "MAX") and not complete:
        raise ModelError(f"{node.label}: {aggregate} needs a weight for every target at every leaf.")
    return Ensemble(forest, weights, base, aggregate)


def _rows(node: Node, inputs: Inputs, forest: Forest) -> tuple[int, int]:
    """The shape of the input, which must have the features that the trees ask for."""
    shape = required(node, inputs).shape
    if (
        len(shape) != 2
        or forest.feature.size
        and not 0 <= forest.feature.min() <= forest.feature.max() < shape[1]
    ):
        raise ModelError(f"{node.label}: its trees read features that an input of shape {shape} lacks.")
    return shape[0], shape[1]


def _regression(node: Node, inputs: Inputs, ensemble: Ensemble) -> Rule:
    rows, _ = _rows(node, inputs, ensemble.forest)
    last = transform(node, (rows, ensemble.weights.shape[1]))
    return lambda batch, values: (last(batch, ensemble.scores(batch, batch.lift(required(node, values)))),)


def listed_ensemble(node: Node) -> Ensemble:
    """That of a TreeEnsembleRegressor."""
    forest, count = listed_forest(node), int(node.attributes.get("n_targets", 1))
    weights = _weights(node, forest, "target", count)
    name = node.text("aggregate_function", "SUM")
    if name not in AGGREGATES:
        raise ModelError(f"{node.label} has the unknown aggregate_function {name!r}.")
    full = len(node.integers("target_ids", ())) == weights.size
    aggregate: Aggregate = next(a for a in AGGREGATES if a == name)
    return _ensemble(node, forest, weights, floats(node, "base_values"), aggregate, full)


@operator("TreeEnsembleRegressor", exact=scores_are_exact, homogeneous=is_untransformed, domain=ML)
def regressor(node: Node, inputs: Inputs) -> Rule:
    """Trees whose leaves hold numbers."""
    return _regression(node, inputs, listed_ensemble(node))


def split_ensemble(node: Node) -> Ensemble:
    """That of a TreeEnsemble; a leaf is for one target."""
    forest, count = split_forest(node), int(node.attributes.get("n_targets", 1))
    given = numpy_helper.to_array(node.attributes["leaf_weights"]).astype(np.float64).reshape(-1)
    targets = node.integers("leaf_targetids", ())
    if len(given) != len(targets) or not np.isfinite(given).all():
        raise ModelError(f"{node.label}: its lists of leaves differ in length, or hold no real numbers.")
    if forest.leaves.size and not 0 <= forest.leaves.min() <= forest.leaves.max() < len(given):
        raise ModelError(f"{node.label}: a branch leads to a leaf that does not exist.")
    places = [(leaf, targets[k], given[k]) for leaf, k in enumerate(forest.leaves)]
    weights = _table(node, places, (len(forest.leaves), count))
    aggregate = AGGREGATES[int(node.attributes["aggregate_function"])]
    return _ensemble(node, forest, weights, None, aggregate, count == 1)


@operator("TreeEnsemble", exact=scores_are_exact, homogeneous=is_untransformed, domain=ML)
def trees(node: Node, inputs: Inputs) -> Rule:
    """Trees in the notation of operator set 5."""
    return _regression(node, inputs, split_ensemble(node))


@dataclass(frozen=True)
class Vote:
    """What a TreeEnsembleClassifier does: ``binary`` if there is one score for two classes, of which the
    second wins above the level."""

    ensemble: Ensemble
    labels: NDArray[np.int64] | int
    binary: bool
    level: float


def vote_of(node: Node) -> Vote:
    """Two classes whose votes are all for the first of the list have one score: it is the second class's."""
    forest, labels = listed_forest(node), class_labels(node, "classlabels_int64s")
    count = labels if isinstance(labels, int) else len(labels)
    binary = count == 2 and set(node.integers("class_ids", ())) == {0}
    weights = _weights(node, forest, "class", 1 if binary else count)
    ensemble = _ensemble(node, forest, weights, floats(node, "base_values"), "SUM", True)
    if count < 2 or binary and node.text("post_transform") not in ("NONE", "LOGISTIC"):
        raise ModelError(f"{node.label}: {count} classes with this post_transform are not supported.")
    level = 0.5 if (weights >= 0).all() and is_untransformed(node, ()) else 0.0
    return Vote(ensemble, labels, binary, level)


@operator("TreeEnsembleClassifier", exact=scores_are_exact, homogeneous=is_untransformed, domain=ML)
def classifier(node: Node, inputs: Inputs) -> Rule:
    """Trees that vote; the label is the first class of the greatest score."""
    vote = vote_of(node)
    rows, _ = _rows(node, inputs, vote.ensemble.forest)
    last = transform(node, (rows, vote.labels if isinstance(vote.labels, int) else len(vote.labels)))

    def rule(batch: Batch, values: Inputs) -> tuple[Value, ...]:
        scores = vote.ensemble.scores(batch, batch.lift(required(node, values)))
        if not vote.binary:
            return winner(scores, vote.labels), last(batch, scores)
        label, both = of_two(batch, scores, vote.labels, vote.level)
        return label, last(batch, both)

    return rule
