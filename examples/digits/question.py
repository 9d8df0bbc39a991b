"""The question that is asked of the network, and a wrong one to compare with.

H0: over the pixels that the network marks, the input and the reference have the same mean ink.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from data import SIGMA

import sureline as sl

__all__ = ["MODEL", "NOISE", "VARIANCE", "ask", "load"]

MODEL = Path(__file__).with_name("model.onnx")
VARIANCE = Fraction(SIGMA) ** 2
NOISE = (
    "Known exactly: independent normal noise of variance 4 was added by the program itself, to both images."
)
MISSING = {"threshold": 0.7, "post_process": [sl.InputDiff()], "use_norm": True}
"""Marked: the pixels where (redrawn - input), scaled to 0..1 over the image, is above 0.7: missing ink."""
DRAWN = {"threshold": 0.5, "use_norm": True}
"""Marked: the pixels where the redrawn digit itself, scaled to 0..1, is above one half: where it sees ink."""


def load(question: str = "missing") -> sl.SelectiveInferenceModel:
    """The network with one of three questions.

    "missing": have the pixels marked as missing ink the same mean in the reference? "drawn": the same of
    the pixels where ink is seen. "wrong": have the pixels where ink is seen the same mean as all others?
    That is false on every digit, so its p-value says nothing about defects.
    """
    hypotheses = {
        "missing": sl.ReferenceMeanDiff(**MISSING),
        "drawn": sl.ReferenceMeanDiff(**DRAWN),
        "wrong": sl.BackMeanDiff(**DRAWN),
    }
    return sl.load(str(MODEL), hypotheses[question])


def ask(test: sl.SelectiveInferenceModel, x: np.ndarray, reference: np.ndarray) -> sl.InferenceResult:
    """Audit one image; the wrong question needs no reference."""
    audited = (x, reference) if test.hypothesis.takes_reference else x
    return test.inference(audited, var=VARIANCE, noise_source=NOISE)
