from __future__ import annotations

import json

import numpy as np

from edgead.result import Result, Verdict
from edgead.summary import Summary


def result(verdict: Verdict, **timing: float) -> Result:
    nothing = np.zeros((2, 2), np.float32)
    return Result(0.5, False, nothing, nothing > 0, 1.0, verdict, (), 0, "line", 0.0, timing)


def filled() -> Summary:
    summary = Summary("rtsp://cell-4/top")
    summary.begin()
    for number in range(100):
        summary.count(
            result(Verdict.REJECT if number < 10 else Verdict.ACCEPT, infer=number + 1.0, total=200.0, other=1.0)
        )
    summary.frames, summary.dropped, summary.lost = 110, 5, 3
    summary.end()
    return summary


def test_counts_and_percentiles() -> None:
    record = filled().to_json()
    assert record["judged"] == 100
    assert record["unfinished"] == 2
    assert record["verdicts"] == {"accept": 90, "warn": 0, "reject": 10}
    assert record["frames_per_second"] > 0
    assert set(record["milliseconds"]) == {"infer", "total"}
    assert abs(record["milliseconds"]["infer"]["p95"] - 95) < 95 * 0.023
    assert json.loads(json.dumps(record)) == record


def test_lines_for_people() -> None:
    lines = filled().lines()
    assert lines[0].startswith("100 frames judged in ")
    assert lines[0].endswith("90 accept, 0 warn, 10 reject")
    assert lines[1] == "110 frames read, 5 dropped, 3 lost, 2 unfinished"
    assert lines[2].split() == ["milliseconds", "p50", "p95", "p99"]
    assert [line.split()[0] for line in lines[3:]] == ["infer", "total"]


def test_the_clock_runs_from_begin_to_end() -> None:
    summary = Summary()
    assert summary.duration == 0 and summary.rate == 0
    summary.begin()
    first = summary.duration
    assert summary.duration > first
    summary.end()
    assert summary.duration == summary.duration


def test_swaps_are_told_where_there_were_some() -> None:
    summary = filled()
    assert "swaps" not in summary.to_json()
    summary.swaps = 2
    assert summary.to_json()["swaps"] == 2 and "another detector took over 2 times" in summary.lines()
