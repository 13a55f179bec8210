"""The rendered data set: MVTec's layout, byte-identical for a seed, whole or not there."""

import numpy as np
import pytest

from edgead.data.images import read_image, read_mask
from edgead.data.layout import read_dataset
from edgead.errors import DataError
from edgead.synthetic import DEFECTS, dataset, photo, write_dataset

COUNTS = {"size": 64, "train": 3, "test_good": 2, "per_defect": 1}


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_layout_is_read_as_it_was_meant(tmp_path):
    steps = []
    root = write_dataset(tmp_path / "new" / "flange", **COUNTS, progress=lambda *step: steps.append(step))
    data = read_dataset(root)
    assert [sample.defect for sample in data.train] == ["good"] * 3
    assert sorted(sample.defect for sample in data.test) == sorted(["good"] * 2 + list(DEFECTS))
    assert steps[-1] == ("rendering photographs", 5 + len(DEFECTS), 5 + len(DEFECTS))
    for sample in data.test:
        assert read_image(sample.path).shape == (64, 64, 3)
        if sample.anomalous:
            assert sample.mask is not None
            assert read_mask(sample.mask, 64, 64).any()


def test_files_hold_the_photographs_and_their_masks(tmp_path):
    write_dataset(tmp_path / "flange", **COUNTS, seed=5)
    image, mask = photo((5, 2, 0), 64, "scratch")
    assert np.array_equal(read_image(tmp_path / "flange/test/scratch/000.png"), image)
    assert np.array_equal(read_mask(tmp_path / "flange/ground_truth/scratch/000_mask.png", 64, 64), mask)


def test_the_same_seed_gives_the_same_bytes_and_no_photograph_twice(tmp_path):
    one, two, other = (
        contents(write_dataset(tmp_path / name, **COUNTS, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == two
    assert one.keys() == other.keys()
    photographs = [content for files in (one, other) for name, content in files.items() if "mask" not in name]
    assert len(set(photographs)) == len(photographs)


def test_nothing_stays_behind_when_rendering_fails(tmp_path, monkeypatch):
    rendered = []

    def failing(seed, size, defect):
        rendered.append(seed)
        if len(rendered) > 4:
            raise OSError(28, "No space left on device")
        return photo(seed, size, defect)

    monkeypatch.setattr(dataset, "photo", failing)
    with pytest.raises(DataError, match=r"cannot be written .No space left on device.*flange.*check permissions"):
        write_dataset(tmp_path / "flange", **COUNTS)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="the folder is not empty"):
        write_dataset(tmp_path, **COUNTS)
    assert contents(tmp_path) == {"mine.txt": b"precious"}


def test_an_empty_folder_may_be_filled(tmp_path):
    root = tmp_path / "flange"
    root.mkdir()
    write_dataset(root, **COUNTS)
    assert len(contents(root)) == 5 + 2 * len(DEFECTS)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_dataset(tmp_path / "file" / "flange", **COUNTS)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"size": 8}, "no size"),
        ({"train": 0}, "training photograph"),
        ({"per_defect": -1}, "no count"),
        ({"seed": -1}, "seed"),
    ],
)
def test_counts_that_cannot_be_are_refused_before_anything_is_written(tmp_path, change, what):
    with pytest.raises(DataError, match=what):
        write_dataset(tmp_path / "flange", **{**COUNTS, **change})
    assert list(tmp_path.iterdir()) == []
