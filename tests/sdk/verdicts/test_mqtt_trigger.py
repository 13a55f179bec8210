"""Parts that begin with messages, from a real broker through a real stream."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgead.bands import Bands
from edgead.errors import DataError, SourceError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame, Image, LostFrame, Reading, Signal
from edgead.mqtt import trigger as mqtt_trigger
from edgead.mqtt.trigger import MqttTrigger
from edgead.result import Result, Verdict
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.verdicts import Begin, End, PartRule, Refused, Rules, Ruling, Scoring, TriggerAddress
from edgead.verdicts import trigger as trigger_module
from edgead.verdicts.opened import open_trigger
from edgead.verdicts.parts import PartFault
from edgead.verdicts.trigger import Signals
from tests.sdk.mqtt import broker as brokers
from tests.sdk.mqtt.broker import Broker, Proxy, closed_port, wait_for

broker, listen, quick_mqtt = brokers.broker, brokers.listen, brokers.quick_mqtt  # fixtures

SCORING = Scoring(
    Bands(Thresholds(*(Threshold(v, "quantile", {}) for v in (200.0, 100.0, 150.0))), (0.0, 400.0)), "max"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_trigger, "RETRY_SECONDS", 0.02)


class Played(Source):
    """Frames of one brightness each; what can be called happens between two of them."""

    def __init__(self, script: list[int | Callable[[], None]]) -> None:
        super().__init__("played")
        self._script = iter(script)

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout: float) -> Reading:
        for step in self._script:
            if not callable(step):
                return self._frame(np.full((4, 4, 3), step, np.uint8))
            step()
        return Signal.END

    def close(self) -> None:
        """Nothing to close."""


class Brightest:
    max_batch = 1

    def prepare(self, image: Image) -> Image:
        return image[..., 0].astype(np.float32)

    def infer(self, prepared: np.ndarray) -> np.ndarray:
        return prepared

    def judge(self, found: np.ndarray, frame: Frame, timing: dict[str, float]) -> Result:
        score = float(found.max())
        verdict = SCORING.bands.verdict(score)
        return Result(0.5, verdict is Verdict.REJECT, found, found > 150, score, verdict, (), frame.frame_id,
                      frame.source, frame.captured_at, timing, "digest")  # fmt: skip


class Line:
    """A ruling whose trigger is at an address, and steps for `Played`."""

    def __init__(self, url: str) -> None:
        self.ruling = Ruling(Rules(parts=PartRule(TriggerAddress(url))), SCORING)
        self.trigger = self.ruling._trigger
        self.judged = self.heard = 0
        observe, put = self.trigger.observe, self.trigger._signals.put

        def counted(frame: Frame | None) -> list[object]:
            self.judged += frame is not None
            return observe(frame)

        def counting(event: object) -> None:
            put(event)
            self.heard += 1

        self.trigger.observe, self.trigger._signals.put = counted, counting

    def after(self, frames: int, do: Callable[[], None], events: int = 1) -> Callable[[], None]:
        """Once so many frames are judged, do it, and wait for its events."""

        def step() -> None:
            wait_for(lambda: self.judged == frames)
            before = self.heard
            do()
            wait_for(lambda: self.heard >= before + events)

        return step

    def run(self, script: list[int | Callable[[], None]]) -> tuple[list[tuple[str, str, int]], list[str]]:
        faults: list[LostFrame] = []
        with Stream(Brightest(), Played(script), rules=self.ruling, on_fault=faults.append) as run:
            said = [(r.part.name, r.verdict.value, r.part.frames) for r in run if r.part]
        assert not self.trigger._thread.is_alive()  # the stream lets it go
        assert all(isinstance(fault, PartFault) for fault in faults)
        return said, [fault.reason for fault in faults]


def test_one_part_for_each_message(broker: Broker, listen) -> None:
    plc, line = listen(broker), Line(broker.url("parts"))
    said, faults = line.run([
        250,  # no part's
        line.after(1, lambda: plc.publish("parts", b"part 4711")), 0, 120,
        line.after(3, lambda: plc.publish("parts", b"")), 0,
        line.after(4, lambda: plc.publish("parts", b"end\r\n")), 250,
        line.after(5, lambda: plc.publish("parts", b"part \xff\x00")), 250,
        line.after(6, lambda: plc.publish("parts", "part größe 7".encode())), 250,
    ])  # fmt: skip
    assert said == [("4711", "warn", 2), ("2", "accept", 1), ("größe 7", "reject", 1)]
    assert len(faults) == 1 and "printable" in faults[0]


def test_old_news_begins_no_part(broker: Broker, listen) -> None:
    plc = listen(broker)
    plc.publish("old", b"part old", retain=True)
    line = Line(broker.url("old"))
    new = line.after(1, lambda: plc.publish("old", b"part new"))
    assert line.run([250, new, 0]) == ([("new", "accept", 1)], [])


def test_a_lost_broker_is_one_fault_and_found_again(broker: Broker, listen, caplog: pytest.LogCaptureFixture) -> None:
    plc, way = listen(broker, "lost"), Proxy(broker)
    line = Line(f"mqtt://anna:geheim@127.0.0.1:{way.port}/lost")

    def cut() -> None:
        way.close()
        plc.publish("lost", b"part missed")
        time.sleep(0.2)  # several attempts

    def back() -> None:
        again = Proxy(broker, port=way.port)
        wait_for(lambda: "is heard again" in caplog.text)
        assert again.connections
        plc.publish("lost", b"part 3")

    said, faults = line.run([
        line.after(0, lambda: plc.publish("lost", b"part 1")), 0, line.after(1, cut), 0, line.after(2, back), 0,
    ])  # fmt: skip
    assert said == [("1", "accept", 2), ("3", "accept", 1)]
    assert len(faults) == 1 and "parts may have been missed" in faults[0]
    assert "geheim" not in caplog.text and "anna" not in caplog.text


def test_a_line_without_its_trigger_does_not_begin(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError, match=r"the trigger's broker is not there: .*refused") as raised:
        Line(f"mqtt://anna:geheim@127.0.0.1:{closed_port()}/t")
    assert "geheim" not in str(raised.value) + caplog.text
    with pytest.raises(DataError, match="topic is missing"):
        open_trigger(TriggerAddress(broker.url("")))
    with pytest.raises(DataError, match="no such trigger"):
        TriggerAddress("amqp://anna:geheim@broker/line")


def test_signals_that_nobody_takes_use_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen) -> None:
    monkeypatch.setattr(trigger_module, "MOST_EVENTS", 5)
    heard, put = [], Signals.put
    monkeypatch.setattr(Signals, "put", lambda self, event: (put(self, event), heard.append(event)))
    started = Broker(tmp_path)
    try:
        trigger, plc = MqttTrigger.at(started.url("many")), listen(started)
        for number in range(20):
            plc.publish("many", b"part %d" % number)
        wait_for(lambda: len(heard) == 20)
        *begun, lost = trigger.observe(None)
        assert begun == [Begin(str(number)) for number in range(5)] and isinstance(lost, Refused)
        plc.publish("many", b"end")
        wait_for(lambda: len(heard) == 21)
        assert trigger.observe(None) == [End()]
        trigger.close()
        trigger.close()
    finally:
        started.kill()


def test_what_nobody_expects_is_a_fault_and_the_trigger_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Odd] = []

    class Odd:
        """A connection that breaks in a way that it should not."""

        def __init__(self, address: object, on_message: Callable[[bytes, bool], None]) -> None:
            self.hear, self.dropped = on_message, False
            made.append(self)

        def open(self) -> None:
            if len(made) == 2:
                raise RuntimeError("not this time either")

        def subscribe(self, topic: str, qos: int) -> None:
            """Nothing."""

        def turn(self, timeout: float) -> None:
            if len(made) == 1:
                raise RuntimeError("odd")
            time.sleep(0.01)

        def drop(self) -> None:
            self.dropped = True

        close = drop

    monkeypatch.setattr(mqtt_trigger, "Connection", Odd)
    trigger = MqttTrigger.at("mqtt://broker/part")
    wait_for(lambda: len(made) == 3)
    made[2].hear(b"part 7", False)
    assert [event.reason.partition(": ")[2] for event in trigger.observe(None)[:1]] == ["odd"]
    trigger.close()
    assert all(one.dropped for one in made) and not trigger._thread.is_alive()
