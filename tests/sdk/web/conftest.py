"""Dashboards that run, and clients that ask them."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Region, Result, Verdict
from edgead.verdicts.areas import Polygon

pytest.importorskip("starlette", reason='the extra "web" is not installed')
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from edgead.web import Dashboard, Limits, Settings

TOKEN = "correct-horse-battery"
LIMITS = Limits(1.0, 0.6)


def judged(number: int, score: float, source: str = "rtsp://cell-4/top", side: int = 96) -> tuple[Result, Frame]:
    """The verdict of a score by LIMITS, and a frame that is the brighter the higher `number` is."""
    verdict = Verdict.REJECT if score >= 1 else Verdict.WARN if score >= 0.6 else Verdict.ACCEPT
    heat = np.zeros((24, 32), np.float32)
    heat[8:12, 8:16] = score
    image = np.full((side, side * 4 // 3, 3), 60 + number % 100, np.uint8)
    bad = verdict is Verdict.REJECT
    regions = (Region((side // 3, side // 3, side // 3, side // 6), side * side // 18, score),) if bad else ()
    result = Result(
        min(score / 2, 1.0), bad, heat, heat >= 0.8, score, verdict, regions, number, source, time.time(),
        {"capture": 90.0, "prepare": 1.5, "infer": 4.0, "total": 8.0 + number % 5}, "ab" * 32,
    )  # fmt: skip
    return result, Frame(image, number, source, result.captured_at)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Line:
    """A dashboard that is open, what its callbacks were told, and a line that feeds it."""

    dashboard: Dashboard
    limits: list[Limits] = field(default_factory=list)
    rois: list[Polygon | None] = field(default_factory=list)
    ignored: list[Polygon | None] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def port(self) -> int:
        return self.dashboard.access.port

    def feed(self, *scores: float, source: str = "rtsp://cell-4/top", side: int = 96) -> None:
        for score in scores:
            self.dashboard.write(*judged(next(self.numbers), score, source, side))

    def lose(self, reason: str = "no frame could be decoded") -> None:
        self.dashboard.lost(LostFrame(next(self.numbers), "rtsp://cell-4/top", time.time(), reason))

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, token: str | None = None, **headers: str
    ) -> Answer:
        """One request in a connection of its own. Underscores in a header's name become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        try:
            connection.putrequest(method, path, skip_host="host" in sent, skip_accept_encoding=True)
            data = body.encode() if isinstance(body, str) else body
            if data is not None and "transfer-encoding" not in sent:
                sent.setdefault("content-length", str(len(data)))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(data)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def put(self, path: str, document: Any, token: str | None = TOKEN, **headers: str) -> Answer:
        body = document if isinstance(document, (bytes, str)) else json.dumps(document)
        return self.ask("PUT", path, body, token, **{"content-type": "application/json", **headers})


MakeLine = Callable[..., Line]


def open_line(address: str = "127.0.0.1:0", *, refuse: str = "", editable: bool = True, **options: Any) -> Line:
    """A running dashboard whose edits are noted, or refused with an error."""
    limits: list[Limits] = []
    rois: list[Polygon | None] = []
    ignored: list[Polygon | None] = []

    def on_limits(given: Limits) -> None:
        if refuse:
            raise DataError(refuse, "thresholds", "ask the line's engineer")
        limits.append(given)

    callbacks: dict[str, Any] = {"on_limits": on_limits, "on_roi": rois.append, "on_ignore": ignored.append}
    callbacks = callbacks if editable else {}
    options.setdefault("token", TOKEN)
    dashboard = Dashboard(address, settings=Settings(LIMITS, **callbacks), **options)
    dashboard.open()
    return Line(dashboard, limits, rois, ignored)


@pytest.fixture
def make_line() -> Iterator[MakeLine]:
    made: list[Line] = []

    def make(*arguments: Any, **options: Any) -> Line:
        made.append(open_line(*arguments, **options))
        return made[-1]

    yield make
    for line in made:
        line.dashboard.close()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """A dashboard on loopback that all tests of a file share; it has seen one good and one bad part."""
    made = open_line()
    made.feed(0.2, 1.5)
    yield made
    made.dashboard.close()


@pytest.fixture(scope="module")
def private() -> Iterator[Line]:
    """One that others could reach: all of it needs the token."""
    made = open_line("0.0.0.0:0")
    made.feed(0.2, 1.5)
    yield made
    made.dashboard.close()
