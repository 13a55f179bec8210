from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import islice, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.bands import Bands
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.verdicts import Begin, CallTrigger, End, PartRule, Refused, Rules, Ruling, Scoring
from edgead.verdicts.parts import PartFault
from edgead.verdicts.trigger import MOST_EVENTS

A, W, R = Verdict.ACCEPT, Verdict.WARN, Verdict.REJECT
RANK = {A: 0, W: 1, R: 2}


class Told:
    """A trigger that says what it was given, one list for each frame."""

    def __init__(self, script):
        self.script = iter(script)

    def observe(self, frame):
        return next(self.script, [])


def judged(frame_id: int, verdict: Verdict, score: float) -> tuple[Result, Frame]:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), frame_id, "cell", 1e9 + frame_id)
    nothing = np.zeros((0, 0), np.float32)
    result = Result(0.5, verdict is R, nothing, nothing > 0, score, verdict, (), frame_id, "cell", frame.captured_at)
    return result, frame


def rule_over(script, rule, steps):
    """Feed frames (verdict, score) and lost ones (None) -> the outcomes, in order."""
    ruling = Ruling(Rules(parts=rule), Scoring(Bands(None, (0.0, 1.0)), None), Told(script))
    outcomes = []
    for frame_id, step in enumerate(steps):
        if step is None:
            outcomes += ruling.lost(LostFrame(frame_id, "cell", 1e9 + frame_id, "torn cable"))
        else:
            outcomes += ruling.apply(*judged(frame_id, *step))
    return outcomes + ruling.finish()


event = st.sampled_from([Begin("a"), Begin(), End(), Refused("noise")])
frame = st.one_of(st.none(), st.tuples(st.sampled_from([A, W, R]), st.integers(0, 5).map(float)))
runs = st.lists(st.tuples(st.lists(event, max_size=3), frame), max_size=25)


@given(runs, st.integers(1, 4), st.one_of(st.none(), st.integers(4, 6)))
def test_every_begin_has_one_outcome_and_every_frame_at_most_one_part(run, agree, most):
    """Against parts cut out of the whole run at once."""
    outcomes = rule_over([events for events, _ in run], PartRule("own", agree, most), [step for _, step in run])
    expected: list[dict] = []
    open_part = None
    begun = 0
    for frame_id, (events, step) in enumerate(run):
        for said in events:
            if isinstance(said, Refused):
                expected.append({"fault": True, "at": len(expected)})
                continue
            open_part = None
            if isinstance(said, Begin):
                begun += 1
                open_part = {"name": said.name or str(begun), "frames": [], "lost": 0}
                expected.append(open_part)
        if open_part is not None and step is None:
            open_part["lost"] += 1
        elif open_part is not None:
            open_part["frames"].append((frame_id, *step))
            if len(open_part["frames"]) == most:
                open_part = None
    parts = [part for part in expected if "name" in part]
    assert len(outcomes) == len(expected)
    said = [one for one in outcomes if not (isinstance(one, PartFault) and one.reason == "noise")]
    assert len(said) == len(parts) == begun
    for outcome, part in zip(said, parts, strict=True):
        if not part["frames"]:
            assert isinstance(outcome, PartFault) and f"part {part['name']} has no verdict" in outcome.reason
            continue
        result, shown = outcome
        worst = sorted((RANK[verdict] for _, verdict, _ in part["frames"]), reverse=True)
        assert RANK[result.verdict] == (worst[agree - 1] if len(worst) >= agree else worst[0])
        assert result.pred_label == (result.verdict is R)
        best = max(part["frames"], key=lambda one: (RANK[one[1]], one[2], -one[0]))
        assert shown.frame_id == result.frame_id == best[0]
        assert result.raw_verdict is best[1]
        counts = Counter(verdict for _, verdict, _ in part["frames"])
        assert (result.part.name, result.part.frames, result.part.lost) == (
            part["name"],
            len(part["frames"]),
            part["lost"],
        )
        assert (result.part.rejected, result.part.warned) == (counts[R], counts[W])
        assert (result.part.first_frame, result.part.last_frame) == (part["frames"][0][0], part["frames"][-1][0])


def test_a_part_without_a_judged_frame_is_a_fault():
    outcomes = rule_over(
        [[Begin("4711")], [], [Begin("4712")], [Begin("4713")]], PartRule("own"), [None, None, (A, 1.0), None]
    )
    assert [type(outcome) for outcome in outcomes] == [PartFault, tuple, PartFault]
    assert outcomes[0].reason == "part 4711 has no verdict: its 2 frames were lost"
    assert (outcomes[0].frame_id, outcomes[0].source) == (2, "cell")
    assert outcomes[1][0].verdict is A


def test_a_run_without_a_frame_still_answers_every_trigger():
    outcomes = rule_over([[Begin("1"), Begin("2")]], PartRule("own"), [])
    assert [outcome.reason for outcome in outcomes] == [
        f"part {n} has no verdict: no frame of it was judged" for n in "12"
    ]


def test_a_part_under_way_when_a_run_is_left_is_a_fault():
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(Bands(None, (0.0, 1.0)), None), trigger)
    assert ruling.cut_off() == []
    trigger.begin("4711")
    assert ruling.apply(*judged(3, A, 1.0)) == []
    (fault,) = ruling.cut_off()
    assert isinstance(fault, PartFault) and "4711" in fault.reason and fault.frame_id == 3
    assert ruling.cut_off() == ruling.finish() == []


def bands(reject: float, warn: float, low: float, high: float) -> Bands:
    values = {"image": reject, "warn": warn, "pixel": reject}
    return Bands(Thresholds(**{name: Threshold(value, "quantile", {}) for name, value in values.items()}), (low, high))


SMALL, LARGE = bands(3.0, 2.0, 0.0, 6.0), bands(50.0, 20.0, 10.0, 90.0)
"""Two detectors, of whose scores those of the second are the higher ones whatever they mean."""

scores = st.tuples(st.floats(0.1, 5.9), st.floats(10.5, 89.5))


@given(st.lists(scores, min_size=1, max_size=8), st.integers(0, 8), st.integers(1, 2))
def test_the_worst_frame_speaks_for_a_part_in_which_another_detector_took_over(shown, swap, agree):
    """By each frame's distance from the threshold of its own detector, in half ranges; the part's verdict is that of
    all its frames, whoever judged them."""
    ruling = Ruling(Rules(parts=PartRule("own", agree)), Scoring(SMALL, None), Told([[Begin("a")]]))
    frames = []
    for frame_id, (small, large) in enumerate(shown):
        scale, digest, score = (SMALL, "small", small) if frame_id < swap else (LARGE, "large", large)
        result, frame = judged(frame_id, scale.verdict(score), score)
        assert ruling.apply(replace(result, pred_score=scale.normalise(score), bundle=digest), frame) == []
        beyond = (small - 3) / 6 if frame_id < swap else (large - 50) / 80
        frames.append((RANK[scale.verdict(score)], beyond, frame_id))
    ((said, frame),) = ruling.finish()
    worst = sorted((rank for rank, _, _ in frames), reverse=True)
    assert RANK[said.verdict] == (worst[agree - 1] if len(worst) >= agree else worst[0])
    best = max(frames)
    assert RANK[said.raw_verdict] == best[0] == worst[0]
    assert frames[said.frame_id][:2] == pytest.approx(best[:2]) and frame.frame_id == said.frame_id


def test_beyond_the_scale_the_higher_score_speaks_but_not_of_another_detector():
    def speaks(*shown):
        ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), Told([[Begin()]]))
        for frame_id, (digest, score) in enumerate(shown):
            result, frame = judged(frame_id, R, score)
            ruling.apply(replace(result, pred_score=1.0, bundle=digest), frame)
        ((said, _),) = ruling.finish()
        return said.frame_id

    assert speaks(("small", 7.0), ("small", 9.0), ("small", 8.0)) == 1
    assert speaks(("small", 7.0), ("small", 9.0), ("large", 800.0), ("large", 900.0)) == 1


def test_a_threshold_that_is_lowered_within_a_part_lets_the_rejected_frame_speak():
    ((said, _),) = rule_over([[Begin()]], PartRule("own"), [(A, 2.5), (R, 2.2)])
    assert said.verdict is R and said.frame_id == 1 and said.raw_verdict is R


ticks = st.lists(st.integers(0, 60), unique=True, max_size=12).map(sorted)


@given(ticks, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=12), st.data())
def test_a_frame_belongs_to_the_part_that_was_there_when_it_was_captured(moments, shots, data):
    """Frames are captured between the ticks of a clock, and judged so many ticks later, in their order; signals come at
    ticks, and are heard with the first frame that is judged after them. Against a look at the captures alone."""
    events = [(at, data.draw(st.booleans())) for at in moments]  # whether a part begins, or ends
    trigger, now = CallTrigger(), (time.time() - 1000, time.monotonic() - 1000)
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    coming, outcomes, latest = list(events), [], 0.0
    captures = sorted({at for at, _ in shots})
    for frame_id, at in enumerate(captures):
        latest = max(latest, at + 0.5 + max(delay for when, delay in shots if when == at))
        while coming and coming[0][0] < latest:
            when, begins = coming.pop(0)
            (trigger.begin if begins else trigger.end)(at=now[1] + when)
        result, frame = judged(frame_id, A, 1.0)
        outcomes += ruling.apply(result, replace(frame, captured_at=now[0] + at + 0.5))
    for when, begins in coming:
        (trigger.begin if begins else trigger.end)(at=now[1] + when)
    outcomes += ruling.finish()
    parts = []
    for number, (begun, begins) in enumerate(events):
        if begins:
            over = events[number + 1][0] if number + 1 < len(events) else 1000
            parts.append((begun, [frame for frame, at in enumerate(captures) if begun <= at < over]))
    assert len(outcomes) == len(parts)
    for outcome, (begun, frames) in zip(outcomes, parts, strict=True):
        if not frames:
            assert isinstance(outcome, PartFault) and outcome.begun == pytest.approx(now[1] + begun, abs=1e-6)
            continue
        part = outcome[0].part
        assert (part.first_frame, part.last_frame, part.frames) == (frames[0], frames[-1], len(frames))
        assert part.begun == pytest.approx(now[1] + begun, abs=1e-6)


def test_a_part_whose_trigger_says_no_time_begins_when_its_first_frame_was_captured():
    """On the clock that a gate goes by, whatever the wall's clock does while the part is under way."""
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), Told([[], [Begin()], [], [Begin()]]))
    captured = [time.monotonic() - 4 + frame for frame in range(4)]
    outcomes = []
    for frame_id in range(4):
        result, frame = judged(frame_id, A, 5.0 - frame_id)
        outcomes += ruling.apply(result, replace(frame, captured_at=time.time() - 4 + frame_id))
    outcomes += ruling.cut_off()
    ((said, _), fault) = outcomes
    assert said.part.begun == pytest.approx(captured[1], abs=0.05)
    assert fault.begun == pytest.approx(captured[3], abs=0.05)
    late = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), Told([[Begin()]]))
    assert late.lost(LostFrame(0, "cell", time.time() - 2, "torn cable")) == []
    assert late.finish()[0].begun == pytest.approx(time.monotonic() - 2, abs=0.05)


def test_parts_that_pass_while_the_camera_gives_nothing_are_faults(monkeypatch):
    """Each at its own moment, and before the next frame comes."""
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    assert ruling.apply(*judged(0, A, 1.0)) == ruling.idle() == []
    begun = [time.monotonic() + 100 * number for number in range(3)]
    for number, at in enumerate(begun):
        monkeypatch.setattr(time, "monotonic", lambda at=at: at)
        trigger.begin(str(number), at=at)
        assert [fault.reason for fault in ruling.idle()] == []  # a frame of the part before may be on its way
        monkeypatch.setattr(time, "monotonic", lambda at=at: at + 1)
        faults = ruling.idle()
        assert [(fault.reason, fault.begun) for fault in faults] == [
            (f"part {before} has no verdict: no frame of it was judged", begun[before]) for before in range(number)[-1:]
        ]
        assert ruling.idle() == []
    assert [fault.begun for fault in ruling.finish()] == begun[-1:]


def test_a_signal_without_a_time_waits_for_the_next_frame_however_long_none_comes():
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    trigger.begin("a")
    trigger.begin("\n")
    assert ruling.idle() == ruling.idle() == []
    captured = time.monotonic() - 0.1
    result, frame = judged(0, R, 5.0)
    (noise,) = ruling.apply(result, replace(frame, captured_at=time.time() - 0.1))
    assert noise.begun is None
    ((said, _),) = ruling.finish()
    assert said.part.name == "a" and said.part.begun == pytest.approx(captured, abs=0.05)


def test_signals_that_wait_for_a_camera_have_a_bound():
    """However often the trigger is heard meanwhile; what was too much is a fault."""
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    for _ in range(2 * MOST_EVENTS):
        trigger.begin()
        trigger.begin()
        assert ruling.idle() == []
    outcomes = ruling.apply(*judged(0, A, 1.0)) + ruling.finish()
    assert MOST_EVENTS < len(outcomes) < 3 * MOST_EVENTS
    assert [type(one) for one in outcomes].count(tuple) == 1
    assert any("the others are lost" in one.reason for one in outcomes if isinstance(one, PartFault))


def test_a_camera_that_each_part_triggers_gives_a_verdict_without_the_next_part(monkeypatch):
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    now, wall = time.monotonic(), time.time()
    trigger.begin("a", at=now - 0.3)
    trigger.end(at=now - 0.1)
    assert ruling.idle() == []
    result, frame = judged(0, R, 5.0)
    assert ruling.apply(result, replace(frame, captured_at=wall - 0.2)) == []  # on its way for so long
    assert ruling.idle() == []
    monkeypatch.setattr(time, "monotonic", lambda: now + 1)
    ((said, _),) = ruling.idle()
    assert (said.verdict, said.part.name, said.part.frames) == (R, "a", 1)


def test_signals_that_wait_for_a_frame_when_a_run_is_left_are_faults():
    trigger = CallTrigger()
    ruling = Ruling(Rules(parts=PartRule("own")), Scoring(SMALL, None), trigger)
    trigger.begin("4711", at=time.monotonic() - 3)
    trigger.begin("4712", at=time.monotonic() - 1)
    result, frame = judged(0, A, 1.0)
    assert ruling.apply(result, replace(frame, captured_at=time.time() - 2)) == []
    trigger.begin("4713")
    trigger.begin("x" * 1000)
    left = "has no verdict: the run was left before its end"
    faults = ruling.cut_off()
    assert len(faults) == 4 and "not 200 printable characters" in faults[3].reason
    assert [fault.reason for fault in faults[:3]] == [f"part {name} {left}" for name in ("4711", "4712", "4713")]
    assert ruling.cut_off() == ruling.finish() == []


def test_a_record_says_what_the_part_is():
    ((result, _),) = rule_over([[Begin("4711")]], PartRule("own", agree=2), [(R, 5.0), (W, 1.0), (A, 0.0)])
    record = result.record()
    assert record["verdict"] == "warn" and record["raw_verdict"] == "reject" and record["ruled_score"] is None
    assert record["part"] == {
        "name": "4711", "frames": 3, "rejected": 1, "warned": 1, "lost": 0, "first_frame": 0, "last_frame": 2,
    }  # fmt: skip


@pytest.mark.parametrize("endless", [10_000])
def test_a_long_part_keeps_one_frame(endless):
    script = [[Begin()]]
    ((result, _),) = rule_over(script, PartRule("own"), islice(repeat((A, 1.0)), endless))
    assert result.part.frames == endless and result.frame_id == 0
