"""HTTP connections that do not last for ever."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgead.web.bodies import MOST_BYTES

CONNECTIONS = 128
PATIENCE_SECONDS = 20.0  # the longest that one answer may take, from the last one on, is far below


class ImpatientProtocol(H11Protocol):
    """Drops a connection on which no answer was completed for twenty seconds, one too many, and one that goes on
    sending a body that was answered without it.

    uvicorn waits without end for a request that comes byte by byte and for a client that does not read; some dozens
    of those would use up all connections. It accepts any number of them, until the run has no file descriptor left for
    its cameras, and reads all of a body that nobody wants.
    """

    _timer: asyncio.TimerHandle | None = None
    _unwanted = 0  # bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._wind()
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        super().data_received(data)
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self._unwanted += len(data)
            if self._unwanted > MOST_BYTES:
                self.transport.abort()

    def on_response_complete(self) -> None:
        """An answer was sent."""
        self._wind()
        self._unwanted = 0
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client went."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(PATIENCE_SECONDS, self.transport.abort)
