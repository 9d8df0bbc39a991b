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
from data import AUDITED, SIGMA, erase, load_digits, noisy_pair
from question import MODEL, NOISE, ask, load, load_wrong_question
from rich.console import Console
from rich.text import Text

import sureline as sl

sys.path.append(str(Path(__file__).parents[1]))
from example_tools.words import CERTIFIED, NOT_SAID, answer, bounds, prose, runtime  # noqa: E402

LEVEL = 0.05
SEED = 0
OUT = Path(__file__).parents[2] / "audit" / "digits"
QUESTION = f"""
[bold]The network marks missing ink in a handwritten digit. Is ink missing?[/bold]

An autoencoder redraws a noisy 8 x 8 digit; where its drawing has much more ink than the input, it marks the
input. It always marks something. We compare the marked pixels with a second image of the same digit, the
reference.

[bold]H0[/bold]  Over the marked pixels, the input and the reference have the same mean ink.

[bold]Fixed beforehand[/bold]  The network (trained on other digits), its threshold, H0, the level 5 %, and
the digit: the first one not trained on. Each image has independent noise of standard deviation {SIGMA:g}
(ink runs from 0 to 16).
"""
WRONG = """
[bold]The wrong question[/bold]  "Do the marked pixels hold as much ink as all the others?" has the answer
no on every digit, with or without a defect, because digits are not flat. The p-value below is certified,
and it says nothing about defects: choose a question whose H0 can be true.
"""


def sketch(x: np.ndarray, reference: np.ndarray, marked: np.ndarray) -> Text:
    """Ink of the input (marked pixels in brackets) and of the reference, side by side."""
    text = Text("input" + " " * 39 + "reference\n", style="dim")
    for left, right, inside in zip(np.rint(x[0, 0]), np.rint(reference[0, 0]), marked, strict=True):
        for value, chosen in zip(left, inside, strict=True):
            text.append(
                f"[{value:2.0f}] " if chosen else f" {value:2.0f}  ", style="bold" if chosen else "dim"
            )
        text.append("    " + "".join(f" {value:3.0f} " for value in right) + "\n", style="dim")
    return text


def report(console: Console, case: str, result: sl.InferenceResult) -> None:
    """Print the numbers of one audit, save its certificate, and check what was saved."""
    result.certificate.save(OUT / case)
    clock = time.perf_counter()
    checked = sl.check(OUT / case, model=MODEL)
    seconds = time.perf_counter() - clock
    low, high = bounds(result)
    console.print(
        f"difference {result.stat:+.2f} ink; naive p {result.naive_p_value():.3g}; "
        f"selective p {low} to {high} (certified)\n"
        f"{result.cells} cells, {result.seconds:.2f} s; checker: {'valid' if checked.valid else 'INVALID'}, "
        f"{seconds:.2f} s; {runtime(result)}"
    )


def main() -> None:
    started = time.perf_counter()
    console = Console(width=min(Console().width, 100), highlight=False)
    console.print("\n" + prose(QUESTION) + "\n")
    digit = load_digits()[AUDITED][0]
    test = load()
    for case, side in (("intact", 0), ("erased", 4)):
        rng = np.random.default_rng(SEED)
        x, reference = noisy_pair(digit, erase(digit, rng, side) if side else digit, rng)
        result = ask(test, x, reference)
        words = "the digit as it is" if not side else f"{side} x {side} pixels of the input erased"
        console.print(f"[bold]{case}[/bold]: {words}; marked pixels in \\[ ]")
        console.print(sketch(x, reference, result.roi), end="")
        report(console, case, result)
        mean = "difference of mean ink over those pixels"
        console.print(answer(result, mean, "marks exactly these pixels", LEVEL) + "\n")
    console.print(prose(WRONG))
    x, _ = noisy_pair(digit, digit, np.random.default_rng(SEED))
    report(console, "wrong_question", ask(load_wrong_question(), x, None))
    console.print("\n" + prose(CERTIFIED))
    console.print(f"[bold]Noise[/bold]  {NOISE}")
    console.print(prose(NOT_SAID) + "\n")
    console.print(f"Certificates: {OUT}\n{time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()
