"""When to try again, and whether it is worth trying: for cameras that may come back."""

from __future__ import annotations

import random
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 1.0
KNOCK_SECONDS = 1.0
_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443, "tcp": 0}


class Backoff:
    """Pauses that double from SHORTEST to LONGEST, each shortened at random by up to a half, so that many stations do
    not knock at a camera that comes back at the same moment."""

    def __init__(self) -> None:
        self._next = SHORTEST_SECONDS

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        longest, self._next = self._next, min(2 * self._next, LONGEST_SECONDS)
        return longest * random.uniform(0.5, 1.0)


def knock(address: str) -> str:
    """Whether anybody listens at a TCP address: nothing, or the reason why not.

    A camera without power does not refuse, it says nothing, and OpenCV opens one address at a time: an attempt of
    FFmpeg's would hold up every other camera of the process for seconds. Where there is no telling (UDP, a proxy, an
    address that is none), nothing is said.
    """
    try:
        parts = urlsplit(address)
        scheme = parts.scheme.lower()
        port = parts.port or _PORTS.get(scheme, 0)
        host = parts.hostname
    except ValueError:
        return ""
    if scheme not in _PORTS or not host or not port or scheme in getproxies():
        return ""
    try:
        socket.create_connection((host, port), KNOCK_SECONDS).close()
    except (OSError, UnicodeError) as error:  # of a name that is none, too
        return getattr(error, "strerror", None) or "it does not answer"
    return ""
