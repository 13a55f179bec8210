from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead import capture, streaming
from edgead.errors import FrameError, SinkError, SourceError
from edgead.frame import Frame, Image, LostFrame, Reading, Signal
from edgead.result import Result, Verdict
from edgead.sinks import Sink
from edgead.sources import Source
from edgead.streaming import Stream, stream


class Script(Source):
    """A source that plays a list: True is a frame, False a lost one, an exception is raised, END ends.

    period: seconds between frames, for a live source; it hands a frame out when it is due and never waits longer than
    asked.
    """

    def __init__(self, script: Sequence[object], *, live: bool = False, period: float = 0.0, size: int = 8) -> None:
        super().__init__("script")
        self.live = live
        self._script, self._period, self._size = list(script), period, size
        self.opened = self.closed = 0
        self.delivered = 0
        self.on_open: BaseException | None = None
        self.on_close: BaseException | None = None

    def open(self) -> None:
        if self.on_open:
            raise self.on_open
        self.opened += 1
        self._begin = time.monotonic()

    def read(self, timeout: float) -> Reading:
        if self._period:
            early = self._begin + self.delivered * self._period - time.monotonic()
            time.sleep(max(0.0, min(early, timeout)))
            if early > timeout:
                return Signal.TIMEOUT
        step = self._script[self.delivered] if self.delivered < len(self._script) else Signal.END
        if isinstance(step, BaseException):
            raise step
        if step is Signal.END:
            return Signal.END
        if step is Signal.TIMEOUT:
            time.sleep(timeout)
            return Signal.TIMEOUT
        self.delivered += 1
        image = np.full((self._size, self._size, 3), self.delivered % 250, np.uint8)
        return self._frame(image) if step is True else self._lost("torn cable")

    def close(self) -> None:
        self.closed += 1
        if self.on_close:
            raise self.on_close


class Brightness:
    """A detector whose score is the mean of the image; a step takes the seconds given, or raises what it is given."""

    max_batch = 1

    def __init__(self, *, prepare: object = 0.0, infer: object = 0.0, judge: object = 0.0, fail_at: int = 0) -> None:
        self._steps = {"prepare": prepare, "infer": infer, "judge": judge}
        self._calls = dict.fromkeys(self._steps, 0)
        self._fail_at = fail_at
        self.threads: dict[str, set[str]] = {step: set() for step in self._steps}

    def _do(self, step: str) -> None:
        what = self._steps[step]
        call = self._calls[step]
        self._calls[step] += 1
        self.threads[step].add(threading.current_thread().name)
        if isinstance(what, BaseException):
            if call >= self._fail_at:
                raise what
        elif what:
            time.sleep(float(str(what)))

    def prepare(self, image: Image) -> Image:
        self._do("prepare")
        return image[None]

    def infer(self, batch: Image) -> dict[str, np.ndarray]:
        assert batch.shape[0] == 1 and batch.dtype == np.uint8
        self._do("infer")
        return {"score": batch.mean(axis=(1, 2, 3)).astype(np.float32), "anomaly_map": batch[..., 0].astype(np.float32)}

    def judge(self, outputs: dict[str, np.ndarray], frame: Frame, timing: dict[str, float]) -> Result:
        self._do("judge")
        score, anomaly_map = float(outputs["score"][0]), outputs["anomaly_map"][0]
        return Result(0.5, True, anomaly_map, anomaly_map > 0, score, Verdict.REJECT, (), frame.frame_id, frame.source,
                      frame.captured_at, timing, "digest")  # fmt: skip


class Memory(Sink):
    """A sink that remembers, and fails where it is told to."""

    def __init__(self, *, seconds: float = 0.0, **errors: BaseException) -> None:
        super().__init__("memory")
        self.seconds, self.errors = seconds, errors
        self.records: list[Result | LostFrame] = []
        self.opened = self.closed = self.flushed = 0
        self.threads: set[str] = set()

    def _do(self, step: str) -> None:
        self.threads.add(threading.current_thread().name)
        if step in self.errors and (step != "write" or len(self.records) >= 3):
            raise self.errors[step]

    def open(self) -> None:
        self.opened += 1
        self._do("open")

    def write(self, result: Result, frame: Frame) -> None:
        time.sleep(self.seconds)
        self._do("write")
        assert frame.frame_id == result.frame_id
        self.records.append(result)

    def lost(self, lost: LostFrame) -> None:
        self._do("lost")
        self.records.append(lost)

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.closed += 1
        self._do("close")

    @property
    def ids(self) -> list[int]:
        return [record.frame_id for record in self.records]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """After every test the threads are those of before."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    until = time.monotonic() + 20
    while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left


def balanced(run: Stream) -> bool:
    counts = run.summary
    return counts.frames == counts.judged + counts.dropped + counts.lost + counts.unfinished and counts.unfinished >= 0


# What a run does


def test_every_loses_nothing_however_slow_the_sink() -> None:
    sink = Memory(seconds=0.005)
    with Stream(Brightness(), Script([True] * 60), policy="every", sinks=[sink]) as run:
        results = [result.frame_id for result in run]
    assert results == sink.ids == list(range(60))
    assert (run.summary.judged, run.summary.dropped, run.summary.unfinished) == (60, 0, 0)
    assert sink.opened == sink.closed == 1


def test_the_default_policy_follows_the_source() -> None:
    assert Stream(Brightness(), Script([])).policy == "every"
    assert Stream(Brightness(), Script([], live=True)).policy == "latest"
    source = Script([], live=True)
    source.freshest = True
    Stream(Brightness(), source, policy="every")
    assert source.freshest is False
    with pytest.raises(ValueError, match="no policy newest"):
        Stream(Brightness(), Script([]), policy="newest")  # type: ignore[arg-type]


def test_latest_bounds_the_lag_and_counts_what_it_drops() -> None:
    period, inference = 0.04, 0.2
    sink = Memory()
    source = Script([True] * 50, live=True, period=period)
    with Stream(Brightness(infer=inference), source, sinks=[sink]) as run:
        timings = [result.timing for result in run]
    assert 4 <= len(timings) <= 12
    # two frame periods and one inference; half of the frames, as the machine may be busy with something else meanwhile
    assert np.median([timing["total"] - timing["infer"] for timing in timings]) < 2 * period * 1e3
    assert run.summary.dropped == 50 - len(timings)
    assert sink.ids == sorted(set(sink.ids))
    assert sink.ids[-1] == 49  # the newest frame is never the one that is dropped
    assert balanced(run)


def test_every_on_a_live_source_holds_it_back() -> None:
    with Stream(Brightness(infer=0.01), Script([True] * 30, live=True, period=0.001), policy="every") as run:
        assert [result.frame_id for result in run] == list(range(30))
    assert run.summary.dropped == 0


def test_lost_frames_are_recorded_reported_and_never_judged() -> None:
    script = [True, False, True, False, False, True]
    for policy in ("every", "latest"):
        sink, told = Memory(), []
        run = Stream(Brightness(), Script(script), policy=policy, sinks=[sink], on_fault=told.append)
        with run:
            judged = [result.frame_id for result in run]
        assert [lost.frame_id for lost in told] == [1, 3, 4]
        assert {lost.reason for lost in told} == {"torn cable"}
        assert [r.frame_id for r in sink.records if isinstance(r, LostFrame)] == [1, 3, 4]
        assert [r.frame_id for r in sink.records if isinstance(r, Result)] == judged
        assert set(judged) <= {0, 2, 5} and 5 in judged
        assert run.summary.lost == 3 and balanced(run)


def test_records_come_in_the_order_of_the_frames() -> None:
    sink = Memory()
    script = [bool(number % 3) for number in range(60)]
    list(stream(Brightness(), Script(script), sinks=[sink]))
    assert sink.ids == list(range(60))


def test_latest_never_drops_the_news_of_a_lost_frame() -> None:
    script = [bool(number % 4) for number in range(80)]
    told: list[int] = []
    source = Script(script, live=True, period=0.001)
    with Stream(Brightness(infer=0.01), source, on_fault=lambda lost: told.append(lost.frame_id)) as run:
        list(run)
    assert told == list(range(0, 80, 4))
    assert run.summary.dropped > 0 and balanced(run)


@pytest.mark.parametrize("step", ["prepare", "judge"])
def test_a_frame_that_the_detector_refuses_is_a_fault(step: str) -> None:
    sink, told = Memory(), []
    refusing = Brightness(**{step: FrameError("the frame is float64, not uint8", "detector")}, fail_at=4)
    with Stream(refusing, Script([True] * 10), sinks=[sink], on_fault=told.append) as run:
        assert [result.frame_id for result in run] == [0, 1, 2, 3]
    assert [lost.frame_id for lost in told] == [4, 5, 6, 7, 8, 9]
    assert told[0] == LostFrame(4, "script", told[0].captured_at, "the frame is float64, not uint8")
    assert sink.ids == list(range(10))
    assert (run.summary.judged, run.summary.lost) == (4, 6)


def test_capture_inference_and_sinks_overlap() -> None:
    sink = Memory(seconds=0.05)
    detector = Brightness(prepare=0.05, infer=0.05)
    with Stream(detector, Script([True] * 20), sinks=[sink]) as run:
        list(run)
    assert run.summary.duration < 20 * 0.15 * 0.75  # one after the other it takes 3 s, at once 1.1
    assert detector.threads["prepare"] == {"edgead-capture"}
    assert detector.threads["infer"] == {threading.current_thread().name}
    assert sink.threads == {"edgead-sinks"}


def test_timing_holds_every_stage_and_adds_up() -> None:
    detector = Brightness(prepare=0.02, infer=0.03, judge=0.01)
    with Stream(detector, Script([True] * 5, live=True, period=0.1), sinks=[Memory(seconds=0.04)]) as run:
        timings = [result.timing for result in run]
    for timing in timings:
        assert set(timing) == {"capture", "prepare", "wait", "infer", "judge", "total"}
        parts = timing["prepare"] + timing["wait"] + timing["infer"] + timing["judge"]
        assert timing["prepare"] >= 20 and timing["infer"] >= 30 and timing["judge"] >= 10
        assert parts - 1 <= timing["total"] < parts + 500
    stages = run.summary.to_json()["milliseconds"]
    assert set(stages) == {"capture", "prepare", "wait", "infer", "judge", "sinks", "total"}
    assert 38 <= stages["sinks"]["p50"] < 500
    assert stages["capture"]["p95"] >= 60  # mostly waiting for the camera


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_max_frames(policy: streaming.Policy) -> None:
    source = Script([True, False] * 50, live=policy == "latest", period=0.002 if policy == "latest" else 0)
    sink = Memory()
    with Stream(Brightness(), source, policy=policy, sinks=[sink], max_frames=7) as run:
        assert len(list(run)) == 7
    assert sum(isinstance(record, Result) for record in sink.records) == 7
    if policy == "every":
        assert source.delivered == 13 and run.summary.unfinished == 0
    assert balanced(run)


def test_the_sinks_are_flushed_when_the_line_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgead.sinks.writer.PAUSE_SECONDS", 0.05)
    sink, stop = Memory(), threading.Event()
    with Stream(Brightness(), Script([True, Signal.TIMEOUT]), sinks=[sink], stop=stop) as run:
        results = iter(run)
        next(results)
        until = time.monotonic() + 20
        while sink.flushed < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert sink.flushed >= 2
        stop.set()
        assert list(results) == []


def test_a_spec_and_a_path_do_as_well(tmp_path: Path) -> None:
    import json

    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    path = tmp_path / "results.jsonl"
    results = list(stream(Brightness(), str(tmp_path), sinks=[path]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["source"] for line in lines] == [str(tmp_path / f"{number}.png") for number in range(3)]
    assert [line["raw_score"] for line in lines] == [result.raw_score for result in results] == [0, 1, 2]


def test_an_unknown_source_or_sink_is_an_error_at_once() -> None:
    with pytest.raises(SourceError):
        stream(Brightness(), "nowhere.mp4")
    with pytest.raises(SinkError):
        stream(Brightness(), Script([]), sinks=["results.xls"])


def test_iterating_outside_with_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside `with`"):
        next(iter(Stream(Brightness(), Script([True]))))


# How a run ends


def _endless(policy: streaming.Policy) -> Script:
    return Script([True] * 1000, live=policy == "latest", period=0.005 if policy == "latest" else 0.0)


def test_stop_judges_what_was_read_and_records_it() -> None:
    sink, stop = Memory(seconds=0.01), threading.Event()
    source = Script([True] * 10_000)
    with Stream(Brightness(infer=0.005), source, sinks=[sink], stop=stop) as run:
        results = []
        for result in run:
            results.append(result.frame_id)
            if result.frame_id == 10:
                stop.set()
    assert results == sink.ids == list(range(source.delivered))
    assert run.summary.unfinished == 0
    assert source.closed == 1 and sink.closed == 1


def test_stop_ends_a_run_that_waits_for_a_camera() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert list(stream(Brightness(), Script([Signal.TIMEOUT], live=True), stop=stop)) == []
    assert time.monotonic() - began < capture.STOP_SECONDS


def test_a_source_that_ignores_its_timeout_does_not_hang_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "STOP_SECONDS", 0.2)
    freed = threading.Event()

    class Stuck(Script):
        def read(self, timeout: float) -> Reading:
            freed.wait(10)
            return Signal.END

    stop, sink = threading.Event(), Memory()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(SourceError, match="does not answer"):
        list(stream(Brightness(), Stuck([]), sinks=[sink], stop=stop))
    assert time.monotonic() - began < 8  # it would answer after ten
    assert sink.closed == 1
    freed.set()


@pytest.mark.parametrize("policy", ["every", "latest"])
@pytest.mark.parametrize("how", ["break", "close", "collect", "consumer", "interrupt"])
def test_leaving_early_ends_everything(policy: streaming.Policy, how: str) -> None:
    source = _endless(policy)
    sink = Memory(seconds=0.001)
    run = stream(Brightness(), source, policy=policy, sinks=[sink])
    seen = [next(run).frame_id for _ in range(5)]
    time.sleep(0.05)  # the capture thread waits on its full queue by now
    if how == "break":
        for result in run:
            seen.append(result.frame_id)
            break
        del run
    elif how == "close":
        run.close()  # type: ignore[attr-defined]
    elif how == "collect":
        del run
    else:
        with pytest.raises(ValueError if how == "consumer" else KeyboardInterrupt):
            run.throw(ValueError("consumer") if how == "consumer" else KeyboardInterrupt())  # type: ignore[attr-defined]
    gc.collect()
    assert sink.ids == seen  # every verdict that was given is written
    assert source.closed == 1 and sink.closed == 1
    assert source.delivered < 1000


def test_an_exception_in_the_body_of_the_loop_ends_everything() -> None:
    source, sink = Script([True] * 1000), Memory()
    with pytest.raises(ZeroDivisionError), Stream(Brightness(), source, sinks=[sink]) as run:
        for result in run:
            1 / (result.frame_id - 3)
    assert sink.ids == [0, 1, 2, 3]
    assert source.closed == 1 and sink.closed == 1
    assert run.summary.judged == 4 and balanced(run)


class BoomError(Exception):
    """Nobody else raises this."""


def _source(error: BaseException, where: str) -> Script:
    source = Script([True] * 6 + [error if where == "read" else Signal.END])
    if where in ("open", "close"):
        setattr(source, f"on_{where}", error)
    return source


@pytest.mark.parametrize("error", [BoomError("why"), SourceError("why"), SystemExit(3)])
@pytest.mark.parametrize("where", ["open", "read", "close"])
@pytest.mark.parametrize("policy", ["every", "latest"])
def test_an_error_in_the_source(error: BaseException, where: str, policy: streaming.Policy) -> None:
    source, sink = _source(error, where), Memory()
    results = []
    with pytest.raises(type(error)) as raised, Stream(Brightness(), source, policy=policy, sinks=[sink]) as run:
        results.extend(result.frame_id for result in run)
    assert raised.value is error
    assert sink.closed == 1 and source.closed == 1
    if policy == "every":
        assert run.summary.judged == (0 if where == "open" else 6)  # what came before the error has its verdict
        assert sink.ids == list(range(run.summary.judged))
    assert balanced(run)


@pytest.mark.parametrize("step", ["prepare", "infer", "judge"])
@pytest.mark.parametrize("policy", ["every", "latest"])
def test_an_error_in_the_detector(step: str, policy: streaming.Policy) -> None:
    error = BoomError("why")
    source, sink = _endless(policy), Memory()
    detector = Brightness(**{step: error}, fail_at=3)
    with pytest.raises(BoomError) as raised, Stream(detector, source, policy=policy, sinks=[sink]) as run:
        list(run)
    assert raised.value is error
    assert source.closed == 1 and sink.closed == 1
    assert len(sink.ids) == run.summary.judged <= 3
    assert balanced(run)


@pytest.mark.parametrize("error", [BoomError("why"), SinkError("why")])
@pytest.mark.parametrize("step", ["open", "write", "close"])
@pytest.mark.parametrize("period", [0.0, 0.02])
def test_an_error_in_a_sink(error: Exception, step: str, period: float) -> None:
    source = Script([True] * (1000 if step == "write" else 8), live=bool(period), period=period)
    failing, other = Memory(**{step: error}), Memory()
    sinks = [other, failing]
    with pytest.raises(type(error)) as raised, Stream(Brightness(), source, policy="every", sinks=sinks) as run:
        list(run)
    assert raised.value is error
    assert failing.closed >= 1 and other.closed == 1
    if step == "open":
        assert source.opened == 0
    else:
        assert other.ids == list(range(len(other.ids)))
        assert len(other.ids) >= (4 if step == "write" else 8)  # a sink that works gets every verdict that was given
        assert failing.ids == [0, 1, 2] if step == "write" else len(failing.ids) == 8


def test_a_sink_that_fails_ends_a_run_that_waits_for_a_camera() -> None:
    source = Script([True] * 4 + [Signal.TIMEOUT], live=True)
    began = time.monotonic()
    with pytest.raises(SinkError, match="why"):
        list(stream(Brightness(), source, policy="every", sinks=[Memory(write=SinkError("why"))]))
    assert time.monotonic() - began < capture.STOP_SECONDS


def test_an_error_in_the_callback() -> None:
    def callback(lost: LostFrame) -> None:
        raise BoomError(lost.reason)

    source, sink = Script([True, False] + [True] * 1000), Memory()
    with pytest.raises(BoomError, match="torn cable"):
        list(stream(Brightness(), source, sinks=[sink], on_fault=callback))
    assert sink.ids == [0, 1]
    assert source.closed == 1 and sink.closed == 1


class Rules:
    """Rules that change nothing, and fail at their end where they are told to."""

    def __init__(self, **errors: Exception) -> None:
        self._errors = errors
        self.closed = 0

    def _do(self, step: str) -> list[Any]:
        if step in self._errors:
            raise self._errors[step]
        return []

    def apply(self, result: Result, frame: Frame) -> list[Any]:
        return [(result, frame)]

    def lost(self, lost: LostFrame) -> list[Any]:
        return []

    def finish(self) -> list[Any]:
        return self._do("finish")

    def cut_off(self) -> list[Any]:
        return self._do("cut_off")

    def close(self) -> None:
        self.closed += 1
        self._do("close")


@pytest.mark.parametrize("step", ["finish", "cut_off", "close"])
def test_an_error_of_the_rules_at_their_end_leaves_no_sink_open(step: str) -> None:
    sink, rules = Memory(), Rules(**{step: BoomError("why")})
    with (
        pytest.raises(BoomError, match="why"),
        Stream(Brightness(), Script([True] * 5), sinks=[sink], rules=rules) as run,  # type: ignore[arg-type]
    ):
        list(run)
    assert sink.ids == list(range(5))
    assert sink.closed == rules.closed == 1


@pytest.mark.parametrize("refused", range(4))
def test_a_system_that_refuses_a_thread_ends_the_others(refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, iter(range(10))

    def refuse_one(thread: threading.Thread) -> None:
        if next(started) == refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    sinks, sources = [Memory(), Memory()], [Script([True] * 5), Script([True] * 5)]
    sources[1].name = "another"
    run = Stream(Brightness(), sources, policy="every", sinks=sinks)
    monkeypatch.setattr(threading.Thread, "start", refuse_one)
    with pytest.raises(RuntimeError, match="can't start"):
        run.__enter__()
    assert [sink.closed for sink in sinks] == [int(refused > 0), int(refused > 1)]
    assert [source.opened for source in sources] == [source.closed for source in sources]


def test_an_interrupt_while_the_sinks_open_ends_them() -> None:
    class Interrupted(Memory):
        def open(self) -> None:
            super().open()
            signal.raise_signal(signal.SIGALRM)
            time.sleep(0.1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    source, sink = Script([True] * 5), Interrupted()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), Stream(Brightness(), source, sinks=[sink]):
            time.sleep(1)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sink.closed == 1 and source.opened == source.closed == 0


@pytest.mark.parametrize("where", ["prepare", "read"])
def test_a_line_that_hangs_does_not_say_that_it_works(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capture, "HANGING_SECONDS", 0.5)
    freed, turns = threading.Event(), []

    class Hangs(Script):
        def read(self, timeout: float) -> Reading:
            if where == "read" and self.delivered == 2:
                freed.wait(30)
            return super().read(timeout)

    class Detector(Brightness):
        def prepare(self, image: Image) -> Image:
            if where == "prepare" and image[0, 0, 0] == 3:
                freed.wait(30)
            return super().prepare(image)

    def turn() -> None:
        turns.append(time.monotonic())

    with Stream(Detector(), Hangs([True] * 4), on_turn=turn) as run:
        results = iter(run)
        assert [next(results).frame_id for _ in range(2)] == [0, 1]
        hung = time.monotonic()
        threading.Timer(2.5, freed.set).start()
        assert [result.frame_id for result in results] == [2, 3]  # it may come back
    assert not [moment for moment in turns if hung + 1.2 < moment < hung + 2.4]
    assert caplog.text.count("script: no answer") == 1


def test_an_engine_that_takes_its_time_is_no_source_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "HANGING_SECONDS", 0.2)
    turns: list[int] = []
    with Stream(Brightness(infer=0.3), Script([True] * 9), on_turn=lambda: turns.append(1)) as run:
        assert len(list(run)) == 9
    assert len(turns) == 9  # the source waited for room for longer


def test_the_first_error_is_the_one_raised() -> None:
    failing = Memory(close=SinkError("second"))
    with (
        pytest.raises(BoomError, match="first"),
        Stream(Brightness(infer=BoomError("first")), Script([True]), sinks=[failing]) as run,
    ):
        list(run)
    assert failing.closed >= 1


def test_a_hundred_runs_leave_nothing_behind() -> None:
    before = threading.active_count()
    for number in range(100):
        with Stream(Brightness(), Script([True] * 20), sinks=[Memory()]) as run:
            for result in run:
                if result.frame_id == number % 25:
                    break
    assert threading.active_count() == before
