"""From a model and a hypothesis to the audited graph, ready to be enclosed; reused while shapes stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.hypothesis import Hypothesis, Selection
from inference.hypothesis_nodes import (
    append_labels,
    append_pattern,
    append_selection,
    mask_like,
    moving_tensors,
)
from inference.label_hypotheses import LabelHypothesis
from inference.score_hypotheses import PresetHypothesis
from symbolic.enclosures.values import is_discrete
from symbolic.errors import InputError, ModelError, OptionError
from symbolic.explanations.provenance import class_output
from symbolic.network import Network
from symbolic.reading.loading import LoadedModel, freeze_random, inferred_shapes, static_inputs
from symbolic.reading.static_shapes import free_inputs

__all__ = ["PATTERN", "Audited", "needed_outputs", "prepare"]

PATTERN = "sureline/pattern"
"""How the names of pattern outputs begin."""
DISCRETE = {
    onnx.TensorProto.BOOL,
    *(getattr(onnx.TensorProto, t) for t in ("INT8", "INT16", "INT32", "INT64")),
}


@dataclass(frozen=True)
class Audited:
    """An audited graph for inputs of fixed shapes and fixed values of all inputs but one.

    Attributes
    ----------
    proto : onnx.ModelProto
        Model and selection nodes.
    network : Network
        Its interpretation.
    outputs : tuple of str
        Discrete outputs that define the event.
    score : str or None
        The score map.
    model_outputs : tuple of str
        The model's own outputs.
    mask : ndarray of bool or None
        Of the selection's shape.
    entry : dict
        The certificate's "model" entry.
    warnings : tuple of str
    given : tuple of str
        Further outputs of the model that belong to the event: the explained class.
    """

    proto: onnx.ModelProto
    network: Network
    outputs: tuple[str, ...]
    score: str | None
    model_outputs: tuple[str, ...]
    mask: NDArray[np.bool_] | None
    entry: dict[str, Any]
    warnings: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def primary(self) -> int:
        """How many outputs are the selection itself (what is given and pattern outputs follow)."""
        return sum(not name.startswith(PATTERN) for name in self.outputs) - len(self.given)

    @property
    def has_pattern(self) -> bool:
        """Whether the activation pattern belongs to the event."""
        return any(name.startswith(PATTERN) for name in self.outputs)


def prepare(
    loaded: LoadedModel,
    hypothesis: Hypothesis,
    arrays: Mapping[str, NDArray[Any]],
    mask: NDArray[Any] | None,
    seed: int | None,
    pattern: bool,
) -> Audited:
    """Build the audited graph.

    Parameters
    ----------
    loaded : LoadedModel
        The model.
    hypothesis : Hypothesis
        What to append.
    arrays : mapping of str to ndarray
        A value for every model input.
    mask : ndarray, optional
        Pixels that count.
    seed : int, optional
        Of random nodes.
    pattern : bool
        Append the activation pattern to the event.
    """
    names = [value.name for value in free_inputs(loaded.proto.graph)]
    if not 0 <= hypothesis.i_idx < len(names):
        raise OptionError(
            f"i_idx is {hypothesis.i_idx}, but the model has {len(names)} inputs ({', '.join(names)})."
        )
    moving = names[hypothesis.i_idx]
    static = static_inputs(loaded.proto, {name: array.shape for name, array in arrays.items()})
    # from here on the copy grows in place: weights are large
    static, frozen = freeze_random(static, _shapes(static, arrays, moving), seed=seed, copy=False)
    entry = {
        "sha256": loaded.sha256,
        "nodes": len(static.graph.node),
        "initializers": len(static.graph.initializer),
        "outputs": len(static.graph.output),
        "seed": seed if frozen else None,
        "random": list(frozen),
    }
    shape_of = _shapes(static, arrays, moving)
    model_outputs = tuple(value.name for value in static.graph.output)
    outputs: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    score: str | None = None
    stored_mask = None
    given = _given(static, hypothesis)
    if isinstance(hypothesis, PresetHypothesis):
        added = append_selection(
            static,
            i_idx=hypothesis.i_idx,
            o_idx=hypothesis.output,
            shape_of=shape_of,
            post_process=hypothesis.steps,
            use_norm=hypothesis.use_norm,
            threshold=hypothesis.threshold,
            mask=mask,
            top=hypothesis.top,
            below=hypothesis.below,
            copy=False,
        )
        proto, outputs, score, warnings = added.proto, added.selections, added.score, added.warnings
        stored_mask = None if mask is None else mask_like(mask, added.shape)
    elif isinstance(hypothesis, LabelHypothesis):
        labels, score = append_labels(static, hypothesis.o_idx, hypothesis.axis, shape_of, mask)
        proto, outputs = static, (labels,)
        if mask is not None:
            shape = _shapes(static, arrays, moving)(labels)
            stored_mask = mask_like(mask, shape)
    elif isinstance(hypothesis, Selection):
        if mask is not None:
            raise OptionError(
                "a rule of your own holds its mask inside its graph; mask= is for the preset hypotheses."
            )
        proto, outputs = static, _discrete_outputs(static, hypothesis.outputs)
    else:
        raise OptionError(
            "hypothesis must be one of Sureline's (BackMeanDiff, ReferenceMeanDiff, ...); write a rule "
            "of your "
            "own as sureline.Selection(graph, output=..., eta=...)."
        )
    outputs = (*outputs, *given)
    if pattern:
        moved = moving_tensors(proto, moving)
        needed = Network(proto, arrays, moving, outputs).needed
        shape_of = _shapes(proto, arrays, moving)
        outputs = (*outputs, *append_pattern(proto, moved, shape_of, upstream=needed))
    network = Network(proto, arrays, moving, outputs)
    for name in outputs:
        value = network.observed.get(name, network.constants.get(name))
        if value is not None and not is_discrete(value):
            raise ModelError(f"the output {name!r} is not discrete: a selection is boolean or integer.")
    return Audited(proto, network, outputs, score, model_outputs, stored_mask, entry, warnings, given)


def _given(proto: onnx.ModelProto, hypothesis: Hypothesis) -> tuple[str, ...]:
    """The output that names the explained class, where the event holds it."""
    name = class_output(proto)
    wanted = isinstance(hypothesis, PresetHypothesis) and hypothesis.condition_on_class
    return (name,) if name is not None and wanted else ()


def needed_outputs(proto: onnx.ModelProto, hypothesis: Hypothesis) -> tuple[str, ...] | None:
    """The model's outputs that an audit reads; None if there is an option to complain about."""
    if isinstance(hypothesis, (PresetHypothesis, LabelHypothesis)):
        names = [value.name for value in proto.graph.output]
        k = hypothesis.output if isinstance(hypothesis, PresetHypothesis) else hypothesis.o_idx
        if not isinstance(k, (int, np.integer)) or not 0 <= k < len(names):
            return None
        return (names[k], *_given(proto, hypothesis))
    try:
        return _discrete_outputs(proto, getattr(hypothesis, "outputs", None))
    except OptionError:
        return None


def _discrete_outputs(proto: onnx.ModelProto, wanted: Sequence[str] | None) -> tuple[str, ...]:
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.output}
    if wanted is None:
        found = tuple(name for name, kind in types.items() if kind in DISCRETE)
        if not found:
            raise OptionError("the graph has no boolean or integer output: a selection must be discrete.")
        return found
    for name in wanted:
        if name not in types:
            raise OptionError(f"the graph has no output {name!r}; it has {', '.join(types)}.")
        if types[name] not in DISCRETE:
            raise OptionError(f"the output {name!r} is not boolean or integer: a selection must be discrete.")
    return tuple(wanted)


def _shapes(
    proto: onnx.ModelProto, arrays: Mapping[str, NDArray[Any]], moving: str
) -> Callable[[str], tuple[int, ...]]:
    """Static shapes: by ONNX's inference, else by interpreting the graph up to the tensor."""
    known = inferred_shapes(proto)

    def shape_of(name: str) -> tuple[int, ...]:
        shape = known.get(name)
        if shape is None:
            network = Network(proto, arrays, moving, [name])
            value = network.observed.get(name) or network.constants.get(name)
            if value is None:
                raise InputError(f"the shape of {name!r} cannot be found.")
            known[name] = shape = tuple(value.shape)
        return shape

    return shape_of
