"""VisA's folders and its table, written small."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data.images import LabelMask, read_mask
from edgead.data.layout import read_dataset
from edgead.data.loading import read_sample
from edgead.errors import DataError

HEADER = "object,split,label,image,mask"


def write_category(folder: Path, *, normal: int = 10, anomaly: int = 3) -> None:
    """A category whose images are all of one gray, their number, and whose masks hold the labels 1 and 2."""
    for name, count in (("Images/Normal", normal), ("Images/Anomaly", anomaly), ("Masks/Anomaly", anomaly)):
        (folder / "Data" / name).mkdir(parents=True)
        for number in range(count):
            if name.startswith("Masks"):
                mask = np.zeros((8, 12), np.uint8)
                mask[1, 2:5], mask[6, number] = 1, 2
                assert cv2.imwrite(str(folder / "Data" / name / f"{number:03d}.png"), mask)
            else:
                gray = np.full((8, 12, 3), number, np.uint8)
                assert cv2.imwrite(str(folder / "Data" / name / f"{number:03d}.JPG"), gray)


def write_table(root: Path, rows: list[str], header: str = HEADER) -> Path:
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv/1cls.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


@pytest.fixture
def visa(tmp_path) -> Path:
    """Two categories without a table."""
    for category in ("candle", "pcb1"):
        write_category(tmp_path / "VisA" / category)
    return tmp_path / "VisA"


def test_without_a_table_a_fifth_of_the_normal_images_is_kept_for_the_test(visa):
    dataset = read_dataset(visa)
    assert dataset.categories == ("candle", "pcb1")
    for category in dataset.categories:
        train = [s.name for s in dataset.train if s.category == category]
        kept = [s.name for s in dataset.test if s.category == category and not s.anomalous]
        assert (len(train), len(kept)) == (8, 2)
        assert sorted(train + kept) == [f"{category}/Data/Images/Normal/{i:03d}.JPG" for i in range(10)]
    bad = [sample for sample in dataset.test if sample.anomalous]
    assert {(s.defect, type(s.mask)) for s in bad} == {("bad", LabelMask)} and len(bad) == 6
    assert all(s.mask.path.stem == s.path.stem and s.category in s.mask.path.parts for s in bad)


def test_the_split_is_that_of_good_and_bad(tmp_path):
    """By name alone, the good images of both layouts would be the same ones."""
    write_category(tmp_path / "visa", anomaly=1)
    alone = read_dataset(tmp_path / "visa")
    assert alone.categories == ("visa",) and len(alone.train) == 8 and len(alone.test) == 3
    from edgead.data.layout import GOOD_TEST_SHARE, split_validation

    good = [s for s in (*alone.train, *alone.test) if not s.anomalous]
    assert split_validation(good, GOOD_TEST_SHARE)[0] == alone.train


def test_every_label_but_0_is_a_defect(visa):
    sample = next(s for s in read_dataset(visa).test if s.name == "candle/Data/Images/Anomaly/002.JPG")
    expected = np.zeros((8, 12), bool)
    expected[1, 2:5] = expected[6, 2] = True
    assert np.array_equal(read_mask(sample.mask, 8, 12), expected)
    assert np.array_equal(read_mask(sample.mask, 16, 24), np.kron(expected, np.ones((2, 2), bool)))
    assert np.array_equal(read_sample(sample), np.full((8, 12, 3), 2, np.uint8))


def test_the_pixel_metrics_are_those_of_the_labels(visa):
    from edgead.evaluation.evaluate import evaluate

    marked = np.zeros((8, 12), np.float32)
    marked[1, 2:5] = 1

    def predict(images):
        values = images[:, 0, 0, 0].astype(np.float32)
        return {"score": values, "anomaly_map": np.broadcast_to(marked, images.shape[:3])}

    metrics = evaluate(predict, read_dataset(visa).test, 8, 12).categories["candle"]
    assert (metrics.masked, metrics.good) == (3, 2)
    # Of 480 pixels 12 are bad; 9 of them and 6 good ones have the value 1, the others 0.
    assert metrics.pixel_auroc == pytest.approx((9 * (462 + 6 / 2) + 3 * (462 / 2)) / (12 * 468))


def test_labels_are_taken_in_16_bits_and_in_colour(tmp_path):
    for name, mask in (
        ("deep.png", np.array([[0, 3]], np.uint16)),
        ("colour.png", np.array([[[0, 0, 0], [0, 0, 4]]], np.uint8)),
    ):
        assert cv2.imwrite(str(tmp_path / name), mask)
        assert read_mask(LabelMask(tmp_path / name), 1, 2).tolist() == [[False, True]]


def test_normal_images_alone_are_all_for_training(tmp_path):
    write_category(tmp_path, anomaly=0)
    for name in ("Images/Anomaly", "Masks/Anomaly"):
        (tmp_path / "Data" / name).rmdir()
    dataset = read_dataset(tmp_path)
    assert len(dataset.train) == 10 and dataset.test == ()


def test_visa_beside_mvtec(visa):
    (visa / "screw/train/good").mkdir(parents=True)
    (visa / "screw/train/good/0.png").touch()
    assert read_dataset(visa).categories == ("candle", "pcb1", "screw")


def test_the_table_says_what_trains_and_what_tests(visa):
    rows = [
        "candle,train,normal,candle/Data/Images/Normal/007.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/001.JPG,",
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
        "",
        "pcb1,train,normal,./pcb1/Data/Images/Normal/002.JPG,",
        "pcb1,train,normal,pcb1/Data/Images/Normal/000.JPG,",
        "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/001.JPG,",
    ]
    dataset = read_dataset(write_table(visa, rows))
    assert dataset.categories == ("candle", "pcb1")
    assert [(s.category, s.name, s.defect) for s in dataset.train] == [
        ("candle", "candle/Data/Images/Normal/007.JPG", "good"),
        ("pcb1", "pcb1/Data/Images/Normal/000.JPG", "good"),
        ("pcb1", "pcb1/Data/Images/Normal/002.JPG", "good"),
    ]
    assert [(s.name, s.defect, s.mask) for s in dataset.test] == [
        ("candle/Data/Images/Anomaly/000.JPG", "bad", LabelMask(visa / "candle/Data/Masks/Anomaly/000.png")),
        ("candle/Data/Images/Normal/001.JPG", "good", None),
        ("pcb1/Data/Images/Anomaly/001.JPG", "bad", None),
    ]
    assert all(sample.path == visa / sample.name for sample in (*dataset.train, *dataset.test))


def test_the_table_may_have_a_byte_order_mark_crlf_and_other_column_order(visa):
    lines = ["mask,image,label,split,object"]
    lines += [f",{c}/Data/Images/Normal/000.JPG,normal,train,{c}" for c in ("candle", "pcb1")]
    write_table(visa, [])
    (visa / "split_csv/1cls.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert len(read_dataset(visa).train) == 2


OTHERS = [
    "candle,train,normal,candle/Data/Images/Normal/000.JPG,",
    "pcb1,train,normal,pcb1/Data/Images/Normal/000.JPG,",
]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            "candle,train,normal,candle/Data/Images/Normal/999.JPG,",
            "'candle/Data/Images/Normal/999.JPG' does not exist",
        ),
        ("candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/9.png", "does not exist"),
        ("candle,train,normal,candle/Data/Images/Normal,", "does not exist"),
        ("candle,train,normal,,", "does not lie in the folder"),
        ("candle,train,normal," + "candle/" + "a" * 300 + ".JPG,", "does not exist"),
        ("candle,train,normal,../VisA/candle/Data/Images/Normal/001.JPG,", "leaves the data folder"),
        ("candle,train,normal,candle/../../secret.JPG,", "leaves the data folder"),
        ("candle,train,normal,/etc/passwd,", "leaves the data folder"),
        ("candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,../mask.png", "leaves the data folder"),
        ("candle,train,normal,pcb1/Data/Images/Normal/001.JPG,", "folder of candle"),
        ("wax,train,normal,wax/Data/Images/Normal/001.JPG,", "no object is called 'wax'"),
        ("candle,val,normal,candle/Data/Images/Normal/001.JPG,", "no split is called 'val'"),
        ("candle,train,good,candle/Data/Images/Normal/001.JPG,", "no label is called 'good'"),
        ("candle,train,anomaly,candle/Data/Images/Anomaly/001.JPG,", "good parts alone"),
        ("candle,test,normal,candle/Data/Images/Normal/000.JPG,", "line 2 names the same image"),
        ("candle,test,normal,candle/Data/Images/Normal/./000.JPG,", "line 2 names the same image"),
        ("candle,train,normal,candle/Data/Images/Normal/001.JPG", "4 values"),
        ("candle,train,normal,candle/Data/Images/Normal/001.JPG,,", "6 values"),
        ('candle,train,normal,"candle,', "cannot be read"),
    ],
)
def test_a_fault_in_the_table_is_named_with_its_line(visa, row, what):
    with pytest.raises(DataError, match=what) as refusal:
        read_dataset(write_table(visa, [*OTHERS, row]))
    assert refusal.value.where == f"{visa / 'split_csv/1cls.csv'} line 4" and refusal.value.todo


@pytest.mark.parametrize(
    "header", ["", "object,split,label,image", HEADER + ",weight", "object,split,label,picture,mask", HEADER + ",mask"]
)
def test_other_columns_are_refused(visa, header):
    with pytest.raises(DataError, match=r"columns are .*line 1.*object,split,label,image,mask"):
        read_dataset(write_table(visa, [], header))


def test_a_table_that_is_not_text_is_refused(visa):
    write_table(visa, OTHERS)
    table = visa / "split_csv/1cls.csv"
    table.write_bytes(table.read_bytes() + b"\xff\n")
    with pytest.raises(DataError, match=r"UTF-8.*line 4"):
        read_dataset(visa)


@given(st.binary(max_size=200))
def test_no_table_raises_anything_but_a_data_error(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("visa")
    (root / "candle/Data/Images/Normal").mkdir(parents=True)
    write_table(root, [])
    for start in (b"", f"{HEADER}\n".encode(), f"{HEADER}\ncandle,train,normal,candle/".encode()):
        (root / "split_csv/1cls.csv").write_bytes(start + content)
        with pytest.raises(DataError):
            read_dataset(root)


@pytest.mark.parametrize("rows", [OTHERS[:1], [OTHERS[0], "pcb1,test,normal,pcb1/Data/Images/Normal/000.JPG,"]])
def test_a_category_without_training_images_is_named(visa, rows):
    with pytest.raises(DataError, match="class pcb1 has no training images"):
        read_dataset(write_table(visa, rows))


def test_a_category_without_normal_images_is_named(visa):
    for image in (visa / "pcb1/Data/Images/Normal").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"class pcb1 has no images of good parts.*pcb1/Data/Images/Normal"):
        read_dataset(visa)


def test_a_mask_without_its_image_and_folders_with_other_names_are_refused(visa):
    images = visa / "candle/Data/Images"
    (images / "Anomaly/001.JPG").unlink()
    with pytest.raises(DataError, match=r"belongs to no image, .*Anomaly/001.png"):
        read_dataset(visa)
    (images / "Anomaly").rename(images / "anomaly")
    with pytest.raises(DataError, match=r"not looked at, .*Images/anomaly, call it Normal or Anomaly"):
        read_dataset(visa)
    (images / "anomaly").rename(visa / "candle/away")
    with pytest.raises(DataError, match="masks without images"):
        read_dataset(visa)
