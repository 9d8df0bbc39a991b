"""Operators by family; importing this package fills the registry of :mod:`symbolic.node`."""

from symbolic.operators import (
    arithmetic,
    convolution,
    extremum,
    logic,
    matrix,
    piecewise,
    reductions,
    resize,
    shapes,
    smooth,
    structural,
)

__all__ = [
    "arithmetic",
    "convolution",
    "extremum",
    "logic",
    "matrix",
    "piecewise",
    "reductions",
    "resize",
    "shapes",
    "smooth",
    "structural",
]
