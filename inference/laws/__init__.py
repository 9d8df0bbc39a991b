"""Truncated laws of a statistic, and what follows from them: p-values, intervals, estimates."""
