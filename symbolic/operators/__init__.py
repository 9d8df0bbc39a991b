"""Operators by family; importing this package fills the registry of :mod:`symbolic.node`."""

from symbolic.operators import (
    arithmetic,
    convolution,
    extremum,
    gathering,
    logic,
    matrix,
    ml_trees,
    ordering,
    piecewise,
    reductions,
    resize,
    scatter,
    shapes,
    smooth,
    structural,
)

__all__ = [
    "arithmetic",
    "convolution",
    "extremum",
    "gathering",
    "logic",
    "matrix",
    "ml_trees",
    "ordering",
    "piecewise",
    "reductions",
    "resize",
    "scatter",
    "shapes",
    "smooth",
    "structural",
]
