from __future__ import annotations

import socket
import time

import pytest

from edgead.sources.retry import Backoff, knock


def test_pauses_grow_to_a_second_and_differ_between_stations() -> None:
    stations = [[backoff.pause() for _ in range(8)] for backoff in (Backoff() for _ in range(200))]
    for at, longest in enumerate([0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1]):
        pauses = [station[at] for station in stations]
        assert 0.5 * longest <= min(pauses) < 0.6 * longest
        assert 0.9 * longest < max(pauses) <= longest
        assert len(set(pauses)) == 200


def test_knocking_tells_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert knock(f"http://joe:pw@127.0.0.1:{port}/line") == ""
    assert knock(f"http://joe:pw@127.0.0.1:{port}/line") == "Connection refused"
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert knock(f"http://joe:pw@127.0.0.1:{port}/line") == ""


@pytest.mark.parametrize(
    "address", ["udp://127.0.0.1:1", "rtsp://joe:p/w@cell/top", "http://[::1", "rtp://x", "tcp://x"]
)
def test_where_there_is_no_telling_nothing_is_said(address: str) -> None:
    began = time.monotonic()
    assert knock(address) == ""
    assert time.monotonic() - began < 0.9  # none was waited for
