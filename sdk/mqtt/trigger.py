"""A part trigger that is a topic: one message for each part."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from edgead.errors import SourceError
from edgead.frame import Frame
from edgead.mqtt.address import MqttAddress
from edgead.mqtt.connection import Connection
from edgead.sinks.reason import reason_of
from edgead.verdicts.lines import read_line
from edgead.verdicts.trigger import Begin, Event, Refused, Signals

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5  # before the first retry; each next waits twice as long, up to LONGEST_RETRY, give or take half
LONGEST_RETRY = 30.0
_TURN_SECONDS = 0.2  # how late `close` is noticed
_CLOSE_SECONDS = 10.0


class MqttTrigger:
    """The messages to the topic of an `MqttAddress`. Each is a line as `edgead.verdicts.lines` reads it; an empty one
    begins a part.

    A thread of its own hears them. Retained messages, which are old, are passed over, and so is what came while there
    was no connection: the broker keeps nothing for it. A lost connection is one fault, as parts may have been missed;
    it is made again, at growing intervals. Making a trigger connects. Raises SourceError where that is not possible: a
    line without its trigger would judge nothing.
    """

    def __init__(self, address: MqttAddress) -> None:
        self.address = address
        self._signals = Signals()
        self._closing = threading.Event()
        try:
            connection = self._connected()
        except OSError as error:
            what = f"the trigger's broker is not there: {reason_of(error)}"
            raise SourceError(what, address.where, "check the broker and the network") from error
        self._thread = threading.Thread(
            target=self._listen, args=(connection,), name=f"edgead-trigger-{address.host}", daemon=True
        )
        self._thread.start()

    @classmethod
    def at(cls, text: str) -> MqttTrigger:
        """The trigger of an address in a text. Raises DataError where it is none."""
        return cls(MqttAddress.parse(text))

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """The messages that came since the last call."""
        return self._signals.take()

    def close(self) -> None:
        """Disconnect. Also when called twice."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _hear(self, payload: bytes, retained: bool) -> None:
        if not retained:
            self._signals.put(read_line(payload) if payload.strip() else Begin())

    def _connected(self) -> Connection:
        """A connection that hears the topic. Raises OSError."""
        connection = Connection(self.address, on_message=self._hear)
        try:
            connection.open()
            connection.subscribe(self.address.topic, self.address.qos)
        except BaseException:
            connection.drop()
            raise
        return connection

    def _listen(self, connection: Connection) -> None:
        """The thread that hears."""
        while not self._closing.is_set():
            try:
                connection.turn(_TURN_SECONDS)
            except Exception as error:  # noqa: BLE001 - a thread that ends without a word would hide every part
                connection.drop()
                log.warning("%s: %s; parts may be missed until it is back", self.address.where, reason_of(error))
                self._signals.put(
                    Refused(f"the trigger's broker was lost, parts may have been missed: {reason_of(error)}")
                )
                if (again := self._again()) is None:
                    return
                connection = again
                log.warning("%s is heard again", self.address.where)
        connection.close()

    def _again(self) -> Connection | None:
        """Another connection, however long that takes; None where the trigger is closed before."""
        pause = RETRY_SECONDS
        while not self._closing.wait(pause * random.uniform(0.5, 1.5)):
            try:
                return self._connected()
            except Exception as error:  # noqa: BLE001 - as in `_listen`
                log.debug("%s: %s", self.address.where, reason_of(error))
            pause = min(LONGEST_RETRY, 2 * pause)
        return None
