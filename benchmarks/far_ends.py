"""What a line delivers to, as processes of their own that are killed and started again: a server and an MQTT broker."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

BUSY = 1 / 2_000  # of the requests to the server
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_ID = re.compile(rb'"id":"([0-9a-f]{16}-\d+)"')


class Arrivals:
    """The records that came to a place, and how often, in a database: they outlive the process that writes them."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, id UNIQUE, times)")
        self._lock = threading.Lock()

    def add(self, record: bytes) -> None:
        """Count it; what has no id, as a sink's status, is no record."""
        if not (found := _ID.search(record)):
            return
        with self._lock:
            statement = "INSERT INTO seen (id, times) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET times = times + 1"
            self._database.execute(statement, (found[1].decode(),))

    @staticmethod
    def read(path: Path) -> dict[str, int]:
        """How often each came, in the order of their first arrival."""
        with closing(sqlite3.connect(path)) as database:
            return dict(database.execute("SELECT id, times FROM seen ORDER BY number"))


class FarEnd:
    """A program at the other end of a connection, which is killed at any moment and started again."""

    def __init__(self, *command: object) -> None:
        self.command = [str(word) for word in command]
        self._process: subprocess.Popen[str] | None = None
        self._away: threading.Thread | None = None

    def start(self, *, says_so: bool = False) -> None:
        """Start it; where it says so, it is ready then."""
        self._process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        if says_so:
            assert self._process.stdout is not None
            self._process.stdout.readline()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def restart(self, seconds: float) -> None:
        """Kill it, and start it again after a while, in a thread of its own; nothing where it is away."""
        if self._away is None or not self._away.is_alive():
            self.kill()
            self._away = threading.Timer(seconds, self.start)
            self._away.start()

    def back(self) -> None:
        """Wait until it was started again."""
        if self._away is not None:
            self._away.join()


def receive(port: int, arrivals: Path) -> None:
    """A server for records, which sometimes says that it is busy."""
    seen, chance = Arrivals(arrivals), random.Random()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            busy = chance.random() < BUSY
            if not busy:
                seen.add(body)
            self.send_response(503 if busy else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.serve_forever()


def packets(stream: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """MQTT's control packets until the connection ends: first byte, what follows the length, and all of it."""
    while head := stream.read(1):
        length = bytearray()
        while not length or length[-1] & 0x80:
            length += stream.read(1) or b"\0"
        body = stream.read(sum((byte & 0x7F) << 7 * place for place, byte in enumerate(length)))
        yield head[0], body, head + length + body


def number_of(body: bytes) -> bytes:
    """The packet identifier of a PUBLISH, which follows the topic."""
    topic = 2 + int.from_bytes(body[:2], "big")
    return body[topic : topic + 2]


def relay(port: int, broker: int, arrivals: Path) -> None:
    """What a broker acknowledges, noted on its way to the publisher."""
    seen = Arrivals(arrivals)

    def connect(client: socket.socket) -> None:
        under_way: dict[bytes, bytes] = {}
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", broker), 5) as server:
            server.settimeout(None)
            up = threading.Thread(target=pass_on, args=(client, server, under_way), daemon=True)
            up.start()
            pass_on(server, client, under_way)
            up.join()

    def pass_on(source: socket.socket, target: socket.socket, under_way: dict[bytes, bytes]) -> None:
        with suppress(OSError), source.makefile("rb") as stream:
            for kind, body, whole in packets(stream):
                if kind >> 4 == 3:
                    under_way[number_of(body)] = body
                elif kind >> 4 == 4 and not (len(body) > 2 and body[2] & 0x80):  # a PUBACK, and no refusal
                    seen.add(under_way.pop(body[:2], b""))
                target.sendall(whole)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        while True:
            threading.Thread(target=connect, args=(server.accept()[0],), daemon=True).start()


def subscribe(port: int, arrivals: Path) -> None:
    """What a broker delivers to a subscriber whose session it keeps."""
    seen, name, topic = Arrivals(arrivals), b"\0\4soak", b"\0\1#"
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as link, link.makefile("rb") as stream:
            link.settimeout(None)
            connect, subscription = b"\0\4MQTT\4\0\0\0" + name, b"\0\1" + topic + b"\1"
            link.sendall(bytes([0x10, len(connect)]) + connect + bytes([0x82, len(subscription)]) + subscription)
            for kind, body, _ in packets(stream):
                if kind >> 4 == 9:
                    print("ready", flush=True)
                elif kind >> 4 == 3:
                    seen.add(body)
                    link.sendall(b"\x40\2" + number_of(body))
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """The server for records."""

    def __init__(self, folder: Path) -> None:
        port, self.arrivals = free_port(), folder / "server.db"
        self.address = f"http://127.0.0.1:{port}/records"
        self.end = FarEnd(sys.executable, __file__, "receive", port, self.arrivals)
        self.end.start()

    def stop(self) -> None:
        self.end.kill()


class Broker:
    """Mosquitto, which saves its messages whenever there are new ones, between the relay and the subscriber."""

    def __init__(self, folder: Path) -> None:
        port, relayed = free_port(), free_port()
        self.address = f"mqtt://127.0.0.1:{relayed}/line/records"
        self.acknowledged, self.delivered = folder / "acknowledged.db", folder / "delivered.db"
        configuration, kept = folder / "mosquitto.conf", folder / "mosquitto"
        kept.mkdir()
        configuration.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\nmax_queued_messages 0\n"
            f"persistence true\npersistence_location {kept}/\nautosave_on_changes true\nautosave_interval 1\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )
        self.end = FarEnd(MOSQUITTO, "-c", configuration)
        self._relay = FarEnd(sys.executable, __file__, "relay", relayed, port, self.acknowledged)
        self._subscriber = FarEnd(sys.executable, __file__, "subscribe", port, self.delivered)
        self.end.start()
        self._relay.start(says_so=True)
        self._subscriber.start(says_so=True)

    def stop(self) -> None:
        for end in (self._subscriber, self._relay, self.end):
            end.kill()


if __name__ == "__main__":
    parts = {"receive": receive, "relay": relay, "subscribe": subscribe}
    *ports, arrivals = sys.argv[2:]
    parts[sys.argv[1]](*map(int, ports), Path(arrivals))  # type: ignore[operator]
