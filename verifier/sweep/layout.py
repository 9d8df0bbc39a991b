"""How a program lies in flat arrays: kinds, columns of tables, and the arrays themselves."""

from __future__ import annotations

from typing import NamedTuple

from symbolic.enclosures.rounding import Array
from symbolic.pieces.program import Ids, Linear, Maximum, Product, Staircase, Step, Winner

LINEAR, MAXIMUM, WINNER, STEP, STAIRCASE, PRODUCT, SHORT = range(7)
LONGEST = 8
"""Rows of so many units at most are summed anew when one of them changes: what is zero stays exactly zero."""
BIAS = -2
"""Stands for the constant of a row among its sources."""
KINDS = {
    Linear: LINEAR, Maximum: MAXIMUM, Winner: WINNER, Step: STEP, Staircase: STAIRCASE, Product: PRODUCT
}  # fmt: skip
RELU, WINDOW, GATHER = range(3)
"""How the sources of a block of maxima lie: consecutive and unit 0; consecutive in every place; anyhow."""
MATRIX, ROWS, TOUCH = range(3)
"""What a change of one layer does to another: a product with a matrix, single entries, a gate looked at."""
ROUNDINGS = {"floor": 0, "ceil": 1, "even": 2}


# columns of Net.layers
KIND, START, MODE, PLACES, TABLE, FIRST, LINKS, LINKS_END, END = range(9)
# columns of Net.blocks
UNIT, UNIT_END, LAYER, LAYOUT, GATE = range(5)
# columns of Net.links
FROM, HOW, AT = range(3)
# columns of Net.edges
SOURCE, SOURCE_UNIT, WEIGHT = range(3)
# columns of Net.targets
TARGET_UNIT, WIDTH, EDGES, EDGES_END, FIRST_TARGET, LAST_TARGET = range(6)


class Net(NamedTuple):
    """The swept layers; units in the order of `ordering`, blocks numbered through.

    Attributes
    ----------
    inputs : int
        Units before the first layer.
    layers : (layers, 9)
        Kind; first unit; rounding of a Staircase, strict of a Step, last of a Winner; sources per unit, and
        where they begin; first block; links from and to; where its units end.
    divisor : per layer
    blocks : (blocks, 5)
        Units from and to; layer, or -1; how the sources of maxima lie; number among the
        blocks of gates, or -1.
    block_of : per unit
    gate_block : per block of gates
    links : (links, 3)
        From which layer, how, and where the pointers of its blocks (or units) begin.
    pointers : into what is touched, or single entries
    touched : targets of products, or blocks of gates
    targets : (targets, 6)
        First unit, units, edges from and to, blocks from and to (inclusive): sums of products with matrices.
    edges : (edges, 3)
        Of a target: source block, its first unit, and where its matrix begins.
    weights, entry_target, entry_weight
    sources, factors, numbers : per unit and place
    norm, absolute : (layers, layers + 1)
        Bounds of the l2 norm of each layer as a function of each other (the inputs last), and of that with
        absolute weights; of linear layers.
    gamma : per layer
        Relative rounding of its sums.
    """

    inputs: int
    layers: Ids
    divisor: Array
    blocks: Ids
    block_of: Ids
    gate_block: Ids
    links: Ids
    pointers: Ids
    touched: Ids
    targets: Ids
    edges: Ids
    weights: Array
    entry_target: Ids
    entry_weight: Array
    sources: Ids
    factors: Ids
    numbers: Array
    norm: Array
    absolute: Array
    gamma: Array
