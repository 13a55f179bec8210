from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgead.summary import Summary
from tests.sdk.web.conftest import TOKEN


def samples(line, token: str | None = None) -> dict[tuple[str, ...], float]:
    """What Prometheus' own parser reads: (name, label values in the order of their names) -> value."""
    answer = line.ask("GET", "/metrics", token=token)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert all(family.documentation for family in families)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_prometheus_reads_what_happened(make_line):
    line = make_line(cameras=("cam-a", 'cam "b"\n'))
    summary = Summary()
    summary.dropped, summary.spooled, summary.troubles = 7, 12, {"mqtt://broker/line": "has taken nothing for 11 s"}
    line.dashboard.watch(lambda: summary)
    line.feed(0.2, 0.7, 1.5, 1.6, source="cam-a")
    line.feed(0.1, source='cam "b"\n')
    line.lose()
    found = samples(line)
    assert found["edgead_verdicts_total", "cam-a", "reject"] == 2
    assert found["edgead_verdicts_total", "cam-a", "warn"] == found["edgead_verdicts_total", "cam-a", "accept"] == 1
    assert found["edgead_verdicts_total", 'cam "b"\n', "accept"] == 1
    assert found["edgead_lost_frames_total", "cam-a"] == 1
    assert found["edgead_score", "cam-a"] == 1.6
    assert found["edgead_threshold", "reject"] == 1 and found["edgead_threshold", "warn"] == 0.6
    assert found["edgead_dropped_frames_total",] == 7
    assert found["edgead_spooled_records",] == 12 and found["edgead_troubled_sinks",] == 1
    assert found["edgead_camera_stale", "cam-a"] == 0 and found["edgead_last_result_age_seconds", "cam-a"] < 5
    assert found["edgead_stage_seconds_count", "cam-a", "infer"] == 4
    assert found["edgead_stage_seconds_sum", "cam-a", "infer"] == pytest.approx(0.016)
    assert found["edgead_stage_seconds", "cam-a", "0.95", "infer"] == pytest.approx(0.004, rel=0.03)


def test_before_the_first_frame_there_is_nothing_to_say_of_a_score(make_line):
    found = samples(make_line())
    assert ("edgead_score", "camera") not in found and found["edgead_camera_stale", "camera"] == 1


def test_prometheus_brings_its_token(private):
    assert private.ask("GET", "/metrics").status == 401
    assert samples(private, TOKEN)["edgead_verdicts_total", "camera", "reject"] == 1
