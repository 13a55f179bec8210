from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks import open_sink, spooled
from edgead.sinks.mqtt import MqttSink
from edgead.sinks.records import canonical
from tests.sdk.mqtt import broker as brokers
from tests.sdk.mqtt.broker import MOSQUITTO, Broker, Proxy, closed_port, wait_for

broker, listen, quick_mqtt = brokers.broker, brokers.listen, brokers.quick_mqtt  # fixtures
Make = Callable[..., tuple[Result, Frame]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spooled, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(spooled, "LONGEST_RETRY", 0.1)
    monkeypatch.setattr(spooled, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(spooled, "QUIET_SECONDS", 0.0)
    monkeypatch.setenv("EDGEAD_SPOOL", str(tmp_path / "spool"))


def numbers(payloads: list[bytes]) -> list[int]:
    """Of the records, in the order of their first arrival."""
    ids = dict.fromkeys(json.loads(payload)["id"] for payload in payloads)
    assert len({identity.rpartition("-")[0] for identity in ids}) <= 1
    return [int(identity.rpartition("-")[2]) for identity in ids]


def test_every_record_arrives_as_it_is_and_the_status_with_it(
    broker,
    listen,
    make_result: Make,
    lost: LostFrame,
    tmp_path: Path,
) -> None:
    heard = listen(broker, "all/4", "all/4/status")
    result, frame = make_result(3)
    with open_sink(broker.url("all/4")) as sink:
        wait_for(lambda: heard.said("all/4/status") == [b"online"])  # before there is a record
        sink.write(result, frame)
        sink.lost(lost)
        for number in range(100):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
    wait_for(lambda: heard.said("all/4/status") == [b"online", b"offline"])
    payloads = heard.said("all/4")
    assert numbers(payloads) == list(range(1, 103)) and len(payloads) == 102
    first = json.loads(payloads[0])
    assert payloads[0] == canonical(first)
    assert {key: value for key, value in first.items() if key not in ("id", "kind")} == result.record()
    assert json.loads(payloads[1])["fault"] == lost.reason
    assert not any((tmp_path / "spool").iterdir())
    late = listen(broker, "all/4", "all/4/status")
    wait_for(lambda: ("all/4/status", b"offline", True) in late.messages)
    assert late.said("all/4") == []  # records are not retained


def test_a_broker_that_is_killed_and_comes_back(
    broker,
    listen,
    make_result: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The way to it is cut in the middle, then it is killed; the way is there again once the listener is."""
    heard, way = listen(broker, "killed"), Proxy(broker)
    with open_sink(f"mqtt://127.0.0.1:{way.port}/killed") as sink:
        for number in range(300):
            sink.write(*make_result(number))
            time.sleep(0.001)
            if number == 150:
                wait_for(lambda: len(heard.said("killed")) > 50)
                way.close()
        wait_for(lambda: sink.waiting > 0)
        time.sleep(0.2)  # the broker passes on what it has acknowledged
        heard.forget()
        broker.kill()
        broker.start()
        wait_for(heard.ready)
        assert len(heard.said("killed")) > 50 and sink.waiting >= 149
        way = Proxy(broker, port=way.port)
        wait_for(lambda: sink.waiting == 0)
    wait_for(lambda: len(set(heard.said("killed"))) == 300)
    assert numbers(heard.said("killed")) == list(range(1, 301))
    assert "what it did not take waits in" in caplog.text and "takes records again" in caplog.text
    way.close()


def test_nothing_is_missing_when_the_connection_is_lost(broker, listen, make_result: Make) -> None:
    """The way to the broker is cut again and again, while somebody beside it hears everything."""
    if broker.amqtt:
        pytest.skip("amqtt loses its way where a client comes back before it has noticed that it had gone")
    heard = listen(broker, "cut")
    port = closed_port()
    proxies = [Proxy(broker, port=port)]
    with open_sink(f"mqtt://127.0.0.1:{port}/cut") as sink:
        for number in range(400):
            sink.write(*make_result(number))
            if number % 100 == 50:
                proxies[-1].close()
                proxies.append(Proxy(broker, port=port))
            time.sleep(0.001)
        wait_for(lambda: sink.waiting == 0)
    wait_for(lambda: len(set(heard.said("cut"))) == 400)
    assert numbers(heard.said("cut")) == list(range(1, 401))
    assert sum(proxy.connections for proxy in proxies) > 1
    proxies[-1].close()


def test_a_run_without_a_broker_leaves_records_for_the_next(
    listen,
    make_result: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    started = Broker(tmp_path)
    started.kill()
    sink = open_sink(started.url("away", user="anna:geheim1@"))
    with sink:
        for number in range(8):
            sink.write(*make_result(number))
    assert sink.waiting == 8 and f"8 records for mqtt://127.0.0.1:{started.port}/away wait in" in caplog.text
    started.start()
    try:
        heard = listen(started, "away")
        with open_sink(started.url("away", user="anna:geheim2@")) as again:  # another password, the same topic
            again.write(*make_result(8))
        wait_for(lambda: len(heard.messages) == 9)
        frames = [json.loads(payload)["frame_id"] for payload in heard.said("away")]
        assert frames == list(range(9))
    finally:
        started.kill()
    names = " ".join(str(path) for path in tmp_path.rglob("*"))
    for secret in ("anna", "geheim"):
        assert secret not in caplog.text + names + sink.where + str(sink.path) + repr(sink)


def test_a_line_that_is_killed_is_offline(broker, listen) -> None:
    program = "import sys, time\nfrom edgead.sinks import open_sink\nopen_sink(sys.argv[1]).open()\ntime.sleep(60)"
    heard = listen(broker, "dies/status")
    line = subprocess.Popen([sys.executable, "-c", program, broker.url("dies")])
    try:
        wait_for(lambda: heard.said("dies/status") == [b"online"])
    finally:
        os.kill(line.pid, signal.SIGKILL)
        line.wait()
    wait_for(lambda: heard.said("dies/status") == [b"online", b"offline"])


def test_a_record_on_which_the_broker_hangs_up_is_set_aside(
    broker,
    listen,
    make_result: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard, proxy = listen(broker, "poison"), Proxy(broker, b'"frame_id":7,')
    try:
        with open_sink(f"mqtt://127.0.0.1:{proxy.port}/poison") as sink:
            for number in range(20):
                sink.write(*make_result(number))
            wait_for(lambda: sink.waiting == 0)
    finally:
        proxy.close()
    wait_for(lambda: len(set(heard.said("poison"))) == 19)
    assert numbers(heard.said("poison")) == [number for number in range(1, 21) if number != 8]
    (letters,) = (tmp_path / "spool").glob("*.refused.jsonl")
    (letter,) = [json.loads(line) for line in letters.read_text().splitlines()]
    assert letter["record"]["frame_id"] == 7 and "hung up on it 3 times" in letter["reason"]
    assert "refuses a record" in caplog.text and f"refused 1 records, they are in {letters}" in caplog.text


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.parametrize("limit", ["max_packet_size 3000", "message_size_limit 3000"])
def test_a_record_that_is_too_large_for_mosquitto(listen, tmp_path: Path, limit: str) -> None:
    small = Broker(tmp_path, mosquitto=limit)
    try:
        heard = listen(small, "large")
        sink = MqttSink(small.url("large"))
        sink.open()
        records = [
            canonical({"id": f"a-{n}", "kind": "fault", "pad": "x" * (5000 if n == 2 else 9)}) for n in (1, 2, 3)
        ]
        for record in records:
            for attempt in range(9):
                try:
                    sink.keep(record)
                    sink.flush()
                    break
                except SinkError:
                    assert attempt < 4
        sink.close()
        wait_for(lambda: len(set(heard.said("large"))) == 2)
        assert numbers(heard.said("large")) == [1, 3]
        (letters,) = (tmp_path / "spool").glob("*.refused.jsonl")
        assert json.loads(letters.read_text())["record"]["id"] == "a-2"
    finally:
        small.kill()


def test_a_broker_that_answers_nothing_holds_nothing_up(
    listen,
    make_result: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgead.mqtt.connection.TIMEOUT_SECONDS", 0.3)
    slow = Broker(tmp_path)
    try:
        heard = listen(slow, "slow")
        with open_sink(slow.url("slow")) as sink:
            sink.write(*make_result(0))
            wait_for(lambda: sink.waiting == 0)
            slow.pause()
            begin = time.monotonic()
            for number in range(1, 200):
                sink.write(*make_result(number))
            assert time.monotonic() - begin < 1
            time.sleep(0.5)
            assert sink.waiting == 199
            threading.Timer(0.1, slow.resume).start()
            wait_for(lambda: sink.waiting == 0)
        wait_for(lambda: len(set(heard.said("slow"))) == 200)
        # What came before it stood still, it may read beside what is sent again
        assert sorted(numbers(heard.said("slow"))) == list(range(1, 201))
    finally:
        slow.resume()
        slow.kill()


def test_addresses() -> None:
    assert open_sink(Path("mqtt://mes.local/line/4")).where == "mqtt://mes.local:1883/line/4"  # a Path has one slash
    assert open_sink("MQTTS://anna:geheim@[::1]/x").where == "mqtts://[::1]:8883/x"
    for address in ("mqtt://host", "mqtt://host/", "mqtt://host:port/x", "mqtt://host/line/#", "mqtt://h/t?qos=3"):
        with pytest.raises(SinkError):
            open_sink(address)
