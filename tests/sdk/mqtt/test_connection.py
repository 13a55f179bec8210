from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgead.errors import EdgeadError
from edgead.mqtt import connection
from edgead.mqtt.address import MqttAddress
from edgead.mqtt.connection import Connection, import_paho
from tests.sdk.mqtt.broker import MOSQUITTO, Broker, closed_port, wait_for


def to(url: str, **named: object) -> Connection:
    return Connection(MqttAddress.parse(url), **named)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_published_arrives_once_in_order(broker, listen, qos):
    topic = f"a b/ü/{qos}"
    heard, one = listen(broker, topic), to(broker.url("t"))
    one.open()
    for number in range(100):
        one.publish(topic, b"%d" % number, qos)
        if number % 10 == 9:
            assert one.settle() == {}
    one.close()
    wait_for(lambda: len(heard.said(topic)) == 100)
    assert heard.said(topic) == [b"%d" % number for number in range(100)]


def test_the_will_is_for_who_says_no_goodbye(broker, listen):
    heard = listen(broker, "will/1", "will/2")
    for topic, end in (("will/1", Connection.drop), ("will/2", Connection.close)):
        one = to(broker.url(), will=(topic, b"gone"))
        one.open()
        end(one)
    wait_for(lambda: heard.said("will/1") == [b"gone"])
    if not broker.amqtt:  # which may publish it after a goodbye, too
        assert heard.said("will/2") == []


def test_a_broker_that_is_away_or_silent(broker, monkeypatch):
    with pytest.raises(OSError, match="refused"):
        to(f"mqtt://127.0.0.1:{closed_port()}/t").open()
    monkeypatch.setattr(connection, "TIMEOUT_SECONDS", 0.3)
    one = to(broker.url())
    one.open()
    broker.pause()
    try:
        one.publish("t", b"", 1)
        with pytest.raises(TimeoutError, match="does not acknowledge 1"):
            one.settle(0.2)
        one.drop()
        with pytest.raises(TimeoutError, match="does not answer"):
            to(broker.url()).open()
    finally:
        broker.resume()


def test_a_password_is_needed_and_not_told(tmp_path: Path):
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    (tmp_path / "users").write_text(f"anna:{PasswordHash((Argon2Hasher(),)).hash('geheim@1')}\n")
    guarded = Broker(tmp_path, users=tmp_path / "users")
    try:
        right = to(guarded.url(user="anna:geheim%401@"))
        right.open()
        right.close()
        for user in ("anna:geheim2@", ""):
            with pytest.raises(ConnectionError) as raised:
                to(guarded.url(user=user)).open()
            assert "refuses the connection: Not authorized" in str(raised.value) and "geheim" not in str(raised.value)
    finally:
        guarded.kill()


@pytest.mark.skipif(MOSQUITTO is None or shutil.which("openssl") is None, reason="needs mosquitto and openssl")
def test_a_certificate_has_to_be_trusted(tmp_path: Path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, capture_output=True, check=True)
    key.chmod(0o644)
    tmp_path.chmod(0o755)
    secure = Broker(tmp_path, mosquitto=f"certfile {certificate}\nkeyfile {key}\nuser root")
    url = secure.url().replace("mqtt:", "mqtts:")
    try:
        with pytest.raises(OSError, match="certificate verify failed"):
            to(url).open()
        one = to(f"{url}?ca={certificate}")
        one.open()
        one.publish("t", b"x" * 100_000, 1)
        assert one.settle() == {}
        one.close()
    finally:
        secure.kill()


def test_without_paho_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(EdgeadError, match=r'pip install "edgead\[mqtt\]"'):
        import_paho()


@pytest.mark.parametrize("packet", ["90020100", "9003010000", "2001", "2002000090020001", "f0ff", "3002ffff"])
def test_what_is_no_mqtt_is_a_lost_connection(packet, monkeypatch):
    """A server that says something else, whatever that is: OSError, as for one that is not there."""
    monkeypatch.setattr(connection, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(connection, "_speak_old", set())
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    one, _ = server.accept()
                    with one:
                        one.recv(1000)
                        one.sendall(bytes.fromhex(packet))
                        one.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        one = to(f"mqtt://127.0.0.1:{server.getsockname()[1]}/t")
        with pytest.raises(OSError):
            one.open()
            one.subscribe("t", 1)
        one.drop()
        server.shutdown(socket.SHUT_RDWR)


def test_a_broker_that_acknowledges_slowly_is_waited_for_only_so_long(monkeypatch):
    """One message after the other, each in time: all of them in no more than was promised."""
    monkeypatch.setattr(connection, "TIMEOUT_SECONDS", 0.4)
    monkeypatch.setattr(connection, "WHOLE", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def acknowledge():
            with contextlib.suppress(OSError):
                one, _ = server.accept()
                with one:
                    one.recv(1000)
                    one.sendall(bytes.fromhex("2003000000"))
                    for number in range(1, 40):
                        time.sleep(0.1)
                        one.sendall(bytes((0x40, 2, 0, number)))

        threading.Thread(target=acknowledge, daemon=True).start()
        one = to(f"mqtt://127.0.0.1:{server.getsockname()[1]}/t")
        one.open()
        for _ in range(40):
            one.publish("t", b"x", 1)
        for limits in ((0.3,), ()):
            begin = time.monotonic()
            with pytest.raises(TimeoutError, match="does not acknowledge"):
                one.settle(*limits)
            assert time.monotonic() - begin < (limits[0] if limits else 0.8) + 0.3
        one.drop()
