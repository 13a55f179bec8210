"""Where a dashboard listens."""

from __future__ import annotations

from edgead.errors import SinkError

DEFAULT = "127.0.0.1:8080"


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT` or `:PORT` (127.0.0.1) -> host and port, 0 for any free one. Raises SinkError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host and not bracketed):
        raise SinkError("this is no address for a dashboard", text, f"give HOST:PORT, as in {DEFAULT}")
    return (host[1:-1] if bracketed else host) or "127.0.0.1", int(port)
