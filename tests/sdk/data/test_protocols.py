"""One-class protocols on arrays, on CIFAR-10's batches and on folders, written small."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.data.images import read_image
from edgead.data.layout import split_validation
from edgead.data.loading import image_bytes, load_images, read_sample
from edgead.data.protocols import one_class
from edgead.errors import DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LABELS = {"train": [3, 0, 1, 0, 2, 1, 0, 3], "test": [0, 3, 2, 1, 0]}


def images_of(part: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(len(part)).integers(0, 256, (len(LABELS[part]), *shape), np.uint8)


def write_npz(root: Path, shape: tuple[int, ...] = (6, 5, 3)) -> Path:
    root.mkdir(exist_ok=True)
    parts = {f"{part}_images": images_of(part, shape) for part in LABELS}
    np.savez(root / "digits.npz", **parts, **{f"{part}_labels": np.array(LABELS[part]) for part in LABELS})
    return root / "digits.npz"


def write_cifar(root: Path, *, names: bool = True) -> Path:
    """The training images over batches of 2, 2, 2, 1 and 1, the test ones in one batch."""
    root.mkdir(exist_ok=True)
    records = {
        part: [
            bytes([label]) + b"".join(image[:, :, channel].tobytes() for channel in range(3))
            for label, image in zip(LABELS[part], images_of(part, (32, 32, 3)), strict=True)
        ]
        for part in LABELS
    }
    for number, (begin, end) in enumerate(((0, 2), (2, 4), (4, 6), (6, 7), (7, 8)), 1):
        (root / f"data_batch_{number}.bin").write_bytes(b"".join(records["train"][begin:end]))
    (root / "test_batch.bin").write_bytes(b"".join(records["test"]))
    if names:
        (root / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


def write_folders(root: Path) -> Path:
    for part, labels in LABELS.items():
        for number, (label, image) in enumerate(zip(labels, images_of(part, (6, 5, 3)), strict=True)):
            folder = root / part / NAMES[label]
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f"{number:05d}.png"), image[:, :, ::-1])
    return root


WRITERS = {"npz": write_npz, "cifar": write_cifar, "folders": write_folders}


@pytest.fixture(params=list(WRITERS))
def labelled(request, tmp_path) -> Path:
    return WRITERS[request.param](tmp_path / "data")


def number_of(sample) -> int:
    return int(Path(sample.name).stem)


def test_the_normal_classes_train_and_all_test_images_test(labelled):
    dataset = one_class(labelled, [0, 2])
    names = ["0", "2"] if labelled.suffix == ".npz" else ["airplane", "bird"]
    assert dataset.root == labelled and dataset.categories == (f"normal {','.join(names)}",)
    samples = (*dataset.train, *dataset.test)
    assert {sample.category for sample in samples} == set(dataset.categories)
    assert len({sample.name for sample in samples}) == len(samples)
    assert sorted(map(number_of, dataset.train)) == [1, 3, 4, 6]
    assert not any(sample.anomalous for sample in dataset.train)
    assert list(dataset.test) == sorted(dataset.test, key=lambda sample: sample.name)
    assert sorted(map(number_of, dataset.test)) == list(range(5))
    for sample in dataset.test:
        label = LABELS["test"][number_of(sample)]
        name = str(label) if labelled.suffix == ".npz" else NAMES[label]
        assert sample.defect == ("good" if label in (0, 2) else name)


def test_each_sample_has_its_own_pixels(labelled):
    shape = (32, 32, 3) if (labelled / "test_batch.bin").exists() else (6, 5, 3)
    dataset = one_class(labelled, [0, 1, 2])
    for part, samples in (("train", dataset.train), ("test", dataset.test)):
        images = images_of(part, shape)
        for sample in samples:
            assert np.array_equal(read_sample(sample), images[number_of(sample)])
        assert np.array_equal(load_images(samples, *shape[:2]), images[[number_of(sample) for sample in samples]])


def test_gray_arrays_become_rgb(tmp_path):
    path = write_npz(tmp_path, shape=(6, 5))
    for sample in one_class(path, [0]).test:
        assert np.array_equal(read_sample(sample), np.dstack([images_of("test", (6, 5))[sample.index - 8]] * 3))


def test_names_are_stable_and_padded(tmp_path):
    arrays, cifar = one_class(write_npz(tmp_path / "a"), [0]), one_class(write_cifar(tmp_path / "c"), [0])
    for dataset in (arrays, cifar):
        assert [s.name for s in dataset.train] == ["train/00001", "train/00003", "train/00006"]
        assert [s.name for s in dataset.test] == [f"test/{i:05d}" for i in range(5)]
    folders = one_class(write_folders(tmp_path / "f"), [0])
    assert folders.train[0].name == "train/airplane/00001.png" and folders.train[0].index is None


def test_classes_go_by_number_or_by_name(labelled):
    expected = one_class(labelled, [0, 2])
    assert one_class(labelled, ["2", "0"]) == one_class(labelled, [2, 0]) == expected
    if labelled.suffix != ".npz":
        assert one_class(labelled, ["bird", 0]) == expected


def test_a_name_goes_before_a_number(tmp_path):
    for name in ("10", "2"):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "0.png").touch()
    assert one_class(tmp_path, ["2"]).categories == ("normal 2",)
    assert one_class(tmp_path, [1]).categories == ("normal 2",)  # in the order of names, "10" comes first
    assert one_class(tmp_path, ["0"]).categories == ("normal 10",)


def test_cifar_without_names_has_numbers(tmp_path):
    assert one_class(write_cifar(tmp_path, names=False), [0, 2]).categories == ("normal 0,2",)


def test_a_category_that_a_manifest_would_not_take_is_shortened(tmp_path):
    for number in range(9):
        for part in ("train", "test"):
            folder = tmp_path / part / f"{number}{'x' * 60}"
            folder.mkdir(parents=True)
            (folder / "0.png").touch()
    assert one_class(tmp_path, range(4)).categories == ("normal 4 of 9 classes",)


@pytest.mark.parametrize(
    ("normal", "what"),
    [
        ([], "no class is normal"),
        ([7], "no class 7|class (horse|7) has no training images"),
        (["moose"], "no class 'moose'.*name some of 0"),
        (["-1"], "no class '-1'"),
        ([-1], "no class -1"),
        (["٣"], "no class"),
        ([0, 1, 0], "class (airplane|0) is named twice"),
        ([0, "0"], "named twice"),
        ([0, 1, 2, 3], "all test images are of normal classes"),
    ],
)
def test_classes_that_cannot_be_are_refused(labelled, normal, what):
    with pytest.raises(DataError, match=what) as refusal:
        one_class(labelled, normal)
    assert refusal.value.where == str(labelled) and refusal.value.todo


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_normal_class_has_images_in_both_parts(tmp_path, part):
    root = write_folders(tmp_path)
    (root / part / "bird").rename(root / "away")
    said = "training" if part == "train" else "test"
    with pytest.raises(DataError, match=f"class bird has no {said} images"):
        one_class(root, ["bird"])
    assert len(one_class(root, ["cat"]).train) == 2


def test_an_empty_class_is_named(tmp_path):
    root = write_folders(tmp_path)
    (root / "test/cat/00001.png").unlink()
    with pytest.raises(DataError, match=r"no images, .*test/cat"):
        one_class(root, ["bird"])


def test_a_defect_called_good_is_refused(tmp_path):
    root = write_folders(tmp_path)
    (root / "test/cat").rename(root / "test/Good")
    with pytest.raises(DataError, match=r"class Good is not normal.*call it something else"):
        one_class(root, ["bird"])


def test_the_python_distribution_is_refused(tmp_path):
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    for root in (tmp_path, tmp_path / "data_batch_1"):
        with pytest.raises(DataError, match=r"nothing is unpickled.*binary distribution, cifar-10-binary\.tar\.gz"):
            one_class(root, [0])


@pytest.mark.parametrize("name", [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"])
def test_a_missing_or_truncated_batch_is_named(tmp_path, name):
    root = write_cifar(tmp_path)
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"whole records.*{name}"):
        one_class(root, [0])
    (root / name).unlink()
    with pytest.raises(DataError, match=f"cannot be read.*{name}"):
        one_class(root, [0])


@pytest.mark.parametrize(
    ("name", "what"), [("gone", "does not exist"), ("empty", "no labelled"), ("file", "no file of")]
)
def test_what_is_no_data_is_refused(tmp_path, name, what):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"{what}.*npz.*data_batch_1.bin.*train/<class>"):
        one_class(tmp_path / name, [0])


def test_an_image_is_known_again_by_its_own_bytes(labelled):
    dataset = one_class(labelled, [0])
    digests = {hashlib.sha256(image_bytes(sample)).hexdigest() for sample in dataset.test}
    assert len(digests) == 5
    first = dataset.test[0]
    own = first.path.read_bytes() if first.index is None else read_sample(first).tobytes()
    assert image_bytes(first) == own


def test_the_area_under_the_curve_is_that_of_the_whole_test(tmp_path):
    """Two normal classes, one brighter and one darker than the defects: apart each is perfect, together not."""
    from edgead.evaluation.evaluate import evaluate

    levels = {0: 10, 1: 200, 2: 100}
    labels = np.array([0, 1, 2, 2])
    images = np.stack([np.full((4, 4), levels[label], np.uint8) for label in labels])
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)

    def predict(images):
        values = images[:, 0, 0, 0].astype(np.float32)
        return {"score": values, "anomaly_map": np.broadcast_to(values[:, None, None], images.shape[:3])}

    result = evaluate(predict, one_class(tmp_path / "a.npz", [0, 1]).test, 4, 4)
    assert list(result.categories) == ["normal 0,1"] and result.mean.image_auroc == 0.5


def test_a_split_of_arrays_is_whole(tmp_path):
    dataset = one_class(write_npz(tmp_path), [0, 1])
    train, validation = split_validation(dataset.train)
    assert sorted(s.name for s in (*train, *validation)) == [s.name for s in dataset.train]


def test_real_digits(real_images):
    dataset = one_class(real_images / "mnist.npz", range(5))
    with np.load(real_images / "mnist.npz") as saved:
        assert len(dataset.train) == np.count_nonzero(saved["train_labels"] < 5)
        assert [s.anomalous for s in dataset.test] == (saved["test_labels"] >= 5).tolist()
        assert np.array_equal(load_images(dataset.test, 28, 28)[..., 1], saved["test_images"])


def test_folders_are_read_as_files_are(tmp_path):
    sample = one_class(write_folders(tmp_path), ["bird"]).train[0]
    assert np.array_equal(read_sample(sample), read_image(sample.path))
