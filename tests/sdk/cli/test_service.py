"""A line as a service: settings in a file, a manager that hears of it, thresholds read again, a log for machines."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgead.bundle import read_bundle
from edgead.cli.stream import stream_command
from edgead.errors import EdgeadError
from tests.other_detector import other_detector


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return shutil.copy(fp32_bundle, tmp_path / "part.edgead")


def line(tmp_path, bundle, **changes):
    settings = {
        "bundle": str(bundle),
        "camera": ["synthetic://?fps=20&size=64"],
        "save": [str(tmp_path / "results.jsonl")],
        "log": str(tmp_path / "line.log"),
        "quiet": True,
        **changes,
    }
    path = tmp_path / "line.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return path


def test_settings_fill_in_what_the_command_line_does_not_say(edgead, bundle, tmp_path):
    settings = line(tmp_path, bundle, **{"max-frames": 5})
    assert json.loads(edgead("stream", "--config", settings, "--json"))["judged"] == 5
    assert json.loads(edgead("stream", "--config", settings, "--max-frames", 2, "--json"))["judged"] == 2
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"camra": "0"}, "did you mean camera"), ({"policy": "first"}, "first")],
)
def test_what_makes_no_sense_is_named(bundle, tmp_path, changes, reason):
    command = [sys.executable, "-m", "edgead.cli.main", "stream", "--config", line(tmp_path, bundle, **changes)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2) and reason in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("log = true", "'log' is no text"), ("log = 5", "'log' is no text"), ("video = [5]", "'video' is no text"),
        ("web-token-file = 5", "'web-token-file' is no text"), ('log = "secret\\u0000"', "'log' is no text"),
        ('save = ["secret\\u0000.jsonl"]', "'save' is no text"), ("save = [[]]", "'save' is no text"),
        ("policy = 1", "'policy' is no text"), ("log = 2026-01-01", "'log' is no text"),
        ("stall = nan", "'stall' is nan, no number"), ("stall = inf", "'stall' is inf, no number"),
        (f"stall = 1{'0' * 400}", f"'stall' is 1{'0' * 39}, no number"),
        ("keep-accepts = true", "'keep-accepts' is True, no number"),
        ("max-frames = 1.5", "'max-frames' is 1.5, no whole number"),
        ("max-frames = true", "'max-frames' is True, no whole number"),
        ('max-frames = "many"', "'max-frames' is 'many', no whole number"),
        ("wait = 5", "'wait' is neither true nor false"),
    ],
)  # fmt: skip
def test_a_setting_of_another_kind_is_one_line(setting, reason, tmp_path):
    path = tmp_path / "line.toml"
    path.write_text(setting)
    done = CliRunner().invoke(stream_command, ["--config", str(path), "part.edgead", "--camera", "63"])
    assert isinstance(done.exception, EdgeadError)
    assert str(done.exception).startswith(f"{reason}, {path}, write ") and "secret" not in str(done.exception)


def test_settings_arrive_as_the_command_line_gives_them(tmp_path):
    path = tmp_path / "line.toml"
    settings = ("camera = 0", 'save = "a.jsonl"', 'video = ["b.avi"]', "min-area = 50", "stall = 2", 'log = "l"')
    path.write_text("\n".join((*settings, "wait = true")))
    context = stream_command.make_context("stream", ["--config", str(path), "part.edgead"])
    found = {name: context.params[name] for name in ("cameras", "saves", "videos", "min_area", "stall", "log", "wait")}
    assert found == {"cameras": ("0",), "saves": ("a.jsonl",), "videos": (Path("b.avi"),), "min_area": "50",
                     "stall": 2.0, "log": Path("l"), "wait": True}  # fmt: skip


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_service_is_heard_reloads_and_ends_well(bundle, parts, tmp_path):
    """A real process under a stand-in for systemd: ready, alive, other thresholds, another detector, a file that is
    refused, the end; and a verdict for every frame."""
    other = other_detector(parts)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    heard: list[str] = []

    def listen():
        try:
            while True:
                heard.append(listener.recv(4096).decode())
        except BlockingIOError:
            return heard

    def wait(condition):
        wait_for(lambda: listen() and condition())  # a socket that nobody reads would hold the line up once it is full

    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    command = [sys.executable, "-m", "edgead.cli.main", "stream", "--config", line(tmp_path, bundle, policy="every")]
    running = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True)
    results, log = tmp_path / "results.jsonl", tmp_path / "line.log"
    try:
        wait(lambda: any(text.startswith("READY=1") for text in heard))
        wait(lambda: results.exists() and len(results.read_text().splitlines()) > 5)
        read = read_bundle(bundle)
        digests = [read.digest]
        variant = read.manifest.variant("fp32")
        low = replace(variant.thresholds.image, value=-1.0)
        changed = replace(variant, thresholds=replace(variant.thresholds, image=low, warn=low), self_test={})
        read = read.with_variant("fp32", changed, {})
        read.write(bundle)
        running.send_signal(signal.SIGHUP)
        wait(lambda: '"verdict":"reject"' in results.read_text().splitlines()[-1])
        wait(lambda: "reject" in log.read_text() and "becomes -1" in log.read_text())
        digests += [read.digest, read_bundle(other).digest]
        shutil.copy(other, tmp_path / "new.edgead")
        os.replace(tmp_path / "new.edgead", bundle)
        running.send_signal(signal.SIGHUP)
        wait(lambda: digests[-1] in results.read_text().splitlines()[-1])
        assert "another detector takes over" in log.read_text()
        bundle.write_bytes(b"no bundle")
        running.send_signal(signal.SIGHUP)
        wait(lambda: "not reloaded" in log.read_text())
        count = len(results.read_text().splitlines())
        wait(lambda: len(results.read_text().splitlines()) > count + 3)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.stderr.close()
    states = [text.splitlines()[0] for text in listen()]
    assert states[0] == "READY=1" and states[-1] == "STOPPING=1"
    assert states.count("RELOADING=1") == 3 and states.count("READY=1") == 4 and "WATCHDOG=1" in states
    records = [json.loads(text) for text in log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= records[0].keys()
    judged = [json.loads(text) for text in results.read_text().splitlines()]
    assert [result["frame_id"] for result in judged] == list(range(len(judged)))
    assert [digest for digest, _ in itertools.groupby(result["bundle"] for result in judged)] == digests
    listener.close()
