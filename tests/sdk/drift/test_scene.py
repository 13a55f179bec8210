"""A scene that is darkened, defocused or shifted is noticed, said once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.drift import Scene
from edgead.drift.place import Place
from edgead.frame import Frame
from edgead.result import Result, Verdict
from edgead.synthetic import frames

Image = np.ndarray
Disturb = Callable[[Image], Image]
NOTHING = np.zeros((0, 0), np.float32)
RESULT = Result(0.5, False, NOTHING, NOTHING > 0, 1.0, Verdict.ACCEPT, (), 0, "cell", 0.0)


def darken(share: float) -> Disturb:
    return lambda image: (image * np.float32(1 - share)).astype(np.uint8)


def defocus(sigma: float) -> Disturb:
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


def shift(x: float, y: float) -> Disturb:
    """By shares of the picture's sides."""

    def move(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = np.float32([[1, 0, x * width], [0, 1, y * height]])
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return move


def watch(scene: Scene, images: Iterator[Image], count: int, disturb: Disturb | None = None) -> list:
    found = []
    for image in islice(images, count):
        shown = image if disturb is None else disturb(image)
        found += scene.observe(Frame(shown, len(found), "cell", 0.0), RESULT)
    return found


@lru_cache(maxsize=1)
def parts() -> list[Image]:
    return [image for image, _ in islice(frames(seed=14, size=64, defects=0.2), 300)]


def rendered(seed: int) -> Iterator[Image]:
    """Rendered parts, a fifth of them bad, in a random order without end; none comes twice in 300."""
    random = np.random.default_rng(seed)
    while True:
        yield from (parts()[number] for number in random.permutation(300))


def real(folder: Path, seed: int, count: int, side: int) -> Iterator[Image]:
    """Photographs in an order that repeats only after all of them, endlessly."""
    paths = sorted(folder.iterdir())
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    images = [cv2.resize(cv2.imread(str(paths[i])), (side, side), interpolation=cv2.INTER_AREA) for i in chosen]
    return cycle(images)


DISTURBED = [
    (darken(0.25), "brightness"),
    (defocus(1.5), "focus"),
    (shift(0.04, 0), "shift"),
    (shift(0, -0.08), "shift"),
]


@pytest.mark.parametrize(("disturb", "what"), DISTURBED)
def test_a_rendered_line_that_is_disturbed(disturb, what):
    scene, images = Scene(every=1), rendered(11)
    assert watch(scene, images, 75) == []
    said = watch(scene, images, 60, disturb)
    assert [change.what for change in said].count(what) == 1
    assert len({change.what for change in said}) == len(said)  # nothing is said twice
    assert watch(scene, images, 60) == []  # and nothing when it is as before
    assert [change.what for change in watch(scene, images, 60, disturb)].count(what) == 1  # but again after that


def test_what_is_said_is_by_how_much():
    scene, images = Scene(every=1), rendered(12)
    watch(scene, images, 60)
    (dark,) = (c for c in watch(scene, images, 15, darken(0.3)) if c.what == "brightness")
    assert dark.value / dark.usual == pytest.approx(0.7, abs=0.25) and dark.value < dark.usual * 0.95
    assert "brightness fell by" in dark.text
    scene, images = Scene(every=1), rendered(13)
    watch(scene, images, 60)
    (moved,) = (change for change in watch(scene, images, 15, shift(0.1, 0.05)) if change.what == "shift")
    # Noticed once half of the window's frames have moved, when the median lies between not and wholly
    assert 0.02 * 64 < moved.value < 1.1 * 64 * np.hypot(0.1, 0.05)
    assert "the picture moved by" in moved.text


def test_no_alarm_on_two_thousand_good_and_bad_parts():
    assert watch(Scene(every=1), rendered(14), 2000) == []


@pytest.mark.parametrize("kind", ["plantvillage_cherry", "mvtec_screw"])
def test_photographs_of_parts_that_lie_anywhere(real_images, kind):
    photos = real(real_images / kind / "train" / "good", 1, 100, 128)
    scene = Scene(every=1)
    assert watch(scene, photos, 600) == []
    found = []
    for disturb in (darken(0.4), defocus(2.5), shift(0.1, 0)):
        found.append([change.what for change in watch(scene, photos, 45, disturb)])
        watch(scene, photos, 45)
    dark, blurred, moved = found
    assert "brightness" in dark and "focus" in blurred
    assert all(len(set(said)) == len(said) for said in found)
    assert moved == []  # nothing stays in its place here, so there is none to lose


def test_photographs_in_a_tray(real_images):
    """Eight leaves that stay and one that changes, with the noise of a camera."""
    photos = real(real_images / "plantvillage_cherry" / "train" / "good", 2, 60, 48)
    random, fixed = np.random.default_rng(2), list(islice(photos, 8))

    def tray() -> Iterator[Image]:
        while True:
            nine = [*fixed[:4], next(photos), *fixed[4:]]
            whole = np.concatenate([np.concatenate(nine[row : row + 3], axis=1) for row in (0, 3, 6)])
            yield np.clip(whole + random.normal(0, 4, whole.shape), 0, 255).astype(np.uint8)

    for disturb, what in ((darken(0.2), "brightness"), (defocus(1.5), "focus"), (shift(0, 0.05), "shift")):
        scene, images = Scene(every=1), tray()
        assert watch(scene, images, 60) == []
        assert [change.what for change in watch(scene, images, 30, disturb)].count(what) == 1


def test_a_resting_part_is_no_change_and_gray_frames_do():
    image = next(rendered(15))
    assert watch(Scene(every=1), cycle([image]), 200) == []
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    for shape in ((64, 64), (64, 64, 1)):
        scene = Scene(every=1)
        watch(scene, cycle([gray.reshape(shape)]), 60)
        said = watch(scene, cycle([darken(0.4)(gray).reshape(shape)]), 60)
        assert {"brightness"} <= {change.what for change in said} <= {"brightness", "contrast"}


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_white_picture_is_measured(value):
    plain = np.full((32, 32, 3), value, np.uint8)
    scene = Scene(every=1)
    assert watch(scene, cycle([plain]), 100) == []
    said = watch(scene, rendered(16), 1)
    assert said == []  # another size begins anew
    scene = Scene(every=1)
    watch(scene, rendered(16), 60)
    said = watch(scene, cycle([cv2.resize(plain, (64, 64))]), 30)
    assert "brightness" in {change.what for change in said}


def test_only_some_frames_are_looked_at():
    """Every other frame is dark, and nobody looks at those."""
    scene = Scene(every=2)
    images = rendered(17)
    dark, found = darken(0.5), []
    for number in range(140):
        image = next(images)
        found += watch(scene, iter([image if number % 2 else dark(image)]), 1)
    assert found == []


@given(st.integers(-15, 15), st.integers(-15, 15), st.integers(0, 100))
def test_a_crop_that_moved_is_found_where_it_was_taken(x, y, seed):
    noise = np.random.default_rng(seed).random((120, 140)).astype(np.float32)
    whole = cv2.GaussianBlur(noise, (0, 0), 2) + 0.01 * noise
    place = Place(whole[20:100, 20:120])
    found = place.shift(whole[20 - y : 100 - y, 20 - x : 120 - x])
    assert found[:2] == (x, y) and found[2] > 0.3
    assert place.shift(whole[20:100, 20:120]) == (0, 0, pytest.approx(1))
    other = np.random.default_rng(seed + 1000).random((80, 100)).astype(np.float32)
    assert place.shift(cv2.GaussianBlur(other, (0, 0), 2))[2] < 0.3
    assert place.shift(np.full((80, 100), 7, np.float32))[2] == pytest.approx(0, abs=0.3)


def test_impossible_numbers_are_refused():
    for numbers in ({"learn": 2}, {"window": 0}, {"every": 0}):
        with pytest.raises(ValueError, match="no way to look"):
            Scene(**numbers)
