"""Bundles come back as they were, or not at all."""

from __future__ import annotations

import copy
import getpass
import json
import pickle
import struct
import zipfile
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgead.archive import read_archive, write_archive
from edgead.bundle import read_bundle
from edgead.errors import BundleError
from edgead.manifest import schema, validate


@pytest.fixture(scope="module")
def whole(fp32_bundle):
    return fp32_bundle.read_bytes()


def repack(source: Path, target: Path, change):
    """A bundle whose members `change` has altered, with correct checksums of the zip itself."""
    members = read_archive(source)
    change(members)
    write_archive(target, members)
    return target


def edit_manifest(source: Path, target: Path, change):
    def rewrite(members):
        document = json.loads(members["manifest.json"])
        change(document)
        members["manifest.json"] = json.dumps(document).encode()

    return repack(source, target, rewrite)


def test_reading_and_writing_gives_the_same_bytes(fp32_bundle, tmp_path, whole):
    bundle = read_bundle(fp32_bundle)
    bundle.write(tmp_path / "again.edgead")
    assert (tmp_path / "again.edgead").read_bytes() == whole
    assert read_bundle(tmp_path / "again.edgead").digest == bundle.digest


def test_members_are_stored_uncompressed(fp32_bundle):
    with zipfile.ZipFile(fp32_bundle) as archive:
        names = archive.namelist()
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    assert names[:3] == ["manifest.json", "model.onnx", "preview.png"]
    assert names[3:] == [f"selftest-{kind}-{number}.png" for kind in ("good", "bad") for number in (1, 2, 3)]


def test_the_schema_is_a_schema_and_the_manifest_keeps_it(fp32_bundle):
    jsonschema.Draft202012Validator.check_schema(schema())
    document = json.loads(read_archive(fp32_bundle)["manifest.json"])
    jsonschema.validate(document, schema())
    assert getpass.getuser() not in document["training"].values()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_found_or_changes_nothing(whole, tmp_path, data):
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "flipped.edgead"
    path.write_bytes(flipped)
    try:
        bundle = read_bundle(path)
    except BundleError as error:
        assert "flipped.edgead" in str(error) or "manifest.json" in str(error)
        return
    original = tmp_path / "original.edgead"
    original.write_bytes(whole)
    assert bundle == read_bundle(original)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99, 0.9999])
def test_truncation_is_found(whole, tmp_path, share):
    path = tmp_path / "part.edgead"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError, match="damaged"):
        read_bundle(path)


def test_an_altered_graph_is_found_though_the_zip_is_sound(fp32_bundle, tmp_path):
    def change(members):
        members["model.onnx"] = members["model.onnx"][:-1] + b"\x00"

    with pytest.raises(BundleError, match=r"model\.onnx.*"):
        read_bundle(repack(fp32_bundle, tmp_path / "x", change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("model.onnx"), "missing"),
        (lambda m: m.pop("manifest.json"), "no manifest"),
        (lambda m: m.update({"extra.bin": b"x"}), "no bundle has"),
        (lambda m: m.update({"calibration.json": b"{}"}), "not in the manifest"),
        (lambda m: m.update({"model.onnx": m["model.onnx"] + b"x"}), "another size"),
        (lambda m: m.update({"manifest.json": b"not json"}), "not JSON"),
        (lambda m: m.update({"manifest.json": b"[]"}), "no members"),
        (lambda m: m.update({"manifest.json": b'{"members": {}, "x": NaN}'}), "not a finite number"),
        (lambda m: m.update({"manifest.json": b" " * (5 << 20)}), "too large"),
        (lambda m: m.update({"manifest.json": b"[" * 100_000}), "not JSON"),
    ],
)
def test_members_are_checked_before_they_are_read(fp32_bundle, tmp_path, change, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(repack(fp32_bundle, tmp_path / "x", change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=2), "newer edgead"),
        (lambda d: d.update(schema_version="1"), "schema_version"),
        (lambda d: d.pop("variants"), "variants"),
        (lambda d: d["input"].update(height=0), "height"),
        (lambda d: d["model"].update(family="../etc"), "family"),
        (lambda d: d["variants"].pop("fp32"), "fp32"),
        (lambda d: d.update(preferred="int8"), "preferred"),
        (lambda d: d["variants"]["fp32"].update(member="model.int8.onnx"), "missing"),
        (lambda d: d["variants"]["fp32"]["thresholds"].pop("warn"), "warn"),
        (lambda d: d["variants"]["fp32"]["thresholds"]["warn"].update(value=1e9), "above"),
        (lambda d: d.update(outputs=["score"]), "outputs"),
    ],
)
def test_manifests_are_checked(fp32_bundle, tmp_path, change, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(edit_manifest(fp32_bundle, tmp_path / "x", change))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_manifest_ends_in_another_error(data, manifest_document):
    """Replace any value by any JSON: the schema takes it, or says BundleError."""
    document = copy.deepcopy(manifest_document)
    places = [(document, key) for key in document]
    for holder, key in places:  # grows while it is walked: every place at any depth
        inner = holder[key]
        places += (
            [(inner, k) for k in (inner if isinstance(inner, dict) else range(len(inner)))]
            if isinstance(inner, (dict, list))
            else []
        )
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
            max_leaves=3,
        )
    )
    try:
        validate(document)
    except BundleError:
        return
    jsonschema.validate(document, schema())


@pytest.fixture(scope="module")
def manifest_document(fp32_bundle):
    return json.loads(read_archive(fp32_bundle)["manifest.json"])


def test_a_pickle_is_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    (tmp_path / "x").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="not an edgead file"):
        read_bundle(tmp_path / "x")


def plain_zip(path, entries, **settings):
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "..", "a\\b", "C:x", "x" * 200, "a\nb"])
def test_names_like_paths_are_refused(tmp_path, name):
    with pytest.raises(BundleError, match="unsafe name"):
        read_archive(plain_zip(tmp_path / "x", [(name, b"1")]))


def test_a_compressed_member_is_refused_before_it_is_inflated(tmp_path):
    bomb = plain_zip(tmp_path / "x", [("model.onnx", b"\0" * (50 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BundleError, match="compressed"):
        read_archive(bomb)


def test_a_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning):
        path = plain_zip(tmp_path / "x", [("a", b"1"), ("a", b"2")])
    with pytest.raises(BundleError, match="twice"):
        read_archive(path)


def test_overlapping_members_are_refused(tmp_path):
    """Two directory entries that share the bytes of one member."""
    path = plain_zip(tmp_path / "x", [("aaaa", b"x" * 1000), ("bbbb", b"x" * 1000)])
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, second + 42, 0)  # the offset of its local header
    path.write_bytes(content)
    with pytest.raises(BundleError):
        read_archive(path)


def test_too_many_members_are_refused(tmp_path):
    with pytest.raises(BundleError, match="members"):
        read_archive(plain_zip(tmp_path / "x", [(f"m{i}", b"") for i in range(100)]))


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        read_bundle(tmp_path / "nowhere.edgead")
    with pytest.raises(BundleError, match="a folder"):
        read_bundle(tmp_path)


def test_a_missing_precision_says_how_to_get_it(fp32_bundle):
    with pytest.raises(BundleError, match="build-engine --precision int8"):
        read_bundle(fp32_bundle).graph("int8")
