"""Errors in words that may be logged."""

from __future__ import annotations

import pytest

from edgead.sinks.reason import reason_of


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (OSError("no way to https://anna:geheim@host/x?token=tok8"), "no way to https://host/x?token=***"),
        (OSError("two\nlines\r\n"), "two lines"),
        (OSError("x" * 1000), "x" * 200),
    ],
)
def test_what_an_error_says(error: Exception, told: str) -> None:
    assert reason_of(error) == told
