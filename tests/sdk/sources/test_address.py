from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.sources.address import redact


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://10.0.0.8:554/top?channel=2", "rtsp://10.0.0.8:554/top?channel=2"),
        ("rtsp://admin:1234@10.0.0.8/top", "rtsp://10.0.0.8/top"),
        ("rtsp://admin@cell-4/top", "rtsp://cell-4/top"),
        ("rtsp://admin:p@ss/w#rd?@[fe80::1]:554/top", "rtsp://[fe80::1]:554/top"),
        ("rtsp://admin:p/w@cell-4/top", "rtsp://cell-4/top"),
        ("http://cam/video.cgi?user=joe&pwd=hunter2&size=2", "http://cam/video.cgi?user=***&pwd=***&size=2"),
        ("http://cam/stream?access_token=abc.def-9", "http://cam/stream?access_token=***"),
        ("rtsp://admin:123/4@10.0.0.8/top", "rtsp://10.0.0.8/top"),
        ("http://cam/stream?token=a@b", "http://cam/stream?token=***"),
        ("rtsp://joe:pw=ab@cam/stream", "rtsp://cam/stream"),
        (
            "gst://rtspsrc location=rtsp://a:b@cam/1 user-id=joe user-pw='x y' ! decodebin",
            "gst://rtspsrc location=rtsp://cam/1 user-id=*** user-pw=*** ! decodebin",
        ),
        (
            'gst://souphttpsrc location="http://a:b@cam/1" ! jpegdec',
            'gst://souphttpsrc location="http://cam/1" ! jpegdec',
        ),
        ("rtsp://admin:pa'ss@cell-4/top", "rtsp://cell-4/top"),
        ('rtsp://admin:a<b>"c@cell-4/top: refused', "rtsp://cell-4/top: refused"),
        ("/data/line@2/video.mp4", "/data/line@2/video.mp4"),
        # what recorders and cameras call their secrets
        (
            "rtsp://10.0.0.8:554/user=joe_password=x7_y_channel=1_stream=0.sdp?real_stream",
            "rtsp://10.0.0.8:554/user=***_password=***_channel=1_stream=0.sdp?real_stream",
        ),
        ("rtsp://dvr/user=joe&password=x7&channel=1", "rtsp://dvr/user=***&password=***&channel=1"),
        ("http://cam/x?key=AIza9&channel=2", "http://cam/x?key=***&channel=2"),
        ("http://cam/x?access-key=AIza9", "http://cam/x?access-key=***"),
        ("http://cam/x?psw=12&session=9#token=ab", "http://cam/x?psw=***&session=***"),
        ("http://cam/x?channel=1;pwd=55", "http://cam/x?channel=1;pwd=***"),
        ("http://cam/x?pwd=it's&channel=1", "http://cam/x?pwd=***&channel=1"),
        # as GStreamer quotes
        ('gst://rtspsrc location="rtsp://a:b c@cam/1" ! x', 'gst://rtspsrc location="rtsp://cam/1" ! x'),
        ('gst://rtspsrc user-pw="a\\"b" ! x', "gst://rtspsrc user-pw=*** ! x"),
        ("gst://rtspsrc user-pw=a\\ b ! x", "gst://rtspsrc user-pw=*** ! x"),
        (
            'gst://souphttpsrc extra-headers="x,Authorization=(string)abc" ! x',
            'gst://souphttpsrc extra-headers="x,Authorization=***" ! x',
        ),
        # mistyped
        ("rtsp:/joe:1234@cam/top", "cam/top"),
        ("rtsp//joe:1234@cam/top", "cam/top"),
        ("joe:1234@cam/top", "cam/top"),
    ],
)
def test_redact_removes_secrets_and_keeps_the_rest(address: str, shown: str) -> None:
    assert redact(address) == shown


@given(
    user=st.text(alphabet="abcXYZ019._-", min_size=1),
    password=st.text(alphabet="abcXYZ!$%^&*()@:/#?=+,;019'\"<>[]{}|`~", min_size=3),
    scheme=st.sampled_from(["rtsp", "http", "https", "rtmp"]),
)
def test_redact_never_shows_a_password(user: str, password: str, scheme: str) -> None:
    assert redact(f"{scheme}://{user}:{password}@10.0.0.8/stream") == f"{scheme}://10.0.0.8/stream"


def test_redact_is_idempotent() -> None:
    once = redact("rtsp://admin:1234@10.0.0.8/top?token=ab")
    assert redact(once) == once
