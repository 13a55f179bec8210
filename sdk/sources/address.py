"""Addresses without their secrets."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)\S*@")
_QUOTED_USER = re.compile(r"(?<=[\"'])([A-Za-z][\w+.-]*://)[^\"']*@")
_MISTYPED_USER = re.compile(r"(?<!\S)(?!/)\S*:\S*@")  # rtsp:/joe:1234@10.0.0.8
_SETTING = re.compile(
    r"(?i)(?:(?<![^\s?&;#,])|(?<=/)(?=user=)|(?<=_)(?=password=))"  # the last two: user=joe_password=1_channel=2
    r"(?P<key>[\w-]*(?:(?:user|usr|login|pass|pwd|psw|pw|token|secret|auth|credential|session|sig)[\w-]*|key)\s*=\s*)"
    r"(?P<value>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|(?:(?!_(?:password|channel|stream)=)(?:\\.|[^&\s\"']|[\"'](?=\w)))*)"
)


def redact(text: str) -> str:
    """Remove user names, passwords and tokens from every address in `text`; what tells one camera from another stays.

    `rtsp://admin:1234@10.0.0.8/top?channel=2&token=ab` becomes `rtsp://10.0.0.8/top?channel=2&token=***`. A password
    may hold any character but a space, `/`, quotes and `@` too, so everything up to the last `@` goes, even where that
    was a part of the path.
    """
    text = _QUOTED_USER.sub(r"\1", _SETTING.sub(r"\g<key>***", text))
    return _MISTYPED_USER.sub("", _USER.sub("", text))
