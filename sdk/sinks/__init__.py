"""Where results go: `open_sink` takes a path or an address and answers with the sink for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.errors import SinkError
from edgead.sinks.base import Sink
from edgead.sources.address import redact
from edgead.sources.base import Source

if TYPE_CHECKING:
    from edgead.sinks.images import Pictures
    from edgead.sinks.view.heat import Heat

__all__ = ["Sink", "open_sink"]

KNOWN = ".jsonl, .sqlite, .db, .mp4, .avi, https://, http://, mqtt://, mqtts://, gpio://"
_ADDRESS = re.compile(r"(?i)(https?|mqtts?|gpio):/{1,2}(?=[^/])")  # a Path has lost the second slash
_MISTYPED = re.compile(r"(?i)[a-z][a-z0-9+.-]+:/|(https?|mqtts?|gpio):")


def open_sink(
    path: str | Path,
    *,
    source: Source | None = None,
    scale: tuple[float, float] | Heat | None = None,
    pictures: Pictures | None = None,
    encoder: str = "auto",
) -> Sink:
    """The sink for a path, `.jsonl`, `.sqlite` or `.db`, `.mp4` or `.avi`, or for an address, `https://`, `http://`,
    `mqtts://`, `mqtt://` or `gpio://`. Nothing is opened yet.

    source, scale, encoder: for video, see `VideoSink`. pictures: which frames a database keeps, see `Pictures`; by
    default rejects and one accept in a thousand, 2 GiB and 30 days at most. Raises SinkError for another suffix and
    for any other address; the message holds no secret.
    """
    if found := _ADDRESS.match(str(path)):
        scheme, rest = found[1].lower(), str(path)[found.end() :]
        if scheme == "gpio":
            from edgead.sinks.gpio import GpioSink

            return GpioSink(f"gpio://{rest}")
        from edgead.sinks.spooled import SpooledSink

        if scheme.startswith("mqtt"):
            from edgead.sinks.mqtt import MqttSink

            return SpooledSink(MqttSink(f"{scheme}://{rest}"))
        from edgead.sinks.webhook import WebhookSink

        return SpooledSink(WebhookSink(f"{scheme}://{rest}"))
    if _MISTYPED.match(str(path)):
        raise SinkError("no sink is known for such an address", _shown(str(path)), f"give one of {KNOWN}")
    suffix = Path(path).suffix.lower()
    if suffix == ".jsonl":
        from edgead.sinks.jsonl import JsonlSink

        return JsonlSink(path)
    if suffix in (".sqlite", ".db"):
        from edgead.sinks.images import Pictures
        from edgead.sinks.spooled import SpooledSink
        from edgead.sinks.sqlite import SqliteSink

        return SpooledSink(SqliteSink(path, pictures=pictures or Pictures()))
    if suffix in (".mp4", ".avi"):
        from edgead.sinks.view.video import VideoSink

        return VideoSink(path, source=source, scale=scale, encoder=encoder)
    shown = _shown(str(path))
    kind = Path(shown).suffix.lower() or "a name without suffix"
    raise SinkError(f"no sink is known for {kind}", shown, f"give one of {KNOWN}")


def _shown(text: str) -> str:
    """A path or an address without its secrets; nothing of a text in which nobody knows where they would be."""
    return redact(text) if "://" in text or "@" not in text else ""
