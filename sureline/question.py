"""The question that `sureline audit` and `sureline calibrate` ask, from the words of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from symbolic.errors import OptionError
from symbolic.reading.exact import exact_number

if TYPE_CHECKING:
    import onnx

__all__ = ["Question"]

SCORES = {
    "back": "BackMeanDiff",
    "neighbor": "NeighborMeanDiff",
    "reference": "ReferenceMeanDiff",
    "two-thresholds": "TwoThresholdMeanDiff",
}
LABELS = {"labels": "LabelMeanDiff", "change-point": "ChangePoint"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the network, as typed.

    Raises
    ------
    OptionError
        If a number is not one, or an option does not go with the rule.
    """

    rule: str
    threshold: str | None = None
    normalize: bool = False
    post: tuple[str, ...] = ()
    neighborhood_range: int | None = None
    output_name: str | None = None
    lower: str | None = None
    first: int = 1
    second: int | None = None
    top: int | None = None
    signed: bool = False
    component: int | None = None
    channel: int | None = None
    sign: str | None = None
    contrasts: str = "mean"
    reference_scale: str = "1"
    condition_on_class: bool = True

    def __post_init__(self) -> None:
        for text, option in (
            (self.threshold, "--threshold"),
            (self.lower, "--lower"),
            (self.reference_scale, "--reference-scale"),
        ):
            if text is not None:
                exact_number(text, option, error=OptionError)
        if self.neighborhood_range is not None and self.rule != "neighbor":
            raise OptionError("--neighborhood-range needs --hypothesis neighbor.")
        if (self.first != 1 or self.second is not None) and self.rule != "labels":
            raise OptionError("--first and --second need --hypothesis labels.")
        if (self.lower is not None) != (self.rule == "two-thresholds"):
            raise OptionError("--hypothesis two-thresholds and --lower T go together.")
        if self.rule in LABELS:
            if self.threshold is not None or self.top is not None or self.post or self.normalize:
                raise OptionError(
                    f"--hypothesis {self.rule} takes no --threshold, --top, --post or --normalize."
                )
        elif (self.threshold is None) == (self.top is None):
            raise OptionError("give --threshold T, or --top K, and not both.")

    def hypothesis(self, model: onnx.ModelProto, i_idx: int = 0) -> Any:
        """The library's hypothesis.

        Parameters
        ----------
        model : onnx.ModelProto
            Whose output is meant.
        i_idx : int
            The input that is tested.
        """
        from inference import label_hypotheses, score_hypotheses
        from inference.operators import operator_from_text

        ports: dict[str, Any] = {"i_idx": i_idx, "o_idx": self._output_index(model)}
        if self.rule in LABELS:
            ports["o_idx"] = ports["o_idx"] or 0
            if self.rule == "labels":
                return label_hypotheses.LabelMeanDiff(self.first, self.second, **ports)
            return label_hypotheses.ChangePoint(**ports)
        extra: dict[str, Any] = {}
        if self.neighborhood_range is not None:
            extra["neighborhood_range"] = self.neighborhood_range
        if self.lower is not None:
            extra["lower"] = self.lower
        if self.rule == "reference":
            extra["reference_scale"] = self.reference_scale
        return getattr(score_hypotheses, SCORES[self.rule])(
            self.threshold,
            post_process=[operator_from_text(text) for text in self.post],
            use_norm=self.normalize,
            top=self.top,
            signed=self.signed,
            component=self.component,
            channel=self.channel,
            sign=self.sign,
            contrasts=self.contrasts,
            condition_on_class=self.condition_on_class,
            **ports,
            **extra,
        )

    def _output_index(self, model: onnx.ModelProto) -> int | None:
        """None leaves the choice to the hypothesis."""
        names = [value.name for value in model.graph.output]
        if self.output_name is None:
            return None
        if self.output_name not in names:
            raise OptionError(
                f"--output-name: the model has no output {self.output_name!r}; it has {', '.join(names)}."
            )
        return names.index(self.output_name)
