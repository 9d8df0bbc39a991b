"""One question to the independent checker: does it confirm this certificate, read back from its files?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

__all__ = ["confirmed"]


def confirmed(result: Any) -> bool | None:
    """Whether the checker confirms the certificate; None if there is none.

    A checker that ends with an error of any kind has confirmed nothing: False.
    """
    from verifier.check import check

    if not hasattr(result, "certificate"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            result.certificate.save(Path(folder) / "audit")
            return bool(check(Path(folder) / "audit", workers=1).valid)
        except Exception:
            return False
