"""The two ways a certificate can fail, and the way one cell can."""

from __future__ import annotations

__all__ = ["InvalidCertificate", "NotHomogeneous", "Undecided", "UnusableCertificate"]


LONGEST = 2000
"""Characters of a message: names in it are those of the files, of any length."""


class _OneSentence(Exception):
    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class InvalidCertificate(_OneSentence):
    """A claim of the certificate is false, or cannot be confirmed."""


class UnusableCertificate(_OneSentence):
    """The certificate, or a file it names, cannot be read."""


class NotHomogeneous(Exception):
    """The moving part of the graph is not homogeneous of degree one, so a ray has no limit form."""


class Undecided(Exception):
    """No finite enclosure exists on the cells at the given positions of the batch."""

    def __init__(self, cells: list[int]) -> None:
        super().__init__(f"no enclosure on cells {cells}")
        self.cells = cells
