"""Which held-out images choose among what is tried, and which judge what was chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.data.split import order_of
from edgead.export.verification.held_out import PAINTED, HeldOut

FEWEST = 100
"""Good images, and bad ones, of which half can be spared. Half of fewer says little: of 20 and 32, four pairs in the
other order are more of the AUROC than a budget allows."""


def judging_half(held: HeldOut, seed: int) -> NDArray[np.bool_] | None:
    """bool [N]: the images that judge; the others choose. None where there are too few to part them.

    Half of each kind of defect and of the good images, within one, in an order of the seed and of the names alone. A
    painted copy goes with its original.
    """
    if min(held.good.stop, len(held.names) - held.good.stop) < FEWEST:
        return None
    parted = range(held.good.stop if held.painted else len(held.names))
    order = sorted(parted, key=lambda row: (held.kinds[row], order_of(f"judging/{seed}/{held.names[row]}")))
    judging = {held.names[row] for row in order[1::2]}
    return np.array([name.removesuffix(PAINTED) in judging for name in held.names], bool)
