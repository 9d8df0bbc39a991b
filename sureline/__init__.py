"""Certified selective p-values for neural networks stored as ONNX files.

Names are imported when first used, so that ``import sureline`` and ``sureline --help`` stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.audit import SelectiveInferenceModel, audit, load, truncation_set
    from inference.hypothesis import (
        BackMeanDiff,
        Hypothesis,
        NeighborMeanDiff,
        ReferenceMeanDiff,
        Selection,
    )
    from inference.migration import NN, SyntheticDataset, thresholding, truncated_interval
    from inference.operators import (
        Abs,
        AverageFilter,
        GaussianFilter,
        InputDiff,
        L1Norm,
        Neg,
        Operator,
    )
    from inference.result import InferenceResult
    from symbolic.bounds import enclose
    from symbolic.errors import (
        BudgetError,
        EngineError,
        InputError,
        ModelError,
        NoHypothesisError,
        NoiseError,
        OptionError,
        SurelineError,
        TieError,
        UnsupportedOperatorError,
    )
    from symbolic.pieces.linear_regions import LinearRegion, LinearRegions, linear_regions
    from symbolic.pieces.plane import PlaneRegions, linear_regions_2d
    from symbolic.pieces.plane_region import PlaneRegion
    from verifier.check import CheckReport, check
    from verifier.check.errors import InvalidCertificate, UnusableCertificate
    from verifier.sweep.regions import SweptRegion, SweptRegions, swept_regions

__version__ = "0.1.0"

__all__ = [
    "NN",
    "Abs",
    "AverageFilter",
    "BackMeanDiff",
    "BudgetError",
    "CheckReport",
    "EngineError",
    "GaussianFilter",
    "Hypothesis",
    "InferenceResult",
    "InputDiff",
    "InputError",
    "InvalidCertificate",
    "L1Norm",
    "LinearRegion",
    "LinearRegions",
    "ModelError",
    "Neg",
    "NeighborMeanDiff",
    "NoHypothesisError",
    "NoiseError",
    "Operator",
    "OptionError",
    "PlaneRegion",
    "PlaneRegions",
    "ReferenceMeanDiff",
    "Selection",
    "SelectiveInferenceModel",
    "SurelineError",
    "SweptRegion",
    "SweptRegions",
    "SyntheticDataset",
    "TieError",
    "UnsupportedOperatorError",
    "UnusableCertificate",
    "audit",
    "check",
    "enclose",
    "linear_regions",
    "linear_regions_2d",
    "load",
    "swept_regions",
    "thresholding",
    "truncated_interval",
    "truncation_set",
]

_HOME = {
    "inference.audit": ("SelectiveInferenceModel", "audit", "load", "truncation_set"),
    "inference.hypothesis": (
        "BackMeanDiff",
        "Hypothesis",
        "NeighborMeanDiff",
        "ReferenceMeanDiff",
        "Selection",
    ),
    "inference.migration": ("NN", "SyntheticDataset", "thresholding", "truncated_interval"),
    "inference.operators": (
        "Abs",
        "AverageFilter",
        "GaussianFilter",
        "InputDiff",
        "L1Norm",
        "Neg",
        "Operator",
    ),
    "inference.result": ("InferenceResult",),
    "symbolic.bounds": ("enclose",),
    "symbolic.errors": (
        "BudgetError",
        "EngineError",
        "InputError",
        "ModelError",
        "NoHypothesisError",
        "NoiseError",
        "OptionError",
        "SurelineError",
        "TieError",
        "UnsupportedOperatorError",
    ),
    "symbolic.pieces.linear_regions": ("LinearRegion", "LinearRegions", "linear_regions"),
    "symbolic.pieces.plane": ("PlaneRegions", "linear_regions_2d"),
    "symbolic.pieces.plane_region": ("PlaneRegion",),
    "verifier.sweep.regions": ("SweptRegion", "SweptRegions", "swept_regions"),
    "verifier.check": ("CheckReport", "check"),
    "verifier.check.errors": ("InvalidCertificate", "UnusableCertificate"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'sureline' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
