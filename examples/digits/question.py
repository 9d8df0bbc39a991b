"""The question that is asked of the network, and a wrong one to compare with.

H0: over the pixels that the network marks, the input and the reference have the same mean ink.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from data import SIGMA

import sureline as sl

__all__ = ["MODEL", "NOISE", "VARIANCE", "ask", "load", "load_wrong_question"]

MODEL = Path(__file__).with_name("model.onnx")
VARIANCE = Fraction(SIGMA) ** 2
NOISE = (
    "Known exactly: independent normal noise of variance 4 was added by the program itself, to both images."
)
RULE = {"threshold": 0.7, "post_process": [sl.InputDiff()], "use_norm": True}
"""Marked: the pixels where (redrawn - input), scaled to 0..1 over the image, is above 0.7: missing ink."""


def load() -> sl.SelectiveInferenceModel:
    """The network with the right question: compared with another image of the same digit."""
    return sl.load(str(MODEL), sl.ReferenceMeanDiff(**RULE))


def load_wrong_question() -> sl.SelectiveInferenceModel:
    """The same network, asked whether the marked pixels hold as much ink as all others: false on digits."""
    return sl.load(str(MODEL), sl.BackMeanDiff(**RULE))


def ask(test: sl.SelectiveInferenceModel, x: np.ndarray, reference: np.ndarray | None) -> sl.InferenceResult:
    """Audit one image."""
    return test.inference(x if reference is None else (x, reference), var=VARIANCE, noise_source=NOISE)
