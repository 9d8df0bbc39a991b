"""Does ONNX Runtime, in its own arithmetic, make the same selection?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.prepare import PATTERN
from inference.runtime import run_in_child
from symbolic.errors import SurelineError
from symbolic.reading.arrays import rounded_to_graph_type
from symbolic.reading.static_shapes import free_inputs

__all__ = ["Agreement", "compare"]


@dataclass(frozen=True)
class Agreement:
    """Outcome of one run.

    Attributes
    ----------
    agrees : bool or None
        Whether the selection is the certified one; None if the runtime gave none. Of an activation pattern
        that is conditioned on, a branch may differ: where two units tie, rounding decides.
    reason : str or None
        Why there is none, or where it or the pattern differs.
    """

    agrees: bool | None
    reason: str | None


def compare(
    audited: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], observed: Sequence[tuple[str, NDArray[Any]]]
) -> Agreement:
    """Run the audited graph once in a child process and compare its selection with the certified one."""
    types = {value.name: value.type.tensor_type.elem_type for value in free_inputs(audited.graph)}
    try:
        rounded = {name: rounded_to_graph_type(array, types[name], name)[0] for name, array in feeds.items()}
    except SurelineError as error:
        return Agreement(None, str(error))
    outcome = run_in_child(audited.SerializeToString(), rounded, [name for name, _ in observed])
    if outcome.outputs is None:
        return Agreement(None, outcome.reason)
    branch: str | None = None
    for name, value in observed:
        there = outcome.outputs[name]
        if there.shape != value.shape:
            return Agreement(False, f"{name} has shape {there.shape} there and {value.shape} here")
        different = int((np.asarray(there).astype(np.int64) != value.astype(np.int64)).sum())
        if different:
            where = f"{different} of {value.size} elements of {name} differ"
            if not name.startswith(PATTERN):
                return Agreement(False, where)
            branch = branch or where
    return Agreement(True, branch)
