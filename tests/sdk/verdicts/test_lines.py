from __future__ import annotations

import fcntl
import os
import pty
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import SourceError
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
        last, ended = trigger.observe(None)
        assert last == Begin("2") and isinstance(ended, Refused) and "no part begins any more" in ended.reason
        assert trigger.observe(None) == []
    finally:
        os.close(reader)


def test_what_writes_the_lines_may_die_or_the_cable_be_pulled():
    """A stream that has ended is a fault, once; one that cannot be read ends the run, as a GPIO line does."""
    reader, writer = os.pipe()
    trigger = LineTrigger(reader)
    os.close(writer)
    assert [type(event) for _ in range(3) for event in trigger.observe(None)] == [Refused]
    os.close(reader)
    cable, device = pty.openpty()
    trigger = LineTrigger(cable)
    try:
        assert trigger.observe(None) == []
        os.close(device)
        with pytest.raises(SourceError, match="cannot be read: Input/output error"):
            trigger.observe(None)
    finally:
        os.close(cable)
    with pytest.raises(SourceError, match="Bad file descriptor"):
        LineTrigger(cable).observe(None)


def test_a_process_with_many_files_open_hears_its_lines():
    """select.select takes no descriptor from 1024 on."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] != resource.RLIM_INFINITY and most[1] < 1100:
        pytest.skip("this system gives a process too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(1100, most[0]), most[1]))
    reader, writer = os.pipe()
    try:
        high = fcntl.fcntl(reader, fcntl.F_DUPFD, 1030)
        os.write(writer, b"part 7\n")
        assert LineTrigger(high).observe(None) == [Begin("7")]
        os.close(high)
    finally:
        os.close(reader)
        os.close(writer)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def test_calls_come_in_their_order():
    trigger = CallTrigger()
    trigger.begin("a")
    trigger.end()
    trigger.begin("b\n")
    assert [type(event) for event in trigger.observe(None)] == [Begin, End, Refused]
    assert trigger.observe(None) == []


def test_calls_take_no_more_memory_while_no_frame_comes():
    trigger = CallTrigger()
    for number in range(5000):
        trigger.begin(str(number))
    *begun, last = trigger.observe(None)
    assert begun == [Begin(str(number)) for number in range(1000)]
    assert isinstance(last, Refused) and "more than 1000 signals" in last.reason
    trigger.begin("again")
    assert trigger.observe(None) == [Begin("again")]


@pytest.mark.parametrize("name", ["x" * 201, "a\tb", "\x1b[2J"])
def test_names_that_cannot_be_recorded_are_refused(name):
    trigger = CallTrigger()
    trigger.begin(name)
    assert isinstance(trigger.observe(None)[0], Refused)
