"""Operators as layers of exact linear units."""
