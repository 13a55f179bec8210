"""Who may read, and who may change something."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable

from edgead.errors import SinkError

SHORTEST = 16  # characters of a token
LOGIN_SECONDS = 12 * 3600  # a shift, and some
WRONG_TOKENS = 5  # from one address within WRONG_SECONDS, before it has to wait
WRONG_SECONDS = 60.0
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/?#@]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_ADDRESSES = 1024  # whose mistakes are remembered


class Wait(Exception):
    """Too many wrong tokens came from an address; `seconds` are left to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tokens: wait {seconds:.0f} s")
        self.seconds = seconds


class Access:
    """The token and what follows from it.

    token: None makes one up. private: whether reading needs it too. names: host names under which the page is
    reached, besides this machine's own and its addresses; a page of somebody else whose name was made to point here
    (DNS rebinding) is none of them. port: of the server, part of the cookie's name, since browsers send a host's
    cookies to all its ports. Raises SinkError for a token that is too short or not of printable ASCII.
    """

    def __init__(self, token: str | None, *, private: bool, names: Iterable[str] = (), port: int = 0) -> None:
        if token is not None and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
            todo = f"give at least {SHORTEST} characters, as from `openssl rand -hex 16`"
            raise SinkError("the token is too short, or not of printable ASCII", "dashboard", todo)
        self.made_up = token is None
        self.token = token or secrets.token_urlsafe(24)
        self.private, self.port = private, port
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower().rstrip(".") for name in names)}
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"edgead_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this machine: by an address, which nobody else's name can be, or a known name."""
        name = _host_name(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def check(self, token: str, client: str) -> bool:
        """Whether that is the token. Raises Wait where too many wrong ones came from that address."""
        now = time.monotonic()
        with self._lock:
            recent = [at for at in self._wrong.get(client, ()) if now - at < WRONG_SECONDS]
            if len(recent) >= WRONG_TOKENS:
                raise Wait(WRONG_SECONDS - (now - recent[0]))
            if _same(token, self.token):
                self._wrong.pop(client, None)
                return True
            self._wrong[client] = [*recent, now]
            self._wrong.move_to_end(client)
            if len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)
            return False

    def grant(self) -> str:
        """The value of a cookie that lets its bearer in for twelve hours, also after a restart with the same token."""
        until = str(int(time.time()) + LOGIN_SECONDS)
        return f"{until}.{self._sign(until)}"

    def granted(self, value: str) -> bool:
        """Whether `grant` made that value, and its time is not over."""
        until, _, signature = value.partition(".")
        if not _same(signature, self._sign(until)):
            return False
        return int(until) > time.time()  # what is signed is a number

    def _sign(self, text: str) -> str:
        return hmac.new(self.token.encode(), f"edgead dashboard {text}".encode(), hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_name(host: str) -> str:
    """The name in a Host header: without its port, and without brackets; empty where it is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


def _same(given: str, wanted: str) -> bool:
    """Comparison in a time that tells nothing, not even the length."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted))
    return hmac.compare_digest(*digests)
