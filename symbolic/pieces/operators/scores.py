"""Linear models of ai.onnx.ml, what is done to features before, and scores and labels, as layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.values import Const
from symbolic.errors import ModelError
from symbolic.node import Node
from symbolic.operators.ml_features import table_of
from symbolic.operators.ml_scores import class_labels, is_untransformed
from symbolic.pieces.operators.builder import Builder, Given, Units, lowers
from symbolic.pieces.operators.parts import equal, inverted, times, total, units
from symbolic.pieces.operators.products import matrix_product
from symbolic.pieces.operators.selection import gathered
from symbolic.pieces.program import Ids

__all__ = ["labelled", "scores_of", "two_scores"]

Labels = NDArray[np.int64] | int


def scores_of(node: Node, scores: Ids) -> Units | None:
    """Scores, unless they are transformed by what is not piecewise linear."""
    return Units(scores) if is_untransformed(node, ()) else None


def labelled(b: Builder, scores: Ids, labels: Labels) -> Units | None:
    """The label of the first greatest score of the last axis; strings are no numbers."""
    if isinstance(labels, int):
        return None
    return Units(b.winner(scores, b.exactly(Const(labels))))


def two_scores(b: Builder, score: Ids, labels: Labels, level: float) -> tuple[Units | None, Ids]:
    """The label and both scores: one is the second class's, which wins above the level; the first class's is
    twice the level minus it."""
    both = np.concatenate([b.affine([(score, -1.0)], 2 * level), score], axis=-1)
    if isinstance(labels, int):
        return None, both
    names = b.exactly(Const(labels))
    wins = b.step(b.affine([(score[..., 0], 1.0)], -level))
    return Units(b.affine([(wins, names[1]), (inverted(b, wins), names[0])])), both


# ---- linear models -------------------------------------------------------------------------------


def _list(node: Node, name: str) -> NDArray[np.float64]:
    return np.array(node.attributes.get(name, ()), dtype=np.float64)


def _linear(b: Builder, node: Node, x: Ids, targets: int) -> Ids:
    """X W' + intercepts."""
    made = matrix_product(b, Units(x), Const(_list(node, "coefficients").reshape(targets, -1).T))
    intercepts = _list(node, "intercepts")
    return b.affine([(made, 1.0)], b.exactly(Const(intercepts))) if intercepts.size else made


@lowers("LinearRegressor")
def linear_regressor(b: Builder, node: Node, given: Given) -> list[Units | None]:
    """One linear function per target."""
    made = _linear(b, node, units(b, node, given, 0), int(node.attributes["targets"]))
    return [scores_of(node, made)]


@lowers("LinearClassifier")
def linear_classifier(b: Builder, node: Node, given: Given) -> list[Units | None]:
    """The first class of the greatest score; a single score is the second class's."""
    x, labels = units(b, node, given, 0), class_labels(node, "classlabels_ints")
    classes = labels if isinstance(labels, int) else len(labels)
    single = classes == 2 and _list(node, "coefficients").size == x.shape[-1]
    scores = _linear(b, node, x, 1 if single else classes)
    if not single:
        return [labelled(b, scores, labels), scores_of(node, scores)]
    label, both = two_scores(b, scores, labels, 0.0)
    return [label, scores_of(node, both)]


# ---- features ------------------------------------------------------------------------------------


@lowers("Scaler")
def scaler(b: Builder, node: Node, given: Given) -> list[Units]:
    """(x - offset) scale."""
    offset, scale = (b.exactly(Const(_list(node, name))) for name in ("offset", "scale"))
    return b.tensor(b.affine([(b.affine([(units(b, node, given, 0), 1.0)], -offset), scale)]))


@lowers("Binarizer")
def binarizer(b: Builder, node: Node, given: Given) -> list[Units]:
    """1 above the threshold, else 0."""
    return b.tensor(b.step(b.affine([(units(b, node, given, 0), 1.0)], -node.finite("threshold"))))


@lowers("Imputer")
def imputer(b: Builder, node: Node, given: Given) -> list[Units]:
    """Another value in place of one; a real number is never NaN."""
    x, replaced = units(b, node, given, 0), node.number("replaced_value_float")
    if math.isnan(replaced) or math.isinf(replaced):
        return b.tensor(x)
    same = equal(b, x, b.constants(np.array(replaced)))
    imputed = b.exactly(Const(_list(node, "imputed_value_floats")))
    return b.tensor(b.affine([(same, imputed), (times(b, inverted(b, same), x), 1.0)]))


@lowers("FeatureVectorizer")
def feature_vectorizer(b: Builder, node: Node, given: Given) -> list[Units]:
    """Features side by side."""
    return b.tensor(np.concatenate([units(b, node, given, k) for k in range(len(given))], axis=-1))


@lowers("ArrayFeatureExtractor")
def array_feature_extractor(b: Builder, node: Node, given: Given) -> list[Units]:
    """Gather along the last axis; a vector counts as one row."""
    data, indices = given[0], given[1]
    if data is None or indices is None:
        raise ModelError(f"{node.label} lacks its data or its indices.")
    if isinstance(indices, Const):
        picked = np.take(b.ids(data), indices.value.reshape(-1).astype(np.int64), axis=-1)
    else:
        b.hold(indices.ids, 0, data.shape[-1] - 1)
        picked = gathered(b, node, data, indices.ids.reshape(-1), -1)
    return b.tensor(picked.reshape(*(data.shape[:-1] if len(data.shape) > 1 else (1,)), picked.shape[-1]))


@lowers("LabelEncoder")
def label_encoder(b: Builder, node: Node, given: Given) -> list[Units]:
    """A table."""
    keys, values = table_of(node)
    x = units(b, node, given, 0)
    wheel = b.ids(Const(keys[np.isfinite(keys)] if keys.dtype.kind == "f" else keys))
    numbers = b.exactly(Const(values))
    kept: NDArray[Any] = np.isfinite(keys) if keys.dtype.kind == "f" else np.ones(len(keys), dtype=bool)
    same = equal(b, x[..., None], wheel)
    others = inverted(b, total(b, same))
    found = total(b, b.affine([(same, numbers[:-1][kept])]))
    return b.tensor(b.affine([(found, 1.0), (others, float(numbers[-1]))]))
