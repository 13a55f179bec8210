"""HTTP connections that do not last for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_SECONDS = 20.0  # the longest that one answer may take, from the last one on, is far below


class ImpatientProtocol(H11Protocol):
    """Drops a connection on which no answer was completed for twenty seconds.

    uvicorn waits without end for a request that comes byte by byte and for a client that does not read; some dozens
    of those would use up all connections.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._wind()

    def on_response_complete(self) -> None:
        """An answer was sent."""
        self._wind()
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
