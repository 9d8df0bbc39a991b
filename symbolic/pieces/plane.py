"""All linear regions of a network on a part of a plane: polygons with exact vertices.

From one region to its neighbours, across the edges: the region behind an edge is the one that a point of the
edge sees in the direction out of it. Every polygon is the intersection of the part with its region's guards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, ModelError, enough_memory
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import Branches, guards_of
from symbolic.pieces.line import Binding
from symbolic.pieces.linear_regions import Model, as_network
from symbolic.pieces.program import Maximum, Program, Staircase, Winner
from symbolic.reading.arrays import as_exact_array, fractions_of
from symbolic.reading.exact import exact_number

if TYPE_CHECKING:
    import networkx

__all__ = ["PlaneRegion", "PlaneRegions", "linear_regions_2d"]

Point = tuple[Fraction, Fraction]
Column = tuple[Fraction, ...]
MOST_REGIONS = 200_000
ROUNDING = 2.0**-40
"""More than a sum of three products of rounded numbers can be wrong, relative to the sum of their sizes."""


@dataclass(frozen=True, eq=False)
class PlaneRegion:
    """A convex polygon on which the network is one affine function of (s, t).

    Attributes
    ----------
    vertices : tuple of (Fraction, Fraction)
        Counterclockwise.
    bindings : tuple of Binding or None
        What binds along the edge from each vertex to the next; None for the border of the part.
    piece : ExactPiece
        All units as affine functions: their values at ``base``, and slopes in some direction, along s and t.
    base : (Fraction, Fraction)
    """

    vertices: tuple[Point, ...]
    bindings: tuple[Binding | None, ...]
    piece: ExactPiece
    base: Point

    @cached_property
    def area(self) -> Fraction:
        """In the coordinates s and t."""
        pairs = zip(self.vertices, (*self.vertices[1:], self.vertices[0]), strict=True)
        return sum((p[0] * q[1] - q[0] * p[1] for p, q in pairs), Fraction(0)) / 2

    def contains(self, point: Point) -> bool:
        """Whether a point is in the polygon or on its border."""
        pairs = zip(self.vertices, (*self.vertices[1:], self.vertices[0]), strict=True)
        return all((q[0] - p[0]) * (point[1] - p[1]) >= (q[1] - p[1]) * (point[0] - p[0]) for p, q in pairs)

    def exact(self, output: str) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        """Intercepts, slopes along s and slopes along t of a tensor, flat."""
        value, (_, along_s, along_t) = self.piece.rationals(self.piece.program.tensors[output])
        s, t = self.base
        rows = zip(value, along_s, along_t, strict=True)
        return [v - a * s - b * t for v, a, b in rows], along_s, along_t


@dataclass(frozen=True, eq=False)
class PlaneRegions:
    """The regions of a rectangle.

    Attributes
    ----------
    regions : tuple of PlaneRegion
    neighbours : networkx.Graph
        Nodes are numbers of regions; an edge where two share a side, with the ``binding`` that it crosses.
    outputs : tuple of str
    """

    regions: tuple[PlaneRegion, ...]
    neighbours: networkx.Graph[int]
    outputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.regions)

    def __str__(self) -> str:
        return f"{len(self)} linear regions, {self.neighbours.number_of_edges()} pairs of neighbours"

    def plot(self, values: Any = None, ax: Any = None) -> Any:
        """Draw the polygons, in colours of their own or of the given values (one per region)."""
        import matplotlib.pyplot as plt
        from matplotlib.collections import PolyCollection

        ax = plt.gca() if ax is None else ax
        shades = np.random.default_rng(0).random(len(self)) if values is None else np.asarray(values)
        polygons = [[(float(s), float(t)) for s, t in region.vertices] for region in self.regions]
        drawn = PolyCollection(polygons, array=shades, cmap="Pastel1" if values is None else "viridis")
        drawn.set_edgecolor("0.3")
        drawn.set_linewidth(0.3)
        ax.add_collection(drawn)
        ax.autoscale_view()
        ax.set_xlabel("s")
        ax.set_ylabel("t")
        return ax


@enough_memory()
def linear_regions_2d(
    model: Model,
    origin: Any,
    u: Any,
    v: Any,
    s: tuple[Any, Any] = (-1, 1),
    t: tuple[Any, Any] = (-1, 1),
    *,
    seed: int | None = None,
) -> PlaneRegions:
    """Find every linear region of a network on x(s, t) = origin + s u + t v, exactly.

    Parameters
    ----------
    model : path or onnx.ModelProto
        Of one input; piecewise linear, with rational constants.
    origin, u, v : array_like
        Of the shape of the input; every entry is the rational it is.
    s, t : (number, number)
        The rectangle.
    seed : int, optional
        Of random operators, which are drawn once.

    Returns
    -------
    PlaneRegions
        Their vertices are rationals, and their areas add up to that of the rectangle, exactly.

    Raises
    ------
    ModelError
        If the network is not piecewise linear, or its constants are no rational numbers.
    InputError
        If the arrays do not fit it.
    """
    arrays = [as_exact_array(value, name) for value, name in ((origin, "origin"), (u, "u"), (v, "v"))]
    if len({array.shape for array in arrays}) != 1:
        raise InputError(f"origin, u and v have the shapes {', '.join(str(a.shape) for a in arrays)}.")
    (s0, s1), (t0, t1) = ([exact_number(end, name) for end in ends] for ends, name in ((s, "s"), (t, "t")))
    if s0 >= s1 or t0 >= t1:
        raise InputError("the rectangle is empty: give s and t as (least, greatest).")
    network = as_network(model, arrays[0], seed)
    network.program.require_exact()
    columns = [tuple(fractions_of(array.reshape(-1))) for array in arrays]
    walk = _Walk(network.program, columns, ((s0, t0), (s1, t0), (s1, t1), (s0, t1)))
    regions, graph = walk.run()
    return PlaneRegions(tuple(regions), graph, network.outputs)


class _Walk:
    """Breadth first from the corner of the rectangle."""

    def __init__(self, program: Program, columns: Sequence[Column], corners: tuple[Point, ...]) -> None:
        self.program, self.columns, self.corners = program, columns, corners

    def run(self) -> tuple[list[PlaneRegion], networkx.Graph[int]]:
        """All regions and who adjoins whom."""
        import networkx

        graph: networkx.Graph[int] = networkx.Graph()
        regions: list[PlaneRegion] = []
        known: dict[bytes, int] = {}
        low, high = self.corners[0], self.corners[2]
        middle = ((low[0] * 5 + high[0] * 3) / 8, (low[1] * 3 + high[1] * 5) / 8)
        waiting = deque([_Exit(middle, (Fraction(1), Fraction(0)), -1, None)])
        while waiting:
            out = waiting.popleft()
            number = self._neighbour(out, regions, known)
            if number is None:
                region = self._region(out.point, out.direction)
                number = known.setdefault(_key(region.piece.branches), len(regions))
                if number == len(regions):
                    if region.area == 0:
                        raise ModelError(
                            "a linear region has no area: the plane lies in a kink of the network."
                        )
                    regions.append(region)
                    graph.add_node(number)
                    waiting.extend(_exits(number, region))
                    if len(regions) > MOST_REGIONS:
                        raise ModelError(f"the rectangle has more than {MOST_REGIONS} linear regions.")
            if out.region >= 0 and out.region != number:
                graph.add_edge(out.region, number, binding=out.binding)
        whole = (high[0] - low[0]) * (high[1] - low[1])
        if sum((region.area for region in regions), Fraction(0)) != whole:
            raise ModelError(
                "the regions do not cover the rectangle: the plane lies in a kink of the network."
            )
        return regions, graph

    def _neighbour(self, out: _Exit, regions: list[PlaneRegion], known: dict[bytes, int]) -> int | None:
        """A known region behind an edge: the one in which only the unit differs that binds there, if it has
        the point of the edge.
        """
        if out.binding is None:
            return None
        branches = dict(regions[out.region].piece.branches)
        flipped = branches[out.binding.layer].copy()
        layer, unit = self.program.layers[out.binding.layer], out.binding.unit
        if isinstance(layer, Staircase) or (
            isinstance(layer, (Maximum, Winner)) and layer.sources.shape[1] > 2
        ):
            return None
        flipped[unit] = 1 - flipped[unit]
        branches[out.binding.layer] = flipped
        number = known.get(_key(branches))
        return number if number is not None and regions[number].contains(out.point) else None

    def _region(self, at: Point, towards: Point) -> PlaneRegion:
        """The region just behind a point in a direction."""
        origin, u, v = self.columns
        base = tuple(a + at[0] * b + at[1] * c for a, b, c in zip(origin, u, v, strict=True))
        out = tuple(towards[0] * b + towards[1] * c for b, c in zip(u, v, strict=True))
        piece = ExactPiece(self.program, base, [out, u, v])
        guards = guards_of(self.program, piece.branches)
        numbers = piece.margins(guards)[0][[0, 2, 3]]
        moves = np.nonzero((numbers[1] != 0) | (numbers[2] != 0))[0]
        rough = np.array([_leading(row) for row in numbers[:, moves].T.tolist()]).reshape(-1, 3)
        vertices: list[Point] = list(self.corners)
        bindings: list[Binding | None] = [None] * 4
        near = np.argsort(rough[:, 0] / np.hypot(rough[:, 1], rough[:, 2]))
        while (k := _first_crossing(rough[near], vertices, at)) is not None:
            guard = int(moves[near[k]])
            layer = int(guards.layer[guard])
            label = Binding(layer, int(guards.unit[guard]), str(self.program.layers[layer].label))
            vertices, bindings = _clipped(vertices, bindings, numbers[:, guard], at, label)
            near = near[k + 1 :]
        return PlaneRegion(tuple(vertices), tuple(bindings), piece, at)


@dataclass(frozen=True)
class _Exit:
    """A point of an edge, the direction out of its region there, the region, and what binds."""

    point: Point
    direction: Point
    region: int
    binding: Binding | None


def _key(branches: Branches) -> bytes:
    return b"".join(np.ascontiguousarray(branch).tobytes() for branch in branches.values())


def _leading(row: Sequence[int]) -> list[float]:
    """Integers by their leading bits: all divided by the same power of two."""
    shift = max(0, max(abs(v).bit_length() for v in row) - 500)
    return [float(v >> shift) for v in row]


def _first_crossing(rough: Array, vertices: Sequence[Point], at: Point) -> int | None:
    """The first guard that some vertex may violate; the others surely hold at all of them."""
    moved = np.array([[1.0, float(s - at[0]), float(t - at[1])] for s, t in vertices])
    terms = rough[:, None, :] * moved
    doubtful = (terms.sum(axis=2) <= ROUNDING * np.abs(terms).sum(axis=2) + 1.0).any(axis=1)
    return int(doubtful.argmax()) if doubtful.any() else None


def _clipped(
    vertices: list[Point], bindings: list[Binding | None], row: NDArray[Any], at: Point, label: Binding
) -> tuple[list[Point], list[Binding | None]]:
    """The part of a convex polygon where row[0] + row[1] (s - at) + row[2] (t - at) >= 0."""
    values = [int(row[0]) + int(row[1]) * (s - at[0]) + int(row[2]) * (t - at[1]) for s, t in vertices]
    if min(values) >= 0:
        return vertices, bindings
    kept: list[Point] = []
    edges: list[Binding | None] = []
    for k, (p, value) in enumerate(zip(vertices, values, strict=True)):
        after = (k + 1) % len(vertices)
        q, following = vertices[after], values[after]
        if value >= 0:
            kept.append(p)
            edges.append(label if value == 0 and following < 0 else bindings[k])
        if value > 0 > following or value < 0 < following:
            share = value / (value - following)
            kept.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
            edges.append(label if value > 0 else bindings[k])
    return kept, edges


def _exits(number: int, region: PlaneRegion) -> list[_Exit]:
    """Ways out of a region, one across every inner edge."""
    found = []
    for k, (p, binding) in enumerate(zip(region.vertices, region.bindings, strict=True)):
        q = region.vertices[(k + 1) % len(region.vertices)]
        if binding is not None:
            point = ((p[0] * 5 + q[0] * 3) / 8, (p[1] * 5 + q[1] * 3) / 8)
            found.append(_Exit(point, (q[1] - p[1], p[0] - q[0]), number, binding))
    return found
