"""From which value of an anomaly map to which its colours go."""

from __future__ import annotations

from edgead.result import Result


class Heat:
    """The raw values of a map that are shown as nothing and as the hottest. Each bundle has units of its own, so they
    are those of the bundle that the result is of, also where it is drawn long after another one took over.

    fixed: for every map. Without it, what `half_hot_at` says of the bundle, else from 0 to the highest value of it that
    was shown so far.
    """

    def __init__(self, fixed: tuple[float, float] | None = None) -> None:
        self._fixed = fixed
        self._given: dict[str, tuple[float, float]] = {}
        self._hottest: dict[str, float] = {}

    def half_hot_at(self, bundle: str, threshold: float) -> None:
        """Show maps of a bundle, by its digest, half hot at a threshold of their pixels. One of 0 or less, which has no
        such scale, is as none."""
        if threshold > 0:
            self._given[bundle] = (0.0, 2 * threshold)
        else:
            self._given.pop(bundle, None)

    def of(self, result: Result) -> tuple[float, float]:
        """The scale for the map of a result."""
        if self._fixed is not None:
            return self._fixed
        hottest = self._hottest.get(result.bundle, 0.0)
        if result.anomaly_map.size:
            hottest = self._hottest[result.bundle] = max(hottest, float(result.anomaly_map.max()))
        return self._given.get(result.bundle, (0.0, hottest))
