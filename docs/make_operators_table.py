"""Write docs/operators.md: how every operator of the standard is decided and checked, or why it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx

import symbolic.network  # noqa: F401  (fills the registry)
import verifier.check  # noqa: F401  (fills the checker's)
from symbolic.node import ML, operators
from symbolic.operators.ml_scores import scores_are_exact
from symbolic.pieces.lowering import has_pieces
from symbolic.reading.random_nodes import RANDOM
from symbolic.rewriting.composites import composite_names
from symbolic.rewriting.recurrent import CELLS
from symbolic.rewriting.unrolling import handlers
from verifier.check.operators.registry import OPERATORS

HERE = Path(__file__).parent
TARGET = HERE / "operators.md"
COUNTS = HERE.parent / "tests" / "conformance.json"

HEAD = """# Operators

The meaning of every operator is the one that the ONNX standard gives it, over the real numbers, with all
attributes (pads, auto_pad, dilations, groups, ceil_mode, ...). Every operator of operator set {opset} is
listed. `docs/make_operators_table.py` writes this page.

- **exactly**: piecewise linear in the values that move along the line; on a small enough cell its
  enclosure is as tight as rounding allows. **by enclosure**: smooth; enclosed between two straight
  lines, the tighter the smaller the cell. **by its definition**: replaced by the function body that the
  standard defines, and decided as that is. **unrolled**: replaced by the nodes that run; conditions, trip
  counts and places in sequences must not depend on the audited input. **drawn once**: random operators are
  drawn from the seed and frozen into the audited graph; what is audited is the network with these numbers.
  **not meaningful here**: refused when the model is loaded, unless nothing that is asked for depends on the
  node.
- **rays**: whether the unbounded ends of the line can be decided; otherwise they are a gap, with a tiny
  mass. A dash: as its parts can.
- **exact pieces**: whether the operator can be written as exact linear layers, of which end points are found
  exactly (with constant weights; not where it rounds to narrow floats, or has irrational constants). A dash:
  as its parts can.
- **checker**: whether `sureline check` proves cells of graphs with this operator.
- **must be constant**: inputs that must not depend on the audited input, found by letting each input of the
  standard's node tests move; "(checker)": the engine lets it move, the checker does not.
- **node tests**: the standard's own tests (onnx {onnx}, floating-point input) that pass in the engine and in
  the checker, of how many; `make conformance` runs them.

Of the standard's {tests} node tests with a floating-point input, {engine} pass in the engine and {checker}
in the checker.

| operator | how it is decided | must be constant | exact pieces | rays | checker | node tests |
|---|---|---|---|---|---|---|
"""

WHY_NOT = {
    **dict.fromkeys(("Bernoulli", "Multinomial"), "random: what is drawn depends on the data"),
    **dict.fromkeys(
        ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"), "text"
    ),
    "ImageDecoder": "encoded bytes are not numbers on a line",
    **dict.fromkeys(
        ("NonMaxSuppression", "NonZero", "Unique"), "the shape of its result depends on the data"
    ),
}
RUNTIMES = """
## Where runtimes do something else

What is certified is what the standard says. Known places where ONNX Runtime or the `onnx` package's reference
evaluator computes another number, so that `runtime_agrees` may be false there:

- LSTM, GRU and RNN with `clip`: the standard clips the input of every activation; ONNX Runtime does not
  clip that of h in an LSTM.
- MeanVarianceNormalization: the standard's definition adds 1e-9 to the deviation, so a constant map gives 0;
  ONNX Runtime gives NaN.
- auto_pad SAME with dilations: ONNX Runtime finds other pads.
- Pad in mode wrap with a negative pad on one side and a positive one on the other.
- Resize of operator set 10, nearest: the standard does not say how to round; the floor is taken.
- float16 and bfloat16: runtimes round after every node; here only Cast rounds.

Refused, because the standard's words and runtimes give different shapes or different numbers: pools with
auto_pad VALID and ceil_mode, align_corners and tf_crop_and_resize with scales that give no whole length, and
Range of real numbers whose length depends on rounding.
"""
ML_HEAD = """
## ai.onnx.ml

The operators for classical machine learning, as converters of scikit-learn and of boosted trees write them.
Where the standard is vague, it is read as ONNX Runtime reads it: two classes whose votes are all for the
first one have one score, which is the second class's; norms are of absolute values. Where the runtime departs
from the standard's words, the words count: the label is the first class with the greatest score, and base
values are always added. Refused are post_transform SOFTMAX_ZERO and PROBIT, any transform of a single score
(which the runtime leaves out), and tables of strings; a label that is a string is unknown, but the scores
beside it are not. An output that nobody asks for (a ZipMap of probabilities) may be anything.

| operator | how it is decided | exact pieces | rays | checker |
|---|---|---|---|---|
"""
ML_WHY_NOT = {
    **dict.fromkeys(("CastMap", "DictVectorizer", "ZipMap"), "maps are not tensors"),
    "CategoryMapper": "text",
}


TRANSFORMED = "exactly; scores that are transformed by enclosure"


def how(name: str, composites: frozenset[str]) -> tuple[str, str, str, str]:
    """How an operator is decided, whether it has exact pieces and rays, whether the checker knows it."""
    checked = "yes" if name in OPERATORS else "no"
    if name in operators:
        known = operators[name]
        pieces = "yes" if known.exact is not False and has_pieces(name) and not known.irrational else "no"
        rays = {True: "yes", False: "no"}.get(known.homogeneous, "in part")  # type: ignore[call-overload]
        words = {True: "exactly", False: "by enclosure"}
        decided = words.get(known.exact, "exactly where one factor is constant, else by enclosure")  # type: ignore[call-overload]
        if known.irrational:
            decided += "; irrational constants as balls"
        if known.exact is scores_are_exact:
            decided = TRANSFORMED
        return decided, pieces, rays, checked
    if name in RANDOM:
        return "drawn once", "yes", "yes", "yes"
    if name in CELLS:
        return "unrolled in time, by enclosure", "-", "-", "yes"
    if name in handlers:
        return "unrolled", "-", "-", "yes"
    if name in WHY_NOT:
        return f"not meaningful here: {WHY_NOT[name]}", "-", "-", "-"
    if name in composites:
        return "by its definition", "-", "-", "yes"
    return "not supported", "-", "-", checked


def table() -> str:
    """The page."""
    counts: dict[str, Any] = json.loads(COUNTS.read_text(encoding="utf-8"))
    newest = onnx.defs.onnx_opset_version()
    composites = composite_names(newest)
    names = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    lines = []
    for name in sorted(names | {name for name, known in operators.items() if known.domain == ""}):
        total, engine, checker = counts["operators"].get(name, (0, 0, 0))
        tests = f"{engine} and {checker} of {total}" if total else "-"
        decided, *rest = how(name, composites)
        constant = ", ".join(counts["constant"].get(name, ()))
        lines.append(f"| {' | '.join((name, decided, constant, *rest, tests))} |")
    head = HEAD.format(opset=newest, **{k: counts[k] for k in ("onnx", "tests", "engine", "checker")})
    return head + "\n".join(lines) + "\n" + RUNTIMES + _ml_table()


def _ml_table() -> str:
    lines = []
    for name in sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == ML}):
        words = how(name, frozenset())
        if name not in operators:
            why = ML_WHY_NOT.get(name)
            words = (f"not meaningful here: {why}" if why else "not supported", "-", "-", "-")
        lines.append(f"| {' | '.join((name, *words))} |")
    return ML_HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
