"""The server, in a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time

import uvicorn

from edgead.errors import SinkError
from edgead.web.app import make_app
from edgead.web.protocol import CONNECTIONS, ImpatientProtocol
from edgead.web.site import Site

log = logging.getLogger(__name__)

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class Server:
    """Listens from when it is made, answers from `start` on, and is gone after `stop`.

    Raises SinkError where the address cannot be had.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, site: Site) -> None:
        """Answer requests. Raises SinkError where the server does not come up."""
        config = uvicorn.Config(
            make_app(site),
            http=ImpatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server,), name="edgead-web", daemon=True)
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise SinkError("the dashboard's server does not start", f"port {self.port}", "see the log")
            time.sleep(0.005)

    def stop(self) -> None:
        """End the server and free its port; also when it never started, or has been stopped."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                log.warning("the dashboard's server does not end; it goes with the process")
        self._socket.close()

    def _run(self, server: uvicorn.Server) -> None:
        try:
            asyncio.run(server.serve(sockets=[self._socket]))
        except Exception as error:  # noqa: BLE001 - a run goes on without its dashboard
            log.warning("the dashboard has stopped: %s", error)


def _listen(host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise SinkError(f"there is no host {host!r}", where, "give an address of this machine") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(CONNECTIONS)
    except OSError as error:
        listener.close()
        raise SinkError(_why(error), where, _TODO.get(error.errno or 0, "give another address")) from error
    return listener


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the dashboard's port is in use"
    return f"the dashboard cannot listen: {error.strerror}"


_TODO = {
    errno.EADDRINUSE: "end the other program, or give another port: --web 127.0.0.1:8081",
    errno.EACCES: "give a port from 1024 on",
    errno.EADDRNOTAVAIL: "give an address of this machine, or 0.0.0.0 for all of them",
}
