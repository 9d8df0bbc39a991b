"""The independent checker: proves a certificate again, with arithmetic of its own."""

from verifier.check.checking import CheckReport, check

__all__ = ["CheckReport", "check"]
