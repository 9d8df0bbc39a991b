"""The operators of ai.onnx.ml, tree by tree and key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from quicktions import Fraction

from .call import Call
from .exact import (
    UNKNOWN,
    Array,
    Unknown,
    absolute,
    divide,
    equal,
    exact_array,
    exact_scalar,
    exponential,
    greater,
    greatest,
    hull,
    less_equal,
    square_root,
)
from .pooling import first_greatest
from .reduction import softmax

__all__ = ["ML_OPERATORS"]

ML_OPERATORS: dict[str, Callable[[Call], list[Array]]] = {}
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"]


def operator(name: str) -> Callable[[Callable[[Call], list[Array]]], Callable[[Call], list[Array]]]:
    def register(function: Callable[[Call], list[Array]]) -> Callable[[Call], list[Array]]:
        ML_OPERATORS[name] = function
        return function

    return register


def _negated(truth: Any) -> Any:
    return truth if isinstance(truth, Unknown) else not truth


def _holds(mode: str, x: Any, values: list[Fraction]) -> Any:
    """Whether a branch's condition is true."""
    v = values[0] if values else None
    if mode == "BRANCH_MEMBER":
        answers = [equal(x, v) for v in values]
        return True if True in answers else UNKNOWN if UNKNOWN in answers else False
    return {
        "BRANCH_LEQ": lambda: less_equal(x, v),
        "BRANCH_LT": lambda: greater(v, x),
        "BRANCH_GTE": lambda: less_equal(v, x),
        "BRANCH_GT": lambda: greater(x, v),
        "BRANCH_EQ": lambda: equal(x, v),
        "BRANCH_NEQ": lambda: _negated(equal(x, v)),
    }[mode]()


def _listed(call: Call) -> list[Callable[[Array], Any]]:
    """For each tree of the older notation, a function from a row to the (tree, node) of its leaf."""
    trees, ids = call.attribute("nodes_treeids"), call.attribute("nodes_nodeids")
    modes = [mode.decode() for mode in call.attribute("nodes_modes")]
    values, features = call.attribute("nodes_values"), call.attribute("nodes_featureids")
    below = {True: call.attribute("nodes_truenodeids"), False: call.attribute("nodes_falsenodeids")}
    at = {pair: k for k, pair in enumerate(zip(trees, ids, strict=True))}

    def leaf(row: Array, tree: int) -> Any:
        k = trees.index(tree)
        while modes[k] != "LEAF":
            answer = _holds(modes[k], row[features[k]], [values[k]])
            if answer is UNKNOWN:
                return UNKNOWN
            k = at[tree, below[answer][k]]
        return tree, ids[k]

    return [lambda row, tree=tree: leaf(row, tree) for tree in sorted(set(trees))]


def _aggregated(how: str, votes: list[list[tuple[int, Fraction]]], count: int) -> list[Any]:
    """One number per target from the trees' lists of (target, weight)."""
    out = []
    for target in range(count):
        weights = [w for tree in votes for t, w in tree if t == target]
        if how in ("SUM", "AVERAGE"):
            total = sum(weights, Fraction(0))
            out.append(total / len(votes) if how == "AVERAGE" else total)
        else:
            out.append(min(weights) if how == "MIN" else max(weights))
    return out


def _scores(call: Call, what: str, count: int, how: str) -> Array:
    trees = _listed(call)
    keys = zip(call.attribute(f"{what}_treeids"), call.attribute(f"{what}_nodeids"), strict=True)
    votes: dict[tuple[int, int], list[tuple[int, Fraction]]] = {}
    for key, target, weight in zip(
        keys, call.attribute(f"{what}_ids"), call.attribute(f"{what}_weights"), strict=True
    ):
        votes.setdefault(key, []).append((target, weight))
    base = call.attribute("base_values", [Fraction(0)] * count)
    out = np.empty((len(call[0]), count), dtype=object)
    for n, row in enumerate(call[0]):
        leaves = [tree(row) for tree in trees]
        if UNKNOWN in leaves:
            out[n] = UNKNOWN
        else:
            said = _aggregated(how, [votes.get(leaf, []) for leaf in leaves], count)
            out[n] = [a + b for a, b in zip(said, base, strict=True)]
    return out


def _sigmoid(v: Any) -> Any:
    return divide(Fraction(1), exponential(v * Fraction(-1)) + Fraction(1))


def _transformed(name: str, scores: Array) -> Array:
    function = {"NONE": list, "SOFTMAX": softmax, "LOGISTIC": lambda row: [_sigmoid(v) for v in row]}[name]
    out = np.empty(scores.shape, dtype=object)
    for n, row in enumerate(scores):
        out[n] = function(list(row))
    return out


def _labels(scores: Array, labels: list[int]) -> Array:
    out = np.empty(len(scores), dtype=object)
    for n, row in enumerate(scores):
        winner = first_greatest(list(row))
        out[n] = winner if winner is UNKNOWN else labels[winner]
    return out


@operator("TreeEnsembleRegressor")
def tree_regressor(call: Call) -> list[Array]:
    scores = _scores(call, "target", call.attribute("n_targets"), call.attribute("aggregate_function", "SUM"))
    return [_transformed(call.attribute("post_transform", "NONE"), scores)]


@operator("TreeEnsembleClassifier")
def tree_classifier(call: Call) -> list[Array]:
    labels, transform = call.attribute("classlabels_int64s"), call.attribute("post_transform", "NONE")
    if len(labels) > 2 or set(call.attribute("class_ids")) != {0}:
        scores = _scores(call, "class", len(labels), "SUM")
    else:  # one score for two classes
        single = _scores(call, "class", 1, "SUM")
        share = transform == "NONE" and min(call.attribute("class_weights")) >= 0
        scores = np.concatenate(
            [exact_array(np.full(single.shape, int(share) * 1.0)) + single * -1, single], axis=1
        )
    return [_labels(scores, labels), _transformed(transform, scores)]


def _tensor(call: Call, name: str) -> list[Any]:
    """A tensor attribute, flat, NaN as None."""
    for item in call.node.attribute:
        if item.name == name:
            array = onnx.numpy_helper.to_array(item.t).reshape(-1)
            return [None if v != v else exact_scalar(v) for v in array]
    return []


@operator("TreeEnsemble")
def tree_ensemble(call: Call) -> list[Array]:
    modes, splits, weights = (_tensor(call, k) for k in ("nodes_modes", "nodes_splits", "leaf_weights"))
    members = _tensor(call, "membership_values")
    values = []
    for mode, split in zip(modes, splits, strict=True):
        values.append([split])
        if MODES[mode] == "BRANCH_MEMBER":
            end = members.index(None)
            values[-1], members = members[:end], members[end + 1 :]
    features, targets = call.attribute("nodes_featureids"), call.attribute("leaf_targetids")
    below = {True: call.attribute("nodes_truenodeids"), False: call.attribute("nodes_falsenodeids")}
    ends = {True: call.attribute("nodes_trueleafs"), False: call.attribute("nodes_falseleafs")}

    def leaf(row: Array, k: int) -> Any:
        while True:
            answer = _holds(MODES[modes[k]], row[features[k]], values[k])
            if answer is UNKNOWN:
                return UNKNOWN
            if ends[answer][k]:
                return below[answer][k]
            k = below[answer][k]

    count = call.attribute("n_targets")
    how = ["AVERAGE", "SUM", "MIN", "MAX"][call.attribute("aggregate_function", 1)]
    out = np.empty((len(call[0]), count), dtype=object)
    for n, row in enumerate(call[0]):
        leaves = [leaf(row, root) for root in call.attribute("tree_roots")]
        out[n] = (
            UNKNOWN
            if UNKNOWN in leaves
            else _aggregated(how, [[(targets[k], weights[k])] for k in leaves], count)
        )
    return [_transformed(["NONE", "SOFTMAX", "LOGISTIC"][call.attribute("post_transform", 0)], out)]


def _linear(call: Call, targets: int) -> Array:
    weights = call.attribute("coefficients")
    width = len(weights) // targets
    bias = call.attribute("intercepts", [Fraction(0)] * targets)
    out = np.empty((len(call[0]), targets), dtype=object)
    for n, row in enumerate(call[0]):
        for k in range(targets):
            out[n, k] = sum((row[i] * weights[k * width + i] for i in range(width)), Fraction(0)) + bias[k]
    return out


@operator("LinearRegressor")
def linear_regressor(call: Call) -> list[Array]:
    return [
        _transformed(call.attribute("post_transform", "NONE"), _linear(call, call.attribute("targets", 1)))
    ]


@operator("LinearClassifier")
def linear_classifier(call: Call) -> list[Array]:
    labels = call.attribute("classlabels_ints")
    count = len(call.attribute("coefficients")) // call[0].shape[1]
    scores = _linear(call, count)
    if count == 1:
        scores = np.concatenate([scores * Fraction(-1), scores], axis=1)
    return [_labels(scores, labels), _transformed(call.attribute("post_transform", "NONE"), scores)]


@operator("Scaler")
def scaler(call: Call) -> list[Array]:
    offset, scale = (np.array(call.attribute(name), dtype=object) for name in ("offset", "scale"))
    return [(call[0] - offset) * scale]


@operator("Normalizer")
def normalizer(call: Call) -> list[Array]:
    """Norms are of absolute values; a row with a divisor of zero stays as it is."""
    size = {
        "MAX": greatest,
        "L1": lambda row: sum((absolute(v) for v in row), Fraction(0)),
        "L2": lambda row: square_root(sum((v * v for v in row), Fraction(0))),
    }[call.attribute("norm", "MAX")]
    out = np.empty(call[0].shape, dtype=object)
    for n, row in enumerate(call[0]):
        divisor = size(list(row))
        zero = equal(divisor, Fraction(0))
        out[n] = (
            list(row) if zero is True else [divide(v, divisor) if zero is False else UNKNOWN for v in row]
        )
    return [out]


def _each(function: Callable[[Any, tuple[int, ...]], Any], x: Array) -> Array:
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        out[index] = function(x[index], index)
    return out


@operator("Binarizer")
def binarizer(call: Call) -> list[Array]:
    threshold = call.attribute("threshold", Fraction(0))

    def bit(v: Any, index: tuple[int, ...]) -> Any:
        answer = greater(v, threshold)
        return answer if answer is UNKNOWN else Fraction(int(answer))

    return [_each(bit, call[0])]


@operator("Imputer")
def imputer(call: Call) -> list[Array]:
    given = next((a.f for a in call.node.attribute if a.name == "replaced_value_float"), 0.0)
    others = call.attribute("imputed_value_floats")

    def other(v: Any, index: tuple[int, ...]) -> Any:
        new = others[index[-1]] if len(others) > 1 else others[0]
        same = False if given != given else equal(v, Fraction(given))
        return hull([new, v]) if same is UNKNOWN else new if same else v

    return [_each(other, call[0])]


@operator("FeatureVectorizer")
def feature_vectorizer(call: Call) -> list[Array]:
    return [np.concatenate([x * Fraction(1) for x in call.inputs], axis=1)]


@operator("ArrayFeatureExtractor")
def array_feature_extractor(call: Call) -> list[Array]:
    data, places = call[0], list(call[1].reshape(-1))
    rows = data.reshape(-1, data.shape[-1])
    out = np.empty((len(rows), len(places)), dtype=object)
    for n, k in np.ndindex(out.shape):
        out[n, k] = UNKNOWN if places[k] is UNKNOWN else rows[n, places[k]]
    return [out.reshape(*(data.shape[:-1] or (1,)), len(places))]


@operator("LabelEncoder")
def label_encoder(call: Call) -> list[Array]:
    kinds = [call.attribute(f"keys_{kind}") for kind in ("int64s", "floats")]
    keys = next((k for k in kinds if k), None) or _tensor(call, "keys_tensor")
    whole, real = (call.attribute(f"values_{kind}") for kind in ("int64s", "floats"))
    values = whole or real or _tensor(call, "values_tensor")
    if whole:
        default: Any = call.attribute("default_int64", -1)
    elif real:
        default = call.attribute("default_float", Fraction(0))
    else:
        default = _tensor(call, "default_tensor")[0]

    def named(v: Any, index: tuple[int, ...]) -> Any:
        result = default
        for key, value in zip(keys, values, strict=True):
            same = equal(v, key)
            if same is UNKNOWN:
                return UNKNOWN
            result = value if same else result
        return result

    return [_each(named, call[0])]
