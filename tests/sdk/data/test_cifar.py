"""CIFAR-10's binary records against records put together byte by byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data.cifar import RECORD, class_names, read_labels, read_record
from edgead.errors import DataError


def record(label: int, image: np.ndarray) -> bytes:
    """As the reference describes it: the label, then all reds row by row, all greens, all blues."""
    content = bytearray([label])
    for channel in range(3):
        for row in range(32):
            for column in range(32):
                content.append(int(image[row, column, channel]))
    return bytes(content)


def test_records_are_planes_of_red_green_and_blue(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    images[1] = (250, 120, 10)  # RGB
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(b"".join(record(label, image) for label, image in zip((9, 0, 4), images, strict=True)))
    assert read_labels(path).tolist() == [9, 0, 4]
    for index, image in enumerate(images):
        read = read_record(path, index)
        assert read.dtype == np.uint8 and read.flags.c_contiguous and np.array_equal(read, image)
    assert read_record(path, 1)[0, 0].tolist() == [250, 120, 10]


@given(st.integers(0, 3 * RECORD), st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_any_other_size_or_label_is_a_data_error(tmp_path_factory, size, labels):
    content = b"".join(bytes([label]) + bytes(RECORD - 1) for label in labels)[:size]
    path = tmp_path_factory.mktemp("cifar") / "batch.bin"
    path.write_bytes(content)
    records = size // RECORD
    if size and size % RECORD == 0 and max(labels[:records]) <= 9:
        assert read_labels(path).tolist() == labels[:records]
    else:
        with pytest.raises(DataError) as refusal:
            read_labels(path)
        assert refusal.value.where == str(path) and refusal.value.todo
    for index in (records, records + 1, -1):
        with pytest.raises(DataError, match=f"record {index}"):
            read_record(path, index)


@given(st.binary(max_size=2 * RECORD))
def test_no_bytes_raise_anything_but_a_data_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("cifar")
    for name in ("batch.bin", "batches.meta.txt"):
        (folder / name).write_bytes(content)
    for read in (lambda: read_labels(folder / "batch.bin"), lambda: class_names(folder)):
        try:
            assert len(read())
        except DataError as error:
            assert error.where and error.todo


@pytest.mark.parametrize("name", ["gone.bin", "folder"])
def test_what_is_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    for read in (read_labels, lambda path: read_record(path, 0)):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / name)


def test_the_names_of_the_classes(tmp_path):
    assert class_names(tmp_path) == tuple("0123456789")
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    assert class_names(tmp_path) == tuple(names)
    (tmp_path / "batches.meta.txt").write_text("\n".join(names[:9] + names[:1]))
    with pytest.raises(DataError, match="9 names are not"):
        class_names(tmp_path)
