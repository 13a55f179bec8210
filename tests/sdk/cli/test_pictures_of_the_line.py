"""The options for pictures, videos and the window, on a command that only says what it got."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from edgead.cli.pictures_option import picture_options
from edgead.cli.service_option import service_options
from edgead.cli.show_option import open_window, show_option
from edgead.cli.video_option import video_options
from edgead.sinks import open_sink
from edgead.sinks.images import Pictures

got: dict[str, Any] = {}


@click.command()
@click.option("--save", "saves", multiple=True)
@picture_options
@video_options
@show_option
@service_options
def command(**named: Any) -> None:
    got.update(named)


def run(*arguments: str) -> Result:
    got.clear()
    return CliRunner().invoke(command, arguments)


def test_without_options_all_is_as_ever() -> None:
    assert run("--save", "a.jsonl").exit_code == 0
    assert got.pop("log") is None
    assert got == {
        "saves": ("a.jsonl",), "pictures": Pictures(), "videos": (), "video_encoder": "auto", "show_window": False,
    }  # fmt: skip


def test_pictures_are_what_was_asked_for(tmp_path: Path) -> None:
    options = (
        "--keep-accepts 0.25 --no-keep-rejects --picture-format jpg --picture-quality 80 --pictures-max-gib 0.5 "
        "--pictures-max-days 7"
    )
    expected = Pictures(False, 0.25, "jpg", 80, 1 << 29, 7.0)
    assert {f.name for f in dataclasses.fields(Pictures) if getattr(expected, f.name) == f.default} == {"format"}
    assert run("--save", "a.jsonl", "--save", "Line.DB", *options.split()).exit_code == 0
    assert got["pictures"] == expected
    settings = tmp_path / "line.toml"
    settings.write_text('save = ["a.sqlite"]\nkeep-accepts = 0.0\nkeep-rejects = true\npicture_format = "png"\n')
    assert run("--config", str(settings)).exit_code == 0
    assert got["pictures"] == Pictures(accepts=0.0, format="png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--keep-accepts 0.5", "beside a results database"),
        ("--no-keep-rejects --save a.jsonl", "beside a results database"),
        ("--keep-rejects --save https://server/a.sqlite", "beside a results database"),
        ("--save a.db --keep-accepts 1.5", "--keep-accepts"),
        ("--save a.db --keep-accepts nan", "--keep-accepts"),
        ("--save a.db --picture-format gif", "--picture-format"),
        ("--save a.db --picture-quality 0", "--picture-quality"),
        ("--save a.db --picture-quality 90 --picture-format png", "--picture-quality is for jpg"),
        ("--save a.db --pictures-max-gib 0", "--pictures-max-gib"),
        ("--save a.db --pictures-max-gib inf", "--pictures-max-gib"),
        ("--save a.db --pictures-max-days -1", "--pictures-max-days"),
        ("--save a.db --pictures-max-days nan", "--pictures-max-days"),
        ("--video-encoder x264enc", "--video-encoder needs --video"),
        ("--video a.mp4 --video b.avi --video-encoder x264enc", "x264enc writes .mp4 videos"),
    ],
)
def test_mistakes_are_mistakes_of_usage(arguments: str, message: str) -> None:
    answer = run(*arguments.split())
    assert answer.exit_code == 2 and message in answer.output and not got


def test_videos_and_the_window() -> None:
    assert run("--video", "a.mp4", "--video", "b.avi", "--video-encoder", "opencv", "--show").exit_code == 0
    assert (got["videos"], got["video_encoder"], got["show_window"]) == ((Path("a.mp4"), Path("b.avi")), "opencv", True)
    stop = threading.Event()
    assert open_window(False, stop) is None
    window = open_window(True, stop, cameras=["top", "side"])
    assert window is not None and window.may_skip


def test_the_help_says_the_defaults() -> None:
    text = " ".join(run("--help").output.split())
    for default in ("0.001", "keep-rejects", "jpg", "95", "2", "30"):
        assert f"[default: {default}]" in text


def test_pictures_reach_the_database(tmp_path: Path) -> None:
    run("--save", str(tmp_path / "a.sqlite"), "--pictures-max-days", "3")
    sink = open_sink(got["saves"][0], pictures=got["pictures"])
    assert sink.where.endswith("a.sqlite")
