"""What people may change on the page: thresholds, the region of interest, and what to ignore."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgead.errors import DataError
from edgead.verdicts.areas import AreaKind, Polygon

log = logging.getLogger(__name__)

MOST_CORNERS = 100  # each side is compared with each other one
KEPT = 20  # changes that the page shows
AREAS: tuple[AreaKind, ...] = ("roi", "ignore")
_SAID: dict[AreaKind, tuple[str, str]] = {
    "roi": ("Area", "Whole picture"),
    "ignore": ("Ignored area", "Nothing ignored"),
}
_LARGEST = float(np.finfo(np.float32).max)  # thresholds are float32 where they are compared


@dataclass(frozen=True)
class Limits:
    """The thresholds, in raw units of the score: from `warn` on a part is doubtful, from `reject` on it is bad.

    Raises DataError where they are not finite float32 values, or warn is above reject.
    """

    reject: float
    warn: float

    def __post_init__(self) -> None:
        for name, value in (("reject", self.reject), ("warn", self.warn)):
            if not abs(value) <= _LARGEST:
                raise DataError(f"the threshold is {value}", name, "give a finite number")
        if self.warn > self.reject:
            what = f"warn ({self.warn:.6g}) is above reject ({self.reject:.6g})"
            raise DataError(what, "thresholds", "give a warn threshold at or below reject")

    @classmethod
    def from_json(cls, given: object) -> Limits:
        """`{"reject": 0.8, "warn": 0.6}`, these two and nothing else, to the nearest float32. Raises DataError."""
        if not isinstance(given, dict) or set(given) != {"reject", "warn"}:
            raise DataError("these are no thresholds", "thresholds", 'give {"reject": number, "warn": number}')
        limits = cls(_number(given["reject"], "reject"), _number(given["warn"], "warn"))
        return cls(float(np.float32(limits.reject)), float(np.float32(limits.warn)))


def polygon_from_json(given: object) -> Polygon | None:
    """`{"points": [[x, y], ...]}` with 0 <= x, y <= 1 and at most 100 corners, or `{"points": null}` for the whole
    picture. Raises DataError for anything else, and for a polygon that crosses itself."""
    if not isinstance(given, dict) or set(given) != {"points"}:
        raise DataError("this is no area", "area", 'give {"points": [[x, y], ...]} or {"points": null}')
    points = given["points"]
    if points is None:
        return None
    if not isinstance(points, list) or len(points) > MOST_CORNERS:
        raise DataError("this is no list of corners", "area", f"give 3 to {MOST_CORNERS} corners [x, y]")
    if not all(isinstance(corner, list) and len(corner) == 2 for corner in points):
        raise DataError("a corner is not [x, y]", "area", "give x and y as shares of the picture, 0 to 1")
    return Polygon(tuple((_number(x, "area"), _number(y, "area")) for x, y in points))


@dataclass(frozen=True)
class Change:
    """An edit: when (seconds since 1970-01-01 UTC), by whom (the client's address), and what is true since."""

    at: float
    client: str
    what: str


class Settings:
    """The thresholds and the areas that are in force, and what to do when somebody changes them.

    limits: None where the page is to show no thresholds. roi: where to look, None for the whole picture. ignore: where
    not to, None for nowhere. on_limits, on_roi, on_ignore: put a change into effect, and raise an EdgeadError where
    that is not possible; then nothing changes, and the page shows the error. They are called one at a time, in a thread
    of the server. Without them the page shows what is in force and lets nobody change it. note: what the page says of
    how long a change lasts. lock: held while something changes; a run that changes thresholds by itself holds the same
    one, and then calls `adopt`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        roi: Polygon | None = None,
        ignore: Polygon | None = None,
        *,
        on_limits: Callable[[Limits], None] | None = None,
        on_roi: Callable[[Polygon | None], None] | None = None,
        on_ignore: Callable[[Polygon | None], None] | None = None,
        note: str = "",
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.limits, self.note = limits, note
        self.areas: dict[AreaKind, Polygon | None] = {"roi": roi, "ignore": ignore}
        self._on_limits = on_limits
        self._on_area = {"roi": on_roi, "ignore": on_ignore}
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._lock = lock or threading.RLock()

    @property
    def limits_editable(self) -> bool:
        """Whether thresholds can be changed."""
        return self._on_limits is not None and self.limits is not None

    def area_editable(self, kind: AreaKind) -> bool:
        """Whether the area of that kind can be changed."""
        return self._on_area[kind] is not None

    @property
    def editable(self) -> bool:
        """Whether anything can be changed."""
        return self.limits_editable or any(map(self.area_editable, AREAS))

    @property
    def changes(self) -> Sequence[Change]:
        """The latest edits, newest first."""
        return tuple(reversed(self._changes.copy()))

    def set_limits(self, limits: Limits, client: str) -> None:
        """Change the thresholds. Raises DataError where that is not allowed, and what `on_limits` raises."""
        if self._on_limits is None or self.limits is None:
            raise DataError("thresholds cannot be changed here", "thresholds", "change them where the run is started")
        with self._lock:
            before = self.limits
            self._on_limits(limits)
            self.limits = limits
            was = f"before {before.reject:.6g} and {before.warn:.6g}"
            self._note(client, f"Reject from {limits.reject:.6g}, warn from {limits.warn:.6g} ({was})")

    def adopt(self, limits: Limits, client: str) -> None:
        """The run has other thresholds now: note them and what they come from, and carry out nothing."""
        with self._lock:
            if limits == self.limits:
                return
            self.limits = limits
            self._note(client, f"Reject from {limits.reject:.6g}, warn from {limits.warn:.6g}")

    def set_area(self, kind: AreaKind, area: Polygon | None, client: str) -> None:
        """Change the area of a kind. Raises DataError where that is not allowed, and what its callback raises."""
        change = self._on_area[kind]
        if change is None:
            raise DataError("the area cannot be changed here", "area", "change it where the run is started")
        with self._lock:
            change(area)
            self.areas[kind] = area
            drawn, none = _SAID[kind]
            self._note(client, none if area is None else f"{drawn} with {len(area.points)} corners")

    def to_json(self) -> dict[str, Any]:
        """What the page shows."""
        limits = self.limits
        return {
            "limits": None if limits is None else {"reject": limits.reject, "warn": limits.warn},
            "limits_editable": self.limits_editable,
            **{kind: _corners(self.areas[kind]) for kind in AREAS},
            **{f"{kind}_editable": self.area_editable(kind) for kind in AREAS},
            "most_corners": MOST_CORNERS,
            "note": self.note,
            "changes": [{"at": one.at, "client": one.client, "what": one.what} for one in self.changes],
        }

    def _note(self, client: str, what: str) -> None:
        self._changes.append(Change(time.time(), client, what))
        log.warning("dashboard: %s, by %s", what, client)


def _corners(area: Polygon | None) -> list[list[float]] | None:
    return None if area is None else [list(point) for point in area.points]


def _number(given: object, name: str) -> float:
    try:
        if isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given):
            return float(given)
    except OverflowError:  # an integer beyond all floats
        pass
    raise DataError("this is not a finite number", name, "give a number")
