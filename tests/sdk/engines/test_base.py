"""What every engine answers to a batch that it does not take, and when it takes and frees its resources."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.engines.base import Engine
from edgead.errors import EngineError, FrameError


class Recorder(Engine):
    """Notes what it is asked for, and answers with the mean of each image."""

    name = "recorder"

    def __init__(self, max_batch=2, size=None, fails=False):
        super().__init__(max_batch=max_batch)
        self.events, self._size, self._fails = [], size, fails

    def _activate(self):
        self.events.append("activate")
        self.size = self._size
        if self._fails:
            raise EngineError("no memory", self.name)

    def _deactivate(self):
        self.events.append("deactivate")

    def _infer(self, image):
        assert image.flags.c_contiguous
        self.events.append(image.shape)
        return {"score": image.mean(axis=(1, 2, 3), dtype=np.float32)}


def batch(count=1, height=4, width=6):
    return np.arange(count * height * width * 3, dtype=np.uint8).reshape(count, height, width, 3)


def test_resources_are_held_from_enter_to_exit():
    engine = Recorder()
    assert engine.events == []
    with engine as entered:
        assert entered is engine
        engine.infer(batch())
    assert engine.events == ["activate", (1, 4, 6, 3), "deactivate"]
    with engine:
        engine.infer(batch(2))
    assert engine.events[3:] == ["activate", (2, 4, 6, 3), "deactivate"]


def test_closing_twice_frees_once():
    engine = Recorder()
    engine.__enter__()
    engine.__exit__(None, None, None)
    engine.__exit__(None, None, None)
    assert engine.events == ["activate", "deactivate"]


def test_resources_are_freed_after_an_error_inside():
    engine = Recorder()
    with pytest.raises(ZeroDivisionError), engine:
        raise ZeroDivisionError
    assert engine.events == ["activate", "deactivate"]


def test_a_failed_start_is_undone():
    engine = Recorder(fails=True)
    with pytest.raises(EngineError, match="no memory"), engine:
        pytest.fail("entered")
    assert engine.events == ["activate", "deactivate"]
    with pytest.raises(EngineError, match="not running"):
        engine.infer(batch())


def test_it_runs_inside_with_only():
    engine = Recorder()
    with pytest.raises(EngineError, match=r"not running, recorder, use it inside a `with` block"):
        engine.infer(batch())
    with engine, pytest.raises(EngineError, match="running already"):
        engine.__enter__()
    with pytest.raises(EngineError, match="not running"):
        engine.infer(batch())


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (batch().astype(np.float32), "float32, not uint8"),
        (batch().astype(np.int8), "int8, not uint8"),
        (batch().tolist(), "list, not uint8"),
        (None, "NoneType, not uint8"),
        (batch()[0], r"shape \(4, 6, 3\)"),
        (batch()[..., 0], r"shape \(1, 4, 6\)"),
        (batch().transpose(0, 3, 1, 2), r"shape \(1, 3, 4, 6\)"),
        (batch()[..., :2], r"shape \(1, 4, 6, 2\)"),
        (batch()[:0], r"shape \(0, 4, 6, 3\)"),
        (batch(height=5), "5 x 6 pixels high and wide, recorder, resize them to 4 x 6"),
        (batch(width=5), "4 x 5 pixels"),
        (batch(3), "3 images in a batch, recorder, give at most 2"),
    ],
)
def test_wrong_batches_do_not_reach_the_runtime(image, what):
    with Recorder(size=(4, 6)) as engine:
        with pytest.raises(FrameError, match=what):
            engine.infer(image)
        assert engine.events == ["activate"]


def test_strided_batches_arrive_as_they_look():
    wide = batch(2, 4, 12)
    for view in (wide[:, :, ::2], wide[:, ::-1], wide[::-1, ..., ::-1]):
        with Recorder() as engine:
            np.testing.assert_array_equal(engine.infer(view)["score"], view.mean(axis=(1, 2, 3), dtype=np.float32))


def test_a_batch_of_none_is_refused_at_once():
    with pytest.raises(EngineError, match="at least 1"):
        Recorder(max_batch=0)
