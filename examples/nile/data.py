"""A hundred years of the Nile at Aswan, cut into windows."""

from __future__ import annotations

import numpy as np

__all__ = ["FIRST_PLACE", "FLOW", "LENGTH", "PLACES", "variance_outside", "window"]

LENGTH = 27
"""Years in a window."""
FIRST_PLACE = 3
"""The network leaves at least this many years on either side of a change."""
PLACES = LENGTH - 2 * FIRST_PLACE + 1
"""Number of places where the change may be."""

_FLOW = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140
1100 1210 1150 1250 1260 1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969
831 726 456 824 702 1120 1100 832 764 821 768 845 864 862 698 845 744 796 1040 759
781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890
744 749 838 1050 918 986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740
"""

FLOW = {1871 + k: float(flow) for k, flow in enumerate(_FLOW.split())}
"""Annual flow at Aswan, 1871 to 1970, in units of 10^8 m^3: from G. W. Cobb, The problem of the Nile:
conditional solution to a change-point problem, Biometrika 65 (1978) 243-251; also in R and in
statsmodels."""


def window(first: int) -> np.ndarray:
    """The LENGTH years from ``first`` on, float64 of shape (1, 1, LENGTH)."""
    return np.array([[[FLOW[year] for year in range(first, first + LENGTH)]]])


def variance_outside(first: int, known_change: int = 1898) -> tuple[float, int]:
    """Variance of one year's flow from the years outside the window, and its degrees of freedom.

    The years up to ``known_change`` and those after it get a mean each, so that the known drop is not
    noise.
    """
    groups = ([], [])
    for year, flow in FLOW.items():
        if not first <= year < first + LENGTH:
            groups[year > known_change].append(flow)
    kept = [np.array(group) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in kept)
    return float(round(sum(((group - group.mean()) ** 2).sum() for group in kept) / freedom)), freedom
