"""What a run of `edgead stream` is made of, option by option."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from weakref import WeakSet

from edgead.cli.terminal import Terminal
from edgead.detector import Detector
from edgead.drift import Observer
from edgead.errors import EdgeadError
from edgead.live import LiveDetector
from edgead.sinks import Sink
from edgead.sinks.view.heat import Heat
from edgead.sources import Source
from edgead.streaming import Policy, Stream
from edgead.summary import Summary
from edgead.verdicts import Ruling, Rulings

log = logging.getLogger(__name__)


class Line:
    """A detector, its cameras, and what is added to them before the run begins.

    sinks, observers, rules: what `Stream` takes. turns: called again and again by the thread that judges. names: of
    the cameras. heat: the scale of heat maps. lock: held while thresholds or the detector change. It owns the
    detector, also those that come after it, and what triggers parts.
    """

    def __init__(self, detector: Detector, sources: Sequence[Source]) -> None:
        self.detector = LiveDetector(detector, on_change=self._changed)
        self.sources = sources
        self.names = [source.name for source in sources]
        self.sinks: list[Sink] = []
        self.observers: list[Observer] = []
        self.rules: Ruling | Rulings | None = None
        self.turns: list[Callable[[], None]] = []
        self.heat = Heat()
        self.lock = threading.RLock()
        self._followers: list[Callable[[Detector], None]] = []
        self._conditions: list[Callable[[Detector], None]] = []
        self._summary = Summary()
        self._took_over = WeakSet([detector])
        self.follow(lambda judging: self.heat.half_hot_at(judging.digest, judging.thresholds.pixel.value))

    def follow(self, follower: Callable[[Detector], None]) -> None:
        """Tell somebody of the detector that judges: now, when its bundle gives it other thresholds, and right before
        the first frame of another one is judged."""
        self._followers.append(follower)
        follower(self.detector.judging)

    def require(self, condition: Callable[[Detector], None]) -> None:
        """Take no other detector for which this raises an EdgeadError."""
        self._conditions.append(condition)

    def admit(self, detector: Detector) -> None:
        """Raise an EdgeadError where the line cannot take a detector."""
        for condition in self._conditions:
            condition(detector)

    def tell(self, detector: Detector) -> None:
        """Tell the followers of a detector."""
        with self.lock:
            for follower in self._followers:
                try:
                    follower(detector)
                except EdgeadError as error:
                    log.warning("%s", error)

    def stream(self, policy: Policy | None, max_frames: int | None, stop: threading.Event, show: Terminal) -> Stream:
        """The run, once everything is added that is there from its first frame on. show: hears what people are told."""
        run = Stream(
            self.detector,
            self.sources,
            policy=policy,
            sinks=self.sinks,
            on_fault=show.lost,
            stop=stop,
            max_frames=max_frames,
            rules=self.rules,
            observers=self.observers,
            on_change=show.changed,
            on_turn=self.turn,
        )
        self._summary = run.summary
        return run

    def turn(self) -> None:
        """What is done again and again."""
        for turn in self.turns:
            turn()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self.rules is not None:
            self.rules.close()
        self.detector.close()

    def _changed(self, detector: Detector) -> None:
        if detector not in self._took_over:  # the frames of several cameras may come from both in turns for a moment
            self._took_over.add(detector)
            self._summary.swaps += 1
            log.info("from this frame on bundle %s judges", detector.digest)
        self.tell(detector)
