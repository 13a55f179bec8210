"""A part trigger that sees parts move: a blob of foreground crosses a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError
from edgead.frame import Frame, Image
from edgead.verdicts.trigger import Begin, End, Event, Refused

Point: TypeAlias = tuple[float, float]
Gray: TypeAlias = NDArray[np.float32]

SIDE = 160  # pixels of the longer side, on which foreground is looked for
LEARN = 25  # frames of which the background is made
SURE, POSSIBLE = 30.0, 12.0  # differences from the background, of 255
LEAST_AREA = 0.002  # share of the frame; smaller blobs are noise
REACH = 0.3  # how far a blob may move between two frames, in shares of the frame
PATIENCE = 3  # frames for which a blob may go unseen
MOST_COVERED = 0.7  # share of the frame; more, for 25 frames, is another background
ADAPT = 0.02  # share of each frame that enters the background where nothing is


@dataclass(frozen=True)
class Line:
    """A line from (x1, y1) to (x2, y2), 0..1 of the frame's width and height. A part crosses it from the left to the
    right of somebody who walks along it from the first point to the second; the points exchanged mean the other
    direction. Raises DataError for a line without a length or outside of the frame."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        ends = (self.x1, self.y1, self.x2, self.y2)
        if not all(0 <= value <= 1 for value in ends) or (self.x1, self.y1) == (self.x2, self.y2):
            todo = "give x1,y1,x2,y2 as shares of the frame, 0 to 1, like 0.5,1,0.5,0 for parts that move to the right"
            raise DataError(f"there is no line through {', '.join(f'{value:g}' for value in ends)}", "trigger", todo)

    @classmethod
    def parse(cls, text: str) -> Line:
        """`x1,y1,x2,y2`. Raises DataError for anything else."""
        try:
            x1, y1, x2, y2 = (float(number) for number in text.split(","))
        except ValueError:
            raise DataError("this is no line", text, "give it like 0.5,1,0.5,0") from None
        return cls(x1, y1, x2, y2)

    def side(self, point: Point) -> float:
        """Negative on the left, positive on the right."""
        return (self.x2 - self.x1) * (point[1] - self.y1) - (self.y2 - self.y1) * (point[0] - self.x1)

    def crossed(self, before: Point, now: Point) -> bool:
        """Whether the way between two points leads from left to right over the line, between its ends."""
        left, right = self.side(before), self.side(now)
        if not left < 0 <= right:
            return False
        share = left / (left - right)
        x, y = (a + share * (b - a) for a, b in zip(before, now, strict=True))
        along, across = self.x2 - self.x1, self.y2 - self.y1
        place = ((x - self.x1) * along + (y - self.y1) * across) / (along**2 + across**2)
        return 0 <= place <= 1


@dataclass
class Track:
    """A blob that is followed. place: where its centroid was last. unseen: frames since then."""

    number: int
    place: Point
    unseen: int = 0


@dataclass
class ForegroundTrigger:
    """A part begins when the centroid of a blob crosses the line, and ends when that blob is no longer seen, or the
    next one crosses.

    A blob is where the frame, reduced and gray, differs from the background: connected pixels that possibly do, with
    one among them that surely does. The background is the median of the first 25 frames, in which no part may rest, or
    a picture of the empty line; it follows slow changes of light where nothing is. Where nearly everything differs for
    25 frames, as after a lamp failed, or frames have another size, it is learned again, and a fault says so. Blobs of
    two frames belong together where they are nearest; each crosses once, so one that trembles on the line is one part.

    Only frames that are judged are seen: a part has to be on both sides of the line in frames that were, and none is
    seen while the background is learned. Parts that touch are one blob.
    """

    line: Line
    background: Image | None = None
    _seen: list[Gray] = field(default_factory=list, init=False, repr=False)
    _model: Gray | None = field(default=None, init=False, repr=False)
    _tracks: list[Track] = field(default_factory=list, init=False, repr=False)
    _covered: int = field(default=0, init=False, repr=False)
    _numbers: count[int] = field(default_factory=count, init=False, repr=False)
    _part: int | None = field(default=None, init=False, repr=False)

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """The crossings since the last frame."""
        if frame is None:
            return []
        gray = reduced(frame.image)
        if self._model is None:
            self._learn(gray)
            return []
        if self._model.shape != gray.shape:
            events = self._forget()
            self._learn(gray)
            return events
        found = foreground(gray, self._model)
        self._covered = self._covered + 1 if found.mean() > MOST_COVERED else 0
        if self._covered == LEARN:
            self.background = None
            return self._forget()
        self._model[~found] += ADAPT * (gray - self._model)[~found]
        return self._follow(centroids(found))

    def close(self) -> None:
        """Nothing is open."""

    def _learn(self, gray: Gray) -> None:
        if self.background is not None:
            empty = reduced(self.background)
            if empty.shape != gray.shape:
                what = f"the picture of the empty line is {_shape(self.background)}"
                raise DataError(what, "trigger", "take it with this camera, at this size")
            self._model = empty
            return
        self._seen = [seen for seen in self._seen if seen.shape == gray.shape] + [gray]
        if len(self._seen) == LEARN:
            self._model = np.median(np.stack(self._seen), axis=0).astype(np.float32)
            self._seen = []

    def _forget(self) -> list[Event]:
        """Learn another background from here on."""
        self._model, self._covered, self._tracks = None, 0, []
        events: list[Event] = [
            Refused(f"the line looks different: no part is seen while its next {LEARN} frames are learned")
        ]
        if self._part is not None:
            self._part = None
            events.insert(0, End())
        return events

    def _follow(self, places: list[Point]) -> list[Event]:
        """Give each blob its track, and see which ones crossed."""
        pairs = sorted(
            (float(np.hypot(place[0] - track.place[0], place[1] - track.place[1])), number, blob)
            for number, track in enumerate(self._tracks)
            for blob, place in enumerate(places)
        )
        follows: dict[int, int] = {}
        for distance, number, blob in pairs:
            if distance <= REACH and number not in follows and blob not in follows.values():
                follows[number] = blob
        events: list[Event] = []
        for number, track in enumerate(self._tracks):
            if number not in follows:
                track.unseen += 1
                continue
            now = places[follows[number]]
            if track.number >= 0 and self.line.crossed(track.place, now):
                self._part = track.number
                events.append(Begin())
                track.number = -1 - track.number  # it does not cross again
            track.place, track.unseen = now, 0
        self._tracks = [track for track in self._tracks if track.unseen <= PATIENCE]
        new = [blob for blob in range(len(places)) if blob not in follows.values()]
        self._tracks += [Track(next(self._numbers), places[blob]) for blob in new]
        if self._part is not None and not events and all(track.number != -1 - self._part for track in self._tracks):
            self._part = None
            events.append(End())
        return events


def reduced(image: Image) -> Gray:
    """A frame as gray values 0..255, float32, 160 pixels on its longer side or fewer, a little smoothed."""
    gray = image.reshape(image.shape[:2]) if image.ndim == 2 or image.shape[2] == 1 else None
    scale = min(1.0, SIDE / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image if gray is None else gray, size, interpolation=cv2.INTER_AREA)
    plain = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return cv2.GaussianBlur(plain, (3, 3), 0).astype(np.float32)


def foreground(gray: Gray, background: Gray) -> NDArray[np.bool_]:
    """bool [H, W]: connected pixels that differ from the background by POSSIBLE, where one of them does by SURE."""
    difference = np.abs(gray - background)
    _, labels = cv2.connectedComponents((difference >= POSSIBLE).astype(np.uint8), connectivity=8)
    sure = np.zeros(int(labels.max()) + 1, np.bool_)
    sure[labels[difference >= SURE]] = True
    sure[0] = False
    return np.asarray(sure[labels])


def centroids(found: NDArray[np.bool_]) -> list[Point]:
    """The centres of the blobs of a mask that are large enough, in shares of its width and height."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    large = stats[1:, cv2.CC_STAT_AREA] >= LEAST_AREA * found.size
    return [(float(x + 0.5) / found.shape[1], float(y + 0.5) / found.shape[0]) for x, y in centres[1:][large]]


def _shape(image: Image) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
