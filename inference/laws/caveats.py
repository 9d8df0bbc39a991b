"""What to keep in mind about selective intervals and estimates; printed beside each of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Caveats", "caveats_of"]


@dataclass(frozen=True)
class Caveats:
    """One sentence or two each, for the interval, the median-unbiased and the most likely mean."""

    interval: str
    median_unbiased: str
    maximum_likelihood: str


_SELECTED = Caveats(
    "Intervals of this type can be very long (their expected length is typically infinite without "
    "randomisation; Kivaranovic and Leeb); a long interval means that the data say little.",
    "Median-unbiased: in half of all repetitions with this selection it is too small. It can lie far from "
    "the observed difference, and on the other side of zero, where the selection explains what was observed.",
    "Selective maximum likelihood: biased, and far away where what was observed is near an end of the "
    "truncation set.",
)
_OTHERS = {
    "randomised-normal": Caveats(
        "Given the selection, which was made with the noise that was added.",
        _SELECTED.median_unbiased,
        _SELECTED.maximum_likelihood,
    ),
    "fission": Caveats(
        "Of what was held back from the selection.",
        "Of what was held back from the selection: its mean.",
        "Of what was held back from the selection: its mean.",
    ),
}


def caveats_of(family: str) -> Caveats:
    """Those of a family of laws."""
    return _OTHERS.get(family, _SELECTED)
