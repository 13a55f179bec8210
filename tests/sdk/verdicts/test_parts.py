from __future__ import annotations

from collections import Counter
from itertools import islice, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.bands import Bands
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.verdicts import Begin, CallTrigger, End, PartRule, Refused, Rules, Ruling, Scoring
from edgead.verdicts.parts import PartFault

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
        best = max(part["frames"], key=lambda one: (one[2], -one[0]))
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
