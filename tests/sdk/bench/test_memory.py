"""What memory counts."""

from __future__ import annotations

import resource

import numpy as np

from edgead.bench.memory import Memory, memory


def test_pages_of_the_process_are_counted(tree):
    root = tree({"proc/self/statm": "5000 1234 300 1 0 900 0"})
    assert memory("openvino", root=root) == Memory(1234 * resource.getpagesize(), None)


def test_what_is_held_is_seen_and_what_was_freed_is_not():
    before = memory("openvino")
    held = np.ones(64 << 20, np.uint8)
    grown = memory("openvino") - before
    assert 60 << 20 < grown.resident < 80 << 20 and grown.device is None
    del held
    assert (memory("openvino") - before).resident < 16 << 20


def test_small_pieces_that_were_freed_are_given_back():
    """Else the next engine would fill them up, and seem to need nothing."""
    before = memory("openvino")
    pieces = [bytes(1000) for _ in range(50_000)]
    last = bytes(1000)  # the C library gives back by itself what lies at the end
    assert (memory("openvino") - before).resident > 45 << 20
    del pieces
    assert (memory("openvino") - before).resident < 30 << 20
    assert last


def test_the_device_is_asked_where_the_target_runs_on_one(stand_in, tree):
    root = tree({"proc/self/statm": "5000 1000 300 1 0 900 0"})
    stand_in.mem_get_info = lambda: (3 << 30, 8 << 30)
    before = memory("tensorrt", root=root)
    assert before.device == 5 << 30
    stand_in.mem_get_info = lambda: (2 << 30, 8 << 30)
    assert (memory("tensorrt", root=root) - before) == Memory(0, 1 << 30)
    assert memory("openvino", root=root).device is None
