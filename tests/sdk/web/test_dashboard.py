"""The dashboard as the sink of a stream, and as an option of the command line."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import numpy as np
import pytest

from edgead.bands import Bands
from edgead.cli.web_option import TOKEN_VARIABLE, open_dashboard, web_options
from edgead.errors import SinkError
from edgead.frame import Frame, Signal
from edgead.sources.base import Source
from edgead.streaming import Stream
from edgead.web import Dashboard, Limits
from edgead.web import files as healths
from tests.sdk.web.conftest import TOKEN, Line, judged


class Belt(Source):
    """Sixty frames, the fifth of which is lost."""

    def open(self):
        self._next_id = 0

    def close(self):
        pass

    def read(self, timeout):
        if self._next_id == 60:
            return Signal.END
        if self._next_id == 5:
            return self._lost("torn")
        return self._frame(np.full((48, 64, 3), 90, np.uint8))


class Judge:
    def prepare(self, image):
        return image

    def infer(self, prepared):
        return 1.5

    def judge(self, answer, frame: Frame, timing):
        return judged(frame.frame_id, 1.5 if frame.frame_id % 10 == 0 else 0.2, frame.source)[0]


def test_a_stream_is_shown_while_it_runs_and_the_page_goes_with_it(tmp_path):
    said = []
    records = tmp_path / "results.jsonl"
    dashboard = Dashboard("127.0.0.1:0", title="Belt 3", files=[records], announce=said.append)
    run = Stream(Judge(), Belt("belt"), sinks=[records, dashboard])
    dashboard.watch(lambda: run.summary)
    with run:
        for result in run:
            if result.frame_id == 59:
                until = time.monotonic() + 5
                while dashboard.board.cameras[0].judged < 59 and time.monotonic() < until:
                    time.sleep(0.01)
                state = Line(dashboard).ask("GET", "/api/state").json
    (camera,) = state["cameras"]
    assert (camera["judged"], camera["lost"]) == (59, 1)
    assert camera["verdicts"] == {"accept": 53, "warn": 0, "reject": 6}
    assert (state["title"], state["dropped"]) == ("Belt 3", 0)
    assert state["faults"][0]["reason"] == "torn"
    assert [one["frame_id"] for one in state["rejects"]] == [50, 40, 30, 20, 10, 0]
    assert state["files"][0]["name"] == "results.jsonl" and state["files"][0]["bytes"] > 0 and state["writing"] > 0
    assert said == [f"dashboard: {dashboard.url}"]  # nothing can be changed, so no token is told
    with pytest.raises(OSError):
        Line(dashboard).ask("GET", "/healthz")


def test_a_busy_port_ends_the_run_at_its_start(make_line):
    busy = make_line()
    with (
        pytest.raises(SinkError, match="in use"),
        Stream(Judge(), Belt("belt"), sinks=[Dashboard(f"127.0.0.1:{busy.port}")]),
    ):
        pass


def test_a_missing_extra_is_named():
    program = (
        "import sys\nsys.modules['uvicorn'] = None\nfrom edgead.web import Dashboard\n"
        "from edgead.errors import SinkError\n"
        "try:\n    Dashboard().open()\nexcept SinkError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "uvicorn is not installed" in done.stdout and 'pip install "edgead[web]"' in done.stdout


def test_making_a_dashboard_loads_no_server():
    program = (
        "from edgead.web import Dashboard\nDashboard()\nimport sys\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'starlette', 'uvicorn', 'prometheus_client'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_files_tell_how_they_fare(tmp_path):
    (tmp_path / "a.sqlite").write_bytes(b"x" * 1000)
    (tmp_path / "a.sqlite-wal").write_bytes(b"x" * 500)
    (tmp_path / ".out[1].77.partial.mp4").write_bytes(b"x" * 20)
    base, video, missing, lost = healths.health(
        [tmp_path / "a.sqlite", tmp_path / "out[1].mp4", tmp_path / "b.jsonl", tmp_path / "gone" / "c.jsonl"]
    )
    assert (base["name"], base["bytes"]) == ("a.sqlite", 1500) and 0 <= base["age"] < 60 and base["free"] > 0
    assert video["bytes"] == 20
    assert missing["bytes"] is None and missing["age"] is None
    assert lost["free"] is None and not lost["low"]


# The command line


def options(*arguments: str) -> dict[str, object]:
    @click.command()
    @web_options
    @click.option("--camera")
    def command(**given):
        return given

    return command.main(list(arguments), standalone_mode=False)


def test_the_options():
    assert options() == {"web": None, "web_token_file": None, "web_names": (), "camera": None}
    assert options("--web", "--camera", "0")["web"] == "127.0.0.1:8080"
    assert options("--web", "0.0.0.0:9000", "--web-name", "a", "--web-name", "b")["web_names"] == ("a", "b")


def test_thresholds_changed_on_the_page_are_the_detectors(fp32_bundle, monkeypatch):
    import edgead

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with edgead.load(fp32_bundle, target="openvino") as detector:
        image = np.full((64, 64, 3), 120, np.uint8)
        score = detector(image).raw_score
        dashboard = open_dashboard("127.0.0.1:0", None, (), detector, title="parts")
        assert dashboard.access.token == TOKEN and dashboard.settings.limits.reject == detector.thresholds.image.value
        with dashboard:
            line = Line(dashboard)
            for shift, verdict in ((1, "accept"), (-1, "reject")):
                answer = line.put("/api/thresholds", {"reject": score + shift, "warn": score + shift})
                assert answer.status == 200 and detector(image).verdict.value == verdict
        assert detector.thresholds.image.value == np.float32(score - 1)


def test_where_the_token_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    detector = FakeDetector()
    assert open_dashboard(None, None, (), detector) is None
    assert open_dashboard("127.0.0.1:0", None, (), detector).access.made_up
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert open_dashboard("0.0.0.0:0", file, (), detector).access.token == TOKEN
    monkeypatch.setenv(TOKEN_VARIABLE, "another-token-of-some-length")
    assert open_dashboard("0.0.0.0:0", None, (), detector).access.token == "another-token-of-some-length"
    assert open_dashboard("0.0.0.0:0", file, (), detector).access.token == TOKEN
    for content in (b"", b" \n", b"short", b"\xff\xfe" * 20):
        file.write_bytes(content)
        with pytest.raises(SinkError, match="token"):
            open_dashboard("0.0.0.0:0", file, (), detector)
    with pytest.raises(SinkError, match="cannot be read"):
        open_dashboard("0.0.0.0:0", tmp_path / "missing", (), detector)
    monkeypatch.delenv(TOKEN_VARIABLE)
    with pytest.raises(SinkError, match="needs a token"):
        open_dashboard("0.0.0.0:0", None, (), detector)
    for given in ((None, file, ()), (None, None, ("cell",))):
        with pytest.raises(click.UsageError, match="--web"):
            open_dashboard(*given, detector)


class FakeDetector:
    """No more than thresholds."""

    def __init__(self):
        from edgead.evaluation.thresholds import Threshold, Thresholds

        image, warn, pixel = (Threshold(value, "f1", {}) for value in (1.0, 0.5, 0.0))
        self.bands = Bands(Thresholds(image, warn, pixel), (0.0, 1.0))

    @property
    def thresholds(self):
        return self.bands.thresholds


def test_the_made_up_token_is_told_once(make_line):
    said = []
    line = make_line(token=None, announce=said.append)
    assert said == [f"dashboard: {line.dashboard.url}", f"token for changes on it: {line.dashboard.access.token}"]
    assert line.put("/api/thresholds", {"reject": 2, "warn": 1}, token=line.dashboard.access.token).status == 200
    assert line.limits == [Limits(2, 1)]
