"""The time of an engine as a share of another's."""

from __future__ import annotations

import time

import numpy as np

from edgead.bench import ratio
from edgead.bench.engines import SLICE
from edgead.bench.ratio import relative_time
from edgead.engines.base import Engine


class Sleeper(Engine):
    name = "sleeper"

    def __init__(self, seconds):
        super().__init__(max_batch=1)
        self.shapes, self._seconds = [], seconds

    def _activate(self):
        pass

    def _deactivate(self):
        pass

    def _infer(self, image):
        self.shapes.append(image.shape)
        time.sleep(self._seconds)
        return {"score": np.zeros(1, np.float32)}


def test_the_faster_one_takes_less_of_the_time():
    with Sleeper(0.004) as slow, Sleeper(0.001) as fast:
        assert 0.1 < relative_time(fast, slow, (4, 6)) < 0.8
        assert set(fast.shapes) == set(slow.shapes) == {(1, 4, 6, 3)}
        assert len(fast.shapes) == len(slow.shapes) > ratio.ROUNDS * ratio.MOST


def test_slow_engines_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(ratio, "SECONDS", 0.001)
    with Sleeper(0.002) as one, Sleeper(0.002) as other:
        relative_time(one, other, (4, 6))
        assert len(one.shapes) < SLICE * (ratio.ROUNDS + 1) * 1.5
