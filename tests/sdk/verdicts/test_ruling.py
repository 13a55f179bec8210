from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from edgead.errors import DataError, EngineError
from edgead.result import Verdict
from edgead.verdicts import AreaLimit, Hysteresis, PartRule, Polygon, Rules, Ruling

LEFT = Polygon(((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
RIGHT = Polygon(((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
maps = hnp.arrays(np.float32, (6, 8), elements=st.integers(0, 4).map(float))


def one(ruling, judged):
    ((result, _),) = ruling.apply(*judged)
    return result


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps)
def test_nothing_configured_changes_nothing(scoring, judged, values):
    before, frame = judged(values)
    ((after, same),) = Ruling(Rules(), scoring).apply(before, frame)
    assert after is before and same is frame
    assert "raw_verdict" not in after.record() and "part" not in after.record()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maps, st.integers(1, 6))
def test_the_verdict_is_that_of_what_is_left(scoring, judged, values, pixels):
    """Against scipy's components of the cropped map."""
    before, frame = judged(values)
    ruling = Ruling(Rules(roi=(LEFT,), min_area=AreaLimit(pixels=pixels * 16)), scoring)
    after = one(ruling, (before, frame))
    crop = values[:, :4]

    def large(level):
        labels, count = ndimage.label(crop >= level, structure=np.ones((3, 3)))
        sizes = ndimage.sum_labels(crop >= level, labels, range(1, count + 1))
        return np.isin(labels, 1 + np.flatnonzero(np.asarray(sizes) >= pixels))

    expected = Verdict.REJECT if large(3).any() else Verdict.WARN if large(1).any() else Verdict.ACCEPT
    assert after.verdict is expected
    assert after.pred_label == (expected is Verdict.REJECT) == (after.pred_score >= 0.5)
    assert after.raw_verdict is before.verdict and after.raw_score == before.raw_score
    np.testing.assert_array_equal(after.pred_mask[:, :4], large(2))
    assert not after.pred_mask[:, 4:].any()
    assert after.anomaly_map is before.anomaly_map
    assert sum(region.area for region in after.regions) == 16 * large(2).sum()
    assert all(region.box[0] + region.box[2] <= 16 for region in after.regions)


def test_a_defect_outside_is_not_there(scoring, judged):
    values = np.zeros((6, 8), np.float32)
    values[2, 6] = 5
    assert one(Ruling(Rules(roi=(LEFT,)), scoring), judged(values)).verdict is Verdict.ACCEPT
    assert one(Ruling(Rules(ignore=(RIGHT,)), scoring), judged(values)).regions == ()
    found = one(Ruling(Rules(roi=(RIGHT,)), scoring), judged(values))
    assert found.verdict is Verdict.REJECT and found.ruled_score == 5 and len(found.regions) == 1


def test_areas_are_drawn_again_for_frames_of_another_size(scoring, judged):
    ruling = Ruling(Rules(roi=(LEFT,), min_area=AreaLimit(pixels=33)), scoring)
    values = np.zeros((6, 8), np.float32)
    values[2:4, 1] = 5  # 2 pixels of the map: 32 of the frame
    result, frame = judged(values)
    assert one(ruling, (result, frame)).verdict is Verdict.ACCEPT
    larger = replace(frame, image=np.zeros((48, 64, 3), np.uint8))
    assert one(ruling, (result, larger)).verdict is Verdict.REJECT


def test_hysteresis_holds_back_and_says_what_the_frame_was(scoring, judged):
    ruling = Ruling(Rules(hysteresis=Hysteresis(2, 3)), scoring)
    said = [one(ruling, judged(np.full((6, 8), value))) for value in (0, 5, 0, 5, 5, 0, 0, 0)]
    verdicts = [result.verdict.value for result in said]
    assert verdicts == ["accept", "warn", "accept", "reject", "reject", "reject", "accept", "accept"]
    assert [result.raw_verdict.value for result in said] == [
        "accept", "reject", "accept", "reject", "reject", "accept", "accept", "accept",
    ]  # fmt: skip
    assert all(result.pred_label == (result.verdict is Verdict.REJECT) for result in said)


def test_a_map_that_stayed_on_the_gpu_ends_the_run(scoring, judged):
    result, frame = judged(np.zeros((6, 8)))
    gone = replace(result, anomaly_map=np.empty((0, 0), np.float32))
    with pytest.raises(EngineError, match="maps=True"):
        Ruling(Rules(roi=(LEFT,)), scoring).apply(gone, frame)
    assert one(Ruling(Rules(hysteresis=Hysteresis(1, 1)), scoring), (gone, frame)).verdict is Verdict.ACCEPT


def test_a_least_area_that_does_not_fit_is_refused_and_never_an_accept(scoring, judged):
    shown = judged(np.full((6, 8), 100.0))  # everything is bad
    assert one(Ruling(Rules(roi=(LEFT,), min_area=AreaLimit(share=0.5)), scoring), shown).verdict is Verdict.REJECT
    with pytest.raises(DataError, match=r"would need 28\.8 pixels of the map, and the largest area to look at has 24"):
        Ruling(Rules(roi=(LEFT,), min_area=AreaLimit(share=0.6)), scoring).apply(*shown)
    with pytest.raises(DataError, match="the largest area to look at has 48"):
        Ruling(Rules(min_area=AreaLimit(pixels=10_000)), scoring).apply(*shown)
    apart = (Polygon(((0, 0), (0.3, 0), (0.3, 1), (0, 1))), Polygon(((0.7, 0), (1, 0), (1, 1), (0.7, 1))))
    with pytest.raises(DataError, match="the largest area to look at has 12"):
        Ruling(Rules(roi=apart, min_area=AreaLimit(share=0.4)), scoring).apply(*shown)


def test_another_detector_whose_score_is_none_of_its_map_gives_no_verdict_by_the_map(scoring, judged):
    """A map of 0.4 where the detector says 0.9, a probability: the map's maximum means nothing to its thresholds."""
    ruling = Ruling(Rules(min_area=AreaLimit(pixels=1)), scoring)
    assert one(ruling, judged(np.full((6, 8), 5.0))).verdict is Verdict.REJECT
    ruling.scoring = replace(scoring, kind=None)
    with pytest.raises(DataError, match="probability"):
        ruling.apply(*judged(np.full((6, 8), 0.4)))


def test_what_cannot_work_is_refused_at_the_start(scoring):
    with pytest.raises(DataError, match="probability"):
        Ruling(Rules(min_area=AreaLimit(pixels=3)), replace(scoring, kind=None))
    with pytest.raises(DataError, match="none is given"):
        Ruling(Rules(parts=PartRule("own")), scoring)
