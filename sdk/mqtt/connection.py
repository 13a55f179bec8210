"""One connection to a broker, from its begin until it is lost."""

from __future__ import annotations

import contextlib
import select
import ssl
import struct
import time
from collections.abc import Callable
from socket import IPPROTO_TCP, TCP_NODELAY, TCP_QUICKACK
from socket import socket as Socket
from typing import TYPE_CHECKING, Any

from edgead.errors import EdgeadError
from edgead.mqtt.address import MqttAddress

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

TIMEOUT_SECONDS = 5.0  # for a connection, and for the answer to what was sent
WHOLE = 3  # times TIMEOUT_SECONDS: for the answers to all of a window, of which some come again and again
SPEAK_SECONDS = 2.0  # for the answer to MQTT 5, before 3.1.1 is tried
KEEPALIVE_SECONDS = 15  # of silence, then both sides ask; after half as much again the broker publishes the last will
WINDOW = 64  # messages that may wait for their acknowledgement
_TURN_SECONDS = 0.2
_OLD, _NEW = 4, 5  # MQTT 3.1.1 and 5.0
_UNSUPPORTED = "Unsupported protocol version"
_speak_old: set[str] = set()  # brokers that this process has found to speak 3.1.1 alone


class Connection:
    """A connection that one thread has; it has no other of its own, so `turn` has to be called several times in
    KEEPALIVE_SECONDS.

    MQTT 5, in which the broker says why it takes a message not, and 3.1.1 where it does not speak that. Nothing is kept
    from one connection to the next. Everything that goes wrong is OSError; then only `drop` is called.

    will: topic and payload that the broker publishes, retained, when the connection is lost. on_message: called in
    `turn` with every message's payload and whether it was retained. room: how many messages may wait for their
    acknowledgement. most: bytes of the largest packet that the broker takes, where it says so.
    """

    def __init__(
        self,
        address: MqttAddress,
        *,
        will: tuple[str, bytes] | None = None,
        on_message: Callable[[bytes, bool], None] | None = None,
    ) -> None:
        self.room, self.most = WINDOW, 0
        self._address, self._will, self._on_message = address, will, on_message
        self._paho = import_paho()
        self._malformed = _raised_for_packets()
        self._client = self._made(_OLD if address.broker in _speak_old else _NEW)
        self._greeting: ReasonCode | None = None
        self._subscribed: ReasonCode | None = None
        self._ended = ""
        self._waiting: set[int] = set()
        self._answers: dict[int, str] = {}

    def open(self) -> None:
        """Connect. Raises OSError where the broker is not there, refuses, or does not answer in time."""
        try:
            self._connect()
        except _Unspoken:
            self.drop()
            self._client = self._made(_OLD)
            self._connect()
            _speak_old.add(self._address.broker)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> int:
        """Send a message -> its number. It has arrived when `settle` has returned."""
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != self._paho.MQTT_ERR_SUCCESS:
            raise self._lost(info.rc)
        if info.mid not in self._answers:
            self._waiting.add(info.mid)
        return info.mid

    def settle(self, timeout: float | None = None) -> dict[int, str]:
        """Wait until everything published is answered -> why the broker did not take a message, by its number. Raises
        TimeoutError where that takes longer than `timeout` seconds; by default, where no answer comes for
        TIMEOUT_SECONDS, or not all of them in WHOLE times that."""
        silence = TIMEOUT_SECONDS if timeout is None else timeout
        end = time.monotonic() + (WHOLE * TIMEOUT_SECONDS if timeout is None else timeout)
        until, left = time.monotonic() + silence, len(self._waiting)
        while self._waiting:
            if (now := time.monotonic()) > min(until, end):
                raise TimeoutError(f"the broker does not acknowledge {len(self._waiting)} messages")
            self.turn(min(_TURN_SECONDS, max(0.0, end - now)))
            if len(self._waiting) < left:
                until, left = time.monotonic() + silence, len(self._waiting)
        answers, self._answers = self._answers, {}
        return {number: reason for number, reason in answers.items() if reason}

    def subscribe(self, topic: str, qos: int) -> None:
        """Ask for the messages to a topic. Raises OSError where the broker does not give them."""
        self._client.subscribe(topic, qos)
        until = time.monotonic() + TIMEOUT_SECONDS
        while self._subscribed is None:
            if time.monotonic() > until:
                raise TimeoutError("the broker does not answer a subscription")
            self.turn(_TURN_SECONDS)
        if self._subscribed.is_failure:
            raise ConnectionRefusedError(f"the broker gives no messages: {self._subscribed}")

    def turn(self, timeout: float) -> None:
        """Send and receive what there is, after at most `timeout` seconds of waiting. Raises OSError for a lost
        connection."""
        client, socket = self._client, self._client.socket()
        if socket is None:
            raise self._lost(self._paho.MQTT_ERR_CONN_LOST)
        pending = isinstance(socket, ssl.SSLSocket) and socket.pending() > 0
        if isinstance(socket, Socket):
            socket.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)  # a broker that follows Nagle waits for it, else 40 ms
        poll = select.poll()  # not select(), which knows no descriptor beyond 1023
        poll.register(socket, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        ready = dict(poll.poll(0 if pending else timeout * 1e3)).get(socket.fileno(), 0)
        code = self._paho.MQTT_ERR_SUCCESS
        if pending or ready & ~select.POLLOUT:
            try:
                code = client.loop_read()
            except self._malformed as error:
                what = f"the broker sends what is no MQTT ({type(error).__name__})"
                raise ConnectionResetError(what) from error
        if code == self._paho.MQTT_ERR_SUCCESS and ready & select.POLLOUT:
            code = client.loop_write()
        if code == self._paho.MQTT_ERR_SUCCESS:
            code = client.loop_misc()
        if code != self._paho.MQTT_ERR_SUCCESS:
            raise self._lost(code)

    def close(self) -> None:
        """Say goodbye: the broker publishes no last will."""
        with contextlib.suppress(OSError):
            self._client.disconnect()
            until = time.monotonic() + TIMEOUT_SECONDS
            while self._client.want_write() and time.monotonic() < until:
                self.turn(_TURN_SECONDS)
        self.drop()

    def drop(self) -> None:
        """Hang up without a word, so that the broker publishes the last will. Also when called twice."""
        if (socket := self._client.socket()) is not None:
            socket.close()

    def _made(self, version: int) -> Client:
        address = self._address
        client: Client = self._paho.Client(
            self._paho.CallbackAPIVersion.VERSION2, address.client, protocol=version, reconnect_on_failure=False
        )
        client.connect_timeout = TIMEOUT_SECONDS
        client.max_inflight_messages_set(WINDOW)  # whoever publishes keeps to `room`
        client.on_connect, client.on_disconnect = self._greeted, self._hung_up
        client.on_publish, client.on_subscribe = self._published, self._granted
        client.on_message = self._received
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if self._will is not None:
            client.will_set(self._will[0], self._will[1], qos=1, retain=True)
        return client

    def _connect(self) -> None:
        address, client, new = self._address, self._client, self._client.protocol == _NEW
        if address.secure:
            client.tls_set_context(ssl.create_default_context(cafile=None if address.ca is None else str(address.ca)))
        self._greeting, self._ended = None, ""
        try:
            client.connect(address.host, address.port, KEEPALIVE_SECONDS)
        except UnicodeError:
            raise OSError("this is no name of a host") from None
        if isinstance(socket := client.socket(), Socket):
            socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # a record waits for no other
        until = time.monotonic() + (min(SPEAK_SECONDS, TIMEOUT_SECONDS) if new else TIMEOUT_SECONDS)
        try:
            while self._greeting is None:
                if time.monotonic() > until:
                    raise TimeoutError("the broker does not answer")
                self.turn(_TURN_SECONDS)
        except OSError as error:
            if self._greeting is None:  # some brokers hang up on what they do not know, some wait for more of it
                if new:
                    raise _Unspoken from error
                raise
        if str(self._greeting) == _UNSUPPORTED and new:
            raise _Unspoken
        if self._greeting is not None and self._greeting.is_failure:
            raise ConnectionRefusedError(f"the broker refuses the connection: {self._greeting}")

    def _lost(self, code: int) -> ConnectionError:
        told = self._ended or self._paho.error_string(code)
        return ConnectionResetError(f"the connection is lost: {told.rstrip('.')}")

    def _greeted(self, _: Any, __: Any, ___: Any, reason: ReasonCode, properties: Any) -> None:
        self._greeting = reason
        self.room = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.most = getattr(properties, "MaximumPacketSize", 0)

    def _hung_up(self, _: Any, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._ended = str(reason)

    def _published(self, _: Any, __: Any, number: int, reason: ReasonCode, ___: Any) -> None:
        self._waiting.discard(number)
        self._answers[number] = str(reason) if reason.is_failure else ""

    def _granted(self, _: Any, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        if reasons:  # a packet may lack them
            self._subscribed = reasons[0]

    def _received(self, _: Any, __: Any, message: Any) -> None:
        if self._on_message is not None:
            self._on_message(bytes(message.payload), bool(message.retain))


class _Unspoken(ConnectionError):
    """The broker does not speak this version."""


def _raised_for_packets() -> tuple[type[Exception], ...]:
    """What paho raises, beside OSError, where it stumbles over a packet."""
    from paho.mqtt import MQTTException

    return ValueError, LookupError, AssertionError, struct.error, MQTTException


def import_paho() -> Any:
    """The module of paho-mqtt's client. Raises EdgeadError where it is not installed."""
    try:
        import paho.mqtt.client as paho
    except ImportError:
        raise EdgeadError("paho-mqtt is not installed", "mqtt", 'run `pip install "edgead[mqtt]"`') from None
    return paho
