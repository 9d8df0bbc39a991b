"""The network marks missing ink in a handwritten digit. Is ink missing?

    pip install -e '.[examples]'
    python examples/digits/audit.py

Audits the first digit that the network was not trained on: as it is, and with a stroke erased; then asks
the wrong question of the intact digit. Every certificate is saved and re-checked by the independent
checker.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from data import AUDITED, load_digits, noisy_pair
from question import MODEL, NOISE, ask, load
from rich.console import Console
from rich.table import Table
from rich.text import Text

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, answer, bounds, brief, prose, runtime  # noqa: E402

LEVEL = 0.05
SIDE = 4
"""Side of the erased square."""
SHOWN = 10
OUT = Path(__file__).parents[2] / "audit" / "digits"
QUESTION = f"""
[bold]The network marks missing ink in a handwritten digit. Is ink missing?[/bold]

An autoencoder redraws a noisy 8 x 8 digit and marks the pixels where its drawing has much more ink than the
input. It always marks some. We compare them with the same pixels of a second image of the same digit, the
reference. Under "erased", we removed {SIDE} x {SIDE} pixels of ink from the input.

[bold]H0[/bold]  Over the marked pixels, the input and the reference have the same mean ink.

[bold]Fixed beforehand[/bold]  The network (trained on other digits), its threshold, H0, the level 5 %, and
the digits: the first {SHOWN} not trained on, whatever comes out. The seed of a digit's noise is its number.
"""
WRONG = """
[bold]The wrong question[/bold]  "Do the pixels where the network sees ink hold as much ink as all others?"
The answer is no on every digit, defect or not, because digits are not flat. Its p-value is certified too,
and says nothing about defects: choose a question whose H0 can be true.
"""


def sketch(x: np.ndarray, reference: np.ndarray, marked: np.ndarray) -> Text:
    """Ink of the input (marked pixels in brackets) and of the reference, side by side."""
    text = Text("input" + " " * 37 + "reference\n", style="dim")
    for left, right, inside in zip(np.rint(x[0, 0]), np.rint(reference[0, 0]), marked, strict=True):
        for value, chosen in zip(left + 0.0, inside, strict=True):
            text.append(
                f"[{value:2.0f}] " if chosen else f" {value:2.0f}  ", style="bold" if chosen else "dim"
            )
        text.append("   " + "".join(f"{value:4.0f}" for value in right + 0.0) + "\n", style="dim")
    return text


def in_full(
    console: Console, case: str, pair: tuple[np.ndarray, np.ndarray], result: sl.InferenceResult
) -> None:
    """Print one audit, save its certificate, and check what was saved."""
    result.certificate.save(OUT / case)
    clock = time.perf_counter()
    checked = sl.check(OUT / case, model=MODEL)
    seconds = time.perf_counter() - clock
    low, high = bounds(result)
    console.print(f"\n[bold]Digit 1, {case}[/bold]; marked pixels in \\[ ]")
    console.print(sketch(*pair, result.roi), end="")
    console.print(
        f"naive p {result.naive_p_value():.3g}; selective p {low} to {high} (certified)\n"
        f"{result.cells} cells, {result.seconds:.2f} s; checker: {'valid' if checked.valid else 'INVALID'}, "
        f"{seconds:.2f} s; {runtime(result)}\n"
    )
    mean = "difference of mean ink over those pixels"
    console.print(answer(result, mean, "marks exactly these pixels", LEVEL))


def main() -> None:
    started = time.perf_counter()
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    digits = load_digits()[AUDITED]
    test, wrong = load(), load("wrong")
    table = Table("digit", "case", "difference", "naive p", "selective p", "WRONG question: p")
    for column in table.columns[2:]:
        column.justify = "right"
    first = {}
    for number in range(SHOWN):
        for case, side in (("intact", 0), ("erased", SIDE)):
            pair = noisy_pair(digits, number, side)
            result = ask(test, *pair)
            meaningless = brief(ask(wrong, *pair).p_value) if case == "intact" else ""
            naive, selective = brief(result.naive_p_value()), brief(result.p_value)
            table.add_row(str(number + 1), case, f"{result.stat:+.1f}", naive, selective, meaningless)
            if number == 0:
                first[case] = (pair, result)
    console.print(table)
    for case, (pair, result) in first.items():
        in_full(console, case, pair, result)
    console.print("\n" + prose(WRONG))
    console.print(prose(CERTIFIED))
    console.print(f"[bold]Noise[/bold]  {NOISE}")
    console.print(prose(NOT_SAID) + "\n")
    console.print(f"Certificates: {OUT}\n{time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()
