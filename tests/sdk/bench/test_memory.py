"""What memory counts."""

from __future__ import annotations

import resource
import subprocess
import sys

from edgead.bench.memory import Memory, memory


def test_pages_of_the_process_are_counted(tree):
    root = tree({"proc/self/statm": "5000 1234 300 1 0 900 0"})
    assert memory("openvino", root=root) == Memory(1234 * resource.getpagesize(), None)


GROWTH = """
import numpy as np
from edgead.bench.memory import memory

memory("openvino")  # what counting itself takes the first time is no growth
before = memory("openvino")
held = {make}
last = bytes(1000)  # the C library gives back by itself what lies at the end
grown = memory("openvino") - before
del held
left = memory("openvino") - before
print(grown.resident, left.resident, grown.device)
"""


def growth(make):
    """Bytes that `make` takes and that are left once it is gone, in a process that has done nothing else."""
    done = subprocess.run([sys.executable, "-c", GROWTH.format(make=make)], capture_output=True, text=True, check=True)
    taken, left, device = done.stdout.split()
    assert device == "None"
    return int(taken), int(left)


def test_what_is_held_is_seen_and_what_was_freed_is_not():
    taken, left = growth("np.ones(64 << 20, np.uint8)")
    assert 60 << 20 < taken < 80 << 20
    assert left < 16 << 20


def test_small_pieces_that_were_freed_are_given_back():
    """Else the next engine would fill them up, and seem to need nothing."""
    taken, left = growth("[bytes(1000) for _ in range(50_000)]")
    assert taken > 45 << 20
    assert left < 30 << 20


def test_the_device_is_asked_where_the_target_runs_on_one(stand_in, tree):
    root = tree({"proc/self/statm": "5000 1000 300 1 0 900 0"})
    stand_in.mem_get_info = lambda: (3 << 30, 8 << 30)
    before = memory("tensorrt", root=root)
    assert before.device == 5 << 30
    stand_in.mem_get_info = lambda: (2 << 30, 8 << 30)
    assert (memory("tensorrt", root=root) - before) == Memory(0, 1 << 30)
    assert memory("openvino", root=root).device is None
