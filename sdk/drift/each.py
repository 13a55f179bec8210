"""Several cameras in one run, each looked at for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgead.drift.change import Change, Observer
from edgead.frame import Frame
from edgead.result import Result


class EachCamera:
    """An observer for each camera, as one that looks at several knows the scene of none.

    make: makes one. cameras: the names of the sources. Frames of other names, as of a folder's images, share one.
    """

    def __init__(self, make: Callable[[], Observer], cameras: Iterable[str]) -> None:
        self._observers = {camera: make() for camera in cameras}
        self._others = make()

    def observe(self, frame: Frame, result: Result) -> Sequence[Change]:
        """One more frame -> what is different with its camera."""
        return self._observers.get(frame.source, self._others).observe(frame, result)
