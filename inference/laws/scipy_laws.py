"""The null laws without truncation as SciPy distributions of the statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.laws.chi import ChiLaw, FisherLaw
from inference.laws.law import Law
from inference.laws.student import StudentLaw

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen

__all__ = ["scipy_law"]


def scipy_law(law: Law) -> rv_frozen:
    """The law of the statistic under the null (of T**2 / k with an estimated variance), in floating point.

    The t law is the one on its degrees of freedom, in which the estimated variance is not conditioned on.
    """
    from scipy import stats

    if isinstance(law, ChiLaw):
        return stats.chi(law.rank)
    if isinstance(law, FisherLaw):
        return stats.f(law.rank, law.nu)
    if isinstance(law, StudentLaw):
        return stats.t(law.nu, loc=float(law.null), scale=law.sd)
    return stats.norm(loc=float(law.null), scale=law.sd)
