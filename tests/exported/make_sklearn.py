"""Small scikit-learn models as skl2onnx converts them.

Made with scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2 and numpy 2.4.6:

    python tests/exported/make_sklearn.py

Names begin with sk_. Classifiers have the outputs "label" and "probabilities"; in sk_zipmap, as by default in
skl2onnx, the probabilities are a sequence of maps.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MinMaxScaler, Normalizer, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

HERE = Path(__file__).parent
rng = np.random.default_rng(0)
X = rng.normal(size=(120, 5)).astype(np.float32)
SCORE = X[:, 0] - 0.5 * X[:, 1] ** 2 + 0.3 * X[:, 2] * X[:, 3]
TWO = (SCORE > np.median(SCORE)).astype(np.int64)
THREE = np.digitize(SCORE, np.quantile(SCORE, [1 / 3, 2 / 3]))
BOTH = np.stack([SCORE, X[:, 4] - X[:, 0]], axis=1)


def models() -> dict[str, tuple[Any, np.ndarray]]:
    """Name, estimator and target."""
    mlp = {"hidden_layer_sizes": (6,), "max_iter": 60, "random_state": 0}
    forest = {"n_estimators": 5, "max_depth": 3, "random_state": 0}
    boost = {"n_estimators": 4, "max_depth": 2, "random_state": 0}
    return {
        "mlpclassifier": (MLPClassifier(**mlp), THREE),
        "mlpclassifier2": (MLPClassifier(activation="tanh", **mlp), TWO),
        "mlpregressor": (MLPRegressor(**mlp), SCORE),
        "logistic": (LogisticRegression(), THREE),
        "logistic2": (LogisticRegression(), TWO),
        "linear": (LinearRegression(), SCORE),
        "ridge": (Ridge(), BOTH),
        "svc": (LinearSVC(), THREE),
        "tree": (DecisionTreeClassifier(max_depth=3, random_state=0), THREE),
        "treeregressor": (DecisionTreeRegressor(max_depth=3, random_state=0), BOTH),
        "forest": (RandomForestClassifier(**forest), THREE),
        "forest2": (RandomForestClassifier(**forest), TWO),
        "forestregressor": (RandomForestRegressor(**forest), SCORE),
        "extratrees": (ExtraTreesRegressor(**forest), BOTH),
        "boosting": (GradientBoostingClassifier(**boost), THREE),
        "boosting2": (GradientBoostingClassifier(**boost), TWO),
        "boostingregressor": (GradientBoostingRegressor(**boost), SCORE),
        "scaled": (make_pipeline(StandardScaler(), MLPClassifier(**mlp)), THREE),
        "scaledforest": (make_pipeline(StandardScaler(), RandomForestClassifier(**forest)), THREE),
        "normalised": (make_pipeline(MinMaxScaler(), Normalizer(), LogisticRegression()), THREE),
        "binarised": (make_pipeline(SimpleImputer(), Binarizer(threshold=0.1), LogisticRegression()), TWO),
        "polynomial": (make_pipeline(PolynomialFeatures(2), Ridge()), SCORE),
    }


def save(name: str, estimator: Any, target: np.ndarray, zipmap: bool = False) -> None:
    """Fit and write one file."""
    estimator.fit(X, target)
    classifies = hasattr(estimator, "classes_")
    options = (
        {id(estimator): {"zipmap": zipmap}} if classifies and hasattr(estimator, "predict_proba") else None
    )
    model = to_onnx(estimator, X[:1], options=options)
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"sk_{name}.onnx")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name, (estimator, target) in models().items():
        try:
            save(name, estimator, target)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    save("zipmap", RandomForestClassifier(n_estimators=3, max_depth=2, random_state=0), THREE, zipmap=True)
    words = np.array(["low", "middle", "high"])[THREE]
    save("words", RandomForestClassifier(n_estimators=3, max_depth=2, random_state=0), words)
