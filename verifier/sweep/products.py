"""What changed units give one target: sums of rows of matrices, kept in registers while the rows pass.

The loop is written with vectors of the compiler (llvmlite), as its own vectoriser leaves it scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids

__all__ = ["FAST", "OPTIONS", "add_products"]

FAST = {"contract", "reassoc", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FAST, "error_model": "numpy"}
LANES = 4
DOUBLE, INDEX = ir.DoubleType(), ir.IntType(64)
VECTOR = ir.VectorType(DOUBLE, LANES)
SPREAD = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
COLUMNS = 3
"""Of an edge: source block, its first unit, where its matrix begins."""


def _index(number: int) -> Any:
    return ir.Constant(INDEX, number)


class _Sums:
    """Rows of accumulators; a row of the matrix is added to one of them."""

    def __init__(self, builder: Any, width: int, rows: int) -> None:
        self.builder = builder
        self.lines = [
            [cgutils.alloca_once(builder, VECTOR) for _ in range(width // LANES)]  # type: ignore[no-untyped-call]
            for _ in range(rows)
        ]
        for line in self.lines:
            for one in line:
                builder.store(ir.Constant(VECTOR, [0.0] * LANES), one)

    def vector(self, pointer: Any, index: Any) -> Any:
        """Four numbers from an index on."""
        return self.builder.bitcast(self.builder.gep(pointer, [index]), VECTOR.as_pointer())

    def add(self, line: int, value: Any, pointer: Any, first: Any) -> None:
        """Add value times the numbers from first on."""
        b = self.builder
        nothing = ir.Constant(VECTOR, ir.Undefined)
        single = b.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        every = b.shuffle_vector(single, nothing, SPREAD)
        for k, one in enumerate(self.lines[line]):
            row = b.load(self.vector(pointer, b.add(first, _index(LANES * k))), align=8)
            product = b.fmul(every, row, flags=("contract",))
            b.store(b.fadd(b.load(one), product, flags=("contract",)), one)

    def put(self, pointer: Any, first: Any) -> None:
        """Add all lines to the numbers from first on."""
        b = self.builder
        for k in range(len(self.lines[0])):
            where = self.vector(pointer, b.add(first, _index(LANES * k)))
            total = b.load(where, align=8)
            for line in self.lines:
                total = b.fadd(total, b.load(line[k]))
            b.store(total, where, align=8)


def _chunk(width: int, rows: int) -> Callable[..., None]:
    """`add_products` for so many columns, in ``rows`` sums side by side."""

    @intrinsic
    def add(
        context: Any, y: Any, t: Any, w: Any, column: Any, stride: Any, edges: Any, e0: Any, e1: Any,
        nonzero: Any, places: Any, values: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(y, t, w, column, stride, edges, e0, e1, nonzero, places, values)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            y, w, edges, nonzero, places, values = (
                make_array(signature.args[k])(context, builder, given[k]).data  # type: ignore[no-untyped-call]
                for k in (0, 2, 5, 8, 9, 10)
            )
            t, column, stride, e0, e1 = (given[k] for k in (1, 3, 4, 6, 7))
            sums = _Sums(builder, width, rows)

            def read(pointer: Any, index: Any) -> Any:
                return builder.load(builder.gep(pointer, [index]))

            def add_row(i: Any, first: Any, line: int) -> None:
                at = builder.add(first, builder.mul(read(places, i), stride))
                sums.add(line, read(values, i), w, at)

            with cgutils.for_range_slice(builder, e0, e1, _index(1)) as (e, _):
                edge = builder.mul(e, _index(COLUMNS))
                count = read(nonzero, read(edges, edge))
                a = read(edges, builder.add(edge, _index(1)))
                first = builder.add(read(edges, builder.add(edge, _index(2))), column)
                groups = builder.sdiv(count, _index(rows))
                with cgutils.for_range(builder, groups) as loop:
                    at = builder.add(a, builder.mul(loop.index, _index(rows)))
                    for k in range(rows):
                        add_row(builder.add(at, _index(k)), first, k)
                if rows > 1:
                    done = builder.add(a, builder.mul(groups, _index(rows)))
                    with cgutils.for_range_slice(builder, done, builder.add(a, count), _index(1)) as (i, _):
                        add_row(i, first, 0)
            sums.put(y, t)
            return context.get_dummy_value()

        return signature, generate

    return add


_add32, _add16, _add8, _add4 = _chunk(32, 1), _chunk(16, 2), _chunk(8, 4), _chunk(4, 4)


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def add_products(
    y: Array,
    t: int,
    width: int,
    w: Array,
    edges: Ids,
    e0: int,
    e1: int,
    nonzero: Ids,
    places: Ids,
    values: Array,
) -> None:
    """y[t:t+width] += what the changed units of some blocks give by edges e0 to e1.

    ``nonzero`` counts the changed units of a block; their places in the block and values are listed from the
    block's first unit on.
    """
    j = 0
    while j + 32 <= width:
        _add32(y, t + j, w, j, width, edges, e0, e1, nonzero, places, values)
        j += 32
    if j + 16 <= width:
        _add16(y, t + j, w, j, width, edges, e0, e1, nonzero, places, values)
        j += 16
    if j + 8 <= width:
        _add8(y, t + j, w, j, width, edges, e0, e1, nonzero, places, values)
        j += 8
    if j + 4 <= width:
        _add4(y, t + j, w, j, width, edges, e0, e1, nonzero, places, values)
        j += 4
    while j < width:
        total = 0.0
        for e in range(e0, e1):
            a, first = edges[e, 1], edges[e, 2] + j
            for i in range(a, a + nonzero[edges[e, 0]]):
                total += values[i] * w[first + places[i] * width]
        y[t + j] += total
        j += 1
