from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.verdicts import Begin, CallTrigger, End, LineTrigger, Refused
from edgead.verdicts.lines import Lines

names = st.text(st.characters(categories=("L", "N", "P"), max_codepoint=0xFFFF), min_size=1, max_size=20)
events = st.one_of(names.map(Begin), st.just(Begin()), st.just(End()))


def spoken(event) -> bytes:
    return b"end\n" if event == End() else f"part {event.name}".strip().encode() + b"\n"


@given(st.lists(events, max_size=20), st.lists(st.integers(1, 9), min_size=1))
def test_lines_come_out_whole_however_they_are_cut(said, cuts):
    content = b"".join(map(spoken, said))
    lines, found, place = Lines(), [], 0
    while place < len(content):
        step = cuts[len(found) % len(cuts)]
        found += lines.feed(content[place : place + step])
        place += step
    assert found == said


@given(st.binary(max_size=3000))
def test_any_bytes_are_events(content):
    lines = Lines()
    for event in lines.feed(content) + lines.feed(b"\n"):
        assert isinstance(event, (Begin, End, Refused))
    assert lines.feed(b"part 1\n") == [Begin("1")]


def test_what_is_understood():
    said = Lines().feed(
        b"part\n\n  part   4711 \r\nend\npart a b\nparts\npart \x07\n" + b"part " + b"x" * 5000 + b"\nend\n"
    )
    assert said[:4] == [Begin(), Begin("4711"), End(), Begin("a b")]
    assert [type(event) for event in said[4:]] == [Refused, Refused, Refused, End]
    assert "'parts'" in said[4].reason


def test_a_line_without_end_takes_no_memory():
    lines = Lines()
    found = [event for _ in range(100) for event in lines.feed(b"x" * 10_000)]
    assert len(found) == 1 and isinstance(found[0], Refused)
    assert lines.feed(b"xx\npart 2\n") == [Begin("2")]


def test_a_pipe_is_asked_and_never_waited_for():
    reader, writer = os.pipe()
    try:
        trigger = LineTrigger(reader)
        assert trigger.observe(None) == []
        os.write(writer, b"part 1\npar")
        assert trigger.observe(None) == [Begin("1")]
        os.write(writer, b"t 2")
        assert trigger.observe(None) == []
        os.close(writer)
        assert trigger.observe(None) == [Begin("2")]
        assert trigger.observe(None) == []
    finally:
        os.close(reader)


def test_calls_come_in_their_order():
    trigger = CallTrigger()
    trigger.begin("a")
    trigger.end()
    trigger.begin("b\n")
    assert [type(event) for event in trigger.observe(None)] == [Begin, End, Refused]
    assert trigger.observe(None) == []


@pytest.mark.parametrize("name", ["x" * 201, "a\tb", "\x1b[2J"])
def test_names_that_cannot_be_recorded_are_refused(name):
    trigger = CallTrigger()
    trigger.begin(name)
    assert isinstance(trigger.observe(None)[0], Refused)
