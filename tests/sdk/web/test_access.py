from __future__ import annotations

import socket

import pytest

from edgead.errors import SinkError
from edgead.web import access as accesses
from edgead.web.access import LOGIN_SECONDS, WRONG_SECONDS, WRONG_TOKENS, Access, Wait, is_loopback
from edgead.web.address import parse_address

TOKEN = "correct-horse-battery"


@pytest.fixture
def access():
    return Access(TOKEN, private=True, names=("line.example.com",), port=8080)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "127.0.0.1", "localhost:8080", "LOCALHOST", "192.168.7.9:8080", "[::1]:8080", "[fe80::1]",
     "line.example.com", "line.example.com:443", f"{socket.gethostname()}:8080"],
)  # fmt: skip
def test_known_hosts(access, host):
    assert access.knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["", ":8080", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "[ffff",
     "evil.example#127.0.0.1", "127.0.0.1@evil.example", "line.example.com.evil.example", "xline.example.com", "1",
     "[]", "[::1", "[::1]x", "[::1]:x", "127.0.0.1:x", "127.0.0.1:80:80", "[line.example.com]"],
)  # fmt: skip
def test_other_hosts(access, host):
    assert not access.knows_host(host)


def test_wrong_tokens_make_an_address_wait_and_no_other(access, monkeypatch):
    now = 50.0
    monkeypatch.setattr(accesses.time, "monotonic", lambda: now)
    for _ in range(WRONG_TOKENS):
        assert not access.check("wrong", "10.0.0.1")
    with pytest.raises(Wait) as waits:
        access.check(TOKEN, "10.0.0.1")
    assert waits.value.seconds == pytest.approx(WRONG_SECONDS)
    assert access.check(TOKEN, "10.0.0.2")
    now += WRONG_SECONDS + 1
    assert access.check(TOKEN, "10.0.0.1")
    for number in range(5000):  # memory is bounded
        access.check("wrong", f"10.1.{number >> 8}.{number & 255}")
    assert len(access._wrong) <= accesses._ADDRESSES


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ä" * 20, "\ud800"])
def test_wrong_tokens(access, token):
    assert not access.check(token, "10.0.0.1")


def test_a_cookie_ends_cannot_be_forged_and_outlives_a_restart(access, monkeypatch):
    value = access.grant()
    assert access.granted(value)
    assert Access(TOKEN, private=True).granted(value)
    assert not Access(TOKEN + "2", private=True).granted(value)
    until, _, signature = value.partition(".")
    for forged in ("", ".", value[:-1], f"{int(until) + 1}.{signature}", f"{until}.", signature, f"{until}.{'0' * 64}"):
        assert not access.granted(forged)
    later = accesses.time.time() + LOGIN_SECONDS + 2
    monkeypatch.setattr(accesses.time, "time", lambda: later)
    assert not access.granted(value)


@pytest.mark.parametrize("token", ["short", "x" * 15, "tab\tinside-the-token", "smörgåsbord-på-fredag"])
def test_weak_tokens_are_refused(token):
    with pytest.raises(SinkError, match="token"):
        Access(token, private=False)


def test_a_token_is_made_up_once_for_each():
    assert Access(None, private=False).token != Access(None, private=False).token
    assert len(Access(None, private=False).token) == 32


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("cell:9", ("cell", 9)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8080", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1", "host:٣"])
def test_what_is_no_address(text):
    with pytest.raises(SinkError, match="HOST:PORT"):
        parse_address(text)


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "cell-4", "")))
