from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgead.errors import SourceError
from edgead.sources import open_source
from edgead.sources.camera import Camera
from edgead.sources.folder import ImageFiles
from edgead.sources.synthetic import SyntheticSource
from edgead.sources.video import VideoFile
from edgead.sources.watched import WatchedFolder


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        (0, Camera, "camera 0"),
        ("2", Camera, "camera 2"),
        ("/dev/video1", Camera, "/dev/video1"),
        ("RTSP://joe:pw@cell-4/top", Camera, "RTSP://cell-4/top"),
        ("https://cell-4/top.mjpg", Camera, "https://cell-4/top.mjpg"),
        ("csi://1", Camera, "csi://1"),
        ("gst://videotestsrc", Camera, "gst://videotestsrc"),
        ("watch:///parts", WatchedFolder, "watch:///parts"),
        ("synthetic://?seed=3", SyntheticSource, "synthetic://?seed=3"),
        ("parts/*.png", ImageFiles, "parts/*.png"),
        ("part.JPG", ImageFiles, "part.JPG"),
    ],
)
def test_each_kind_of_spec_has_its_source(spec: str | int, kind: type, name: str) -> None:
    source = open_source(spec)
    assert type(source) is kind
    assert source.name == name


def test_paths_are_told_apart_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "line.mp4").write_bytes(b"")
    (tmp_path / "set[1]").mkdir()
    assert type(open_source(tmp_path)) is ImageFiles
    assert type(open_source(str(tmp_path / "set[1]"))) is ImageFiles
    assert type(open_source(tmp_path / "line.mp4")) is VideoFile


def test_an_unknown_scheme_lists_the_known_ones_and_no_password() -> None:
    with pytest.raises(
        SourceError, match=r"no source is known for ftp://, ftp://cell-4/top, give .*rtsp://.*synthetic://"
    ):
        open_source("ftp://joe:secretpw@cell-4/top")


@pytest.mark.parametrize("spec", ["missing.mp4", "missing", Path("rtsp://x")])
def test_a_missing_path_is_an_error(spec: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"there is no such file or folder, .*give a camera index"):
        open_source(spec)


@pytest.mark.parametrize("spec", ["gst://videotestsrc ! videoconvert", "csi://0"])
def test_gstreamer_sources_say_what_to_install(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgead.sources import gstreamer

    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: False)
    monkeypatch.setitem(sys.modules, "gi", None)
    source = open_source(spec)
    with pytest.raises(SourceError, match=r"neither OpenCV nor Python has GStreamer.*python3-gi"), source:
        pass


@pytest.mark.parametrize("stall", [-1.0, float("nan"), float("inf")])
def test_seconds_of_a_stall_are_checked(stall: float) -> None:
    with pytest.raises(ValueError, match="seconds from 0 on"):
        open_source(0, stall=stall)


@pytest.mark.parametrize("spec", ["csi://front", "csi://0?width=wide", "csi://0?zoom=2", "gst://"])
def test_malformed_pipelines_are_errors(spec: str) -> None:
    with pytest.raises(SourceError, match="write "):
        open_source(spec)


def test_importing_the_sources_does_not_load_opencv() -> None:
    code = "import sys, edgead.sources, edgead.sinks; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
