"""Certified selective p-values for neural networks stored as ONNX files.

Names are imported when first used, so that ``import sureline`` and ``sureline --help`` stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.adjust import adjust
    from inference.audit import SelectiveInferenceModel, audit, load, truncation_set
    from inference.auditors_noise import auditors_noise
    from inference.calibrate import CalibrationReport, calibrate
    from inference.covariance import LowRankCovariance
    from inference.estimated_noise import (
        EstimatedNoise,
        ar1_noise,
        correlated_noise,
        iid_noise,
        low_rank_noise,
        noise_outside,
        spatial_ar_noise,
    )
    from inference.eva_certificate import save_eva
    from inference.hypothesis import Hypothesis, Selection
    from inference.label_hypotheses import ChangePoint, ClassDecision, LabelMeanDiff
    from inference.laws.estimates import Estimates
    from inference.laws.public import (
        truncated_chi_log_p_value,
        truncated_chi_p_value,
        truncated_f_log_p_value,
        truncated_f_p_value,
        truncated_normal_log_p_value,
        truncated_normal_p_value,
        truncated_t_log_p_value,
        truncated_t_p_value,
    )
    from inference.laws.scale import ScaleRange
    from inference.migration import NN, SyntheticDataset, thresholding, truncated_interval
    from inference.noise_provenance import require_disjoint
    from inference.noise_sample import NoiseSample
    from inference.operators import (
        Abs,
        AverageFilter,
        GaussianFilter,
        InputDiff,
        L1Norm,
        Neg,
        Operator,
    )
    from inference.other_noise import under_other_noise
    from inference.randomisation import Fission, Randomised
    from inference.result import InferenceResult
    from inference.score_hypotheses import (
        BackMeanDiff,
        NeighborMeanDiff,
        ReferenceMeanDiff,
        TwoThresholdMeanDiff,
    )
    from inference.uniformity import uniformity
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
    from symbolic.explanations.eva import eva
    from symbolic.explanations.eva_report import EvaReport
    from symbolic.explanations.explain import explain
    from symbolic.explanations.explained import Explained
    from symbolic.explanations.methods.class_activation import Cam, GradCam
    from symbolic.explanations.methods.deep_lift import DeepLift, DeepShap, ExpectedGradients
    from symbolic.explanations.methods.gradients import (
        Deconvnet,
        Gradient,
        GuidedBackprop,
        InputXGradient,
        IntegratedGradients,
        SmoothGrad,
    )
    from symbolic.explanations.methods.lime import Lime
    from symbolic.explanations.methods.patterns import PatternAttribution, PatternNet
    from symbolic.explanations.methods.perturbation import Occlusion, Rise
    from symbolic.explanations.methods.relevance import (
        DeepTaylor,
        DeepTaylorBounded,
        ExcitationBackprop,
        LrpAlphaBeta,
        LrpBounded,
        LrpEpsilon,
        LrpFlat,
        LrpGamma,
        LrpWSquare,
        LrpZ,
        LrpZPlus,
    )
    from symbolic.explanations.methods.relevance_composites import (
        LrpComposite,
        LrpEpsilonAlpha2Beta1,
        LrpEpsilonGammaBox,
        LrpEpsilonPlus,
        LrpPresetA,
        LrpPresetB,
    )
    from symbolic.explanations.methods.shapley import ExactShapley, KernelShap
    from symbolic.explanations.methods.sobol import Sobol
    from symbolic.explanations.pattern_file import Patterns
    from symbolic.explanations.pattern_fitting import fit_patterns
    from symbolic.pieces.linear_regions import LinearRegion, LinearRegions, linear_regions
    from symbolic.pieces.plane import PlaneRegions, linear_regions_2d
    from symbolic.pieces.plane_region import PlaneRegion
    from verifier.check import CheckReport, check
    from verifier.check.claims.overlap import OverlapReport
    from verifier.check.errors import InvalidCertificate, UnusableCertificate
    from verifier.sweep.regions import SweptRegion, SweptRegions, swept_regions

__version__ = "0.1.0"

__all__ = [
    "Abs",
    "AverageFilter",
    "BackMeanDiff",
    "BudgetError",
    "CalibrationReport",
    "Cam",
    "ChangePoint",
    "CheckReport",
    "ClassDecision",
    "Deconvnet",
    "DeepLift",
    "DeepShap",
    "DeepTaylor",
    "DeepTaylorBounded",
    "EngineError",
    "EstimatedNoise",
    "EvaReport",
    "Estimates",
    "ExactShapley",
    "ExcitationBackprop",
    "ExpectedGradients",
    "Explained",
    "Fission",
    "GaussianFilter",
    "GradCam",
    "Gradient",
    "GuidedBackprop",
    "Hypothesis",
    "InferenceResult",
    "InputDiff",
    "InputError",
    "InputXGradient",
    "IntegratedGradients",
    "InvalidCertificate",
    "KernelShap",
    "L1Norm",
    "LabelMeanDiff",
    "Lime",
    "LinearRegion",
    "LinearRegions",
    "LowRankCovariance",
    "LrpAlphaBeta",
    "LrpBounded",
    "LrpComposite",
    "LrpEpsilon",
    "LrpEpsilonAlpha2Beta1",
    "LrpEpsilonGammaBox",
    "LrpEpsilonPlus",
    "LrpFlat",
    "LrpGamma",
    "LrpPresetA",
    "LrpPresetB",
    "LrpWSquare",
    "LrpZ",
    "LrpZPlus",
    "ModelError",
    "NN",
    "Neg",
    "NeighborMeanDiff",
    "NoHypothesisError",
    "NoiseError",
    "NoiseSample",
    "Occlusion",
    "Operator",
    "OptionError",
    "OverlapReport",
    "PatternAttribution",
    "PatternNet",
    "Patterns",
    "PlaneRegion",
    "PlaneRegions",
    "Randomised",
    "ReferenceMeanDiff",
    "Rise",
    "ScaleRange",
    "Selection",
    "SelectiveInferenceModel",
    "SmoothGrad",
    "Sobol",
    "SurelineError",
    "SweptRegion",
    "SweptRegions",
    "SyntheticDataset",
    "TieError",
    "TwoThresholdMeanDiff",
    "UnsupportedOperatorError",
    "UnusableCertificate",
    "adjust",
    "ar1_noise",
    "audit",
    "auditors_noise",
    "calibrate",
    "check",
    "correlated_noise",
    "enclose",
    "eva",
    "explain",
    "fit_patterns",
    "iid_noise",
    "linear_regions",
    "linear_regions_2d",
    "load",
    "low_rank_noise",
    "noise_outside",
    "require_disjoint",
    "save_eva",
    "spatial_ar_noise",
    "swept_regions",
    "thresholding",
    "truncated_chi_log_p_value",
    "truncated_chi_p_value",
    "truncated_f_log_p_value",
    "truncated_f_p_value",
    "truncated_interval",
    "truncated_normal_log_p_value",
    "truncated_normal_p_value",
    "truncated_t_log_p_value",
    "truncated_t_p_value",
    "truncation_set",
    "under_other_noise",
    "uniformity",
]

_HOME = {
    "inference.audit": ("SelectiveInferenceModel", "audit", "load", "truncation_set"),
    "inference.adjust": ("adjust",),
    "inference.auditors_noise": ("auditors_noise",),
    "inference.calibrate": ("CalibrationReport", "calibrate"),
    "inference.covariance": ("LowRankCovariance",),
    "inference.noise_provenance": ("require_disjoint",),
    "inference.estimated_noise": (
        "EstimatedNoise",
        "ar1_noise",
        "correlated_noise",
        "iid_noise",
        "low_rank_noise",
        "noise_outside",
        "spatial_ar_noise",
    ),
    "inference.eva_certificate": ("save_eva",),
    "inference.hypothesis": ("Hypothesis", "Selection"),
    "inference.label_hypotheses": ("ChangePoint", "ClassDecision", "LabelMeanDiff"),
    "inference.laws.estimates": ("Estimates",),
    "inference.laws.public": (
        "truncated_chi_log_p_value",
        "truncated_chi_p_value",
        "truncated_f_log_p_value",
        "truncated_f_p_value",
        "truncated_normal_log_p_value",
        "truncated_normal_p_value",
        "truncated_t_log_p_value",
        "truncated_t_p_value",
    ),
    "inference.laws.scale": ("ScaleRange",),
    "inference.migration": ("NN", "SyntheticDataset", "thresholding", "truncated_interval"),
    "inference.noise_sample": ("NoiseSample",),
    "inference.operators": (
        "Abs",
        "AverageFilter",
        "GaussianFilter",
        "InputDiff",
        "L1Norm",
        "Neg",
        "Operator",
    ),
    "inference.other_noise": ("under_other_noise",),
    "inference.randomisation": ("Fission", "Randomised"),
    "inference.result": ("InferenceResult",),
    "inference.score_hypotheses": (
        "BackMeanDiff",
        "NeighborMeanDiff",
        "ReferenceMeanDiff",
        "TwoThresholdMeanDiff",
    ),
    "inference.uniformity": ("uniformity",),
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
    "symbolic.explanations.eva": ("eva",),
    "symbolic.explanations.eva_report": ("EvaReport",),
    "symbolic.explanations.explain": ("explain",),
    "symbolic.explanations.explained": ("Explained",),
    "symbolic.explanations.methods.class_activation": ("Cam", "GradCam"),
    "symbolic.explanations.methods.deep_lift": ("DeepLift", "DeepShap", "ExpectedGradients"),
    "symbolic.explanations.methods.gradients": (
        "Deconvnet",
        "Gradient",
        "GuidedBackprop",
        "InputXGradient",
        "IntegratedGradients",
        "SmoothGrad",
    ),
    "symbolic.explanations.methods.lime": ("Lime",),
    "symbolic.explanations.methods.patterns": ("PatternAttribution", "PatternNet"),
    "symbolic.explanations.methods.perturbation": ("Occlusion", "Rise"),
    "symbolic.explanations.methods.relevance": (
        "DeepTaylor",
        "DeepTaylorBounded",
        "ExcitationBackprop",
        "LrpAlphaBeta",
        "LrpBounded",
        "LrpEpsilon",
        "LrpFlat",
        "LrpGamma",
        "LrpWSquare",
        "LrpZ",
        "LrpZPlus",
    ),
    "symbolic.explanations.methods.relevance_composites": (
        "LrpComposite",
        "LrpEpsilonAlpha2Beta1",
        "LrpEpsilonGammaBox",
        "LrpEpsilonPlus",
        "LrpPresetA",
        "LrpPresetB",
    ),
    "symbolic.explanations.methods.shapley": ("ExactShapley", "KernelShap"),
    "symbolic.explanations.methods.sobol": ("Sobol",),
    "symbolic.explanations.pattern_file": ("Patterns",),
    "symbolic.explanations.pattern_fitting": ("fit_patterns",),
    "symbolic.pieces.linear_regions": ("LinearRegion", "LinearRegions", "linear_regions"),
    "symbolic.pieces.plane": ("PlaneRegions", "linear_regions_2d"),
    "symbolic.pieces.plane_region": ("PlaneRegion",),
    "verifier.sweep.regions": ("SweptRegion", "SweptRegions", "swept_regions"),
    "verifier.check": ("CheckReport", "check"),
    "verifier.check.claims.overlap": ("OverlapReport",),
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
