"""The rendered line: endless, repeatable, and the same in a video within what the codec loses."""

import json
from itertools import islice

import cv2
import numpy as np
import pytest

from edgead.errors import DataError
from edgead.synthetic import DEFECTS, frames, line, photo, write_video


def decode(path):
    video = cv2.VideoCapture(str(path))
    images = []
    while True:
        there, image = video.read()
        if not there:
            return images, video.get(cv2.CAP_PROP_FPS)
        images.append(image)


def test_a_line_repeats_itself_for_its_seed_alone():
    one, two, other = (list(islice(frames(seed=seed, size=64), 5)) for seed in (1, 1, 2))
    assert [name for _, name in one] == [name for _, name in two]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(one, two, strict=True))
    assert not any(np.array_equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True))


def test_frames_are_bgr_photographs():
    image, name = next(frames(seed=3, size=64, defects=0.0))
    assert name == "good"
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.array_equal(image[:, :, ::-1], photo((3, 1000, 0), 64)[0])


def test_the_share_of_defects_is_kept():
    names = [name for _, name in islice(frames(seed=0, size=64, defects=0.3), 120)]
    assert {*names} <= {"good", *DEFECTS}
    assert 0.15 < np.mean([name != "good" for name in names]) < 0.45
    assert {name for _, name in islice(frames(seed=0, size=64, defects=1.0), 12)} <= {*DEFECTS}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"size": 20}, "no size"),
        ({"defects": 1.5}, "share of 1.5"),
        ({"defects": -0.1}, "no line"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_values_that_cannot_be_are_refused_before_the_first_frame(values, what):
    with pytest.raises(DataError, match=what):
        frames(**values)


@pytest.mark.parametrize("name", ["line.mp4", "line.AVI"])
def test_a_video_decodes_to_what_was_rendered(tmp_path, name):
    truth = json.loads(
        write_video(tmp_path / "new" / name, frames=6, size=128, fps=12.5, defects=0.5, seed=2).read_text()
    )
    images, fps = decode(tmp_path / "new" / name)
    rendered = list(islice(frames(seed=2, size=128, defects=0.5), 6))
    assert fps == pytest.approx(12.5)
    assert len(images) == 6
    for image, (original, _) in zip(images, rendered, strict=True):
        error = np.mean((image.astype(float) - original) ** 2)
        assert 10 * np.log10(255**2 / error) > 28  # decibels
    assert {key: truth[key] for key in ("seed", "size", "fps")} == {"seed": 2, "size": 128, "fps": 12.5}
    assert [frame["defect"] for frame in truth["frames"]] == [defect for _, defect in rendered]
    assert [frame["frame_id"] for frame in truth["frames"]] == list(range(6))
    for frame in truth["frames"]:
        assert (frame["box"] is None) == (frame["defect"] == "good")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {name, f"{name}.json"}


def test_the_box_holds_the_mask(tmp_path):
    truth = json.loads(write_video(tmp_path / "line.avi", frames=1, size=64, defects=1.0, seed=4).read_text())
    (frame,) = truth["frames"]
    _, mask = photo((4, 1000, 0), 64, frame["defect"])
    x, y, width, height = frame["box"]
    rows, columns = np.nonzero(mask)
    assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_an_interrupted_video_leaves_nothing(tmp_path):
    def interrupt(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "line.mp4", frames=4, size=64, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_lacks_frames_is_not_kept(tmp_path, monkeypatch):
    real = cv2.VideoWriter

    class Lossy:
        fourcc = staticmethod(real.fourcc)

        def __init__(self, *arguments):
            self.writer, self.count = real(*arguments), 0

        def isOpened(self):
            return self.writer.isOpened()

        def write(self, image):
            self.count += 1
            if self.count < 3:
                self.writer.write(image)

        def release(self):
            self.writer.release()

    monkeypatch.setattr(line.cv2, "VideoWriter", Lossy)
    with pytest.raises(DataError, match=r"not written whole.*line\.avi.*check the disk"):
        write_video(tmp_path / "line.avi", frames=4, size=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("line.mov", {}, r"no codec is known for \.mov"),
        ("line", {}, "without an ending"),
        ("line.mp4", {"size": 65}, "even size"),
        ("line.mp4", {"frames": 0}, "0 frames"),
        ("line.mp4", {"fps": 0.0}, "at 0.0 frames/s"),
    ],
)
def test_videos_that_cannot_be_are_refused(tmp_path, name, values, what):
    with pytest.raises(DataError, match=what):
        write_video(tmp_path / name, **{"frames": 2, "size": 64, **values})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_video(tmp_path / "file" / "line.mp4", frames=1, size=64)
