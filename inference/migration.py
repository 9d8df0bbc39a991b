"""Further names of si4onnx that its users' scripts touch, with the same meaning in numpy.

`docs/migrating-from-si4onnx.md` lists what differs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from inference.runtime import run_in_child
from symbolic.errors import InputError, ModelError, OptionError
from symbolic.reading.arrays import as_exact_array, matches_graph_input, rounded_to_graph_type
from symbolic.reading.loading import free_inputs, freeze_random, load_model, static_inputs

__all__ = ["NN", "SyntheticDataset", "thresholding", "truncated_interval", "warn_ignored"]

_IGNORED = {
    "memoization": "nothing is recomputed, so there is nothing to remember",
    "n_jobs": "the search runs in one process",
    "step": "the search does not step, so it cannot step over a region",
}


def warn_ignored(**options: object) -> tuple[str, ...]:
    """Warn of options of si4onnx that have no meaning here; an option that is None is passed over.

    Returns
    -------
    tuple of str
        The warnings, which are issued too (UserWarning).

    Raises
    ------
    OptionError
        If an option is unknown there too.
    """
    said: list[str] = []
    for name, value in options.items():
        if name not in _IGNORED:
            raise OptionError(f'There is no option "{name}".')
        if value is not None:
            said.append(f"{name} is ignored: {_IGNORED[name]}.")
            warnings.warn(said[-1], UserWarning, stacklevel=3)
    return tuple(said)


class NN:
    """A network that can be run forward; selective inference itself starts at `sureline.load`.

    Parameters
    ----------
    model : path or onnx.ModelProto
    seed : int, optional
        Needed if the network draws random numbers.
    memoization : optional
        Ignored, with a warning.

    Notes
    -----
    si4onnx evaluates in float64; here ONNX Runtime evaluates in the types that the model declares.
    """

    def __init__(self, model: Any, seed: int | None = None, memoization: object = None) -> None:
        warn_ignored(memoization=memoization)
        self.model: onnx.ModelProto = load_model(model).proto
        self.seed = seed

    def forward(self, input: Any) -> Any:
        """Run the network.

        Parameters
        ----------
        input : array, or sequence of arrays if the network has several inputs

        Returns
        -------
        numpy.ndarray, or list of them if the network has several outputs

        Raises
        ------
        InputError, ModelError
        """
        declared = free_inputs(self.model.graph)
        given: Sequence[Any] = (
            list(input) if len(declared) > 1 and isinstance(input, (list, tuple)) else [input]
        )
        if len(given) != len(declared):
            raise InputError(f"The network has {len(declared)} inputs; {len(given)} were given.")
        arrays = [as_exact_array(x, value.name) for x, value in zip(given, declared, strict=True)]
        for array, value in zip(arrays, declared, strict=True):
            matches_graph_input(array, value)
        static = static_inputs(self.model, {v.name: a.shape for a, v in zip(arrays, declared, strict=True)})
        frozen, _ = freeze_random(static, seed=self.seed)
        feeds = {
            value.name: rounded_to_graph_type(array, value.type.tensor_type.elem_type, value.name)[0]
            for array, value in zip(arrays, declared, strict=True)
        }
        names = [value.name for value in frozen.graph.output]
        outcome = run_in_child(frozen.SerializeToString(), feeds, names)
        if outcome.outputs is None:
            raise ModelError(f"ONNX Runtime could not run the network: {outcome.reason}.")
        results = [outcome.outputs[name] for name in names]
        return results[0] if len(results) == 1 else results

    __call__ = forward

    def forward_si(self, *args: object, **kwargs: object) -> NoReturn:
        """Not here: regions of the network are found by `sureline.truncation_set`."""
        raise OptionError(
            "NN.forward_si has no counterpart; use sureline.truncation_set(selection, a, b, lo=, hi=)."
        )


class SyntheticDataset:
    """Gaussian noise with a square of signal at a random place, drawn as si4onnx.SyntheticDataset draws it.

    Parameters
    ----------
    n_samples : int
    shape : int or tuple of int
        Side of a square image, (height, width) or (channels, height, width).
    loc, scale : float
        Mean and standard deviation of the noise.
    local_signal : float
        Added inside the square; zero means no signal.
    local_size : int, optional
        Side of the square, less than height and width; default: a third of the smaller of them.
    seed : int

    Attributes
    ----------
    data, masks : numpy.ndarray
        Float64, shape (n_samples, channels, height, width).
    labels : numpy.ndarray
        Whole numbers, shape (n_samples,): 1 where there is signal.
    """

    def __init__(
        self,
        n_samples: int,
        shape: int | tuple[int, ...],
        loc: float = 0,
        scale: float = 1,
        local_signal: float = 0,
        local_size: int | None = None,
        seed: int | None = 0,
    ) -> None:
        sides = (shape, shape) if isinstance(shape, int) else tuple(shape)
        if len(sides) not in (2, 3):
            raise OptionError(f"shape is {shape}; give (height, width) or (channels, height, width).")
        channels, height, width = (1, *sides) if len(sides) == 2 else sides
        size = min(height, width) // 3 if local_size is None else local_size
        if not 0 <= size < min(height, width):
            raise OptionError(
                f"local_size is {size}; it must be less than height and width ({height}, {width})."
            )
        rng = np.random.default_rng(seed)
        self.data: NDArray[np.float64] = rng.normal(loc, scale, (n_samples, channels, height, width))
        self.masks: NDArray[np.float64] = np.zeros_like(self.data)
        for image, mask in zip(self.data, self.masks, strict=True):
            # The corner is drawn without signal too, so that both datasets have the same noise.
            top, left = int(rng.integers(0, height - size)), int(rng.integers(0, width - size))
            square = (slice(None), slice(top, top + size), slice(left, left + size))
            image[square] += local_signal
            mask[square] = local_signal != 0
        self.labels: NDArray[np.int_] = np.full(n_samples, int(local_signal != 0))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, idx: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Give image, mask and label as float32 arrays of shapes (channels, height, width) twice and ()."""
        return (
            self.data[idx].astype(np.float32),
            self.masks[idx].astype(np.float32),
            np.asarray(self.labels[idx], dtype=np.float32),
        )


def truncated_interval(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Give the interval {z : a + b z >= 0 in every entry}, ends rounded to nearest.

    Parameters
    ----------
    a, b : array_like
        Of one shape.

    Returns
    -------
    l, u : float
        Minus and plus infinity where nothing bounds z; (inf, -inf) if no z satisfies all, as when an entry
        has zero slope and a negative constant (si4onnx passes over those, and over bounds at zero).
    """
    constants = as_exact_array(a, "a").astype(np.float64)
    slopes = as_exact_array(b, "b").astype(np.float64)
    try:
        constants, slopes = np.broadcast_arrays(constants, slopes)
    except ValueError:
        raise InputError(f"a has shape {constants.shape} and b has shape {slopes.shape}.") from None
    if np.any((slopes == 0) & (constants < 0)):
        return math.inf, -math.inf
    rising, falling = slopes > 0, slopes < 0
    with np.errstate(over="ignore"):
        # Adding zero turns -0.0 into 0.0.
        lower = max((-constants[rising] / slopes[rising] + 0.0).tolist(), default=-math.inf)
        upper = min((-constants[falling] / slopes[falling] + 0.0).tolist(), default=math.inf)
    return (lower, upper) if lower <= upper else (math.inf, -math.inf)


def thresholding(
    threshold: float,
    x: object,
    a: ArrayLike,
    b: ArrayLike,
    l: float,
    u: float,
    z: float,
    use_sigmoid: bool = False,
    use_norm: bool = False,
) -> tuple[NDArray[np.int_], float, float]:
    """Threshold the score map a + b z, and give the interval on which the result stays.

    This is the float64 helper of si4onnx for scripts that call it; nothing is certified by it.

    Parameters
    ----------
    threshold : float
    x : object
        Ignored, as there: the map is a + b z.
    a, b : array_like
        Of one shape.
    l, u : float
        The interval so far.
    z : float
    use_sigmoid : bool
        The map goes through a sigmoid before it is compared.
    use_norm : bool
        The map is scaled to [0, 1] before it is compared; the interval keeps the places of its extremes.

    Returns
    -------
    index : numpy.ndarray
        One where the map exceeds the threshold, flattened.
    l, u : float
        The interval, cut.
    """
    constants = as_exact_array(a, "a").astype(np.float64).ravel()
    slopes = as_exact_array(b, "b").astype(np.float64).ravel()
    tau = float(threshold)
    if use_sigmoid:
        if not 0 < tau < 1:
            raise OptionError(f"threshold is {tau}; a sigmoid lies between 0 and 1.")
        tau = math.log(tau) - math.log1p(-tau)
    low, high = float(l), float(u)
    if use_norm and not use_sigmoid:
        values = constants + slopes * z
        top, bottom = int(values.argmax()), int(values.argmin())
        for sign, place in ((1.0, top), (-1.0, bottom)):
            cut = truncated_interval(sign * (constants[place] - constants), sign * (slopes[place] - slopes))
            low, high = max(low, cut[0]), min(high, cut[1])
        # s - min > tau (max - min): no division, so a constant map selects nothing.
        constants, slopes = (v - v[bottom] - tau * (v[top] - v[bottom]) for v in (constants, slopes))
    else:
        constants = constants - tau
    above = constants + slopes * z > 0
    sign_of = np.where(above, 1.0, -1.0)
    cut = truncated_interval(sign_of * constants, sign_of * slopes)
    return above.astype(int), max(low, cut[0]), min(high, cut[1])
