from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks import open_sink, spooled
from edgead.sinks.records import canonical
from edgead.sinks.spooled import SpooledSink
from edgead.sinks.webhook import WebhookSink
from tests.sdk.mqtt.broker import closed_port

Make = Callable[..., tuple[Result, Frame]]
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """A real server; `answers` decides what the next requests get, the last of them for ever."""

    def __init__(self, *answers: object, port: int = 0) -> None:
        self.answers, self.bodies, self.headers, self.paths = list(answers) or [200], [], [], []
        self.connections: list[socket.socket] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                outer.connections.append(self.connection)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append(json.loads(body))
                outer.headers.append(dict(self.headers))
                outer.paths.append(self.path)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if callable(answer):
                    answer(self)
                    return
                self.send_response(int(str(answer)))
                if answer != 204:
                    self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok" if answer != 204 else b"")

            def log_message(self, *_: object) -> None:
                pass

        class Threaded(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Threaded(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/line/4?cell=2"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def ids(self) -> list[str]:
        return [body["id"] for body in self.bodies]


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*answers: object, port: int = 0) -> Server:
        servers.append(Server(*answers, port=port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spooled, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(spooled, "LONGEST_RETRY", 0.1)
    monkeypatch.setattr(spooled, "PAUSE_SECONDS", 0.05)
    monkeypatch.setenv("EDGEAD_SPOOL", str(tmp_path / "spool"))


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_every_record_is_posted_with_its_id_in_order(serve, make_result: Make, lost: LostFrame, tmp_path: Path) -> None:
    server = serve(200, 201, 204)
    result, frame = make_result(3)
    with open_sink(server.url) as sink:
        sink.write(result, frame)
        sink.lost(lost)
        for number in range(20):
            sink.write(*make_result(number))
    run = server.ids[0].rpartition("-")[0]
    assert server.ids == [f"{run}-{number}" for number in range(1, 23)]
    first = {name: value for name, value in server.bodies[0].items() if name not in ("id", "kind")}
    assert first == result.record() and server.bodies[0]["kind"] == "verdict"
    assert (server.bodies[1]["kind"], server.bodies[1]["fault"]) == ("fault", lost.reason)
    assert [headers["Idempotency-Key"] for headers in server.headers] == server.ids
    assert {headers["Content-Type"] for headers in server.headers} == {"application/json"}
    assert set(server.paths) == {"/line/4?cell=2"}
    assert len(server.connections) == 1
    assert not any((tmp_path / "spool").iterdir())


def drop(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def garbage(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff not HTTP at all \r\n\r\n" * 50)
    drop(handler)


def half(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nab")
    drop(handler)


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 500 " + b"x" * 100_000)
    drop(handler)


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, 302, drop, garbage, endless])
def test_trouble_delays_and_loses_nothing(
    serve, make_result: Make, trouble: object, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(200, 200, trouble, trouble, trouble, 200)
    with open_sink(server.url) as sink:
        for number in range(6):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
    delivered = list(dict.fromkeys(server.ids))
    assert [identity.rpartition("-")[2] for identity in delivered] == list("123456")
    assert len(server.ids) > 6  # the one that met trouble came again
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and "what it did not take waits in" in told[0] and "takes records again" in told[1]


def broken_chunk(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    drop(handler)


def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nab")
    time.sleep(0.5)


def slow_chunks(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b"1\r\na\r\n")
            time.sleep(0.02)


@pytest.mark.parametrize("answer", [half, broken_chunk, silent, slow_chunks])
def test_an_answer_that_breaks_off_or_goes_on_for_ever_after_its_status_counts(
    serve, make_result: Make, answer: Answer
) -> None:
    server = serve(answer)
    with SpooledSink(WebhookSink(server.url, timeout=0.2)) as sink:
        for number in range(4):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
    assert [body["frame_id"] for body in server.bodies] == [0, 1, 2, 3]


def test_a_server_that_stalls_holds_nothing_up(serve, make_result: Make) -> None:
    freed = threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
        freed.wait(10)
        drop(handler)

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        while not freed.wait(0.05):  # never silent for as long as the timeout
            handler.wfile.write(b"H")
            handler.wfile.flush()

    server = serve(stall, drip, 200)
    with SpooledSink(WebhookSink(server.url, timeout=0.2)) as sink:
        begin = time.monotonic()
        for number in range(300):
            sink.write(*make_result(number))
        assert time.monotonic() - begin < 1
        wait_for(lambda: sink.waiting == 0)
    freed.set()
    assert len(set(server.ids)) == 300 and len(server.ids) == 302


def test_a_server_that_restarts(serve, make_result: Make) -> None:
    server = serve()
    with open_sink(server.url) as sink:
        for number in range(5):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
        server.stop()
        for number in range(5, 10):
            sink.write(*make_result(number))
        time.sleep(0.2)
        assert sink.waiting == 5
        again = serve(port=server.port)
        wait_for(lambda: sink.waiting == 0)
    got = server.ids + again.ids
    assert [identity.rpartition("-")[2] for identity in dict.fromkeys(got)] == [str(number) for number in range(1, 11)]


def test_what_a_run_could_not_deliver_the_next_one_delivers_first(
    serve, make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    port = closed_port()
    url = f"http://127.0.0.1:{port}/line/4"
    for run in range(2):
        sink = open_sink(url)
        with sink:
            for number in range(4):
                sink.write(*make_result(4 * run + number))
        assert sink.waiting == 8 if run else 4
        assert f"{sink.waiting} records for http://127.0.0.1:{port} wait in" in caplog.text
    server = serve(port=port)
    with open_sink(url) as sink:
        sink.write(*make_result(8))
    assert [body["frame_id"] for body in server.bodies] == list(range(9))
    assert len({identity.rpartition("-")[0] for identity in server.ids}) == 3
    assert "gets 8 records that an earlier run has left" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refusal_for_good_is_set_aside_and_said(
    serve, make_result: Make, tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(200, status, 200)
    with open_sink(server.url) as sink:
        for number in range(3):
            sink.write(*make_result(number))
    assert [body["frame_id"] for body in server.bodies] == [0, 1, 2]
    (letters,) = (tmp_path / "spool").glob("*.refused.jsonl")
    (letter,) = [json.loads(line) for line in letters.read_text().splitlines()]
    assert (letter["status"], letter["record"]) == (status, server.bodies[1])
    assert f"refuses a record: {status}" in caplog.text and f"refused 1 records, they are in {letters}" in caplog.text


def test_no_secret_is_logged(serve, make_result: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port = closed_port()
    url = f"http://anna:geheim%40@127.0.0.1:{port}/services/T0/KEY7?token=tok8"
    sink = open_sink(url)
    with sink:
        sink.write(*make_result(0))
    server = serve(403, port=port)
    with open_sink(url) as other:
        pass
    assert server.paths == ["/services/T0/KEY7?token=tok8"]
    assert b64decode(server.headers[0]["Authorization"].split()[1]) == b"anna:geheim@"
    names = " ".join(str(path) for path in tmp_path.rglob("*"))
    for secret in ("anna", "geheim", "KEY7", "tok8"):
        assert secret not in caplog.text and secret not in names and secret not in sink.where + str(other.path)
    assert "Connection refused" in caplog.text


def test_a_certificate_that_is_not_trusted_is_no_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    if shutil.which("openssl") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("openssl makes no certificate here")
    server = serve()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    url = f"https://localhost:{server.port}/line"
    sink = WebhookSink(url)
    with pytest.raises(SinkError, match="certificate verify failed"):
        sink.keep(canonical({"id": "a-1"}))
    assert server.bodies == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert sink.keep(canonical({"id": "a-1"}))
    sink.close()
    assert server.ids == ["a-1"]


def test_addresses(tmp_path: Path) -> None:
    assert open_sink(Path("https://mes.local/line")).where == "https://mes.local"  # a Path has one slash
    assert open_sink("HTTP://[::1]:8080/x").where == "http://[::1]:8080"
    for address in ("http://host:port/", "https:///path", "https://[::1/x"):
        with pytest.raises(SinkError):
            open_sink(address)
    with pytest.raises(SinkError, match="the host or the port is none"):
        WebhookSink("http://host:port/")
    with pytest.raises(SinkError, match="no address of a server"):
        WebhookSink("ftp://host/")


def test_an_answer_of_another_host_is_not_followed(serve) -> None:
    other = serve()

    def away(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", other.url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    sink = WebhookSink(serve(away).url)
    with pytest.raises(SinkError, match="the server answers 307"):
        sink.keep(canonical({"id": "a-1"}))
    sink.close()
    assert other.bodies == []


@pytest.mark.parametrize("mark", ["/", "?", "#", "@"])
@pytest.mark.parametrize("begin", ["geheim", "", "12", "1[", "a b"])
def test_a_password_that_is_not_encoded_is_refused_and_not_told(begin: str, mark: str) -> None:
    for make in (open_sink, WebhookSink):
        with pytest.raises(SinkError) as raised:
            make(f"https://anna:{begin}{mark}secret@mes.local/line?token=tok8")
        for secret in ("anna", "geheim", "secret", "tok8", "mes"):
            assert secret not in str(raised.value)
        assert quote(mark, safe="") in raised.value.todo


@pytest.mark.parametrize("host", ["..x", "a" * 70, "ho st", "h:0", "h:x", "h:99999", "", "h\x7f", "[::1"])
def test_what_is_no_host_shows_when_it_is_given(host: str) -> None:
    with pytest.raises(SinkError, match=r"give it like https://"):
        WebhookSink(f"http://{host}/x")


def test_another_password_sends_what_waits(tmp_path: Path) -> None:
    path = WebhookSink("https://anna:old@mes.local/line").path
    assert WebhookSink("https://anna:new%2F@mes.local/line").path == path
    others = ["https://otto:old@mes.local/line", "https://mes.local/line", "https://anna:old@mes.local/line?x"]
    assert path not in [WebhookSink(other).path for other in others]
    old = WebhookSink("https://mes.local/line?token=a")  # as it always was: what waits is found
    assert old.path.name.endswith(hashlib.sha256(b"https://mes.local/line?token=a").hexdigest()[:16])
