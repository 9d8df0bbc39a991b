"""Random models of ai.onnx.ml: features prepared, one predictor, its scores compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from random_graphs import Case

__all__ = ["ml_case"]

ML = "ai.onnx.ml"
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")


class Maker:
    """A model that grows node by node."""

    def __init__(self, rng: np.random.Generator, rows: int, width: int) -> None:
        self.rng, self.rows, self.width = rng, rows, width
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.version = 3

    def coin(self, p: float = 0.5) -> bool:
        return bool(self.rng.random() < p)

    def choose(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def numbers(self, count: int) -> list[float]:
        """Multiples of 1/4 that tie, or generic ones."""
        if self.coin():
            return [float(v) / 4 for v in self.rng.integers(-6, 7, size=count)]
        return [float(np.float32(v)) for v in self.rng.normal(size=count)]

    def add(
        self, op_type: str, inputs: Sequence[str], outputs: int = 1, domain: str = ML, **given: Any
    ) -> list[str]:
        names = [f"{op_type.lower()}{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, domain=domain, **given))
        return names

    def constant(self, array: np.ndarray) -> str:
        self.stored.append(numpy_helper.from_array(array, f"c{len(self.stored)}"))
        return self.stored[-1].name


# --- features to features of the same width ---


def scaler(m: Maker, x: str) -> str:
    count = m.choose([1, m.width])
    return m.add("Scaler", [x], offset=m.numbers(count), scale=m.numbers(count))[0]


def normalizer(m: Maker, x: str) -> str:
    return m.add("Normalizer", [x], norm=m.choose(["MAX", "L1", "L2"]))[0]


def binarizer(m: Maker, x: str) -> str:
    return m.add("Binarizer", [x], threshold=m.numbers(1)[0])[0]


def imputer(m: Maker, x: str) -> str:
    replaced = m.choose([float("nan"), *m.numbers(1)])
    return m.add(
        "Imputer", [x], imputed_value_floats=m.numbers(m.choose([1, m.width])), replaced_value_float=replaced
    )[0]


def extractor(m: Maker, x: str) -> str:
    order = m.constant(m.rng.integers(0, m.width, size=m.choose([(m.width,), (1, m.width)])))
    return m.add("ArrayFeatureExtractor", [x, order])[0]


def vectorizer(m: Maker, x: str) -> str:
    cut = int(m.rng.integers(1, m.width + 1))
    parts = [m.constant(np.arange(a, b)) for a, b in ((0, cut), (cut, m.width)) if b > a]
    split = [m.add("ArrayFeatureExtractor", [x, part])[0] for part in parts]
    return m.add("FeatureVectorizer", split, inputdimensions=[n for n in (cut, m.width - cut) if n])[0]


def encoder(m: Maker, x: str) -> str:
    keys = m.numbers(3)
    m.version = max(m.version, 2)
    return m.add(
        "LabelEncoder", [x], keys_floats=keys, values_floats=m.numbers(3), default_float=m.numbers(1)[0]
    )[0]


# --- features to scores, with the number of scores and the label where there is one ---


def grown(m: Maker, tree: int) -> list[dict[str, Any]]:
    """A random tree in the older notation, the root first."""
    nodes: list[dict[str, Any]] = []

    def grow(depth: int) -> int:
        k = len(nodes)
        node = {"treeids": tree, "nodeids": k, "featureids": 0, "values": 0.0, "modes": "LEAF"}
        nodes.append({**node, "truenodeids": 0, "falsenodeids": 0})
        if depth and m.coin(0.8):
            nodes[k]["modes"] = f"BRANCH_{m.choose(MODES)}" if m.coin() else "BRANCH_LEQ"
            nodes[k]["featureids"], nodes[k]["values"] = int(m.rng.integers(m.width)), m.numbers(1)[0]
            nodes[k]["truenodeids"] = grow(depth - 1)
            nodes[k]["falsenodeids"] = grow(depth - 1)
        return k

    grow(int(m.rng.integers(0, 4)))
    return nodes


def forest(m: Maker, what: str, targets: int, complete: bool) -> dict[str, Any]:
    nodes = [node for tree in range(int(m.rng.integers(1, 4))) for node in grown(m, tree)]
    given = {f"nodes_{name}": [node[name] for node in nodes] for name in nodes[0]}
    votes = [
        (node["treeids"], node["nodeids"], k)
        for node in nodes
        if node["modes"] == "LEAF"
        for k in range(targets)
        if complete or m.coin(0.7)
    ] or [(nodes[-1]["treeids"], nodes[-1]["nodeids"], 0)]
    for name, column in zip(("treeids", "nodeids", "ids"), zip(*votes, strict=True), strict=True):
        given[f"{what}_{name}"] = list(column)
    weights = m.numbers(len(votes))
    given[f"{what}_weights"] = [abs(w) for w in weights] if m.coin(0.3) else weights
    return given


def tree_regressor(m: Maker, x: str) -> tuple[str, int, str | None]:
    targets = int(m.rng.integers(1, 4))
    how = m.choose(["SUM", "AVERAGE", "MIN", "MAX"])
    given = forest(m, "target", targets, how in ("MIN", "MAX"))
    if m.coin():
        given["base_values"] = m.numbers(targets)
    post = m.choose(["NONE", "NONE", "SOFTMAX", "LOGISTIC"]) if targets > 1 else "NONE"
    name = m.add(
        "TreeEnsembleRegressor", [x], n_targets=targets, aggregate_function=how, post_transform=post, **given
    )[0]
    return name, targets, None


def tree_classifier(m: Maker, x: str) -> tuple[str, int, str | None]:
    classes = int(m.rng.integers(2, 5))
    single = classes == 2 and m.coin()
    given = forest(m, "class", 1 if single else classes, False)
    if m.coin():
        given["base_values"] = m.numbers(1 if set(given["class_ids"]) == {0} and classes == 2 else classes)
    post = m.choose(["NONE", "LOGISTIC"] + ([] if classes == 2 else ["SOFTMAX"]))
    labels = [int(v) for v in m.rng.permutation(20)[:classes] - 10]
    label, scores = m.add(
        "TreeEnsembleClassifier", [x], 2, classlabels_int64s=labels, post_transform=post, **given
    )
    return scores, classes, label


def tree_ensemble(m: Maker, x: str) -> tuple[str, int, str | None]:
    m.version = 5
    targets = int(m.rng.integers(1, 3))
    how = int(m.rng.integers(0, 4 if targets == 1 else 2))
    columns: dict[str, list[Any]] = {
        k: []
        for k in ("featureids", "modes", "splits", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    }
    leaves: list[tuple[int, float]] = []
    members: list[float] = []

    def leaf() -> int:
        leaves.append((int(m.rng.integers(targets)), m.numbers(1)[0]))
        return len(leaves) - 1

    def grow(depth: int) -> int:
        k = len(columns["modes"])
        mode = int(m.rng.integers(0, 7)) if m.coin() else 0
        if mode == 6:
            members.extend([*m.numbers(int(m.rng.integers(1, 4))), float("nan")])
        for name, value in (
            ("featureids", int(m.rng.integers(m.width))),
            ("modes", mode),
            ("splits", m.numbers(1)[0]),
        ):
            columns[name].append(value)
        for name in ("truenodeids", "trueleafs", "falsenodeids", "falseleafs"):
            columns[name].append(0)
        for side in ("true", "false"):
            ends = depth == 0 or m.coin(0.3)
            columns[f"{side}leafs"][k] = int(ends)
            columns[f"{side}nodeids"][k] = leaf() if ends else grow(depth - 1)
        return k

    roots = [grow(int(m.rng.integers(0, 3))) for _ in range(int(m.rng.integers(1, 4)))]
    given: dict[str, Any] = {f"nodes_{name}": values for name, values in columns.items()}
    given["nodes_modes"] = numpy_helper.from_array(np.array(columns["modes"], dtype=np.uint8))
    given["nodes_splits"] = numpy_helper.from_array(np.array(columns["splits"], dtype=np.float32))
    if members:
        given["membership_values"] = numpy_helper.from_array(np.array(members, dtype=np.float32))
    given["leaf_targetids"] = [k for k, _ in leaves]
    given["leaf_weights"] = numpy_helper.from_array(np.array([w for _, w in leaves], dtype=np.float32))
    post = m.choose([0, 0, 1, 2]) if targets > 1 else 0
    name = m.add(
        "TreeEnsemble",
        [x],
        n_targets=targets,
        tree_roots=roots,
        aggregate_function=how,
        post_transform=post,
        **given,
    )[0]
    return name, targets, None


def linear_regressor(m: Maker, x: str) -> tuple[str, int, str | None]:
    targets = int(m.rng.integers(1, 4))
    post = m.choose(["NONE", "SOFTMAX", "LOGISTIC"]) if targets > 1 else "NONE"
    given = {"intercepts": m.numbers(targets)} if m.coin(0.7) else {}
    weights = m.numbers(targets * m.width)
    name = m.add("LinearRegressor", [x], coefficients=weights, targets=targets, post_transform=post, **given)[
        0
    ]
    return name, targets, None


def linear_classifier(m: Maker, x: str) -> tuple[str, int, str | None]:
    classes = int(m.rng.integers(2, 5))
    single = classes == 2 and m.coin()
    count = 1 if single else classes
    label, scores = m.add(
        "LinearClassifier",
        [x],
        2,
        coefficients=m.numbers(count * m.width),
        intercepts=m.numbers(count),
        classlabels_ints=[int(v) for v in m.rng.permutation(20)[:classes] - 10],
        post_transform="LOGISTIC" if single else m.choose(["NONE", "SOFTMAX", "LOGISTIC"]),
    )
    return scores, classes, label


FEATURES: tuple[Callable[[Maker, str], str], ...] = (
    scaler,
    normalizer,
    binarizer,
    imputer,
    extractor,
    vectorizer,
    encoder,
)
PREDICTORS: tuple[Callable[[Maker, str], tuple[str, int, str | None]], ...] = (
    tree_regressor,
    tree_classifier,
    tree_ensemble,
    linear_regressor,
    linear_classifier,
)


def relabelled(m: Maker, label: str, known: list[int]) -> None:
    """The label through a table, or as an index into a list."""
    if m.coin():
        real = m.coin()
        values = {"values_floats": m.numbers(2)} if real else {"values_int64s": [7, -3]}
        m.add("LabelEncoder", [label], keys_int64s=known[:2], **values)


def ml_case(rng: np.random.Generator) -> Case:
    """A random model, and a line through its input."""
    m = Maker(rng, int(rng.integers(1, 4)), int(rng.integers(1, 5)))
    x = "x"
    for _ in range(int(rng.integers(0, 3))):
        x = m.choose(FEATURES)(m, x)
    scores, count, label = m.choose(PREDICTORS)(m, x)
    if label is not None:
        known = next(
            list(a.ints)
            for n in m.nodes
            for a in n.attribute
            if a.name in ("classlabels_ints", "classlabels_int64s")
        )
        relabelled(m, label, known)
    if count > 1:
        best = m.add("ArgMax", [scores], domain="", axis=1, keepdims=0)[0]
        if m.coin():
            m.add("ArrayFeatureExtractor", [m.constant(np.array(m.numbers(count), dtype=np.float32)), best])
    level = m.constant(np.array(m.numbers(1)[0], dtype=np.float32))
    (above,) = m.add("Greater", [scores, level], domain="")
    observed, direction = (
        np.array(m.numbers(m.rows * m.width), dtype=np.float32).reshape(m.rows, m.width) for _ in range(2)
    )
    direction[rng.random(direction.shape) < 0.2] = 0
    if not direction.any():
        direction[0, 0] = 1
    graph = helper.make_graph(
        m.nodes,
        "ml",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, observed.shape)],
        [helper.make_tensor_value_info(above, TensorProto.BOOL, [None, None])],
        m.stored,
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(ML, m.version)]
    return Case(
        helper.make_model(graph, opset_imports=imports, ir_version=9), "x", observed, direction, {}, True
    )
