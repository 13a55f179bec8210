"""GStreamer's own pictures through Debian's PyGObject, lent to this Python where its version is the same."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame
from edgead.sources import gstreamer, open_source

DEBIAN = Path("/usr/lib/python3/dist-packages/gi")
SECRET = "secretpw"


@pytest.fixture(autouse=True)
def without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: False)
    if importlib.util.find_spec("gi") is None:
        tag = sys.implementation.cache_tag
        if not any(tag in path.name for path in DEBIAN.glob("_gi.*.so")):
            pytest.skip("there is no PyGObject for this Python: apt-get install python3-gi")
        (tmp_path / "gi").symlink_to(DEBIAN)
        monkeypatch.syspath_prepend(tmp_path)
    gi = importlib.import_module("gi")
    try:
        gi.require_version("Gst", "1.0")
        gst = importlib.import_module("gi.repository.Gst")
    except (ValueError, ImportError):
        pytest.skip("there is no GStreamer: apt-get install gir1.2-gstreamer-1.0")
    gst.init(None)
    for element in ("videotestsrc", "appsink", "videoconvert"):
        if gst.ElementFactory.find(element) is None:
            pytest.skip(f"GStreamer has no {element}: apt-get install gstreamer1.0-plugins-base")


@pytest.mark.parametrize("width", [64, 61])  # lines of 61 pixels are padded
def test_colours_and_sizes_are_right(width: int) -> None:
    caps = f"video/x-raw,width={width},height=48,framerate=50/1"
    source = open_source(f"gst://videotestsrc is-live=true pattern=red ! {caps}", stall=0)
    with source:
        frames = [source.read(2) for _ in range(5)]
        for frame in frames:
            assert isinstance(frame, Frame)
            assert frame.image.shape == (48, width, 3)
            assert abs(frame.image.astype(int) - (0, 0, 255)).max() < 6
    assert source.live and [frame.frame_id for frame in frames if isinstance(frame, Frame)] == list(range(5))


def test_a_pipeline_that_ends_is_lost_and_started_again() -> None:
    with open_source("gst://videotestsrc is-live=true num-buffers=3 ! video/x-raw,width=64,height=48") as source:
        readings = [source.read(3) for _ in range(8)]
    assert [type(reading) for reading in readings] == [Frame, Frame, Frame, LostFrame] * 2


@pytest.mark.parametrize(
    "pipeline",
    [
        "nosuchelement",
        f"filesrc location=/none/{SECRET}@x ! fakesink",
        f"souphttpsrc location=http://joe:{SECRET}@127.0.0.1:9/ ! jpegdec",
        "videotestsrc ! fakesink name=appsink",
    ],
)
def test_a_pipeline_that_does_not_run_says_why_and_no_password(
    pipeline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=r"gst-launch-1\.0") as raised, open_source(f"gst://{pipeline}"):
        pass
    output = capfd.readouterr()
    assert f"joe:{SECRET}" not in str(raised.value) + output.out + output.err
