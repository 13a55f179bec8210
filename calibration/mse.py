"""The range of least squared error: where clipping the large values and rounding all the others together cost least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CODES = 127
"""A symmetric int8 range of +-T has the steps T / 127: ONNX Runtime's quantiser leaves -128 to values beyond it."""

_STEP = 0.99  # between the candidates of a first search; a second one takes steps of a fiftieth between its neighbours
_LEAST_BINS = 8  # a range of fewer bins holds values of which the histogram says too little


def best_threshold(counts: NDArray[np.int64], largest: float) -> float:
    """The threshold T of the symmetric int8 range, in (0, largest], that minimises `squared_error`.

    counts: [bins], how many |x| lie in each of as many bins of one width between 0 and `largest`. Of equal errors, the
    largest T. Where nothing was counted, `largest`.
    """
    if not counts.any():
        return largest
    coarse = largest * _STEP ** np.arange(np.log(len(counts) / _LEAST_BINS) / -np.log(_STEP))
    fine = _least(counts, largest, coarse) * np.linspace(1 / _STEP, _STEP, 101)
    return _least(counts, largest, np.minimum(fine, largest))


def _least(counts: NDArray[np.int64], largest: float, candidates: NDArray[np.float64]) -> float:
    return float(candidates[np.argmin([squared_error(counts, largest, threshold) for threshold in candidates])])


def squared_error(counts: NDArray[np.int64], largest: float, threshold: float) -> float:
    """mean((x - x')^2) of the values counted, where x' = s * min(round(x / s), 127), s = threshold / 127.

    The values of a bin are spread evenly over it, and are integrated, not sampled: with k = min(round(x / s), 127), the
    integral of (x - x')^2 from 0 to x is k s^3 / 12 + (x - k s)^3 / 3. counts, largest: as in `best_threshold`. Banner
    et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment", (2), on what was
    observed in place of a Gauss or Laplace distribution.
    """
    edges = np.linspace(0, largest, len(counts) + 1)
    step = threshold / CODES
    codes = np.minimum(np.round(edges / step), CODES)
    integrals = np.diff(codes * step**3 / 12 + (edges - codes * step) ** 3 / 3)
    return float(counts @ integrals) * len(counts) / largest / int(counts.sum())
