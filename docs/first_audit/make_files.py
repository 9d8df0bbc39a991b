"""Write the files and the picture of the README's first audit (needs scikit-learn and matplotlib).

The input is one of scikit-learn's digits with a stroke erased, plus normal noise of variance 4; the reference
is the whole digit with fresh noise. The network is examples/digits/model.onnx, which has seen neither.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

import sureline as sl

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "examples" / "digits"
sys.path.append(str(DIGITS))
from data import erase, load_digits, noisy_pair  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)

DIGIT = 1203


def main() -> None:
    digit = load_digits()[DIGIT]
    seen, reference = noisy_pair(
        digit, erase(digit, np.random.default_rng(DIGIT)), np.random.default_rng(DIGIT + 1)
    )
    np.save(HERE / "seen.npy", seen)
    np.save(HERE / "reference.npy", reference)
    hypothesis = sl.ReferenceMeanDiff(4, post_process=[sl.InputDiff(), sl.Abs(), sl.AverageFilter(3)])
    result = sl.audit(DIGITS / "model.onnx", (seen, reference), hypothesis=hypothesis, var=4)
    print(result)

    figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
    panels = (
        (reference, "reference", "gray_r"),
        (seen, "input: a stroke is missing", "gray_r"),
        (result.output, "the network redraws the input", "gray_r"),
        (result.score_map, "difference, smoothed: the score", "Purples"),
    )
    for axis, (image, title, colours) in zip(axes, panels, strict=True):
        axis.imshow(np.squeeze(image), cmap=colours)
        for row, column in np.argwhere(result.roi):
            square = plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#d9730d", lw=1.6)
            if axis is not axes[0] and axis is not axes[2]:
                axis.add_patch(square)
        axis.set_title(title, fontsize=9.5)
        axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    target = HERE.parent / "pictures" / "first_audit.png"
    figure.savefig(target, dpi=110, metadata={"Software": None}, facecolor="white")


if __name__ == "__main__":
    main()
