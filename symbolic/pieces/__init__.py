"""Piecewise-linear graphs as layers of scalar units, and their linear pieces in exact arithmetic."""
