"""The laws that a certificate may claim, in ball arithmetic."""
