"""Hypothesis profiles: ``ci`` (the default) is short; HYPOTHESIS_PROFILE=thorough takes a night."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", max_examples=40, deadline=None, derandomize=True, suppress_health_check=quiet)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
