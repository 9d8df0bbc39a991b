"""The event-driven sweep of a line: float64, in compiled loops."""
