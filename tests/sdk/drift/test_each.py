"""Several cameras: the scene of each is its own."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.drift import EachCamera, Scene
from edgead.frame import Frame
from edgead.result import Result, Verdict

NOTHING = np.zeros((0, 0), np.float32)
RESULT = Result(0.5, False, NOTHING, NOTHING > 0, 1.0, Verdict.ACCEPT, (), 0, "cell", 0.0)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("every", [1, 2])
def test_a_camera_that_is_dimmed_is_named_however_many_there_are(size, every):
    """Of two that look at different things, by turns; of several sizes no scene would ever be learned."""
    random = np.random.default_rng(0)
    watching = EachCamera(lambda: Scene(learn=10, window=5, every=every), ["bright", "dark"])
    found = []
    for number in range(80):
        dim = 0.7 if number >= 40 else 1.0
        for name, level, side in (("bright", 180, 32), ("dark", 60 * dim, size)):
            image = np.clip(level + 5 * random.standard_normal((side, side, 3)), 0, 255).astype(np.uint8)
            found += watching.observe(Frame(image, number, name, 0.0), RESULT)
    assert {change.source for change in found} == {"dark"}
    assert [change.frame_id >= 40 for change in found if change.what == "brightness"] == [True]


def test_images_of_a_folder_have_one_scene():
    random = np.random.default_rng(0)
    watching = EachCamera(lambda: Scene(learn=10, window=5, every=1), ["/data/line"])
    found = []
    for number in range(60):
        level = 90 if number < 30 else 50
        image = np.clip(level + 5 * random.standard_normal((32, 32, 3)), 0, 255).astype(np.uint8)
        found += watching.observe(Frame(image, number, f"/data/line/{number}.png", 0.0), RESULT)
    assert "brightness" in {change.what for change in found}
