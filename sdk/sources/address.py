"""Addresses without their secrets."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)\S*@")
_SETTING = re.compile(
    r"(?i)(?<![^\s?&])(?P<key>[\w-]*(?:user|usr|login|pass|pwd|pw|token|secret|auth|credential|api-?key|sig)[\w-]*\s*=\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^&\s\"']*)"
)


def redact(text: str) -> str:
    """Remove user names, passwords and tokens from every address in `text`; what tells one camera from another stays.

    `rtsp://admin:1234@10.0.0.8/top?channel=2&token=ab` becomes `rtsp://10.0.0.8/top?channel=2&token=***`. A password
    may hold any character but a space, `/`, quotes and `@` too, so everything up to the last `@` goes, even where that
    was a part of the path.
    """
    return _USER.sub("", _SETTING.sub(r"\g<key>***", text))
