"""A run as JSON, as text and as a picture, from known times."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from edgead.bench.machine import Machine, Pace
from edgead.bench.memory import Memory
from edgead.bench.picture import draw
from edgead.bench.pipeline import Piped
from edgead.bench.report import Measured, Report
from edgead.bench.table import lines
from edgead.summary import Summary


@pytest.fixture
def report(sleeper):
    slow, fast = sleeper([1], batches=(1, 4)), sleeper([1], batches=(1,))
    slow.milliseconds = {1: [[4.0] * 10, [8.0] * 10, [6.0] * 10], 4: [[16.0] * 10] * 3}
    fast.milliseconds = {1: [[2.0] * 10, [2.0] * 10, [2.4] * 10]}
    facts, joules = ("openvino", "2026.1", "Some Xeon"), {"RAPL": 0.5, "GPU": 0.25}
    engines = [
        Measured("a<b.edgead", "fp32", *facts, Memory(50 << 20), slow, joules, Piped([100.0], [80.0], [0.95])),
        Measured("a<b.edgead", "int8", *facts, Memory(20 << 20, 10 << 20), fast),
    ]
    engines[0].piped.summary = Summary("line.mp4")
    machine = Machine(None, "Some Xeon", 2, ("performance",), 3000.0, None, {})
    idle, busy = Pace(0.1, (1000.0, 1200.0), {}), Pace(1.5, (3000.0, 3000.0), {})
    return Report(machine, idle, busy, engines, 10, 3, ("RAPL", "GPU"), "no INA3221 power monitor")


def test_json_holds_what_was_measured(report):
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    first, second = document["engines"]
    assert first["batches"]["1"] == {
        "p50": 6.0,
        "p95": 8.0,
        "p99": 8.0,
        "mean": 6.0,
        "images_per_second": pytest.approx(1000 / 6, abs=0.01),
        "calls": 30,
    }
    assert first["batches"]["4"]["images_per_second"] == 250
    assert first["ratio_to_first"] == {"median": 1, "least": 1, "most": 1}
    assert second["ratio_to_first"] == {"median": 0.4, "least": 0.25, "most": 0.5}  # of 2/4, 2/8 and 2.4/6
    assert first["memory_mib"] == {"resident": 50, "device": None}
    assert second["memory_mib"] == {"resident": 20, "device": 10}
    assert first["joules_per_image"] == {"RAPL": 0.5, "GPU": 0.25, "sum": 0.75}
    assert second["joules_per_image"] is None and second["pipeline"] is None
    assert first["pipeline"]["pipeline_share_of_engine"] == 0.8
    assert document["machine"]["before"]["mhz"] == [1000, 1200] and document["machine"]["governors"] == ["performance"]
    assert document["energy"] == {"meters": ["RAPL", "GPU"], "reason": "no INA3221 power monitor"}


def test_text_shows_the_machine_and_a_row_for_each(report):
    shown = lines(report)
    text = "\n".join(shown)
    assert shown[0] == "Some Xeon, 2 cores, up to 3000 MHz, governor performance"
    assert "before: load 0.10, cores at 1000 to 1200 MHz" in shown and "after:  load 1.50, cores at 3000 MHz" in shown
    assert "openvino 2026.1 on Some Xeon" in shown
    head, *rows = (line.split() for line in shown if "p50" in line or line.startswith("  a<b.edgead"))
    assert head[-7:] == ["p95", "p99", "MiB", "J/image", "to", "the", "first"]
    assert rows[0][3:] == ["6.000", "8.000", "8.000", "50.0", "0.7500", "1"]
    assert rows[1][3:] == ["2.000", "2.400", "2.400", "30.0", "-", "0.40", "(0.25", "to", "0.50)"]
    assert rows[2][3:] == ["166.7", "250.0"] and rows[3][3:] == ["468.8", "-"]
    assert rows[4][3:] == ["100.0", "80.0", "keeps", "80%,", "waits", "5%"] and len(rows) == 5
    assert "energy by RAPL, GPU" in text and "no INA3221" in text and "frames read" not in text


def test_text_of_one_engine_ends_with_the_stages_of_its_pipeline(report):
    del report.engines[1]
    assert any("0 frames read" in line for line in lines(report))


def test_text_without_pipelines(report):
    report.engines[0].piped = None
    assert not any("pipeline" in line for line in lines(report))


def rectangles(drawn):
    found = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")
    return [float(rectangle.get("width")) for rectangle in list(found)[1:]]  # the first is the ground


def test_bars_are_as_long_as_what_they_show(report):
    drawn = str(draw(report))
    slow, fast, *rates = rectangles(drawn)
    assert slow / fast == pytest.approx(6 / 2, rel=0.01)
    assert [rate / rates[0] for rate in rates] == pytest.approx([1, 1.5, 468.75 / 166.67], rel=0.01)


def test_whiskers_end_at_the_late_calls(report):
    root = ElementTree.fromstring(str(draw(report)))
    spell = "{http://www.w3.org/2000/svg}"
    bar = list(root.iter(f"{spell}rect"))[1]
    end = float(bar.get("x")) + float(bar.get("width"))
    whisker = next(line for line in root.iter(f"{spell}line") if line.get("stroke-width"))
    assert float(whisker.get("x1")) == pytest.approx(end, abs=0.02)
    scale = float(bar.get("width")) / 6.0
    assert float(whisker.get("x2")) - float(bar.get("x")) == pytest.approx(8.0 * scale, rel=0.01)


def test_a_picture_stays_within_its_frame_whatever_names_are(report):
    report.engines[0].bundle = "x" * 300 + ".edgead"
    root = ElementTree.fromstring(str(draw(report)))
    _, _, wide, high = map(float, root.get("viewBox").split())
    for mark in root.iter():
        for name, most in (("x", wide), ("x1", wide), ("x2", wide), ("y", high), ("y2", high)):
            if mark.get(name):
                assert 0 <= float(mark.get(name)) <= most
    texts = [mark.text for mark in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text and text.startswith("…") and text.endswith(".edgead fp32 openvino") for text in texts)
    assert any(text == "a<b.edgead int8 openvino" for text in texts)
