"""Image files as a source: a folder, a glob pattern, or one image."""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np

from edgead.errors import DataError, SourceError
from edgead.frame import Frame, Reading, Signal
from edgead.sources import IMAGES
from edgead.sources.base import Source


class ImageSource(Source):
    """A source whose frames are files. A frame's `source` is the path of its image, so that a record names the file
    that it judges."""

    def _read(self, path: Path) -> Reading:
        """The image of a file, or the news that it cannot be read."""
        try:
            return self._image(path)
        except DataError as error:
            return self._lost(error.what, source=str(path))

    def _image(self, path: Path) -> Frame:
        """The image of a file. Raises DataError where it cannot be read."""
        from edgead.data.images import read_image

        return self._frame(np.ascontiguousarray(read_image(path)[..., ::-1]), source=str(path))


class ImageFiles(ImageSource):
    """Each image once, sorted by path; an image that cannot be read is a LostFrame."""

    def __init__(self, spec: str | Path) -> None:
        super().__init__(str(spec))
        self._spec = str(spec)
        self._paths: list[Path] | None = None

    def open(self) -> None:
        """List the images. Raises SourceError where there are none."""
        paths = sorted(path for path in self._candidates() if _is_image(path))
        if not paths:
            todo = f"give a folder, pattern or file with images ({' '.join(IMAGES)}); sub-folders: '{self._spec}/**/*'"
            raise SourceError("there are no images", self.name, todo)
        self._paths = paths

    def read(self, timeout: float) -> Reading:
        """The next image; `timeout` is not needed, as a disk always answers."""
        if self._paths is None:
            raise self._not_open()
        if self._next_id >= len(self._paths):
            return Signal.END
        return self._read(self._paths[self._next_id])

    def close(self) -> None:
        """Forget the list."""
        self._paths = None

    def _candidates(self) -> list[Path]:
        path = Path(self._spec)
        if path.is_dir():
            return list(path.iterdir())
        if path.exists():
            return [path]
        return [Path(found) for found in glob.iglob(self._spec, recursive=True)]  # noqa: PTH207 - takes absolute patterns too


def _is_image(path: Path) -> bool:
    return has_image_name(path.name) and path.is_file()


def has_image_name(name: str) -> bool:
    """Whether a file is called as an image is, and is not hidden."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")
