"""What a process tells systemd of itself: ready, alive, stopping (the protocol of `sd_notify(3)`)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class ServiceManager:
    """The socket that systemd gives a service of `Type=notify`; without one, as in a terminal, nothing is sent.

    With `WatchdogSec=` in the unit, systemd restarts a service from which nothing was heard for that long: `alive` is
    to be called by the thread that does the work, as often as it likes, so that one that hangs is noticed.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # a name in Linux's abstract namespace
            self._address = "\0" + self._address[1:]
        microseconds = given.get("WATCHDOG_USEC", "")
        mine = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._period = int(microseconds) / 1e6 / 4 if mine and microseconds.isdecimal() else 0.0
        self._told = 0.0

    def ready(self, status: str = "") -> None:
        """Everything is set up; units that come after this one may start."""
        self._send("READY=1", status)

    def alive(self, status: str = "") -> None:
        """Work goes on. Sent at most four times in a watchdog's period, and not at all where none watches."""
        now = time.monotonic()
        if self._period and now - self._told >= self._period:
            self._told = now
            self._send("WATCHDOG=1", status, patience=0.0)

    def reloading(self) -> None:
        """Settings are read again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """The run ends; what is under way is finished."""
        self._send("STOPPING=1", status)

    def _send(self, state: str, status: str = "", *, patience: float = 1.0) -> None:
        """patience: seconds that a manager may take that is behind with its reading; then it does not hear of this."""
        if not self._address:
            return
        message = state + (f"\nSTATUS={' '.join(status.split())}" if status else "")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(self._address)
                sender.settimeout(patience)
                sender.sendall(message.encode())
        except OSError:
            pass  # nobody listens, or not now: a line does not stop for that, and says it again
