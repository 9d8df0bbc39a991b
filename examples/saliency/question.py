"""The question that is asked of an explained classifier.

H0: over the pixels that the explanation highlights, the input and the reference have the same mean ink.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

import sureline as sl

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "digits")]
from data import SIGMA, TRAINED, load_digits  # noqa: E402

__all__ = ["METHODS", "MODEL", "NOISE", "VARIANCE", "ask", "explained"]

MODEL = Path(__file__).with_name("model.onnx")
VARIANCE = Fraction(SIGMA) ** 2
NOISE = (
    "Known exactly: independent normal noise of variance 4 was added by the program itself, to both images."
)
HIGHLIGHTED = {"threshold": 0.6, "use_norm": True}
"""Highlighted: the pixels where the attribution, scaled to 0..1 over the image, is above 0.6."""


def _background() -> np.ndarray:
    """Three digits that the network was trained on."""
    return load_digits()[TRAINED][:3, None]


METHODS: dict[str, Callable[[], sl.Method]] = {
    "gradient": lambda: sl.Gradient("abs"),
    "integrated-gradients": lambda: sl.IntegratedGradients(steps=8),
    "grad-cam": lambda: sl.GradCam(),
    "lrp.epsilon": lambda: sl.LrpEpsilon(1e-2),
    "deepshap": lambda: sl.DeepShap(_background()),
    "sobol": lambda: sl.Sobol(regions=4, samples=8, normalised=False),
    "occlusion": lambda: sl.Occlusion(window=3, stride=1),
}
"""Explanations of the predicted class."""


@cache
def explained(name: str) -> sl.Explained:
    """The classifier that explains itself."""
    return sl.explain(MODEL, METHODS[name]())


@cache
def _loaded(name: str, condition_on_class: bool) -> sl.SelectiveInferenceModel:
    rule = sl.ReferenceMeanDiff(**HIGHLIGHTED, condition_on_class=condition_on_class)
    return sl.load(explained(name), rule)


def ask(
    name: str,
    x: np.ndarray,
    reference: np.ndarray,
    condition_on_class: bool = True,
    mode: str = "parametric",
) -> sl.InferenceResult:
    """Audit what one explanation highlights in one image."""
    test = _loaded(name, condition_on_class)
    return test.inference((x, reference), var=VARIANCE, noise_source=NOISE, inference_mode=mode)
