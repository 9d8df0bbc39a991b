"""Certified bounds of a network over a box of inputs: intervals, and forms that are linear in the input."""
