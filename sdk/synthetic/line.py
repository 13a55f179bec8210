"""A rendered production line: a triggered camera above the belt, one part in each frame, framed like the data set."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from edgead.atomic import write_atomic
from edgead.errors import DataError
from edgead.progress import Progress, silent
from edgead.synthetic.defects import DEFECTS
from edgead.synthetic.photograph import GOOD, Image, Mask, check_size, photo

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # what OpenCV's wheels can encode everywhere
_LINE = 1000  # stream of seeds: no part of the line is in a data set of the same seed


def frames(*, seed: int = 1, size: int = 512, defects: float = 0.2) -> Iterator[tuple[Image, str]]:
    """An endless line: (BGR uint8 [size, size, 3], the defect's name or "good").

    defects: share of defective parts, 0..1. Raises DataError, before the first frame, for values that cannot be.
    """
    return ((image, defect) for image, _, defect in _parts(seed, size, defects))


def write_video(
    path: Path,
    *,
    frames: int = 120,
    size: int = 512,
    fps: float = 10.0,
    defects: float = 0.2,
    seed: int = 1,
    progress: Progress = silent,
) -> Path:
    """Film the parts of `frames(seed=seed, size=size, defects=defects)`: .mp4 (MPEG-4) or .avi (Motion JPEG).

    Returns the path of the truth, `<video's name>.json` beside it: seed, size, fps, and for each of the frames its
    frame_id, its defect ("good" for none) and the box around it (x, y, width, height in pixels, or null). The video is
    decoded again before it takes its name. Raises DataError for a video that cannot be written, and for values that
    cannot be.
    """
    codec = CODECS.get(path.suffix.lower())
    if codec is None:
        raise DataError(
            f"no codec is known for {path.suffix or 'a name without an ending'}", path, "write .mp4 or .avi"
        )
    if size % 2 or frames < 1 or not 0 < fps <= 1000:
        raise DataError(
            f"{frames} frames of {size} pixels at {fps} frames/s are no video",
            path,
            "give an even size, 1 frame or more",
        )
    parts = islice(_parts(seed, size, defects), frames)
    truth = path.with_name(f"{path.name}.json")
    known = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
            partial = Path(folder) / path.name
            writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*codec), fps, (size, size))
            if not writer.isOpened():
                raise DataError(
                    f"this OpenCV cannot encode {codec}", path, f"write {' or '.join(CODECS)}, or install FFmpeg"
                )
            try:
                for frame_id, (image, mask, defect) in enumerate(parts):
                    writer.write(image)
                    box = cv2.boundingRect(mask.astype(np.uint8)) if mask.any() else None
                    known.append({"frame_id": frame_id, "defect": defect, "box": box})
                    progress("filming the line", frame_id + 1, frames)
            finally:
                writer.release()
            if _decodable(partial) != frames:
                raise DataError(
                    "the video was not written whole", path, "check the disk, and that this OpenCV has FFmpeg"
                )
            write_atomic(truth, json.dumps({"seed": seed, "size": size, "fps": fps, "frames": known}, indent=1) + "\n")
            partial.replace(path)
    except OSError as error:
        raise DataError(
            f"the video cannot be written ({error.strerror})", path, "check permissions and disk"
        ) from error
    return truth


def _parts(seed: int, size: int, defects: float) -> Iterator[tuple[Image, Mask, str]]:
    """Endless (BGR image, mask, name of the defect)."""
    check_size(size)
    if seed < 0 or not 0 <= defects <= 1:
        raise DataError(
            f"seed {seed} with a share of {defects} defects is no line",
            "synthetic",
            "give a seed from 0 and a share from 0 to 1",
        )
    return (_part((seed, _LINE, number), size, defects) for number in count())


def _part(seed: tuple[int, ...], size: int, defects: float) -> tuple[Image, Mask, str]:
    fate = np.random.default_rng((*seed, 1))
    defect = str(fate.choice(list(DEFECTS))) if fate.random() < defects else GOOD
    image, mask = photo(seed, size, defect)
    return np.ascontiguousarray(image[:, :, ::-1]), mask, defect


def _decodable(path: Path) -> int:
    """How many frames of a video can be read back."""
    video = cv2.VideoCapture(str(path))
    try:
        return next(number for number in count() if not video.grab())
    finally:
        video.release()
