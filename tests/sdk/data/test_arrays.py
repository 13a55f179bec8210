"""Array files against the arrays that were saved, and files that are none."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data import arrays
from edgead.data.arrays import read_array_image, read_labels
from edgead.errors import DataError


def some_arrays(train: int = 6, test: int = 4, shape: tuple[int, ...] = (5, 7, 3), seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    return {
        "train_images": random.integers(0, 256, (train, *shape), np.uint8),
        "train_labels": random.integers(0, 3, train),
        "test_images": random.integers(0, 256, (test, *shape), np.uint8),
        "test_labels": random.integers(0, 3, test).astype(np.uint8),
    }


def save(path: Path, **content: np.ndarray) -> Path:
    np.savez_compressed(path, **content)
    return path


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_what_was_saved_is_read(tmp_path, shape):
    saved = some_arrays(shape=shape)
    path = save(tmp_path / "a.npz", **saved)
    train, test = read_labels(path)
    assert np.array_equal(train, saved["train_labels"]) and np.array_equal(test, saved["test_labels"])
    for index, image in enumerate([*saved["train_images"], *saved["test_images"]]):
        read = read_array_image(path, index)
        assert read.shape == (5, 7, 3) and read.dtype == np.uint8 and read.flags.c_contiguous and read.flags.writeable
        assert np.array_equal(read, image if image.ndim == 3 else np.dstack([image] * 3))
    for index in (-1, 10):
        with pytest.raises(DataError, match=f"no image {index} among the 10"):
            read_array_image(path, index)


def test_a_file_is_loaded_once_until_it_changes_and_only_two_are_kept(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"{name}.npz", **some_arrays(seed=seed)) for seed, name in enumerate("abc")]
    loads: list[str] = []
    load = arrays._load
    monkeypatch.setattr(arrays, "_load", lambda path, kind: loads.append(path.stem) or load(path, kind))
    arrays._images_once.cache_clear()
    for index in range(10):
        for path in paths[:2]:
            read_array_image(path, index)
    assert loads == ["a", "b"]
    read_array_image(paths[2], 0)
    read_array_image(paths[1], 0)
    assert loads == ["a", "b", "c"]
    read_array_image(paths[0], 0)
    assert loads == ["a", "b", "c", "a"]
    changed = some_arrays(seed=9)
    save(paths[0], **changed)
    os.utime(paths[0], ns=(1, 1))
    assert np.array_equal(read_array_image(paths[0], 0), changed["train_images"][0])
    assert arrays._images_once.cache_info().currsize == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"train_images": np.zeros((6, 5, 7, 3), np.float32)}, r"train_images is float32 \[6, 5, 7, 3\]"),
        ({"train_images": np.zeros((6, 5, 7, 4), np.uint8)}, r"train_images is uint8 \[6, 5, 7, 4\]"),
        ({"train_images": np.zeros((6, 35), np.uint8)}, r"train_images is uint8 \[6, 35\]"),
        ({"test_images": np.zeros((4, 0, 7), np.uint8)}, r"test_images is uint8 \[4, 0, 7\]"),
        ({"test_images": np.uint8(1)}, r"test_images is uint8 \[\]"),
        ({"test_images": np.zeros((5, 5, 7), np.uint8)}, "5 test_images have 4 labels"),
        ({"train_labels": np.zeros(5, np.int64)}, "6 train_images have 5 labels"),
        ({"train_labels": np.zeros((6, 1), np.int64)}, r"train_labels is int64 \[6, 1\]"),
        ({"train_labels": np.zeros(6)}, r"train_labels is float64 \[6\]"),
        ({"train_labels": np.zeros(6, bool)}, r"train_labels is bool \[6\]"),
        ({"train_images": np.array([{"a": 1}] * 6, object)}, "allow_pickle.*nothing is unpickled"),
        ({"test_labels": np.array([0, 1, 2, "x"], object)}, "allow_pickle.*nothing is unpickled"),
        ({"test_labels": None}, "no test_labels among its arrays, train_images, train_labels, test_images"),
    ],
)
def test_other_arrays_are_refused(tmp_path, change, what):
    content = {name: value for name, value in {**some_arrays(), **change}.items() if value is not None}
    path = save(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=what) as refusal:
        read_labels(path)
    assert refusal.value.where == str(path) and refusal.value.todo


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return (Path.touch, (self.place,))


def test_nothing_is_unpickled(tmp_path):
    sprung = tmp_path / "sprung"
    path = save(tmp_path / "a.npz", **{**some_arrays(), "train_images": np.array([Trap(sprung)] * 6, object)})
    with pytest.raises(DataError, match="nothing is unpickled"):
        read_labels(path)
    assert not sprung.exists()
    np.load(path, allow_pickle=True)["train_images"]
    assert sprung.exists()  # the trap would have worked


def test_what_is_no_array_file_is_refused(tmp_path):
    one = tmp_path / "one.npz"
    with one.open("wb") as file:
        np.save(file, np.zeros((4, 5, 7), np.uint8))
    raw = tmp_path / "raw.npz"
    with zipfile.ZipFile(raw, "w") as archive:
        for name in some_arrays():
            archive.writestr(f"{name}.npy", b"no array")
    for path, what in ((tmp_path / "gone.npz", "No such file"), (one, "one array"), (raw, "are no arrays")):
        with pytest.raises(DataError, match=what):
            read_labels(path)


def saved_bytes(**options) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **some_arrays(**options))
    return buffer.getvalue()


WHOLE = saved_bytes()


@given(st.data())
def test_no_bytes_raise_anything_but_a_data_error(tmp_path_factory, data):
    """Truncated anywhere, with any byte changed, or made up."""
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    kind = data.draw(st.sampled_from(["cut", "changed", "made up"]))
    if kind == "cut":
        content = WHOLE[: data.draw(st.integers(0, len(WHOLE) - 1))]
    elif kind == "changed":
        place, value = data.draw(st.integers(0, len(WHOLE) - 1)), data.draw(st.integers(0, 255))
        content = WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :]
    else:
        content = data.draw(st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])) + data.draw(st.binary())
    path.write_bytes(content)
    try:
        train, test = read_labels(path)
    except DataError as error:
        assert error.where == str(path) and error.todo
    else:
        assert kind == "changed" and (len(train), len(test)) == (6, 4)
