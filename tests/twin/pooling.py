"""Pooling."""

from __future__ import annotations

import itertools

import numpy as np
from quicktions import Fraction

from .call import Call, operator
from .exact import UNKNOWN, Array, divide, greater, greatest
from .linear import spatial_pads


class Windows:
    """Where the windows of a pooling node lie."""

    def __init__(self, call: Call) -> None:
        self.size = list(call[0].shape[2:])
        n = len(self.size)
        self.kernel = call.attribute("kernel_shape")
        self.strides = call.attribute("strides", [1] * n)
        self.dilations = call.attribute("dilations", [1] * n)
        self.pads = spatial_pads(call, self.size, self.kernel, self.strides, self.dilations)
        ceil = call.attribute("ceil_mode", 0)
        mode = call.attribute("auto_pad", "NOTSET")
        self.positions = []
        for i in range(n):
            if mode in ("SAME_UPPER", "SAME_LOWER"):
                self.positions.append(-(-self.size[i] // self.strides[i]))
                continue
            room = self.size[i] + sum(self.pads[i]) - self.dilations[i] * (self.kernel[i] - 1) - 1
            count = (-(-room // self.strides[i]) if ceil else room // self.strides[i]) + 1
            if ceil and (count - 1) * self.strides[i] >= self.size[i] + self.pads[i][0]:
                count -= 1  # windows that would start in the right padded region are ignored
            if mode == "VALID" and count != room // self.strides[i] + 1:
                raise NotImplementedError("auto_pad VALID with ceil_mode")
            self.positions.append(count)

    def taps(self, place: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Spatial indices under the window, in row-major order, those in the padding included."""
        corner = [place[i] * self.strides[i] - self.pads[i][0] for i in range(len(place))]
        per_axis = [
            [c + k * d for k in range(n)] for c, d, n in zip(corner, self.dilations, self.kernel, strict=True)
        ]
        return list(itertools.product(*per_axis))

    def inside(self, tap: tuple[int, ...]) -> bool:
        return all(0 <= tap[i] < self.size[i] for i in range(len(tap)))

    def padded(self, tap: tuple[int, ...]) -> bool:
        """Inside the input or its padding (ceil_mode windows reach beyond both)."""
        return all(-self.pads[i][0] <= tap[i] < self.size[i] + self.pads[i][1] for i in range(len(tap)))


@operator("MaxPool")
def max_pool(call: Call) -> list[Array]:
    x, windows = call[0], Windows(call)
    column_major = call.attribute("storage_order", 0)
    out = np.empty((*x.shape[:2], *windows.positions), dtype=object)
    winners = np.empty(out.shape, dtype=object)
    for index in np.ndindex(out.shape):
        taps = [t for t in windows.taps(index[2:]) if windows.inside(t)]
        values = [x[(*index[:2], *t)] for t in taps]
        out[index] = greatest(values)
        winner = first_greatest(values)
        if winner is UNKNOWN:
            winners[index] = UNKNOWN
            continue
        offset = 0
        axes = list(range(len(windows.size)))
        for axis in reversed(axes) if column_major else axes:
            offset = offset * windows.size[axis] + taps[winner][axis]
        winners[index] = (index[0] * x.shape[1] + index[1]) * int(np.prod(windows.size)) + offset
    return [out, winners]


def first_greatest(values: list[object], last: bool = False) -> object:
    """Position of the first (or last) greatest value; UNKNOWN when brackets cannot tell."""
    best = 0
    for i in range(1, len(values)):
        better = greater(values[i], values[best])
        if last and better is not True:
            worse = greater(values[best], values[i])
            better = UNKNOWN if worse is UNKNOWN else not worse
        if better is UNKNOWN:
            return UNKNOWN
        best = i if better else best
    return best if values and values[best] is not UNKNOWN else UNKNOWN


@operator("AveragePool")
def average_pool(call: Call) -> list[Array]:
    x, windows = call[0], Windows(call)
    include = call.attribute("count_include_pad", 0)
    out = np.empty((*x.shape[:2], *windows.positions), dtype=object)
    for index in np.ndindex(out.shape):
        taps = windows.taps(index[2:])
        values = [x[(*index[:2], *t)] for t in taps if windows.inside(t)]
        count = sum(windows.padded(t) for t in taps) if include else len(values)
        out[index] = divide(sum(values, Fraction(0)), Fraction(count))
    return [out]


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> list[Array]:
    x = call[0]
    out = np.empty((*x.shape[:2], *(1 for _ in x.shape[2:])), dtype=object)
    for n, c in np.ndindex(x.shape[:2]):
        values = [x[(n, c, *place)] for place in np.ndindex(x.shape[2:])]
        where = (n, c, *(0 for _ in x.shape[2:]))
        if call.node.op_type == "GlobalMaxPool":
            out[where] = greatest(values)
        else:
            out[where] = divide(sum(values, Fraction(0)), Fraction(len(values)))
    return [out]
