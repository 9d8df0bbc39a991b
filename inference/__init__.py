"""Hypotheses, truncated laws, certified p-values, results and certificates."""
