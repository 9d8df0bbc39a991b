"""All linear regions of a network on a part of a plane: polygons with exact vertices.

From one region to its neighbours, across the edges: the region behind an edge is the one that a point of the
edge sees in the direction out of it. Every polygon is the intersection of the part with its region's guards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symbolic.enclosures.rounding import Array
from symbolic.errors import InputError, ModelError, enough_memory
from symbolic.pieces.arguments import Model, as_arrays, as_network
from symbolic.pieces.drawing import draw_plane
from symbolic.pieces.exact import ExactPiece
from symbolic.pieces.guards import Branches, guards_of
from symbolic.pieces.line import Binding
from symbolic.pieces.plane_region import PlaneRegion, Point
from symbolic.pieces.program import Maximum, Program, Staircase, Winner
from symbolic.reading.arrays import fractions_of
from symbolic.reading.exact import exact_number

if TYPE_CHECKING:
    import networkx

__all__ = ["PlaneRegions", "linear_regions_2d"]

Column = tuple[Fraction, ...]
MOST_REGIONS = 200_000
ROUNDING = 2.0**-40
"""More than a sum of three products of rounded numbers can be wrong, relative to the sum of their sizes."""


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

    def __iter__(self) -> Iterator[PlaneRegion]:
        return iter(self.regions)

    def __getitem__(self, k: int) -> PlaneRegion:
        return self.regions[k]

    def __str__(self) -> str:
        pairs = self.neighbours.number_of_edges()
        return f"{len(self)} linear region{'s' * (len(self) > 1)}, neighbouring pairs: {pairs}"

    def plot(self, values: Any = None, ax: Any = None) -> Any:
        """Draw the polygons, neighbours in different colours, or by given values (one per region)."""
        return draw_plane(self.regions, self.neighbours, values, ax)


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
    arrays = as_arrays(origin=origin, u=u, v=v)
    (s0, s1), (t0, t1) = _side(s, "s"), _side(t, "t")
    network = as_network(model, arrays[0], seed)
    network.program.require_exact()
    columns = [tuple(fractions_of(array.reshape(-1))) for array in arrays]
    walk = _Walk(network.program, columns, ((s0, t0), (s1, t0), (s1, t1), (s0, t1)))
    regions, graph = walk.run()
    return PlaneRegions(tuple(regions), graph, network.outputs)


def _side(ends: Any, name: str) -> tuple[Fraction, Fraction]:
    try:
        least, greatest = (exact_number(end, name) for end in ends)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {ends!r}; give two numbers (least, greatest).") from error
    if least >= greatest:
        raise InputError(f"the rectangle is empty: give {name} as (least, greatest).")
    return least, greatest


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
