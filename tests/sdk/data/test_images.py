"""Image files against Pillow's reading of them, and files that are none."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from edgead.data.images import LabelMask, find_images, read_image, read_mask
from edgead.data.jpeg import is_whole
from edgead.errors import DataError


def photo(height=120, width=160) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encode(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_a_lossless_file_gives_its_pixels_in_rgb(tmp_path, kind):
    path = tmp_path / f"part.{kind}"
    path.write_bytes(encode(photo(), kind))
    image = read_image(path)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert np.array_equal(image, photo())


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_lossy_file_gives_what_pillow_reads(tmp_path, kind):
    path = tmp_path / f"part.{kind}"
    path.write_bytes(encode(photo(), kind, quality=95))
    pillow = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path) - pillow).max() <= 4


def test_a_name_that_is_not_ascii_is_read(tmp_path):
    path = tmp_path / "Prüfteil ß 部品.png"
    path.write_bytes(encode(photo(), "png"))
    assert np.array_equal(read_image(path), photo())


def test_gray_becomes_three_equal_channels(tmp_path):
    gray = photo()[:, :, 0]
    (tmp_path / "gray.png").write_bytes(encode(gray, "png"))
    assert np.array_equal(read_image(tmp_path / "gray.png"), np.dstack([gray] * 3))


def test_one_bit_images_are_black_and_white(tmp_path):
    bits = photo()[:, :, 0] > 127
    (tmp_path / "bits.png").write_bytes(encode(bits, "png"))
    assert np.array_equal(read_image(tmp_path / "bits.png")[:, :, 1], bits * np.uint8(255))


def test_a_palette_is_looked_up(tmp_path):
    palette = Image.fromarray(photo()).quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


def test_alpha_is_dropped(tmp_path):
    alpha = np.random.default_rng(1).integers(0, 256, (120, 160, 1), np.uint8)
    (tmp_path / "rgba.png").write_bytes(encode(np.dstack([photo(), alpha]), "png"))
    (tmp_path / "la.png").write_bytes(encode(np.dstack([photo()[:, :, :1], alpha]), "png"))
    assert np.array_equal(read_image(tmp_path / "rgba.png"), photo())
    assert np.array_equal(read_image(tmp_path / "la.png")[:, :, 2], photo()[:, :, 0])


@given(hnp.arrays(np.uint16, (6, 7)).filter(lambda a: a.max() >= 4096))
def test_16_bits_are_scaled_and_rounded(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("deep") / "deep.png"
    path.write_bytes(encode(values, "png"))
    assert np.array_equal(read_image(path)[:, :, 0], np.floor(values / 65535 * 255 + 0.5))


def test_12_bits_in_a_16_bit_file_are_not_taken_for_black(tmp_path):
    (tmp_path / "deep.png").write_bytes(encode(np.full((8, 8), 4095, np.uint16), "png"))
    with pytest.raises(DataError, match="all but black"):
        read_image(tmp_path / "deep.png")


def test_floating_point_images_are_refused(tmp_path):
    assert cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((4, 4), np.float32))
    with pytest.raises(DataError, match="float32"):
        read_image(tmp_path / "float.tiff")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_orientation_in_the_file_changes_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "part.jpg").write_bytes(encode(photo(), "jpeg", quality=95, exif=exif))
    assert read_image(tmp_path / "part.jpg").shape == (120, 160, 3)
    plain = Image.open(tmp_path / "part.jpg").convert("RGB")
    assert np.abs(read_image(tmp_path / "part.jpg") - np.asarray(plain).astype(int)).max() <= 4


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.5, 0.8, 0.97])
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    image = photo(400, 600)
    whole = encode(image, "jpeg", progressive=True) if kind == "progressive" else encode(image, kind)
    path = tmp_path / "part.img"
    path.write_bytes(whole)
    assert read_image(path).shape == image.shape
    path.write_bytes(whole[: max(1, int(len(whole) * share))])
    with pytest.raises(DataError, match=r"part\.img"):
        read_image(path)


@given(st.integers(0, 3000))
def test_no_part_of_a_jpeg_is_whole(cut):
    thumbnail = encode(photo(16, 16), "jpeg")
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = encode(photo(40, 60), "jpeg")
    content = content[:2] + exif + content[2:]
    assert is_whole(content) and is_whole(content + b"appended \xff\xd8\xff")
    assert not is_whole(content[: min(cut, len(content) - 1)])


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "part.png"
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"RIFF"):
        path.write_bytes(start + content)
        try:
            image = read_image(path)
        except DataError as error:
            assert error.where == str(path) and error.todo
        else:
            assert image.dtype == np.uint8 and image.ndim == 3


@pytest.mark.parametrize(
    "read", [read_image, lambda path: read_mask(path, 4, 4), lambda path: read_mask(LabelMask(path), 4, 4)]
)
@pytest.mark.parametrize(
    ("name", "what"), [("gone.png", "does not exist"), ("folder", "a folder"), ("empty.png", "empty")]
)
def test_what_is_no_file_is_refused(tmp_path, read, name, what):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=what) as refusal:
        read(tmp_path / name)
    assert refusal.value.where == str(tmp_path / name) and refusal.value.todo


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def deny(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(DataError, match="Permission denied"):
        read_image(tmp_path / "part.png")


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))).filter(lambda a: a.max() > 127),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_a_mask_is_binarised_and_then_resized_to_the_nearest_pixel(tmp_path_factory, values, height, width):
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    path.write_bytes(encode(values, "png"))
    mask = read_mask(path, height, width)
    assert mask.shape == (height, width) and mask.dtype == bool
    for row in range(height):
        for column in range(width):
            y = int((row + 0.5) * values.shape[0] / height + 1e-9)
            x = int((column + 0.5) * values.shape[1] / width + 1e-9)
            assert mask[row, column] == (values[y, x] > 127)


def test_a_mask_is_cut_at_127(tmp_path):
    (tmp_path / "mask.png").write_bytes(encode(np.array([[0, 127, 128, 255]], np.uint8), "png"))
    assert read_mask(tmp_path / "mask.png", 1, 4).tolist() == [[False, False, True, True]]


def test_a_coloured_mask_counts_in_any_channel(tmp_path):
    red = np.zeros((2, 2, 4), np.uint8)
    red[0, 1, 0], red[:, :, 3] = 255, 255
    (tmp_path / "mask.png").write_bytes(encode(red, "png"))
    assert read_mask(tmp_path / "mask.png", 2, 2).tolist() == [[False, True], [False, False]]


def test_a_black_mask_is_taken_and_one_of_labels_is_refused(tmp_path):
    black, labels = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    (tmp_path / "black.png").write_bytes(encode(black, "png"))
    (tmp_path / "labels.png").write_bytes(encode(labels, "png"))
    assert not read_mask(tmp_path / "black.png", 4, 4).any()
    with pytest.raises(DataError, match="marks nothing"):
        read_mask(tmp_path / "labels.png", 4, 4)


def test_a_mask_of_labels_is_defective_wherever_it_is_not_0(tmp_path):
    labels = np.array([[0, 1, 2, 255], [0, 0, 127, 128]], np.uint8)
    (tmp_path / "labels.png").write_bytes(encode(labels, "png"))
    (tmp_path / "black.png").write_bytes(encode(np.zeros((4, 4), np.uint8), "png"))
    assert np.array_equal(read_mask(LabelMask(tmp_path / "labels.png"), 2, 4), labels > 0)
    assert not read_mask(LabelMask(tmp_path / "black.png"), 4, 4).any()


def test_images_are_found_by_suffix_and_sorted(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.tiff", "notes.txt", "._a.jpg", "sub/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_images(tmp_path)] == ["a.jpg", "b.PNG", "c.tiff"]
    assert [path.name for path in find_images(tmp_path, recursive=True)] == ["a.jpg", "b.PNG", "c.tiff", "d.png"]


@pytest.mark.parametrize(("name", "what"), [("gone", "does not exist"), ("file", "a file"), ("empty", "no images")])
def test_a_folder_without_images_is_refused(tmp_path, name, what):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=what):
        find_images(tmp_path / name)
