"""GStreamer's own pictures through Debian's PyGObject, lent to this Python where its version is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame
from edgead.sources import gstreamer, open_source
from tests.lent_gstreamer import lend

SECRET = "secretpw"


@pytest.fixture(autouse=True)
def without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: False)
    lend(tmp_path, monkeypatch, "videotestsrc", "appsink", "videoconvert")


@pytest.mark.parametrize("width", [64, 61])  # lines of 61 pixels are padded
def test_colours_and_sizes_are_right(width: int) -> None:
    caps = f"video/x-raw,width={width},height=48,framerate=50/1"
    source = open_source(f"gst://videotestsrc is-live=true pattern=red ! {caps}", stall=0)
    with source:
        frames = [source.read(10) for _ in range(5)]
        for frame in frames:
            assert isinstance(frame, Frame)
            assert frame.image.shape == (48, width, 3)
            assert abs(frame.image.astype(int) - (0, 0, 255)).max() < 6
    assert source.live and [frame.frame_id for frame in frames if isinstance(frame, Frame)] == list(range(5))


def test_a_pipeline_that_ends_is_lost_and_started_again() -> None:
    with open_source("gst://videotestsrc is-live=true num-buffers=3 ! video/x-raw,width=64,height=48") as source:
        readings = [source.read(10) for _ in range(8)]
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


def test_exceptions_of_engines_are_still_caught_beside_gstreamer() -> None:
    """Debian's GStreamer is linked with libunwind, which every library that came before may so take for its own."""
    gi = Path(str(sys.modules["gi"].__file__)).parents[1]
    code = f"""import sys; sys.path.append({str(gi)!r})
import openvino
from edgead.sources.appsink import gstreamer
gstreamer("x")
try:
    openvino.Core().read_model("/none.xml")
except RuntimeError:
    print("caught")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "caught\n"), done.stderr
