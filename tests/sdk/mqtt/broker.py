"""A real broker in a process of its own, and a client that remembers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edgead.mqtt import connection

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
_AMQTT = """
import asyncio, logging, sys
from amqtt.broker import Broker as Amqtt

async def main():
    port, *users = sys.argv[1:]
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    if users:
        plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": users[0]}}
    broker = Amqtt({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()

logging.disable()
asyncio.run(main())
"""


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """amqtt, or mosquitto with the lines of a configuration. users: amqtt's file of passwords. It starts at once, and
    again at the same port."""

    def __init__(self, folder: Path, *, users: Path | None = None, mosquitto: str | None = None) -> None:
        self.port, self.amqtt = closed_port(), mosquitto is None
        self._command: list[object] = [sys.executable, "-c", _AMQTT, self.port, *([users] if users else [])]
        if mosquitto is not None:
            lines = f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{mosquitto}\n"
            (folder / "mosquitto.conf").write_text(lines)
            self._command = [str(MOSQUITTO), "-c", folder / "mosquitto.conf"]
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([str(word) for word in self._command], stdout=quiet, stderr=quiet)
        wait_for(lambda: listens(self.port) or self._process.poll() is not None)
        assert self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """It is there and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def url(self, topic: str = "line/4", user: str = "") -> str:
        return f"mqtt://{user}127.0.0.1:{self.port}/{topic}"


class Listener:
    """paho, by itself: what came to some topics, in order, also after the broker was away."""

    def __init__(self, broker: Broker, *topics: str) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._granted = threading.Event()
        self._topics = [(topic, 1) for topic in topics]
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.reconnect_delay_set(0.02, 0.02)
        self.client.on_connect = lambda *_: self.client.subscribe(self._topics) if self._topics else None
        self.client.on_subscribe = lambda *_: self._granted.set()
        self.client.on_message = lambda _, __, m: self.messages.append((m.topic, m.payload, m.retain))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert not topics or self._granted.wait(10)

    def said(self, topic: str) -> list[bytes]:
        return [payload for where, payload, _ in self.messages if where == topic]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def ready(self) -> bool:
        return self._granted.is_set()

    def forget(self) -> None:
        """Before the broker is stopped: `ready` is for the next subscription."""
        self._granted.clear()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Proxy:
    """Between a client and a broker: it hangs up on both when the client sends `hates`, and at its end on all."""

    def __init__(self, broker: Broker, hates: bytes = b"\0nothing", port: int = 0) -> None:
        self.connections, self._broker, self._hates = 0, broker, hates
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                try:
                    broker = socket.create_connection(("127.0.0.1", self._broker.port))
                except OSError:
                    client.close()
                    continue
                self._ends += [client, broker]
                for ends in ((client, broker, self._hates), (broker, client, b"\0never")):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, hated: bytes) -> None:
        with contextlib.suppress(OSError):
            while (content := source.recv(1 << 16)) and hated not in content:
                target.sendall(content)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()


def brokers() -> list[object]:
    """What a fixture is parametrised with: None for amqtt, and mosquitto's lines where it is installed."""
    absent = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
    return [pytest.param(None, id="amqtt"), pytest.param("max_queued_messages 10000", id="mosquitto", marks=absent)]


@pytest.fixture(scope="module", params=brokers())
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that runs, one for all tests of a module."""
    started = Broker(tmp_path_factory.mktemp("broker"), mosquitto=request.param)
    yield started
    started.kill()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """`Listener`s that are closed at the end."""
    made: list[Listener] = []

    def start(broker: Broker, *topics: str) -> Listener:
        made.append(Listener(broker, *topics))
        return made[-1]

    yield start
    for listener in made:
        listener.close()


@pytest.fixture(autouse=True)
def quick_mqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    """amqtt does not answer MQTT 5 with a last will."""
    monkeypatch.setattr(connection, "SPEAK_SECONDS", 0.3)
