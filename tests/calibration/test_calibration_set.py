"""Calibration sets: chosen as asked, refused where they are not what the bundle was trained on, and found again."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgead.bundle import read_bundle
from edgead.calibration.calibration_set import again, choose_images, read_record
from edgead.calibration.features import layer_features
from edgead.calibration.images import assign_roles
from edgead.calibration.quantize import quantize
from edgead.calibration.ranges import activation_ranges
from edgead.calibration.selection import SELECTIONS
from edgead.calibration.suitability import check_suitable
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.data.samples import GOOD, samples_of
from edgead.errors import CalibrationError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from tests.conftest import part_photo
from tests.lenient import OPTIONS

SIDE = 64
KEEPS = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "max_examples": 25}


@pytest.fixture(scope="module")
def bundle(fp32_bundle):
    return read_bundle(fp32_bundle)


@pytest.fixture(scope="module")
def candidates(parts, bundle):
    return assign_roles(read_dataset(parts), bundle.manifest).calibration


def folder_of(folder: Path, images):
    """A folder of good images, and its samples."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return samples_of(folder, sorted(folder.iterdir()), "parts", GOOD)


def checked(samples, bundle, **options):
    chosen = choose_images(samples, bundle, **options)
    return check_suitable(chosen, load_images(chosen.samples, SIDE, SIDE), bundle)


@pytest.mark.parametrize("select", SELECTIONS)
def test_sizes_digests_and_order(bundle, candidates, select):
    whole = choose_images(candidates, bundle, select=select)
    assert sorted(s.name for s in whole.samples) == sorted(s.name for s in candidates)
    assert whole.size == 512 and whole.duplicates == 0
    few = choose_images(candidates[::-1], bundle, select=select, size=5)
    assert few.samples == whole.samples[:5]
    assert few.digests == tuple(hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in few.samples)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 3))
@settings(**KEEPS)
def test_no_image_is_taken_twice(tmp_path_factory, bundle, contents, size, seed):
    """contents: which of four images each file holds."""
    folder = tmp_path_factory.mktemp("copies")
    for number, content in enumerate(contents):
        (folder / f"{number:02d}.png").write_bytes(bytes([content]))
    samples = samples_of(folder, sorted(folder.iterdir()), "parts", GOOD)
    seeded = replace(bundle, manifest=replace(bundle.manifest, training={"seed": seed}))
    for select in ("random", "stratified"):
        found = choose_images(samples, seeded, select=select, size=size)
        assert len(set(found.digests)) == len(found.samples) == min(size, len(set(contents)))
        if size > len(set(contents)):  # every file was looked at
            assert found.duplicates == len(contents) - len(set(contents))
        assert found.seed == seed


def test_the_seed_decides_the_draw(bundle, candidates):
    other = replace(bundle, manifest=replace(bundle.manifest, training={"seed": 9}))
    assert choose_images(candidates, bundle, size=6).samples != choose_images(candidates, other, size=6).samples


def test_bad_calls_are_refused(bundle, candidates):
    with pytest.raises(CalibrationError, match="too few"):
        choose_images(candidates, bundle, size=0)
    with pytest.raises(CalibrationError, match="no selection"):
        choose_images(candidates, bundle, select="best")


def test_classes_side_by_side_share_equally(bundle, tmp_path):
    for kind, count in (("plate", 12), ("ring", 4)):
        folder_of(tmp_path / kind / "train" / "good", [part_photo(count * 100 + n)[0] for n in range(count)])
    found = choose_images(read_dataset(tmp_path).train, bundle, select="stratified", size=6)
    assert sorted(sample.category for sample in found.samples) == ["plate"] * 3 + ["ring"] * 3


def test_features_are_the_mean_answers_of_the_layers(bundle, candidates):
    """Held against ONNX Runtime on a whole batch, and NumPy's own standardisation."""
    graph = bundle.graph("fp32")
    model = onnx.load_from_string(graph)
    answers = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    for name in answers:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = load_images(candidates, SIDE, SIDE)
    means = np.concatenate([v.mean(axis=(2, 3)) for v in session.run(answers, {"image": images})], axis=1)
    found = layer_features(graph, candidates, SIDE, SIDE)
    assert found.dtype == np.float32 and found.shape == means.shape
    moving = means.std(axis=0) > 1e-4 * np.abs(means).max(axis=0)
    assert moving.any()
    expected = (means - means.mean(axis=0))[:, moving] / means.std(axis=0)[moving]
    np.testing.assert_allclose(found[:, moving], expected, atol=0.02)


def test_the_coreset_takes_the_odd_one_first(bundle, candidates, tmp_path):
    """After the image in the middle comes the one that is least like it: here the only one with a spot."""
    odd = folder_of(tmp_path / "odd", [part_photo(2000, spot=True)[0]])
    found = choose_images([*candidates, *odd], bundle, select="coreset", size=2)
    assert found.samples[1] == odd[0]


def test_a_set_is_found_again_by_its_record(bundle, candidates):
    chosen = checked(candidates, bundle, select="coreset", size=7)
    assert chosen.warnings
    record = json.loads(json.dumps(chosen.to_json()))
    assert again(record, candidates[::-1]) == chosen


def test_files_may_have_other_names(bundle, candidates, tmp_path):
    chosen = choose_images(candidates, bundle, size=6)
    for number, sample in enumerate(candidates):
        shutil.copy(sample.path, tmp_path / f"renamed-{number}.png")
    moved = samples_of(tmp_path, sorted(tmp_path.iterdir()), "parts", GOOD)
    assert again(chosen.to_json(), moved).digests == chosen.digests


def test_the_first_image_that_is_missing_or_has_changed_is_named(bundle, candidates, tmp_path):
    shutil.copytree(candidates[0].path.parent, tmp_path / "good")
    samples = samples_of(tmp_path, sorted((tmp_path / "good").iterdir()), "parts", GOOD)
    chosen = choose_images(samples, bundle, size=len(samples))
    changed, missing = chosen.samples[2], chosen.samples[4]
    changed.path.write_bytes(changed.path.read_bytes() + b"\0")
    rest = [sample for sample in samples if sample != missing]
    with pytest.raises(CalibrationError, match="has changed") as refusal:
        again(chosen.to_json(), rest)
    assert refusal.value.where == changed.name
    untouched = {**chosen.to_json(), "images": chosen.to_json()["images"][3:]}
    with pytest.raises(CalibrationError, match="is missing") as refusal:
        again(untouched, rest)
    assert refusal.value.where == missing.name


def test_an_older_record_is_read(bundle, candidates):
    chosen = choose_images(candidates, bundle, size=5)
    older = {"method": "minmax", "seed": 0, "images": chosen.to_json()["images"]}
    assert again(older, candidates) == chosen


@pytest.mark.parametrize(
    "change",
    [
        {"images": []},
        {"images": "all"},
        {"images": ["train/good/000.png"]},
        {"images": [{"name": "a.png", "sha256": "short"}]},
        {"images": [{"name": 7, "sha256": "0" * 64}]},
        {"select": "best"},
        {"size": "many"},
        {"seed": None},
        {"warnings": [1]},
    ],
)
def test_what_is_no_record_is_refused(bundle, candidates, change):
    record = choose_images(candidates, bundle, size=3).to_json()
    with pytest.raises(CalibrationError, match="no record"):
        again({**record, **change}, candidates)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000])
def test_a_member_that_is_no_record_is_refused(bundle, content):
    with pytest.raises(CalibrationError, match="no record"):
        read_record(replace(bundle, members={**bundle.members, "calibration.json": content}))


def test_a_bundle_without_a_calibration_says_so(bundle):
    with pytest.raises(CalibrationError, match="no calibration"):
        read_record(bundle)


def test_few_images_and_copies_are_warned_of(bundle, candidates, tmp_path, caplog):
    for number, sample in enumerate([*candidates, *candidates[:3]]):
        shutil.copy(sample.path, tmp_path / f"{number:03d}.png")
    with caplog.at_level(logging.WARNING):
        found = checked(samples_of(tmp_path, sorted(tmp_path.iterdir()), "parts", GOOD), bundle)
    assert len(found.samples) == 19 and found.duplicates == 3
    assert found.warnings[0].startswith("19 calibration images are few")
    assert found.warnings[1].startswith("3 copies")
    assert [record.getMessage() for record in caplog.records] == list(found.warnings)


def test_enough_good_images_are_not_called_few(bundle, tmp_path):
    found = checked(folder_of(tmp_path / "good", [part_photo(5000 + n)[0] for n in range(32)]), bundle)
    assert not any("few" in text or "copies" in text or "exposed" in text for text in found.warnings)


@pytest.mark.parametrize("level", [0, 255])
def test_clipped_images_are_warned_of(bundle, candidates, tmp_path, level):
    photo, _ = part_photo(1)
    photo[:60] = level  # 62 % of the image
    clipped = folder_of(tmp_path / "clipped", [photo])
    (text,) = (text for text in checked([*candidates, *clipped], bundle).warnings if "exposed" in text)
    assert text.startswith("1 of 20") and clipped[0].name in text


def test_a_clipped_ground_is_none(bundle, candidates, tmp_path):
    photo, _ = part_photo(1)
    photo[:40] = 255
    ground = folder_of(tmp_path / "ground", [photo])
    assert not any("exposed" in text for text in checked([*candidates, *ground], bundle).warnings)


def noise(number):
    return np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)


def other_product(number):
    """Rings on a dark ground."""
    y, x = np.mgrid[:96, :96]
    rings = 90 + 80 * np.sin(np.hypot(y - 40 - number, x - 50) / 3)
    return np.repeat(rings[:, :, None], 3, axis=2).astype(np.uint8)


def anomaly(number):
    return part_photo(3000 + number, spot=True)[0]


def black(number):
    return np.random.default_rng(number).integers(0, 2, (96, 96, 3), np.uint8)  # a covered camera


def gray(number):
    return np.full((96, 96, 3), 100 + number, np.uint8)


@pytest.mark.parametrize(
    ("picture", "words"),
    [(noise, "unlike"), (other_product, "unlike"), (anomaly, "unlike"), (black, "one colour"), (gray, "one colour")],
)
@pytest.mark.parametrize("select", SELECTIONS)
def test_what_is_no_good_part_calibrates_nothing(fp32_bundle, parts, tmp_path, picture, words, select):
    """The test images stay those of the part: only what calibrates is wrong."""
    root = shutil.copytree(parts, tmp_path / "parts")
    shutil.rmtree(root / "train/good")
    samples = folder_of(root / "train/good", [picture(number) for number in range(12)])
    path = Path(shutil.copy(fp32_bundle, tmp_path / "part.edgead"))
    before = path.read_bytes()
    with pytest.raises(CalibrationError, match=words) as refusal:
        build_engine(path, read_dataset(root), BuildOptions(target="openvino", select=select))
    assert refusal.value.where.removeprefix("train/good/") in {sample.name for sample in samples}
    assert path.read_bytes() == before


def test_one_blank_image_among_many_is_refused(bundle, candidates, tmp_path):
    blank = folder_of(tmp_path / "blank", [gray(0)])
    with pytest.raises(CalibrationError, match="1 of 20") as refusal:
        checked([*candidates, *blank], bundle)
    assert refusal.value.where == blank[0].name


def test_a_few_unlike_images_are_a_warning_that_names_them(bundle, candidates, tmp_path):
    odd = folder_of(tmp_path / "odd", [anomaly(0), anomaly(1)])
    plain, mixed = checked(candidates, bundle).warnings, checked([*candidates, *odd], bundle).warnings

    def unlike(warnings):
        return sum(int(text.split()[0]) for text in warnings if "unlike" in text)

    assert unlike(mixed) == unlike(plain) + 2


def test_images_far_below_the_good_ones_are_unlike_them(bundle, candidates):
    """A detector that rebuilds them better than any good part: its thresholds moved far above them."""
    fp32 = bundle.manifest.variant("fp32")
    above = replace(fp32, score_range=(10.0, 14.0), thresholds=Thresholds(*[Threshold(12.0, "tail", {})] * 3))
    strange = replace(bundle, manifest=replace(bundle.manifest, variants={"fp32": above}))
    with pytest.raises(CalibrationError, match="unlike"):
        checked(candidates, strange)


@pytest.mark.parametrize("method", ["f1", "probability"])
def test_a_threshold_that_says_nothing_of_good_parts_refuses_nothing(bundle, candidates, method):
    fp32 = bundle.manifest.variant("fp32")
    low, warn = Threshold(1e-4, method, {}), Threshold(5e-5, "tail", {})
    for thresholds, refused in ((Thresholds(low, low, low), False), (Thresholds(low, warn, low), True)):
        variants = {"fp32": replace(fp32, thresholds=thresholds, score_range=(0.0, 2e-4))}
        changed = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
        if refused:
            with pytest.raises(CalibrationError, match="unlike"):
                checked(candidates, changed)
        else:
            assert any(f"{len(candidates)} of" in text for text in checked(candidates, changed).warnings)


def test_ranges_are_what_the_tensors_reach(bundle, candidates):
    """By min-max, behind the first layer: the largest magnitude in the graph itself, run on the same images."""
    graph, images = bundle.graph("fp32"), load_images(candidates[:6], SIDE, SIDE)
    found = activation_ranges(quantize(graph, images))
    model = onnx.load_from_string(graph)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert set(found) == {node.input[0] for node in convolutions} and len(found) == 9
    inner = [node.input[0] for node in convolutions[1:]]
    for name in inner:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, values in zip(inner, session.run(inner, {"image": images}), strict=True):
        low, high = found[name]
        assert low == -high
        assert high == pytest.approx(float(np.abs(values).max()), rel=1e-5)


def test_the_record_of_a_build_repeats_it(fp32_bundle, parts, edgead, tmp_path):
    first, second = (Path(shutil.copy(fp32_bundle, tmp_path / name)) for name in ("first.edgead", "second.edgead"))
    report = json.loads(
        edgead("calibrate", first, "--data", parts, "--select", "coreset", "--calib-size", 8, *OPTIONS, "--json")
    )
    record = read_record(read_bundle(first))
    assert report["images"] == len(record["images"]) == record["size"] == 8
    assert record["select"] == "coreset" and report["warnings"] == record["warnings"] != []
    assert record["ranges"] == activation_ranges(read_bundle(first).graph("int8"))
    assert str(parts) not in json.dumps(record)
    edgead("calibrate", second, "--data", parts, "--like", first, *OPTIONS)
    assert first.read_bytes() == second.read_bytes()


def test_a_calibration_is_not_repeated_on_other_images(fp32_bundle, parts, edgead, tmp_path):
    calibrated = Path(shutil.copy(fp32_bundle, tmp_path / "part.edgead"))
    edgead("calibrate", calibrated, "--data", parts, "--size", 8, *OPTIONS)
    root = shutil.copytree(parts, tmp_path / "parts")
    name = read_record(read_bundle(calibrated))["images"][0]["name"]
    assert cv2.imwrite(str(root / name), part_photo(99)[0])
    edgead("calibrate", fp32_bundle, "--data", root, "--like", calibrated, "-o", tmp_path / "new.edgead", code=1)
    assert not (tmp_path / "new.edgead").exists()


def test_a_build_reports_its_warnings(fp32_bundle, parts, edgead, tmp_path):
    path = Path(shutil.copy(fp32_bundle, tmp_path / "part.edgead"))
    build = ("build-engine", path, "--calib-data", parts, "--target", "openvino", *OPTIONS, "--json")
    report = json.loads(edgead(*build, "--select", "stratified", "--calib-size", 6))
    assert report["warnings"][0].startswith("6 calibration images are few")
    assert json.loads(edgead(*build, "--precision", "fp32"))["warnings"] == []
