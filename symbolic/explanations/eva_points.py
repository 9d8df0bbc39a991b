"""Points of a ball where another class may lead: a search in floats, of which nothing is claimed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from symbolic.boxes.ball import Ball
from symbolic.enclosures.rounding import Array
from symbolic.errors import SurelineError
from symbolic.explanations.eva_scores import Question, Scores
from symbolic.explanations.explain import prune
from symbolic.explanations.graph import Graph, Tensor
from symbolic.explanations.passage import Passage
from symbolic.explanations.readying import readied
from symbolic.explanations.running import session

__all__ = ["Climber", "corners"]

WEIGHTS = "eva/weights"
MOST = 1 << 22
"""Elements of the inputs that run at a time."""
Slopes = Callable[[Array, Array], tuple[Array, Array]]
"""From points and weights of the scores to scores and the gradients of the weighted scores."""


class Climber:
    """Goes from points of a ball towards where another class leads, by the signs of gradients.

    Parameters
    ----------
    scores : Scores
    question : Question
    steps : int
        A step goes from end to end of the ball, each further one half as far.
    """

    def __init__(self, scores: Scores, question: Question, steps: int = 6) -> None:
        self.question, self.steps = question, steps
        self._slopes = _slopes(scores)  # None: no derivatives

    def climb(self, first: Array, last: Array, starts: Array) -> tuple[Array, Array]:
        """The points found from each start, and which lead they have there, in floats.

        Parameters
        ----------
        first, last : ndarray of shape (starts, *shape)
            The ball of each start.
        starts : ndarray of shape (starts, *shape)

        Returns
        -------
        points, leads : ndarray
            Of shapes (starts, *shape) and (starts,); NaN where there are no gradients.
        """
        points = np.clip(starts, first, last)
        best, leads = points.copy(), np.full(len(points), np.nan)
        if self._slopes is None:
            return best, leads
        group = max(1, MOST // max(1, points[0].size))
        for k in range(0, len(points), group):
            part = slice(k, k + group)
            best[part], leads[part] = self._group(self._slopes, first[part], last[part], points[part])
        return best, leads

    def _group(self, slopes_at: Slopes, first: Array, last: Array, points: Array) -> tuple[Array, Array]:
        best, most = points.copy(), np.full(len(points), -np.inf)
        reach, share = last - first, 1.0
        rival = np.full(len(points), self.question.others[0])
        for n in range(self.steps + 1):
            scores, slopes = slopes_at(points, self._weights(rival))
            leads = scores[:, list(self.question.others)] - scores[:, [self.question.chosen]]
            found = np.nan_to_num(leads.max(axis=1), nan=-np.inf)
            better = found > most
            best[better], most[better] = points[better], found[better]
            strongest = np.array(self.question.others)[leads.argmax(axis=1)]
            if (strongest != rival).any():
                rival = strongest
                _, slopes = slopes_at(points, self._weights(rival))
            if n == self.steps:
                break
            points = np.clip(points + share * reach * np.sign(np.nan_to_num(slopes)), first, last)
            share /= 2
        return best, most

    def _weights(self, rival: NDArray[np.int64]) -> Array:
        weights = np.zeros((len(rival), self.question.classes))
        weights[:, self.question.chosen] = -1
        weights[np.arange(len(rival)), rival] = 1
        return weights


def corners(ball: Ball, count: int, rng: np.random.Generator) -> Array:
    """Random corners of a ball, (count, *shape)."""
    upper = rng.random((count, *ball.shape)) < 0.5
    return np.where(upper, ball.last, ball.first)


def _slopes(scores: Scores) -> Slopes | None:
    """Scores and gradients by ONNX Runtime; None where the network has no derivative here."""
    try:
        proto = readied(scores.proto)
        graph = Graph(proto)
        passage = Passage(graph, tuple(proto.graph.node), scores.source, scores.output)
        y = passage.y
        proto.graph.input.append(
            onnx.helper.make_tensor_value_info(WEIGHTS, y.elem_type, list(y.known_shape))
        )
        gradient = passage.gradient(Tensor(graph, WEIGHTS, y.elem_type, y.shape))
        del proto.graph.output[:]
        names = [graph.output(y, "eva/scores").name, graph.output(gradient, "eva/gradient").name]
        prune(proto)
        runs = session(proto)
    except SurelineError:
        return None
    kinds = [onnx.helper.tensor_dtype_to_np_dtype(t.elem_type) for t in (passage.x, y)]
    rest = {n: a for n, a in scores.inputs.items() if n != scores.source}
    feeds_of = _fixed(proto, rest)
    free = not isinstance(passage.x.known_shape[0], int) and not rest

    def run(points: Array, weights: Array) -> tuple[Array, Array]:
        rows = (
            [(points, weights)]
            if free
            else [(points[k : k + 1], weights[k : k + 1]) for k in range(len(points))]
        )
        found = []
        for x, w in rows:
            shape = (len(x), *(y.length(k) for k in range(1, y.rank))) if y.rank > 1 else w.shape[1:]
            rows_of_x = x.reshape(len(x), *x.shape[2:])  # the input's own batch axis has the length 1
            feeds = {scores.source: rows_of_x.astype(kinds[0]), WEIGHTS: w.reshape(shape).astype(kinds[1])}
            found.append([np.asarray(v, dtype=np.float64) for v in runs.run(names, {**feeds_of, **feeds})])
        made, slopes = (
            np.concatenate([row[k].reshape(-1, *shape) for row in found])
            for k, shape in enumerate([(weights.shape[1],), points.shape[1:]])
        )
        return made, slopes

    return run


def _fixed(proto: onnx.ModelProto, values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    kinds = {v.name: v.type.tensor_type.elem_type for v in proto.graph.input}
    return {
        n: a.astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[n])) for n, a in values.items() if n in kinds
    }
