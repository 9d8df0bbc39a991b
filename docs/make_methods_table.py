"""Write docs/methods.md: every method of explanation, its options, and what it is on a line of inputs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import symbolic.explanations.methods  # noqa: F401  (fills the registry)
from sureline.method_options import default_text, option_name, takes
from symbolic.explanations.method import methods

TARGET = Path(__file__).parent / "methods.md"
HEAD = """# Methods of explanation

What `sureline methods` prints. *On a line*: what the attribution is along x(z) = a + b z, in a network of
ReLU, pooling and other piecewise-linear operators; in others it is enclosed.
`docs/make_methods_table.py` writes this page.

| method | in Python | what it is | on a line | options and defaults | source |
|---|---|---|---|---|---|
"""


def table() -> str:
    """The page."""
    rows = []
    for name, kind in sorted(methods.items()):
        options = [
            f"`{option_name(f)}` {takes(kind, f).replace('|', ', ')} ({default_text(f)})"
            for f in fields(kind)  # type: ignore[arg-type]
        ]
        rows.append(
            f"| {name} | `{kind.__name__}` | {kind.summary} | {kind.on_a_line} | {'; '.join(options)} "
            f"| {kind.source} |"
        )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    TARGET.write_text(table())
