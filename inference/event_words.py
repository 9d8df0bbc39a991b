"""What a p-value is conditional on, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from inference.prepare import PATTERN, Audited
from symbolic.explanations.provenance import ATTRIBUTION, provenance_of

__all__ = ["event_in_words"]


def event_in_words(
    audited: Audited, spec: Mapping[str, Any], named: Mapping[str, NDArray[Any]], pattern: bool
) -> str:
    """Say which selection event was conditioned on.

    Parameters
    ----------
    audited : Audited
    spec : mapping
        The certificate's "hypothesis" entry.
    named : mapping
        The event: values of discrete outputs by name.
    pattern : bool
        Whether the activation pattern belongs to the event.
    """
    if spec["name"] == "custom":
        words = "the outputs " + ", ".join(name for name in named if not name.startswith(PATTERN))
    else:
        output = audited.model_outputs[spec["o_idx"]]
        what = "labels" if spec["name"] in ("LabelMeanDiff", "ChangePoint") else "region"
        words = f"the {what} of the output {output}"
        provenance = provenance_of(audited.proto)
        if provenance is not None and output == ATTRIBUTION:
            target = provenance.get("target")
            of = f"the target {target}" if target != "predicted" else "the predicted class"
            words += f", {provenance.get('method')} of {of}"
        given = [f"{name} = {named[name].ravel().tolist()}" for name in audited.given]
        if given:
            words += "; and " + ", ".join(given)
        elif provenance is not None and provenance.get("target") == "predicted":
            words += ", whichever class was explained"
    return words + (", through the same linear piece" if pattern else "")
