"""Ensembles of decision trees as layers: conditions, the leaf that a row reaches, sums of what leaves say."""

from __future__ import annotations

import numpy as np

from symbolic.node import Node
from symbolic.operators.ml_forest import MEMBER, Forest
from symbolic.operators.ml_trees import Ensemble, listed_ensemble, split_ensemble, vote_of
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import inverted, minimum, negated, units
from symbolic.pieces.operators.scores import labelled, scores_of, two_scores
from symbolic.pieces.program import Ids

__all__: list[str] = []


def _conditions(b: Builder, forest: Forest, x: Ids) -> Ids:
    """(rows, branches): 1 where the condition of a branch holds."""
    levels = np.concatenate([forest.split, forest.members])
    feature = np.concatenate([forest.feature, forest.feature[forest.owners]]).astype(np.intp)
    difference = b.affine([(x[:, feature], 1.0)], -levels)
    less, more = b.step(negated(b, difference)), b.step(difference)
    differs = b.affine([(less, 1.0), (more, 1.0)])
    count = len(forest.feature)
    no_more, no_less, same = (inverted(b, v) for v in (more, less, differs))
    truths = (no_more, less, no_less, more, same, differs)
    holds = np.zeros((len(x), count), dtype=np.int64)
    for mode in range(MEMBER):
        at = np.nonzero(forest.mode == mode)[0]
        holds[:, at] = truths[mode][:, at]
    for owner in np.unique(forest.owners):
        at = count + np.nonzero(forest.owners == owner)[0]
        holds[:, owner] = b.step(b.affine([(same[:, k], 1.0) for k in at]))
    return holds


def _paths(forest: Forest) -> list[list[tuple[int, bool]]]:
    """Of every leaf the branches that lead to it, and whether their conditions hold."""
    count = len(forest.feature)
    paths: dict[int, list[tuple[int, bool]]] = {int(root): [] for root in forest.roots}
    for level in forest.levels:
        for branch in level.tolist():
            for child, truth in ((int(forest.yes[branch]), True), (int(forest.no[branch]), False)):
                paths[child] = [*paths[branch], (branch, truth)]
    return [paths[count + leaf] for leaf in range(len(forest.leaves))]


def _reached(b: Builder, forest: Forest, x: Ids) -> Ids:
    """(rows, leaves): 1 where a row reaches the leaf."""
    paths = _paths(forest)
    deepest = max(map(len, paths), default=0)
    b.require_moderate(len(x) * len(paths) * max(deepest, 1))
    branch = np.zeros((len(paths), deepest), dtype=np.int64)
    weight = np.zeros((len(paths), deepest))
    needed = np.zeros(len(paths))
    for leaf, path in enumerate(paths):
        for k, (at, truth) in enumerate(path):
            branch[leaf, k], weight[leaf, k] = at, 1.0 if truth else -1.0
        needed[leaf] = sum(truth for _, truth in path)
    holds = _conditions(b, forest, x) if forest.feature.size else np.zeros((len(x), 1), dtype=np.int64)
    terms = [(holds[:, branch[:, k]], weight[:, k]) for k in range(deepest)]
    none = (np.zeros((len(x), len(paths)), dtype=np.int64), 1.0)
    return b.step(b.affine([none, *terms], -needed), strict=False)


def ensemble_scores(b: Builder, ensemble: Ensemble, x: Ids) -> Ids:
    """(rows, targets)."""
    forest, reached = ensemble.forest, _reached(b, ensemble.forest, x)
    ends = [*forest.first_leaves[1:].tolist(), len(forest.leaves)]
    spans = list(zip(forest.first_leaves.tolist(), ends, strict=True))
    columns = []
    for target, weights in enumerate(ensemble.weights.T):
        if ensemble.aggregate in ("MIN", "MAX"):
            trees = [_said(b, reached[:, a:e], weights[a:e]) for a, e in spans]
            table = np.stack(trees, axis=-1)
            column = b.maximum(table) if ensemble.aggregate == "MAX" else minimum(b, table)
        else:
            divisor = len(spans) if ensemble.aggregate == "AVERAGE" else 1
            column = _said(b, reached, weights, divisor)
        if ensemble.base is not None:
            column = b.affine([(column, 1.0)], float(ensemble.base[target]))
        columns.append(column)
    return np.stack(columns, axis=-1)


def _said(b: Builder, reached: Ids, weights: np.ndarray, divisor: int = 1) -> Ids:
    """Sums over leaves."""
    rows, leaves = reached.shape
    used = weights != 0
    pointers = np.arange(rows + 1) * int(used.sum())
    sources, every = reached[:, used].reshape(-1), np.tile(weights[used], rows)
    return b.rows(pointers, sources, every, np.zeros(rows), divisor)


@lowers("TreeEnsembleRegressor", "TreeEnsemble")
def regressor(b: Builder, node: Node, given: Given) -> list[Units | None]:
    """Trees whose leaves hold numbers."""
    made = listed_ensemble(node) if node.op_type == "TreeEnsembleRegressor" else split_ensemble(node)
    return [scores_of(node, ensemble_scores(b, made, units(b, node, given, 0)))]


@lowers("TreeEnsembleClassifier")
def classifier(b: Builder, node: Node, given: Given) -> list[Units | None]:
    """Trees that vote."""
    vote = vote_of(node)
    scores = ensemble_scores(b, vote.ensemble, units(b, node, given, 0))
    if vote.binary:
        label, scores = two_scores(b, scores, vote.labels, vote.level)
        return [label, scores_of(node, scores)]
    return [labelled(b, scores, vote.labels), scores_of(node, scores)]
