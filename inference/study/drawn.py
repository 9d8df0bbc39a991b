"""One draw of a study: the input, the exact audit of it, and the selection at other points of its line."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.study.configuration import Network
from inference.study.noises import noise_of, require_noise
from inference.study.truncated import Intervals
from symbolic.errors import OptionError

__all__ = ["Drawn", "block", "loaded", "simulated"]

Floats = NDArray[np.float64]
HYPOTHESES = {"back": "BackMeanDiff", "neighbor": "NeighborMeanDiff", "reference": "ReferenceMeanDiff"}


@dataclass
class Drawn:
    """What a comparator gets.

    Attributes
    ----------
    test : SelectiveInferenceModel
    x : ndarray, or pair of them
        The input.
    variance : str
        Declared, of independent normal noise.
    seed : int
        Of the draw; a comparator that draws takes numbers of its own from (seed, a constant).
    result : InferenceResult
        The exact audit.
    seconds : float
        Of the exact audit.
    mean : ndarray or None
        The true mean of the noise vector.
    network : Network or None
    si4onnx : str
        Command of the interpreter with si4onnx.
    """

    test: Any
    x: Any
    variance: Any
    seed: int
    result: Any
    seconds: float
    mean: Floats | None = None
    network: Network | None = None
    si4onnx: str = ""
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def stat(self) -> float:
        """The statistic."""
        return float(self.result.line.stat)

    @property
    def sd(self) -> float:
        """Its standard deviation, as declared."""
        return float(self.result.sd)

    @property
    def null(self) -> float:
        """Its mean under H0."""
        return float(self.result.null_value)

    @cached_property
    def exact(self) -> Intervals:
        """The certified truncation set, in units of the statistic."""
        return [(float(a), float(b)) for a, b in self.result.truncated_intervals]

    @cached_property
    def true_contrast(self) -> float | None:
        """eta' mu, rounded to the null value where they are equal but for rounding."""
        if self.mean is None:
            return None
        value = float(np.array([float(v) for v in self.result.line.eta]) @ self.mean)
        return self.null if abs(value - self.null) < 1e-9 * self.sd else value

    @property
    def null_true(self) -> bool | None:
        """Whether H0 is true; None where the mean is not known."""
        return None if self.true_contrast is None else self.true_contrast == self.null

    @cached_property
    def _session(self) -> tuple[Any, str, Any, list[str]]:
        parts = self.result.certificate.parts
        content = parts.audited.SerializeToString()
        if len(parts.inputs) != 1:
            raise OptionError("points of a line are evaluated for models of one input.")
        session = _session(content)
        port = session.get_inputs()[0]
        kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}.get(port.type)
        if kind is None:
            raise OptionError(f"the input is of {port.type}, which is no line's type.")
        return session, port.name, kind, [name for name, _ in parts.observed]

    @cached_property
    def _points(self) -> tuple[Floats, Floats, tuple[int, ...]]:
        line = self.result.line
        start = self.x[0] if isinstance(self.x, tuple) else self.x
        beta = np.array([float(v / line.scale) for v in line.beta[: np.size(start)]])
        return np.asarray(start, dtype=np.float64).reshape(-1), beta, np.shape(start)

    def select(self, x: Floats) -> list[NDArray[Any]]:
        """The selection that ONNX Runtime makes at an input."""
        session, name, kind, outputs = self._session
        found: list[NDArray[Any]] = session.run(outputs, {name: np.asarray(x, dtype=kind)})
        return found

    def same(self, values: Sequence[float] | Floats) -> NDArray[np.bool_]:
        """Whether the selection at x(z) is the observed one, as ONNX Runtime computes it."""
        start, beta, shape = self._points
        wanted = [value for _, value in self.result.certificate.parts.observed]
        found = np.zeros(len(values), dtype=bool)
        for k, z in enumerate(values):
            got = self.select((start + beta * (z - self.stat)).reshape(shape))
            found[k] = all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
        return found

    @cached_property
    def pass_seconds(self) -> float:
        """Time of one run of the audited graph by ONNX Runtime: the unit of cost."""
        try:
            start, _, shape = self._points
            x = start.reshape(shape)
            self.select(x)
            times = []
            for _ in range(5):
                begin = time.perf_counter()
                self.select(x)
                times.append(time.perf_counter() - begin)
            return float(np.median(times))
        except Exception:  # the runtime cannot; nothing else depends on it
            return math.nan


@lru_cache(maxsize=8)
def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=8)
def loaded(network: Network) -> Any:
    """The audited network of a question, read once per process."""
    import inference.score_hypotheses
    from inference.audit import load
    from inference.operators import operator_from_text

    rule = getattr(inference.score_hypotheses, HYPOTHESES[network.hypothesis])(
        network.threshold,
        post_process=[operator_from_text(text) for text in network.post],
        use_norm=network.normalize,
    )
    return load(network.model, rule, seed=network.seed)


def block(shape: tuple[int, ...], height: float) -> Floats:
    """A block that begins at an eighth of every axis longer than 1 and is a sixth of it long."""
    planted = np.zeros(shape)
    planted[tuple(slice(n // 8, n // 8 + max(1, n // 6)) if n > 1 else slice(None) for n in shape)] = height
    return planted


def simulated(network: Network, noise: str, effect: float, seed: int) -> tuple[Any, Floats]:
    """Input and true mean of a draw: float32 numbers, so that no tool rounds them.

    The seed alone decides about the noise: the same at every effect.
    """
    sd = math.sqrt(float(Fraction(network.variance)))
    name, step = require_noise(noise)
    rng = np.random.default_rng(seed)
    mean = block(network.shape, effect * sd)
    found = []
    for centre in (mean, np.zeros(network.shape))[: 1 + (network.hypothesis == "reference")]:
        x = centre + sd * noise_of(noise, rng, network.shape)
        if name == "rounded":
            x = np.rint(x / (step * sd)) * (step * sd)
        found.append(x.astype(np.float32).astype(np.float64))
    if len(found) == 1:
        return found[0], mean.reshape(-1)
    return tuple(found), np.concatenate([mean.reshape(-1), np.zeros(mean.size)])
