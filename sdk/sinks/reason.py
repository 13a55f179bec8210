"""Why something failed, in words that may be logged."""

from __future__ import annotations

from edgead.sources.address import redact

_LONGEST = 200


def reason_of(error: BaseException) -> str:
    """What an error says, without secrets and in one short line; its type where it says nothing."""
    said = " ".join(redact(str(error)).split())
    return said[:_LONGEST] or type(error).__name__
