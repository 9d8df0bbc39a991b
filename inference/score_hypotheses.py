"""Hypotheses about regions of a score map: which event is observed, which region is compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.hypothesis import Contrast, Hypothesis
from inference.hypothesis_nodes import steps_of, stored_threshold
from inference.operators import Operator
from inference.regions import Bools, channel, component, components, dilated, means
from symbolic.errors import NoHypothesisError, OptionError
from symbolic.explanations.provenance import ATTRIBUTION, provenance_of
from symbolic.reading.exact import exact_number

__all__ = [
    "BackMeanDiff",
    "NeighborMeanDiff",
    "PresetHypothesis",
    "ReferenceMeanDiff",
    "TwoThresholdMeanDiff",
]

Number = float | int | str | Fraction
Contrasts = Literal["mean", "channels", "elements"]
EMPTY = "the network marks no element here: there is no region to test."


@dataclass(frozen=True)
class PresetHypothesis(Hypothesis):
    """Regions of a score map above a threshold.

    Parameters
    ----------
    threshold : float, str or Fraction, optional
        Elements whose score is greater are selected. Stored as a double. Left out with `top`.
    i_idx : int
        Which input is tested.
    o_idx : int or str, optional
        Which output is the score map, by number or name; default: the attribution of an explained model,
        else the first.
    post_process : Operator or sequence of Operator
        Steps between output and score map.
    use_norm : bool
        Compare the min-max normalised map (over the whole map, masked elements included).
    top : int, optional
        Select the elements with the `top` greatest scores: those above the middle between the last of them
        and the next one.
    signed : bool
        Also select elements whose score is less than minus the threshold, and condition on which is which.
    component, channel, sign : int, int, "+" or "-", optional
        Test a part of the region only: one connected component (numbered by their first elements), one
        channel (axis 1 of four, 0 of three; so is what it is compared with), or the elements of one sign (of
        a signed selection).
    condition_on_class : bool
        Whether the class that an explained model explains (of a predicted target) belongs to the event. Both
        are valid; without it the p-value speaks of the region alone, whichever class was explained.
    contrasts : "mean", "channels" or "elements"
        Compare the means; or the means of every channel, or every element, together, by the chi (or F) law.
    """

    threshold: Number | None = None
    i_idx: int = 0
    o_idx: int | str | None = None
    post_process: Operator | Sequence[Operator] = ()
    use_norm: bool = False
    _: KW_ONLY
    condition_on_class: bool = True
    top: int | None = None
    signed: bool = False
    component: int | None = None
    channel: int | None = None
    sign: Literal["+", "-"] | None = None
    contrasts: Contrasts = "mean"

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.top is None):
            raise OptionError("give a threshold, or top (how many elements are selected), and not both.")
        if self.threshold is not None:
            exact_number(self.threshold, "threshold", error=OptionError)
        for name, value, least in (
            ("top", self.top, 1),
            ("component", self.component, 0),
            ("channel", self.channel, 0),
        ):
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if value is not None and not (whole and value >= least):
                raise OptionError(f"{name} is {value!r}; it must be an integer of at least {least}.")
        if self.sign not in (None, "+", "-"):
            raise OptionError(f"sign is {self.sign!r}; choose '+' or '-'.")
        if self.sign is not None and not self.signed:
            raise OptionError("sign belongs to a signed selection (signed=True, --signed).")
        if (self.signed or self.top is not None) and self.use_norm:
            raise OptionError("use_norm goes with a plain threshold, not with top or signed.")
        if self.signed and (self.threshold is None or exact_number(self.threshold, "threshold") < 0):
            raise OptionError("a signed selection needs a threshold of at least 0.")
        if self.contrasts not in ("mean", "channels", "elements"):
            raise OptionError(f"contrasts is {self.contrasts!r}; choose mean, channels or elements.")

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The post-processing steps."""
        return steps_of(self.post_process)

    @property
    def below(self) -> Number | None:
        """The threshold of a second region, of elements whose score is less."""
        if self.signed and self.threshold is not None:
            return -exact_number(self.threshold, "threshold", error=OptionError)
        return None

    def spec(self) -> dict[str, Any]:
        plain = {
            "name": type(self).__name__,
            "threshold": None
            if self.threshold is None
            else str(stored_threshold(self.threshold, self.use_norm)[0]),
            "i_idx": int(self.i_idx),
            "o_idx": self.output,
            "post_process": [step.spec() for step in self.steps],
            "use_norm": bool(self.use_norm),
            "neighborhood_range": None,
        }
        more = {
            "top": None if self.top is None else int(self.top),
            "signed": bool(self.signed) or None,
            "component": None if self.component is None else int(self.component),
            "channel": None if self.channel is None else int(self.channel),
            "sign": self.sign,
            "contrasts": None if self.contrasts == "mean" else self.contrasts,
        }
        return plain | {key: value for key, value in more.items() if value is not None}

    @property
    def output(self) -> int:
        """Which output is the score map, once the model is known."""
        return int(self.o_idx) if isinstance(self.o_idx, (int, np.integer)) else 0

    def of_model(self, proto: onnx.ModelProto) -> PresetHypothesis:
        """The same, with the number of the output that it is about.

        Raises
        ------
        OptionError
            The model has no such output.
        """
        names = [value.name for value in proto.graph.output]
        wanted = self.o_idx
        if wanted is None:
            wanted = names.index(ATTRIBUTION) if provenance_of(proto) and ATTRIBUTION in names else 0
        if isinstance(wanted, str):
            if wanted not in names:
                raise OptionError(f"o_idx: the model has no output {wanted!r}; it has {', '.join(names)}.")
            wanted = names.index(wanted)
        return replace(self, o_idx=wanted)

    def parts(self, observed: Sequence[NDArray[Any]], by: str) -> list[PresetHypothesis]:
        """The hypotheses about every connected component, channel or sign of an observed selection."""
        roi = self._marked(observed)
        if by == "component":
            return [replace(self, component=k) for k in range(len(components(self._part(observed))))]
        if by == "channel":
            count = roi.shape[roi.ndim - 3] if roi.ndim in (3, 4) else 0
            return [replace(self, channel=k) for k in range(count) if (roi & channel(roi.shape, k)).any()]
        if by == "sign" and self.signed:
            signs: tuple[Literal["+", "-"], ...] = ("+", "-")
            return [replace(self, sign=s) for s, mine in zip(signs, observed, strict=False) if mine.any()]
        raise OptionError(
            f"a region has no parts by {by!r}: choose component or channel, or sign (signed=True, --signed)."
        )

    def _marked(self, observed: Sequence[NDArray[Any]]) -> Bools:
        """Everything that is selected."""
        roi = np.asarray(observed[0], dtype=bool)
        return roi | np.asarray(observed[1], dtype=bool) if self.signed else roi

    def _part(self, observed: Sequence[NDArray[Any]]) -> Bools:
        """What is selected, of the channel and sign that are asked for."""
        roi = (
            self._marked(observed)
            if self.sign is None
            else np.asarray(observed["+-".index(self.sign)], dtype=bool)
        )
        return roi if self.channel is None else roi & channel(roi.shape, self.channel)

    def _roi(self, observed: Sequence[NDArray[Any]], size: int) -> Bools:
        """The region that is tested."""
        roi = self._part(observed)
        if roi.size != size:
            raise OptionError(
                f"the score map has {roi.size} elements and the tested input {size}; they must match "
                "one by one (reduce or repeat channels in the model or with L1Norm)."
            )
        if not roi.any():
            raise NoHypothesisError(EMPTY)
        return roi if self.component is None else component(roi, self.component)

    def contrast(self, observed: Sequence[NDArray[Any]], mask: Bools | None, size: int) -> Contrast:
        roi = self._roi(observed, size)
        other = self._other(observed, roi)
        if other is not None:
            other = other if mask is None else other & mask.reshape(other.shape)
            other = other if self.channel is None else other & channel(other.shape, self.channel)
            if not other.any():
                raise NoHypothesisError(self._nothing_else)
        return self._contrast(roi, other)

    _nothing_else = "there is nothing to compare the region with."

    def _other(self, observed: Sequence[NDArray[Any]], roi: Bools) -> Bools | None:
        """What the region is compared with; None: a reference."""
        raise NotImplementedError

    def _contrast(self, roi: Bools, other: Bools | None) -> Contrast:
        shown = roi.squeeze(), None if other is None else other.squeeze()
        if self.contrasts == "mean":
            return Contrast(self._compared(roi, other), *shown)
        if self.contrasts == "channels":
            if roi.ndim not in (3, 4):
                raise OptionError("contrasts by channels need a map of three or four axes.")
            parts = [channel(roi.shape, k) for k in range(roi.shape[roi.ndim - 3])]
            pairs = [(roi & c, None if other is None else other & c) for c in parts if (roi & c).any()]
            if any(rest is not None and not rest.any() for _, rest in pairs):
                raise NoHypothesisError("a channel has nothing to compare its region with.")
        else:
            pairs = [(_only(roi.shape, place), other) for place in np.flatnonzero(roi).tolist()]
        rows = tuple(self._compared(region, rest) for region, rest in pairs)
        return Contrast((), *shown, rows) if len(rows) > 1 else Contrast(rows[0], *shown)

    def _compared(self, region: Bools, other: Bools | None) -> tuple[Fraction, ...]:
        if other is not None:
            return means(region, other)
        half = means(region, np.zeros_like(region))
        return half + tuple(-h for h in half)


def _only(shape: tuple[int, ...], place: int) -> Bools:
    mine = np.zeros(shape, dtype=bool)
    mine.reshape(-1)[place] = True
    return mine


@dataclass(frozen=True)
class BackMeanDiff(PresetHypothesis):
    """Mean inside the region against the mean outside all that is marked (inside the mask)."""

    _nothing_else = "the network marks every element: there is no background to compare with."

    def _other(self, observed: Sequence[NDArray[Any]], roi: Bools) -> Bools:
        return ~self._marked(observed)


@dataclass(frozen=True, init=False)
class NeighborMeanDiff(PresetHypothesis):
    """Mean inside the region against the mean of its surroundings.

    Parameters
    ----------
    threshold, i_idx, o_idx, post_process, use_norm, top, signed, component, channel, sign, contrasts
        As in :class:`PresetHypothesis`.
    neighborhood_range : int
        How many elements the surroundings reach beyond the region (score maps of one or two axes longer than
        1). What else is marked does not belong to them.
    """

    neighborhood_range: int = 1
    _nothing_else = "the region has no surroundings (inside the mask) to compare with."

    def __init__(
        self,
        threshold: Number | None = None,
        neighborhood_range: int = 1,  # second, as scripts written for si4onnx have it
        i_idx: int = 0,
        o_idx: int | str | None = None,
        post_process: Operator | Sequence[Operator] = (),
        use_norm: bool = False,
        **options: Any,
    ) -> None:
        object.__setattr__(self, "neighborhood_range", neighborhood_range)
        super().__init__(threshold, i_idx, o_idx, post_process, use_norm, **options)
        reach = neighborhood_range
        if isinstance(reach, bool) or not isinstance(reach, (int, np.integer)) or reach < 1:
            raise OptionError(f"neighborhood_range is {reach!r}; it must be a positive integer.")

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "neighborhood_range": int(self.neighborhood_range)}

    def _other(self, observed: Sequence[NDArray[Any]], roi: Bools) -> Bools:
        flat = roi.squeeze()
        if flat.ndim not in (1, 2):
            raise OptionError(
                f"a neighbourhood needs a score map of one or two axes; this one has shape {flat.shape}."
            )
        near = dilated(flat, int(self.neighborhood_range)).reshape(roi.shape)
        return near & ~self._marked(observed)


@dataclass(frozen=True)
class ReferenceMeanDiff(PresetHypothesis):
    """Mean over the region of the input minus the mean over the region of a reference.

    The audited input is the pair (x, reference); the model sees x only.

    Parameters
    ----------
    threshold, i_idx, o_idx, post_process, use_norm, top, signed, component, channel, sign, contrasts
        As in :class:`PresetHypothesis`.
    reference_scale : number
        The covariance of the reference's noise is this times that of the input: 1 of a second acquisition,
        1/m of the mean of m of them (a cohort), 0 of a template without noise. The two are independent.
    """

    reference_scale: Number = 1
    takes_reference = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale_of_reference < 0:
            raise OptionError(f"reference_scale is {self.reference_scale}; it must not be negative.")

    @property
    def scale_of_reference(self) -> Fraction:  # type: ignore[override]
        """`reference_scale`, exactly."""
        return exact_number(self.reference_scale, "reference_scale", error=OptionError)

    def spec(self) -> dict[str, Any]:
        scale = self.scale_of_reference
        return super().spec() | ({} if scale == 1 else {"reference_scale": str(scale)})

    def _other(self, observed: Sequence[NDArray[Any]], roi: Bools) -> None:
        return None


@dataclass(frozen=True)
class TwoThresholdMeanDiff(PresetHypothesis):
    """Mean where the score is above one threshold against the mean where it is below another one.

    Parameters
    ----------
    threshold, i_idx, o_idx, post_process, component, channel, contrasts
        As in :class:`PresetHypothesis`.
    lower : number
        Elements whose score is less form the region of comparison. At most the threshold; stored as a double.
    """

    lower: Number = 0
    _nothing_else = "no element has a score below the lower threshold: there is nothing to compare with."

    def __post_init__(self) -> None:
        super().__post_init__()
        low = exact_number(self.lower, "lower", error=OptionError)
        if self.threshold is None or self.signed or self.use_norm:
            raise OptionError(
                "TwoThresholdMeanDiff takes two plain thresholds, without top, signed or use_norm."
            )
        if low > exact_number(self.threshold, "threshold", error=OptionError):
            raise OptionError(f"lower is {self.lower}, more than the threshold {self.threshold}.")

    @property
    def below(self) -> Number:
        return self.lower

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"lower": str(stored_threshold(self.lower, False)[0])}

    def _other(self, observed: Sequence[NDArray[Any]], roi: Bools) -> Bools:
        return np.asarray(observed[1], dtype=bool)
