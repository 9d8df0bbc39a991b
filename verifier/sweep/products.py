"""Rows of a matrix times changed units, added to consecutive units.

The inner loop is written with vectors of the compiler (llvmlite), as its own vectoriser leaves it scalar: sums
stay in registers while the rows pass.
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

__all__ = ["FAST", "OPTIONS", "add_rows"]

FAST = {"contract", "reassoc", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FAST, "error_model": "numpy"}
LANES = 4
DOUBLE, INDEX = ir.DoubleType(), ir.IntType(64)
VECTOR = ir.VectorType(DOUBLE, LANES)


def _chunk(width: int, rows: int) -> Callable[..., None]:
    """y[t:t+width] += sum of values[i] * w[at + stride * places[i] : ... + width] for i from a to b.

    ``rows`` sums run side by side; that of the last few rows is one.
    """
    vectors = width // LANES

    @intrinsic  # type: ignore[untyped-decorator]
    def add(context: Any, y: Any, t: Any, w: Any, at: Any, stride: Any, places: Any, values: Any, a: Any, b: Any) -> Any:
        signature = types.void(y, t, w, at, stride, places, values, a, b)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            data = {
                k: make_array(signature.args[k])(context, builder, given[k]).data for k in (0, 2, 5, 6)
            }
            t, at, stride, a, b = (given[k] for k in (1, 3, 4, 7, 8))

            def vector(pointer: Any, index: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [index]), VECTOR.as_pointer())

            sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)] for _ in range(rows)]
            for line in sums:
                for one in line:
                    builder.store(ir.Constant(VECTOR, [0.0] * LANES), one)

            def add_row(i: Any, line: Any) -> None:
                x = builder.load(builder.gep(data[6], [i]))
                zero = ir.Constant(ir.IntType(32), 0)
                single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), x, zero)
                every = builder.shuffle_vector(
                    single, ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
                )
                place = builder.load(builder.gep(data[5], [i]))
                first = builder.add(at, builder.mul(place, stride))
                for k, one in enumerate(line):
                    where = vector(data[2], builder.add(first, ir.Constant(INDEX, LANES * k)))
                    row = builder.load(where, align=8)
                    product = builder.fmul(every, row, flags=("contract",))
                    builder.store(builder.fadd(builder.load(one), product, flags=("contract",)), one)

            count = builder.sub(b, a)
            size = ir.Constant(INDEX, rows)
            groups = builder.sdiv(count, size)
            with cgutils.for_range(builder, groups) as loop:
                first = builder.add(a, builder.mul(loop.index, size))
                for k, line in enumerate(sums):
                    add_row(builder.add(first, ir.Constant(INDEX, k)), line)
            if rows > 1:
                done = builder.add(a, builder.mul(groups, size))
                with cgutils.for_range_slice(builder, done, b, ir.Constant(INDEX, 1)) as (index, _):
                    add_row(index, sums[0])
            for k in range(vectors):
                where = vector(data[0], builder.add(t, ir.Constant(INDEX, LANES * k)))
                total = builder.load(where, align=8)
                for line in sums:
                    total = builder.fadd(total, builder.load(line[k]))
                builder.store(total, where, align=8)
            return context.get_dummy_value()

        return signature, generate

    return add  # type: ignore[no-any-return]


_add32, _add16, _add8, _add4 = _chunk(32, 1), _chunk(16, 2), _chunk(8, 4), _chunk(4, 4)


@njit(**OPTIONS)  # type: ignore[misc]
def add_rows(
    y: Array, t: int, w: Array, at: int, places: Ids, values: Array, a: int, b: int, width: int
) -> None:
    """y[t:t+width] += sum of values[i] * (row places[i] of the matrix at ``at``), i from a to b."""
    j = 0
    while j + 32 <= width:
        _add32(y, t + j, w, at + j, width, places, values, a, b)
        j += 32
    if j + 16 <= width:
        _add16(y, t + j, w, at + j, width, places, values, a, b)
        j += 16
    if j + 8 <= width:
        _add8(y, t + j, w, at + j, width, places, values, a, b)
        j += 8
    if j + 4 <= width:
        _add4(y, t + j, w, at + j, width, places, values, a, b)
        j += 4
    while j < width:
        total = 0.0
        for i in range(a, b):
            total += values[i] * w[at + j + places[i] * width]
        y[t + j] += total
        j += 1
