"""The two ways a certificate can fail, and the way one cell can."""

from __future__ import annotations

__all__ = ["InvalidCertificate", "NotHomogeneous", "Undecided", "UnusableCertificate"]


class InvalidCertificate(Exception):
    """A claim of the certificate is false, or cannot be confirmed."""


class UnusableCertificate(Exception):
    """The certificate, or a file it names, cannot be read."""


class NotHomogeneous(Exception):
    """The moving part of the graph is not homogeneous of degree one, so a ray has no limit form."""


class Undecided(Exception):
    """No finite enclosure exists on the cells at the given positions of the batch."""

    def __init__(self, cells: list[int]) -> None:
        super().__init__(f"no enclosure on cells {cells}")
        self.cells = cells
