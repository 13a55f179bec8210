"""Results sent to a server."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from edgead import __version__
from edgead.errors import SinkError
from edgead.sinks.dead_letters import DeadLetters
from edgead.sinks.reason import reason_of
from edgead.sinks.records import RecordSink
from edgead.sinks.spool import spool_folder

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
_WHOLE = 3  # times the timeout: how long one record may take altogether
_ANSWER = 1 << 16  # bytes of an answer that are read to use its connection again
_TRY_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class WebhookSink(RecordSink):
    """POSTs every record as JSON to `http://` or `https://`, one after the other, over one connection.

    The header `Idempotency-Key` is the record's `id`, by which a receiver drops what comes twice. An answer 2xx means
    that the record has arrived. One of 4xx, but for 408 and 429, refuses it for good: the record goes to
    `<path>.refused.jsonl` with the answer, and the log says so. Anything else (another answer, a redirection, none,
    garbage, no connection, a wrong certificate) is SinkError: not now.

    url: user and password in it are sent as Basic authorization; `%40` is @ and so on. Messages name the server alone,
    as the path and what follows it may be secrets, too. timeout: seconds for a connection or an answer. path: where
    files beside the sink go, by default in `spool_folder`, by a name that follows from the address without its
    password: with another one, what waits is sent. Proxies are not used.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS, path: Path | None = None) -> None:
        self._timeout = timeout
        parts = _parts(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        lasting = url if parts.password is None else url.replace(f":{parts.password}@", "@", 1)
        digest = hashlib.sha256(lasting.encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]", "-", self._host)
        super().__init__(path or spool_folder() / f"{name}-{digest}")
        self._secure = parts.scheme == "https"
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/?&=%:@!$'()*+,;~")
        self._headers = {"Content-Type": "application/json", "User-Agent": f"edgead/{__version__}"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        self._connection: http.client.HTTPConnection | None = None
        self._refused = DeadLetters(self.path)

    @property
    def where(self) -> str:
        return self._address

    def open(self) -> None:
        """Nothing: a server may be away when a run begins."""

    def keep(self, record: bytes) -> bool:
        """Send one record."""
        headers = {**self._headers, "Idempotency-Key": str(json.loads(record)["id"])}
        used, began = self._connection is not None, time.monotonic()
        try:
            status, reason = self._post(record, headers)
        except (http.client.HTTPException, OSError) as error:
            self._hang_up()
            idle = used and isinstance(error, ConnectionError) and time.monotonic() - began < self._timeout
            if not idle:
                raise self._away(error) from error
            try:  # the server had closed the connection meanwhile
                status, reason = self._post(record, headers)
            except (http.client.HTTPException, OSError) as again:
                self._hang_up()
                raise self._away(again) from again
        if 400 <= status < 500 and status not in _TRY_LATER:
            self._refuse(record, status, reason)
        elif not 200 <= status < 300:
            self._hang_up()
            raise self._failed(f"the server answers {status} {reason}".strip(), "check the server")
        return True

    def flush(self) -> None:
        """Nothing: what was kept has arrived."""

    def close(self) -> None:
        """Close the connection."""
        self._hang_up()
        if self._refused.count:
            log.warning("%s refused %d records, they are in %s", self.where, self._refused.count, self._refused.path)
            self._refused.count = 0

    def _post(self, record: bytes, headers: dict[str, str]) -> tuple[int, str]:
        if self._connection is None:
            self._connection = self._made()
        connection = self._connection
        if connection.sock is None:
            connection.connect()
        # The timeout is one of silence: a server that sends a byte now and then would hold a record for ever.
        guard = threading.Timer(_WHOLE * self._timeout, _shut, (connection,))
        guard.daemon = True
        guard.start()
        try:
            connection.request("POST", self._target, record, headers)
            response = connection.getresponse()
            with contextlib.suppress(http.client.HTTPException, OSError):  # the status is there, the rest says nothing
                response.read(_ANSWER)
        finally:
            guard.cancel()
        if not response.isclosed():
            self._hang_up()
        return response.status, "".join(mark for mark in response.reason[:100] if mark.isprintable())

    def _made(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refuse(self, record: bytes, status: int, reason: str) -> None:
        """Set a record aside that the server will never take."""
        self._refused.add(record, status=status, reason=reason)
        if self._refused.count == 1:
            log.warning("%s refuses a record: %d %s; it is in %s", self.where, status, reason, self._refused.path)

    def _away(self, error: Exception) -> SinkError:
        return self._failed(f"the server does not take records: {reason_of(error)}", "check the server and the network")


def _parts(url: str) -> SplitResult:
    """The parts of an address. Raises SinkError, which shows nothing of it: in one that is mistyped, a secret may stand
    anywhere."""
    where = f"{url.partition(':')[0]}://" if re.match(r"https?:", url) else "webhook"
    before = re.split(r"[/?#]", url.partition("://")[2])[0]
    if "#" in url or url.count("@") > min(1, before.count("@")):
        todo = "write %2F for /, %3F for ?, %23 for # and %40 for @ in a user or a password, and %40 in a path"
        raise SinkError("an address has a # in it, or an @ that does not end the password", where, todo)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
        host.encode("idna")
    except UnicodeError:
        raise SinkError("this is no name of a host", where, _LIKE) from None
    except ValueError:
        raise SinkError("the host or the port is none", where, f"{_LIKE}, / in a password as %2F") from None
    if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host or port == 0:
        raise SinkError("this is no address of a server", where, _LIKE)
    return parts


_LIKE = "give it like https://name:password@host:port/path"


def _shut(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, TypeError):  # it has none any more
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # wakes the thread that waits for it, under TLS too
