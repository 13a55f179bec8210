"""From a source to verdicts: capture, preparation, inference and sinks at once, and an end that is always clean."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar

from edgead import capture
from edgead.capture import Capture, Prepared, refused
from edgead.drift.change import Change, Observer
from edgead.errors import FrameError, SourceError
from edgead.frame import Frame, Image, LostFrame, Signal
from edgead.result import Result
from edgead.sinks import Sink, open_sink
from edgead.sinks.writer import SinkWriter
from edgead.sources import Source, open_source
from edgead.summary import Summary
from edgead.verdicts.ruling import Outcome, Ruling
from edgead.verdicts.rulings import Rulings

log = logging.getLogger(__name__)

Policy = Literal["latest", "every"]

P = TypeVar("P")
A = TypeVar("A")


class Judge(Protocol[P, A]):
    """The part of `edgead.Detector` that a stream needs. `prepare` runs in other threads than `infer` and `judge`, one
    for each source, and some frames ahead. max_batch: how many frames `infer_some` takes; neither is asked for with one
    source."""

    max_batch: int

    def prepare(self, image: Image) -> P:
        """A frame -> what `infer` takes. Raises FrameError for a frame that it does not take. A prepared frame that
        gives way to a newer one is let go."""

    def infer(self, prepared: P) -> A:
        """What `prepare` gave -> what is said of it."""

    def infer_some(self, prepared: Sequence[P]) -> Sequence[A]:
        """Likewise of up to `max_batch` frames at once, where there are several sources."""

    def judge(self, answer: A, frame: Frame, timing: dict[str, float]) -> Result:
        """What is said of a frame -> its result. Raises FrameError for one that has none."""


class Stream:
    """One run of a detector over a source.

    Capture and preparation run in a thread for each source, each sink in one of its own, inference and `on_fault` in
    the thread that iterates. Bounded queues join them. Policy `latest`: a frame that waits for the engine gives way to
    a newer one, so the lag stays below one frame period, one preparation and one inference (what is dropped is
    counted); the default for live sources. Policy `every`: the source waits for the engine, nothing is dropped; the
    default for files. A lost frame, and one that the detector refuses with FrameError, is never judged: it is counted,
    goes to the sinks, then to `on_fault`.

    Iterate inside `with`: at its end every thread has ended and every sink is closed, whatever happened. An error in
    any thread ends the run and is raised here; frames read before a source failed are judged first. `stop`: when set,
    no more frames are read, those read are judged, and the iteration ends. max_frames: judge at most that many.

    rules: what becomes of the detector's results (`edgead.verdicts`), for this run alone. With parts, verdicts are
    those of parts, in the sinks as well; a part without one goes to the sinks and to `on_fault` like a lost frame. At
    the end of the source the part under way gets its verdict; a run that is stopped, left or fails records a fault.
    observers: look at every judged frame once its verdict is out (`edgead.drift`); what they notice goes to `on_change`
    and into the summary. on_turn: called at least five times a second by the thread that iterates, while it works, and
    not while a source or the preparation of its frame has not come back for 30 s, a camera that opens for its `stall`.

    Several sources are watched at once: what waits of them, the longest first and under `latest` one frame of each, is
    inferred in one call of the engine.
    """

    def __init__(
        self,
        detector: Judge[Any, Any],
        source: Source | str | int | Path | Sequence[Source | str | int | Path],
        *,
        policy: Policy | None = None,
        sinks: Sequence[Sink | str | Path] = (),
        on_fault: Callable[[LostFrame], None] | None = None,
        stop: threading.Event | None = None,
        max_frames: int | None = None,
        rules: Ruling | Rulings | None = None,
        observers: Sequence[Observer] = (),
        on_change: Callable[[Change], None] | None = None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        if policy not in (None, "latest", "every"):
            raise ValueError(f"there is no policy {policy}: give latest or every")
        sources = _opened(source)
        self._on_turn = on_turn
        self._hanging: list[str] = []
        self._batch = detector.max_batch if len(sources) > 1 else 1
        self.policy: Policy = policy or ("latest" if all(one.live for one in sources) else "every")
        self._detector, self._on_fault, self._max_frames = detector, on_fault, max_frames
        self._rules, self._observers, self._on_change = rules, list(observers), on_change
        self._stop = stop or threading.Event()  # asks for an end; those who set it own it
        self._capture = Capture(
            sources, detector.prepare, freshest=self.policy == "latest", stop=self._stop, most=max_frames
        )
        self._summary = Summary(self._capture.name)
        self._error: BaseException | None = None
        opened = [sink if isinstance(sink, Sink) else open_sink(sink, source=sources[0]) for sink in sinks]
        self._writer = SinkWriter(opened, self._summary.stages["sinks"], self._fail)

    @property
    def summary(self) -> Summary:
        """The counts so far."""
        self._summary.dropped = self._capture.dropped
        self._summary.spooled = self._writer.spooled
        self._summary.troubles = self._writer.troubles
        self._summary.frames = self._capture.delivered
        return self._summary

    def __enter__(self) -> Stream:
        self._summary.begin()
        try:
            self._writer.start()
            failed = self._error is not None
            if not failed:
                self._capture.start()
        except BaseException as error:  # the system may refuse a thread
            self.__exit__(type(error), error, None)
            raise
        if failed:
            self.__exit__(None, None, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.leave()
        if not self._capture.join():
            self._fail(self._stuck())
        for end in (self._end_rules, self._writer.finish):
            try:
                end()
            except Exception as late:  # noqa: BLE001 - it is raised once everything has ended
                self._fail(late)
        self._summary.end()
        if self._error is None or self._error is error:
            return
        if error is not None and not isinstance(error, GeneratorExit):
            log.warning("%s", self._error)  # the error on its way up came first
            return
        raise self._error

    def __iter__(self) -> Iterator[Result]:
        if not self._capture.started:
            raise RuntimeError("iterate over a Stream inside `with`")
        judged = 0
        asked = 0.0
        while judged != self._max_frames:
            most = self._batch if self._max_frames is None else min(self._batch, self._max_frames - judged)
            items = self._capture.take(most)
            if items is Signal.END:
                break
            self._turn()
            if items is Signal.TIMEOUT:
                if self._stop.is_set():
                    asked = asked or time.monotonic()
                    if time.monotonic() - asked > capture.STOP_SECONDS:
                        raise self._stuck()
                elif self._rules is not None:  # parts pass while no frame comes
                    yield from self._tell(self._rules.idle())
                continue
            answers = iter(self._infer([item for item in items if isinstance(item, Prepared)]))
            for item in items:
                if isinstance(item, LostFrame):
                    yield from self._report(item)
                    continue
                judged += 1
                try:
                    result, outcomes = self._judge(item, *next(answers))
                except FrameError as error:
                    yield from self._report(refused(item.frame, error))
                else:
                    yield from self._tell(outcomes)
                    self._watch(item.frame, result)
        if self._rules is not None and not self._stop.is_set():  # stopped, more of a part was to come
            yield from self._tell(self._rules.finish())

    def _infer(self, items: Sequence[Prepared]) -> Iterator[tuple[Any, float, float]]:
        """What is said of each frame, and when its inference began and ended; of several, in one call."""
        begin = time.perf_counter()
        if len(items) > 1:
            answers = self._detector.infer_some([item.ready for item in items])
        else:
            answers = [self._detector.infer(item.ready) for item in items]
        end = time.perf_counter()
        return ((answer, begin, end) for answer in answers)

    def _judge(self, item: Prepared, answer: Any, begin: float, inferred: float) -> tuple[Result, list[Outcome]]:
        """What the detector says of a frame, and what the rules make of it."""
        timing = {**item.timing, "wait": (begin - item.since) * 1e3, "infer": (inferred - begin) * 1e3}
        result = self._detector.judge(answer, item.frame, timing)
        outcomes: list[Outcome] = (
            [(result, item.frame)] if self._rules is None else self._rules.apply(result, item.frame)
        )
        done = time.perf_counter()
        result.timing.update(timing, judge=(done - inferred) * 1e3, total=(item.age + done - item.since) * 1e3)
        self._summary.measure(result)
        return result, outcomes

    def _tell(self, outcomes: Sequence[Outcome]) -> Iterator[Result]:
        """Count and record verdicts and parts without one, then give the verdicts."""
        for outcome in outcomes:
            self._writer.put(outcome)
            if isinstance(outcome, LostFrame):
                self._summary.part_faults += 1
            else:
                self._summary.conclude(outcome[0])
        for outcome in outcomes:
            if not isinstance(outcome, LostFrame):
                yield outcome[0]
            elif self._on_fault is not None:
                self._on_fault(outcome)

    def _watch(self, frame: Frame, result: Result) -> None:
        for observer in self._observers:
            for change in observer.observe(frame, result):
                self._summary.note(change)
                if self._on_change is not None:
                    self._on_change(change)
                else:
                    log.warning("%s, frame %d: %s", change.source, change.frame_id, change.text)

    def _report(self, lost: LostFrame) -> Iterator[Result]:
        """Count and record a lost frame, and what it ends."""
        self._summary.lost += 1
        self._writer.put(lost)
        if self._on_fault is not None:
            self._on_fault(lost)
        if self._rules is not None:
            yield from self._tell(self._rules.lost(lost))

    def _end_rules(self) -> None:
        """Record the part under way as a fault, and let the trigger go."""
        if self._rules is None:
            return
        try:
            for outcome in self._rules.cut_off():
                self._summary.part_faults += 1
                self._writer.put(outcome)
        finally:
            self._rules.close()

    def _turn(self) -> None:
        """Say that the line works, unless what brings the frames hangs: who listens for that has to notice it."""
        hanging = self._capture.hanging
        if not hanging:
            self._on_turn()
        elif hanging != self._hanging:
            log.warning("%s: no answer for %.0f s", " + ".join(hanging), capture.HANGING_SECONDS)
        self._hanging = hanging

    def _fail(self, error: BaseException) -> None:
        """End the run because of an error outside the thread that iterates; the first one is raised."""
        self._error = self._error or error
        self._capture.leave()

    def _stuck(self) -> BaseException:
        if self._capture.error is not None:  # the others were to end because of it
            return self._capture.error
        return SourceError(
            f"the source does not answer for {capture.STOP_SECONDS:.0f} s", self._capture.name, "check the camera"
        )


def _opened(source: Source | str | int | Path | Sequence[Source | str | int | Path]) -> list[Source]:
    if isinstance(source, Source | str | int | Path):
        source = [source]
    return [one if isinstance(one, Source) else open_source(one) for one in source]


def stream(
    detector: Judge[Any, Any],
    source: Source | str | int | Path | Sequence[Source | str | int | Path],
    *,
    policy: Policy | None = None,
    sinks: Sequence[Sink | str | Path] = (),
    on_fault: Callable[[LostFrame], None] | None = None,
    stop: threading.Event | None = None,
    max_frames: int | None = None,
    rules: Ruling | Rulings | None = None,
    observers: Sequence[Observer] = (),
    on_change: Callable[[Change], None] | None = None,
) -> Iterator[Result]:
    """Judge the frames of a source, one result after another: `Stream`, as a plain iterator.

    It ends its threads and closes its sinks when it is exhausted, raises, or is closed. A loop that may be left by an
    exception of its own should use `with Stream(...) as run`, as an iterator learns of that only when Python collects
    it.

    Raises SourceError, SinkError or EngineError, and whatever `on_fault` or a source of the caller's own raises.
    """
    run = Stream(
        detector, source, policy=policy, sinks=sinks, on_fault=on_fault, stop=stop, max_frames=max_frames,
        rules=rules, observers=observers, on_change=on_change,
    )  # fmt: skip
    return _results(run)


def _results(run: Stream) -> Iterator[Result]:
    with run:
        yield from run
