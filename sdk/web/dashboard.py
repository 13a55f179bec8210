"""The dashboard as a sink of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.sinks.base import Sink
from edgead.sinks.view.heat import Heat
from edgead.summary import Summary
from edgead.web.access import Access, is_loopback
from edgead.web.address import DEFAULT, parse_address
from edgead.web.board import Board
from edgead.web.darkroom import Darkroom
from edgead.web.settings import Settings
from edgead.web.site import Site

if TYPE_CHECKING:
    from edgead.web.server import Server


class Dashboard(Sink):
    """A page with the live picture, the scores, the rejects and the health of a run, for as long as the run lasts.

    `write` notes the newest result and returns; no browser can make it wait.

    address: HOST:PORT. Anywhere but on this machine's loopback address, or where `names` are given, all of it but
    `/healthz` needs the token; on loopback only changes do. token: at least 16 characters; on loopback one is made up
    where none is given. names: host names under which people reach it, as through a reverse proxy. title: of the page.
    cameras: the names of the sources, where there are several. settings: the thresholds and the area, and who
    carries out a change. scale: see `Darkroom`. files: what the run's other sinks write, whose health is shown.
    announce: told where the page is, and the token that was made up, when the dashboard opens.

    Raises SinkError for a bad address or token.
    """

    def __init__(
        self,
        address: str = DEFAULT,
        *,
        token: str | None = None,
        names: Sequence[str] = (),
        title: str = "",
        cameras: Sequence[str] = (),
        settings: Settings | None = None,
        scale: tuple[float, float] | Heat | None = None,
        files: Sequence[Path] = (),
        announce: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(address)
        self._host, port = parse_address(address)
        private = bool(names) or not is_loopback(self._host)
        if private and token is None:
            what = "a dashboard that others can reach needs a token"
            todo = "give one with --web-token-file FILE or in EDGEAD_WEB_TOKEN, or listen on 127.0.0.1"
            raise SinkError(what, address, todo)
        self.access = Access(token, private=private, names=names, port=port)
        self.settings = settings or Settings()
        self.board = Board(cameras)
        self._scale, self._title, self._files, self._announce = scale, title, tuple(files), announce
        self._summary: Callable[[], Summary] | None = None
        self._server: Server | None = None
        self._darkroom: Darkroom | None = None
        self._site: Site | None = None

    @property
    def url(self) -> str:
        """Where the page is, once the dashboard is open."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - nothing is bound here
        return f"http://{f'[{host}]' if ':' in host else host}:{self.access.port}/"

    def watch(self, summary: Callable[[], Summary]) -> None:
        """Show what only the stream knows: dropped frames, and how its sinks fare."""
        self._summary = summary
        if self._site is not None:
            self._site.summary = summary

    def open(self) -> None:
        """Start the server. Raises SinkError where its address is taken, or the extra `web` is not installed."""
        try:
            from edgead.web.server import Server
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "prometheus_client"):
                raise
            todo = 'run `pip install "edgead[web]"`'
            raise SinkError(f"{error.name} is not installed", f"dashboard on {self.path}", todo) from error
        self._server = Server(*parse_address(str(self.path)))
        self.access.port = self._server.port
        self._darkroom = Darkroom(self._scale)
        title = self._title or "Inspection"
        self._site = Site(
            self.board, self._darkroom, self.settings, self.access, title, self._files, summary=self._summary
        )
        self._server.start(self._site)
        if self._announce is not None:
            self._announce(f"dashboard: {self.url}")
            if self.access.made_up and self.settings.editable:
                self._announce(f"token for changes on it: {self.access.token}")

    def write(self, result: Result, frame: Frame) -> None:
        """Note a result, and its frame if it is the newest or a reject."""
        self.board.add(result, frame)
        if self._darkroom is not None and result.verdict is Verdict.REJECT:
            self._darkroom.keep(self.board.index(result.source), result, frame)

    def lost(self, lost: LostFrame) -> None:
        """Note a lost frame."""
        self.board.lose(lost)

    def flush(self) -> None:
        """Nothing of a dashboard outlives a power cut."""

    def close(self) -> None:
        """Stop the server and free its port."""
        if self._site is not None:
            self._site.closing = True
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._darkroom is not None:
            self._darkroom.close()
            self._darkroom = None
