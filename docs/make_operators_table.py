"""Write docs/operators.md from the registries of the search and of the checker."""

from __future__ import annotations

from pathlib import Path

import symbolic.network  # noqa: F401  (fills the registry)
import verifier.check  # noqa: F401  (fills the checker's)
from symbolic.node import operators
from verifier.check_operators import OPERATORS

TARGET = Path(__file__).parent / "operators.md"
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")

HEAD = """# Supported operators

The meaning of every operator is the one that the ONNX standard gives it, over the real numbers, with all
attributes (pads, auto_pad, dilations, groups, ceil_mode, ...). Composite operators of the standard and
functions defined in the model are first replaced by their definitions. `docs/make_operators_table.py`
writes this table.

- **exactly**: piecewise linear in the values that move along the line; on a small enough cell its
  enclosure is as tight as rounding allows. **by enclosure**: smooth; enclosed between two straight
  lines, the tighter the smaller the cell.
- **rays**: whether the unbounded ends of the line can be decided; otherwise they are a gap, with a tiny
  mass.
- **checker**: whether `sureline check` proves cells of graphs with this operator.

Random operators are drawn once from the seed and frozen into the audited graph; what is audited is the
network with these numbers. An operator that is not in the table is refused with an error that names it
and its node.

| operator | how it is decided | rays | checker |
|---|---|---|---|
"""


def table() -> str:
    """The page."""
    lines = [
        f"| {name} | {'exactly' if known.exact else 'by enclosure'} "
        f"| {'yes' if known.homogeneous else 'no'} | {'yes' if name in OPERATORS else 'no'} |"
        for name, known in operators.items()
    ]
    lines += [f"| {name} | drawn once and frozen | yes | yes |" for name in RANDOM]
    return HEAD + "\n".join(sorted(lines)) + "\n"


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
