"""What every operator asks of the array that it writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError


def check_output(out: NDArray[Any], where: str, *inputs: NDArray[Any]) -> None:
    """Raise KernelError, naming the operator `where`, for an array that is not in order in memory, cannot be written,
    or shares memory with an input. Its type and shape are the caller's to check."""
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        wanted = "contiguous, aligned and writeable" if out.itemsize > 1 else "contiguous and writeable"
        raise KernelError(f"the output is not {wanted}", where, "give an array of its own")
    if any(np.shares_memory(out, array) for array in inputs):
        raise KernelError("the output shares memory with an input", where, "give an array of its own")
