"""The clock that things are timed by."""

from __future__ import annotations

import time


def monotonic(captured_at: float) -> float:
    """A moment of the wall's clock, in seconds since 1970, as one of time.monotonic.

    The wall's clock is set now and then: convert early, once. A moment in the future counts as now.
    """
    return time.monotonic() - max(0.0, time.time() - captured_at)
