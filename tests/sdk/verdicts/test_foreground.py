from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import DataError
from edgead.frame import Frame
from edgead.verdicts import Begin, End, ForegroundTrigger, Line, Refused

TO_THE_RIGHT = Line(0.5, 1, 0.5, 0)


class Belt:
    """A belt with texture and noise, 200 x 320; parts are discs of radius 20 at the places given."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.texture = self.random.integers(60, 90, (200, 320))
        self.light = 1.0

    def picture(self, *places: tuple[float, float]) -> Frame:
        y, x = np.mgrid[:200, :320]
        image = self.texture * self.light + self.random.normal(0, 3, self.texture.shape)
        for across, down in places:
            image[(x - across) ** 2 + (y - down) ** 2 < 400] = 190
        return Frame(np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, 2), 0, "belt", 0.0)


def learned(belt: Belt, line: Line = TO_THE_RIGHT) -> ForegroundTrigger:
    trigger = ForegroundTrigger(line)
    for _ in range(25):
        assert trigger.observe(belt.picture()) == []
    return trigger


def test_each_part_begins_once_where_its_centre_crosses_and_ends_when_it_is_gone():
    belt = Belt()
    trigger = learned(belt)
    said = {}
    for step in range(60):
        places = [(step * 16 - offset, 100) for offset in (0, 500)]
        if events := trigger.observe(belt.picture(*places)):
            said[step] = events
    # Centres are at 16 step and 16 step - 500; the line is at 160. Gone: the disc has left at 340, and 3 frames more.
    begins = [step for step, events in said.items() if Begin() in events]
    assert begins == [10, 42]
    assert [step for step, events in said.items() if End() in events] == [
        pytest.approx(25, abs=2),
        pytest.approx(56, abs=2),
    ]


@pytest.mark.parametrize(
    ("line", "way"),
    [
        (Line(0.5, 0, 0.5, 1), [(320 - 16 * step, 100) for step in range(20)]),
        (Line(0, 0.5, 1, 0.5), [(160, 12 * step) for step in range(17)]),
        (Line(1, 0.5, 0, 0.5), [(160, 200 - 12 * step) for step in range(17)]),
    ],
)
def test_every_direction_and_no_other(line, way):
    for where, expected in ((way, 1), (way[::-1], 0)):
        belt = Belt()
        trigger = learned(belt, line)
        events = [event for place in where for event in trigger.observe(belt.picture(place))]
        assert events.count(Begin()) == expected


def test_a_part_that_trembles_on_the_line_is_one():
    belt = Belt()
    trigger = learned(belt)
    way = [(100, 100), (130, 100), (155, 100)] + [(160 + 6 * (-1) ** step, 100) for step in range(30)]
    events = [event for place in way for event in trigger.observe(belt.picture(place))]
    assert events.count(Begin()) == 1


def test_passing_beside_the_ends_of_the_line_is_no_crossing():
    belt = Belt()
    trigger = learned(belt, Line(0.5, 0.45, 0.5, 0.05))
    assert not [e for step in range(20) for e in trigger.observe(belt.picture((16 * step, 150)))]
    assert [e for step in range(20) for e in trigger.observe(belt.picture((16 * step, 50)))].count(Begin()) == 1


def test_an_empty_line_says_nothing_for_long_while_its_light_changes():
    belt = Belt()
    trigger = learned(belt)
    events = []
    for step in range(400):
        belt.light = 1 + 0.15 * np.sin(step / 60)
        events += trigger.observe(belt.picture())
    assert events == []


def test_a_lamp_that_fails_is_told_and_learned():
    belt = Belt()
    trigger = learned(belt)
    belt.light = 0.3
    events = [event for _ in range(60) for event in trigger.observe(belt.picture())]
    assert [type(event) for event in events] == [Refused] and "looks different" in events[0].reason
    assert [e for step in range(20) for e in trigger.observe(belt.picture((16 * step, 100)))].count(Begin()) == 1


def test_frames_of_another_size_are_told_and_learned():
    """A camera that was set to another mode: the part under way ends, and its run does not go blind without a word."""
    belt = Belt()
    trigger = learned(belt)
    assert [e for x in (130, 150, 170) for e in trigger.observe(belt.picture((x, 100)))] == [Begin()]

    def wider(*places):
        image = belt.picture(*places).image
        return Frame(np.concatenate([image, image[:, :80]], 1), 0, "belt", 0.0)

    events = trigger.observe(wider())
    assert [type(event) for event in events] == [End, Refused] and "looks different" in events[1].reason
    assert not [e for _ in range(24) for e in trigger.observe(wider())]
    assert [e for x in (180, 195, 210) for e in trigger.observe(wider((x, 100)))] == [Begin()]


def test_a_picture_of_the_empty_line_needs_no_learning():
    belt = Belt()
    trigger = ForegroundTrigger(TO_THE_RIGHT, belt.picture().image)
    assert [e for x in (130, 150, 170) for e in trigger.observe(belt.picture((x, 100)))] == [Begin()]
    other = ForegroundTrigger(TO_THE_RIGHT, np.zeros((10, 300, 3), np.uint8))
    with pytest.raises(DataError, match="300 x 10 pixels"):
        other.observe(belt.picture())


coordinate = st.integers(0, 20).map(lambda value: value / 20)
points = st.tuples(coordinate, coordinate)


@given(points, points, points, points)
def test_a_crossing_is_an_intersection_of_two_segments(a, b, before, now):
    if a == b:
        with pytest.raises(DataError, match="there is no line"):
            Line(*a, *b)
        return
    crossed = Line(*a, *b).crossed(before, now)
    assert not (crossed and Line(*b, *a).crossed(before, now))
    ways = np.array([[b[0] - a[0], before[0] - now[0]], [b[1] - a[1], before[1] - now[1]]])
    if abs(np.linalg.det(ways)) < 1e-9:
        return
    along, passed = np.linalg.solve(ways, np.array(before) - np.array(a))
    if min(abs(along), abs(along - 1), abs(passed), abs(passed - 1)) < 1e-9:
        return  # on an end: which side that is, is rounding
    right = (b[0] - a[0]) * (now[1] - before[1]) - (b[1] - a[1]) * (now[0] - before[0]) > 0
    assert crossed == bool(0 < along < 1 and 0 < passed < 1 and right)


@pytest.mark.parametrize("text", ["", "0.5,1,0.5", "a,b,c,d", "0.5,1,0.5,1", "0,0,2,0", "nan,0,1,1"])
def test_lines_that_are_none(text):
    with pytest.raises(DataError, match="no line"):
        Line.parse(text)
