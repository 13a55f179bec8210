"""Rules for several cameras: what one of them shows is nothing to another."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.verdicts import Hysteresis, Line, PartRule, Rules, Ruling, Rulings, TriggerAddress, parse_area
from edgead.verdicts import rulings as rulings_module


def frame(source, number):
    return Frame(np.zeros((8, 8, 3), np.uint8), number, source, 0.0)


def result(source, number, verdict, value=0.0):
    found = np.full((4, 4), value, np.float32)
    bad = verdict is Verdict.REJECT
    return Result(float(bad), bad, found, found > 100, value, verdict, (), number, source, 0.0)


def test_each_camera_has_its_own_hysteresis(scoring):
    """Two cameras by turns say what each would say alone, whatever the other shows."""
    rules, random = Rules(hysteresis=Hysteresis(2, 3)), np.random.default_rng(0)
    shown = {name: [Verdict.REJECT if bad else Verdict.ACCEPT for bad in random.random(30) < 0.4] for name in "ab"}
    alone = {}
    for name, verdicts in shown.items():
        ruling = Ruling(rules, scoring)
        outcomes = [ruling.apply(result(name, n, v), frame(name, n)) for n, v in enumerate(verdicts)]
        alone[name] = [outcome[0].verdict for (outcome,) in outcomes]
    together = Rulings(rules, scoring)
    said = {"a": [], "b": []}
    for number in range(30):
        for name in "ab":
            ((found, _),) = together.apply(result(name, number, shown[name][number]), frame(name, number))
            said[name].append(found.verdict)
    assert said == alone and alone["a"] != alone["b"]
    assert together.lost(LostFrame(30, "c", 0.0, "gone")) == []
    assert together.finish() == together.cut_off() == []


def test_other_thresholds_hold_for_all_from_the_next_frame_on(scoring):
    rules = Rules(roi=(parse_area("0,0 0.5,0 0.5,1 0,1"),))
    rulings = Rulings(rules, scoring)
    value = scoring.bands.thresholds.image.value

    def verdict(name, number):
        ((found, _),) = rulings.apply(result(name, number, Verdict.REJECT, value), frame(name, number))
        return found.verdict

    assert verdict("a", 0) is Verdict.REJECT
    image = replace(scoring.bands.thresholds.image, value=value + 1)
    bands = replace(scoring.bands, thresholds=replace(scoring.bands.thresholds, image=image))
    rulings.scoring = replace(scoring, bands=bands)
    assert verdict("a", 1) is not Verdict.REJECT and verdict("b", 0) is not Verdict.REJECT


def test_what_no_camera_can_do_is_refused_at_once(scoring):
    with pytest.raises(DataError, match="probability"):
        Rulings(Rules(roi=(parse_area("0,0 1,0 1,1 0,1"),)), replace(scoring, kind=None))
    for trigger in ("stdin", "own", TriggerAddress("mqtt://broker/line/4")):
        with pytest.raises(DataError, match="nothing of which camera"):
            Rulings(Rules(parts=PartRule(trigger)), scoring)


CROSSING = Rules(parts=PartRule(Line(0.5, 1, 0.5, 0)))


@pytest.mark.parametrize("rules", [Rules(hysteresis=Hysteresis(2, 3)), CROSSING])
@pytest.mark.parametrize("name", ["parts/0.PNG", "parts/1.tif", "video"])
def test_files_do_not_follow_one_another(scoring, tmp_path, monkeypatch, rules, name):
    """Every image would be a camera of its own: with two of three frames to reject none ever were."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video").touch()
    told = "hysteresis and parts follow cameras; several folders or videos have no such order"
    with pytest.raises(DataError, match=told):
        Rulings(rules, scoring).apply(result(name, 0, Verdict.REJECT), frame(name, 0))
    with pytest.raises(DataError, match=told):
        Rulings(rules, scoring).lost(LostFrame(0, name, 0.0, "unreadable"))
    for camera in ("camera 0", "/dev/video0", "/dev/null", "rtsp://cell-4/top.jpg", "csi://0", "top.left"):
        Rulings(rules, scoring).apply(result(camera, 0, Verdict.REJECT), frame(camera, 0))
    Rulings(Rules(roi=(parse_area("0,0 1,0 1,1 0,1"),)), scoring).apply(result(name, 0, Verdict.REJECT), frame(name, 0))


@pytest.mark.parametrize("make", [Ruling, Rulings])
def test_another_area_holds_from_the_next_frame_on(scoring, make):
    ruling, value = make(Rules(), scoring), scoring.bands.thresholds.image.value
    found = np.zeros((4, 4), np.float32)
    found[:, 3] = value

    def verdict(number):
        bad = replace(result("a", number, Verdict.REJECT, value), anomaly_map=found)
        ((said, _),) = ruling.apply(bad, frame("a", number))
        return said.verdict

    assert verdict(0) is Verdict.REJECT
    ruling.redraw("roi", (parse_area("0,0 0.5,0 0.5,1 0,1"),))
    assert verdict(1) is Verdict.ACCEPT
    ruling.redraw("roi", (parse_area("0.5,0 1,0 1,1 0.5,1"),))
    assert verdict(2) is Verdict.REJECT
    ruling.redraw("roi", ())
    assert verdict(3) is Verdict.REJECT
    ruling.redraw("ignore", (parse_area("0.5,0 1,0 1,1 0.5,1"),))
    assert verdict(4) is Verdict.ACCEPT
    ruling.redraw("ignore", ())
    ruling.redraw("roi", (parse_area("0.5,0 1,0 1,1 0.5,1"),))  # neither undoes the other
    assert verdict(5) is Verdict.REJECT
    ruling.redraw("ignore", (parse_area("0.7,0 1,0 1,1 0.7,1"),))
    ruling.redraw("roi", ())
    assert verdict(6) is Verdict.ACCEPT
    ruling.redraw("ignore", ())
    assert verdict(7) is Verdict.REJECT
    ruling.scoring = replace(scoring, kind=None)
    with pytest.raises(DataError, match="probability"):
        ruling.redraw("roi", (parse_area("0,0 1,0 1,1 0,1"),))


@pytest.mark.parametrize("make", [Ruling, Rulings])
def test_an_area_that_leaves_nothing_to_look_at_is_refused_and_the_run_goes_on(scoring, make):
    ruling, value = make(Rules(), scoring), scoring.bands.thresholds.image.value
    left, right, speck = (
        (parse_area(text),) for text in ("0,0 0.5,0 0.5,1 0,1", "0.5,0 1,0 1,1 0.5,1", "0.3,0.3 0.31,0.3 0.3,0.31")
    )

    def verdict(number):
        bad = replace(result("a", number, Verdict.REJECT, value), anomaly_map=np.full((4, 4), value, np.float32))
        ((said, _),) = ruling.apply(bad, frame("a", number))
        return said.verdict

    with pytest.raises(DataError, match="no frame was judged yet"):
        ruling.redraw("roi", left)
    ruling.redraw("roi", ())
    assert verdict(0) is Verdict.REJECT
    with pytest.raises(DataError, match="no pixel of the map"):
        ruling.redraw("roi", speck)
    assert verdict(1) is Verdict.REJECT
    ruling.redraw("roi", left)
    for _ in range(2):  # against what is about to come, and against what is in force
        with pytest.raises(DataError, match="no pixel of the map"):
            ruling.redraw("ignore", left)
        assert verdict(2) is Verdict.REJECT
    ruling.redraw("ignore", right)
    with pytest.raises(DataError, match="no pixel of the map"):
        ruling.redraw("roi", right)
    assert verdict(3) is Verdict.REJECT and ruling.rules.roi == left


def test_cameras_are_redrawn_together_or_not_at_all(scoring):
    """The map of one is too coarse for a small area; one that has shown nothing yet has nothing against it."""
    rulings, value = Rulings(Rules(hysteresis=Hysteresis(1, 1)), scoring), scoring.bands.thresholds.image.value
    for source, side in (("fine", 64), ("coarse", 4)):
        given = replace(result(source, 0, Verdict.REJECT, value), anomaly_map=np.full((side, side), value, np.float32))
        rulings.apply(given, frame(source, 0))
    rulings.lost(LostFrame(0, "mute", 0.0, "no answer"))
    with pytest.raises(DataError, match="4 x 4"):
        rulings.redraw("roi", (parse_area("0.3,0.3 0.36,0.3 0.3,0.36"),))
    assert rulings.rules.roi == ()
    given = replace(result("fine", 1, Verdict.REJECT, value), anomaly_map=np.full((64, 64), value, np.float32))
    ((said, _),) = rulings.apply(given, frame("fine", 1))
    assert said.ruled_score is None  # its areas are what they were
    rulings.redraw("roi", (parse_area("0,0 0.5,0 0.5,1 0,1"),))
    assert rulings.rules.roi


def test_a_folder_of_images_leaves_nothing_behind(scoring, monkeypatch):
    """Every image of a folder is a source, and may have a size of its own: what is kept has an end, and verdicts are
    those of one camera."""
    monkeypatch.setattr(rulings_module, "MOST_SIZES", 3)
    rules, value = Rules(roi=(parse_area("0,0 0.5,0 0.5,1 0,1"),)), scoring.bands.thresholds.image.value
    rulings, made = Rulings(rules, scoring), []
    monkeypatch.setattr(rulings_module, "Ruling", lambda *given: made.append(weakref.ref(one := Ruling(*given))) or one)

    def verdict(ruling, number, side):
        image = Frame(np.zeros((side, 8, 3), np.uint8), number, f"parts/{number}.png", 0.0)
        ((said, _),) = ruling.apply(result(image.source, number, Verdict.REJECT, value * (number % 2)), image)
        return said.verdict

    sides = [8, 16, 24] * 5 + list(range(8, 28))
    for number, side in enumerate(sides):
        assert verdict(rulings, number, side) is verdict(Ruling(rules, scoring), number, side)
        if number == 14:
            assert len(made) == 3
        assert rulings.lost(LostFrame(number, f"lost/{number}.png", 0.0, "unreadable")) == []
    gc.collect()
    assert sum(one() is not None for one in made) == 3
