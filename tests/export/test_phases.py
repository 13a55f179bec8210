"""Nested phases as one percentage, and the ways to stop a build."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import EngineError
from edgead.export.phases import Phases


def record():
    told = []
    return told, lambda what, done, total: told.append((done, total))


def never():
    return False


trees = st.recursive(st.just(()), lambda children: st.lists(children, min_size=1, max_size=4).map(tuple), max_leaves=12)


def walk(phases, tree, name="root", parent=None):
    """A phase for each node, a step for each child; a leaf has three steps of its own."""
    phases.start(name, parent, len(tree) or 3)
    for step, child in enumerate(tree or [None] * 3):
        if child is not None:
            walk(phases, child, f"{name}.{step}", name)
        assert phases.step(name, step)
    phases.end(name)


@given(trees)
def test_percent_rises_from_start_to_100(tree):
    told, progress = record()
    phases = Phases(progress, never)
    walk(phases, tree)
    assert all(total == 100 for _, total in told)
    percents = [done for done, _ in told]
    assert percents == sorted(set(percents))
    assert not percents or percents[-1] <= 99
    phases.check("here")
    phases.finish()
    assert told[-1] == (100, 100)


def test_a_step_of_a_child_counts_as_a_part_of_its_parents_step():
    told, progress = record()
    phases = Phases(progress, never)
    phases.start("build", None, 4)
    phases.step("build", 0)
    phases.start("tune", "build", 5)
    phases.step("tune", 0)
    phases.start("time", "tune", 2)
    phases.step("time", 0)
    assert [done for done, _ in told] == [25, 30, 32]  # 1/4; 1/4 + 1/5 of 1/4; and half of another fifth


def test_steps_of_unknown_phases_are_harmless():
    told, progress = record()
    phases = Phases(progress, never)
    assert phases.step("nobody", 3)
    phases.end("nobody")
    phases.start("empty", None, 0)
    assert phases.step("empty", 0)
    assert told[-1] == (99, 100)


def test_a_phase_that_names_itself_its_parent_ends():
    phases = Phases(record()[1], never)
    phases.start("loop", "loop", 1)
    assert phases.step("loop", 0)


def test_a_cancelled_build_stops_at_the_next_step():
    answers = iter([False, False, True])
    phases = Phases(record()[1], lambda: next(answers))
    phases.start("build", None, 10)
    assert [phases.step("build", step) for step in range(3)] == [True, True, False]
    with pytest.raises(EngineError, match="the build was cancelled, here"):
        phases.check("here")


def test_stop_from_another_thread():
    phases = Phases(record()[1], never)
    phases.start("build", None, 10)
    assert phases.step("build", 0)
    thread = threading.Thread(target=phases.stop)
    thread.start()
    thread.join()
    assert not phases.step("build", 1)


@pytest.mark.parametrize("source", ["progress", "cancelled"])
def test_an_exception_is_kept_for_the_caller(source):
    def fail(*_):
        raise BrokenPipeError("the terminal is gone")

    phases = Phases(fail, never) if source == "progress" else Phases(record()[1], fail)
    phases.start("build", None, 2)
    assert not phases.step("build", 0)
    assert not phases.step("build", 1)
    with pytest.raises(BrokenPipeError, match="the terminal is gone"):
        phases.check("here")
