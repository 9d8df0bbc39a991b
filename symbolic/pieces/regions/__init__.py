"""Polytopes of activation patterns, and proofs that rows follow from others."""
