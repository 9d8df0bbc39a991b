"""Compile the loops of the sweep: once, ahead of tests in several processes, of which each would do so."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
from sweep_nets import a_line, saliency, selected, stack  # noqa: E402

from verifier.sweep.double_double import doubled  # noqa: E402
from verifier.sweep.forward import forward  # noqa: E402
from verifier.sweep.rigour import CertifiedSweeper  # noqa: E402
from verifier.sweep.sharp import SharpSweeper  # noqa: E402
from verifier.sweep.spreading import rigorous  # noqa: E402
from verifier.sweep.sweeper import planned  # noqa: E402


def main() -> None:
    """Sweep a little of a network with all kinds of layers, and of one where nothing jumps."""
    bent, output = selected(stack(0))
    line = a_line(bent, 0)
    plan = rigorous(planned(bent, {output: forward(bent, *line).value[bent.outputs[output]]}))
    sweeper = CertifiedSweeper(plan, *line)
    sweeper.run(0.0, 0.1)
    sweeper.gains(sweeper.errors(0.1)).of_layer(len(plan.body) - 1, np.zeros(1, dtype=np.int64))
    program, output = selected(saliency(0))
    line = a_line(program, 0)
    observed = forward(program, *line).value[program.outputs[output]]
    plan = rigorous(planned(program, {output: observed}))
    CertifiedSweeper(plan, *line).run(0.0, 0.1)
    SharpSweeper(plan, *(doubled([Fraction(float(v)) for v in part]) for part in line)).run(0.0, 0.01)


if __name__ == "__main__":
    main()
