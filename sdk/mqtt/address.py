"""The address of a topic at a broker."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgead.errors import DataError
from edgead.sources.address import redact

PORT, TLS_PORT = 1883, 8883
LONGEST_TOPIC = 65_000  # bytes; MQTT takes 65535, and `/status` has to fit behind it
LONGEST_CLIENT = 200


@dataclass(frozen=True)
class MqttAddress:
    """`mqtt://[user:password@]host[:port]/topic/levels?qos=0|1|2&client=ID`, and `mqtts://` also with `ca=FILE`.

    secure: TLS, by default with the system's certificates, or with those in the file `ca` alone. qos: what the broker
    promises of a message. client: the name by which the broker knows the connection; it ends the older one of two of
    the same name. By default a name that nobody else has.
    """

    host: str
    topic: str
    port: int = PORT
    secure: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    qos: int = 1
    client: str = field(default_factory=lambda: f"edgead{secrets.token_hex(8)}")  # 23 at most, letters and digits
    ca: Path | None = None

    @classmethod
    def parse(cls, text: str) -> MqttAddress:
        """The address in a text. `%40` is @ and so on, in the user, the password and the topic. Raises DataError that
        says what is wrong, and holds no secret."""
        where = redact(text)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise DataError("the host or the port is none", where, _LIKE) from None
        if parts.scheme not in ("mqtt", "mqtts") or not host or not host.isprintable() or " " in host or port == 0:
            raise DataError("this is no address of a broker", where, _LIKE)
        if "#" in text:
            raise DataError("a # ends an address", where, "write it as %23 in a password; a topic has none")
        if "@" in parts.path or "@" in parts.query:  # part of a password, most likely, that a / or ? has cut in two
            raise DataError("an @ stands behind the host", where, "write %40 for it, and %2F and %3F in a password")
        user, password = parts.username or None, parts.password
        if password is not None and user is None:
            raise DataError("a password needs a user", where, _LIKE)
        secure = parts.scheme == "mqtts"
        options = _options(parts.query, where, ("qos", "client", "ca") if secure else ("qos", "client"))
        named = {"client": options["client"]} if "client" in options else {}
        return cls(
            host,
            _topic(unquote(parts.path[1:]), where),
            port or (TLS_PORT if secure else PORT),
            secure,
            None if user is None else unquote(user),
            None if password is None else unquote(password),
            int(options.get("qos", "1")),
            ca=Path(options["ca"]) if "ca" in options else None,
            **named,
        )

    @property
    def broker(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.secure else 'mqtt'}://{host}:{self.port}"

    @property
    def where(self) -> str:
        """What messages call it; no secrets."""
        return f"{self.broker}/{self.topic}"


_LIKE = "give it like mqtt://user:password@broker:1883/line/4"


def _topic(topic: str, where: str) -> str:
    if not topic:
        raise DataError("the topic is missing", where, _LIKE)
    if not topic.isprintable() or any(mark in topic for mark in "+#\ufffd"):
        raise DataError("the topic has + or #, or what cannot be printed", where, "name one topic")
    if len(topic.encode()) > LONGEST_TOPIC:
        raise DataError(f"the topic is longer than {LONGEST_TOPIC} bytes", "mqtt", "name a shorter one")
    return topic


def _options(query: str, where: str, known: tuple[str, ...]) -> dict[str, str]:
    """What follows the ?. Raises DataError."""
    options: dict[str, str] = {}
    for item in query.split("&") if query else ():
        key, _, value = item.partition("=")
        if key not in known or key in options:
            todo = f"give {', '.join(known)}, each once at most"
            raise DataError("what follows the ? is not known here, or comes twice", where, todo)
        options[key] = unquote(value)
    if options.get("qos", "1") not in ("0", "1", "2"):
        raise DataError("the quality of service is 0, 1 or 2", where, "give qos=1")
    client = options.get("client", "edgead")
    if not client.isprintable() or not 1 <= len(client) <= LONGEST_CLIENT:
        raise DataError(f"a client's name has 1 to {LONGEST_CLIENT} printable characters", where, "give client=line-4")
    if "ca" in options and not Path(options["ca"]).is_file():
        raise DataError("there is no file of certificates", options["ca"], "give ca=FILE, in PEM format")
    return options
