"""Results published at a broker."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from pathlib import Path

from edgead.errors import DataError, SinkError
from edgead.mqtt.address import MqttAddress
from edgead.mqtt.connection import Connection, import_paho
from edgead.sinks.dead_letters import DeadLetters
from edgead.sinks.reason import reason_of
from edgead.sinks.records import RecordSink
from edgead.sinks.spool import spool_folder

log = logging.getLogger(__name__)

ONLINE, OFFLINE = b"online", b"offline"
STRIKES = 3  # times that the broker hangs up on one record, before that is set aside
SETTLE_SECONDS = 0.5  # of publishing, after which everything has to be acknowledged
GOODBYE_SECONDS = 1.0  # for the broker to take `offline`; where it does not, it publishes the last will
_OVERHEAD = 16  # bytes of a packet beside topic and payload, at most
_NOT_THE_RECORD = ("Not authorized", "Topic name invalid", "Packet identifier in use", "Quota exceeded")


class MqttSink(RecordSink):
    """Publishes every record as JSON to the topic of an `MqttAddress`.

    Up to `WINDOW` records are on their way at once; then, and after SETTLE_SECONDS, the sink waits until the broker has
    acknowledged all. With qos=0 it acknowledges nothing, and what was on its way when a connection is lost is lost.
    A receiver drops by its `id` what comes twice, which may happen with qos=2, too, when a connection is lost.
    `<topic>/status`, retained, is `online` while the sink is connected and `offline` otherwise: the broker publishes
    that as the last will of a process that was killed.

    Everything that the broker does not take is SinkError: not now. After a loss, records go one by one until those that
    were on their way are through. One on which alone the broker hangs up STRIKES times, each time after it has taken
    the status, and one larger than the broker says it takes, are refused for good: they go to `<path>.refused.jsonl`,
    and the log says so.

    path: where files beside the sink go, by default in `spool_folder`.
    """

    def __init__(self, address: str, *, path: Path | None = None) -> None:
        try:
            self._address = MqttAddress.parse(address)
        except DataError as error:
            raise SinkError(error.what, error.where, error.todo) from None
        digest = hashlib.sha256(self._address.where.encode()).hexdigest()[:16]
        super().__init__(path or spool_folder() / f"mqtt-{re.sub(r'[^.a-zA-Z0-9-]', '-', self._address.host)}-{digest}")
        self._status = f"{self._address.topic}/status"
        self._letters = DeadLetters(self.path)
        self._connection: Connection | None = None
        self._sent: dict[int, bytes] = {}  # what is on its way, by the number of its message
        self._settled = 0.0  # when nothing was
        self._alone = 0  # so many records go one by one
        self._suspect, self._strikes = b"", 0

    @property
    def where(self) -> str:
        return self._address.where

    def open(self) -> None:
        """Nothing: a broker may be away when a run begins. Raises EdgeadError where paho-mqtt is not installed."""
        import_paho()

    def keep(self, record: bytes) -> bool:
        """Publish one record. True when the broker has acknowledged it and every one before."""
        try:
            connection = self._connected()
            if reason := self._refusal(record, connection):
                self._settle(connection)
                self._refuse(record, reason)
                return True
            self._sent[connection.publish(self._address.topic, record, self._address.qos)] = record
            room = 1 if self._alone else connection.room
            if len(self._sent) < room and time.monotonic() - self._settled < SETTLE_SECONDS:
                return False
            self._settle(connection)
        except OSError as error:
            raise self._away(error) from error
        self._alone = max(0, self._alone - 1)
        return True

    def flush(self) -> None:
        """Wait until the broker has acknowledged everything, and keep the connection alive."""
        try:
            connection = self._connected()
            self._settle(connection)
            connection.turn(0)
        except OSError as error:
            raise self._away(error) from error

    def close(self) -> None:
        """Say `offline`, and disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.publish(self._status, OFFLINE, 1, retain=True)
                connection.settle(GOODBYE_SECONDS)
                connection.close()
            except OSError:
                connection.drop()  # then the last will says it
        self._sent.clear()
        if self._letters.count:
            log.warning("%s refused %d records, they are in %s", self.where, self._letters.count, self._letters.path)
            self._letters.count = 0

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._address, will=(self._status, OFFLINE))
            self._connection.open()
            self._connection.publish(self._status, ONLINE, 1, retain=True)
            for reason in self._connection.settle().values():
                log.warning("%s/status is not taken: %s", self.where, reason)
            self._settled = time.monotonic()
        return self._connection

    def _settle(self, connection: Connection) -> None:
        """Wait for every acknowledgement. Raises OSError."""
        for reason in connection.settle().values():
            raise _NotTaken(reason)
        self._sent.clear()
        self._settled = time.monotonic()

    def _away(self, error: OSError) -> SinkError:
        """What was on its way has not arrived; find out whether it is to blame, and hang up."""
        if len(self._sent) == 1 and isinstance(error, ConnectionError) and str(error) not in _NOT_THE_RECORD:
            (record,) = self._sent.values()
            self._strikes = self._strikes + 1 if record == self._suspect else 1
            self._suspect = record
        self._alone = max(self._alone, len(self._sent))
        self._sent.clear()
        if self._connection is not None:
            self._connection.drop()
            self._connection = None
        return self._failed(f"the broker does not take records: {reason_of(error)}", "check the broker and the network")

    def _refusal(self, record: bytes, connection: Connection) -> str:
        """Why the broker will never take a record; empty where it may."""
        size = len(record) + len(self._address.topic.encode()) + _OVERHEAD
        if connection.most and size > connection.most:
            return f"the broker takes packets of {connection.most} bytes, and this has {size}"
        if self._strikes >= STRIKES and record == self._suspect:
            return f"the broker hung up on it {STRIKES} times"
        return ""

    def _refuse(self, record: bytes, reason: str) -> None:
        """Set a record aside that the broker will never take."""
        self._letters.add(record, reason=reason)
        self._suspect, self._strikes = b"", 0
        if self._letters.count == 1:
            log.warning("%s refuses a record: %s; it is in %s", self.where, reason, self._letters.path)


class _NotTaken(ConnectionError):
    """The broker says why it does not take a record."""
