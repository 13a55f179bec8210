"""`part.edgead`: the portable truth. Detector graphs, their thresholds and how they were made, in one checked file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgead.archive import read_archive, write_archive
from edgead.atomic import locked
from edgead.errors import BundleError
from edgead.manifest import BAD, GOOD, MAX_BYTES, Manifest, Variant, validate

MANIFEST = "manifest.json"
GRAPH = {
    "fp32": "model.onnx",
    "fp16": "model.fp16.onnx",
    "int8": "model.int8.onnx",
    "mixed": "model.mixed.onnx",
}
SELF_TEST = {kind: tuple(f"selftest-{kind}-{number}.png" for number in (1, 2, 3)) for kind in (GOOD, BAD)}
MEMBERS = (
    *GRAPH.values(),
    "calibration.json",
    "calibration.mixed.json",
    "preview.png",
    *SELF_TEST[GOOD],
    *SELF_TEST[BAD],
)
_AGAIN = "export the bundle again, or get it again from where it was made"


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: its manifest and its other members as bytes."""

    manifest: Manifest
    members: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest as written; it names every member's digest, so it stands for the whole bundle."""
        return hashlib.sha256(self._manifest_bytes()).hexdigest()

    def graph(self, precision: str) -> bytes:
        """The ONNX file of a precision. Raises BundleError where the bundle lacks it."""
        return self.members[self.manifest.variant(precision).member]

    def with_variant(self, precision: str, variant: Variant, members: Mapping[str, bytes]) -> Bundle:
        """A copy with one precision set and some members added or replaced."""
        variants = {**self.manifest.variants, precision: variant}
        return Bundle(replace(self.manifest, variants=variants), {**self.members, **members})

    def preferring(self, precision: str) -> Bundle:
        """A copy that runs in `precision` when none is asked for."""
        return replace(self, manifest=replace(self.manifest, preferred=precision))

    def write(self, path: Path) -> None:
        """Write the bundle, atomically; the same bundle gives the same bytes."""
        ordered = {name: self.members[name] for name in MEMBERS if name in self.members}
        manifest = self._manifest_bytes()
        validate(json.loads(manifest))  # what could not be read again is not written
        write_archive(path, {MANIFEST: manifest, **ordered})

    def _manifest_bytes(self) -> bytes:
        document = self.manifest.to_json()
        document["members"] = {
            name: {"sha256": hashlib.sha256(self.members[name]).hexdigest(), "bytes": len(self.members[name])}
            for name in MEMBERS
            if name in self.members
        }
        return json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode()


def read_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle: the schema, the sizes and the digests, before anything else parses a byte.

    Raises BundleError, naming the member and the reason.
    """
    path = Path(path)
    members = read_archive(path)
    text = members.pop(MANIFEST, None)
    if text is None:
        raise BundleError("no manifest.json inside; this is no bundle", path, _AGAIN)
    document = _parse(path, text)
    _check_members(path, document["members"], members)
    manifest = Manifest.from_json(document)
    for precision, variant in manifest.variants.items():
        if variant.member not in members:
            raise BundleError(f"the {precision} graph is missing", f"{path}:{variant.member}", _AGAIN)
    for member in manifest.self_test.expected if manifest.self_test else ():
        if member not in members:
            raise BundleError("an image of the self-test is missing", f"{path}:{member}", _AGAIN)
    return Bundle(manifest, members)


def change_bundle(path: Path, before: Bundle, change: Callable[[Bundle], Bundle]) -> Bundle:
    """Write what `change` makes of a bundle of which `before` was read some time ago. What others have added since then
    stays, and nobody who changes it in this way comes in between.

    Raises BundleError where it has become another detector's, or cannot be written; then it is as it was.
    """
    try:
        with locked(path):
            now = read_bundle(path)
            if _detector(now) != _detector(before):
                raise BundleError("it was exported again meanwhile", path, "run the same command again")
            changed = change(now)
            changed.write(path)
    except OSError as error:
        todo = "check the disk, and the permissions of the file and its folder"
        raise BundleError(f"cannot be changed ({error.strerror})", path, todo) from error
    return changed


def _detector(bundle: Bundle) -> tuple[Manifest, bytes, dict[str, bytes]]:
    """What the precisions of a bundle have in common."""
    images = {name: bundle.members[name] for name in (*SELF_TEST[GOOD], *SELF_TEST[BAD]) if name in bundle.members}
    return replace(bundle.manifest, variants={}, preferred="fp32"), bundle.graph("fp32"), images


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise BundleError("the manifest is too large", f"{path}:{MANIFEST}", _AGAIN)
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the manifest is not JSON ({error})", f"{path}:{MANIFEST}", _AGAIN) from error
    if not isinstance(document, dict) or not isinstance(document.get("members"), dict):
        raise BundleError("the manifest names no members", f"{path}:{MANIFEST}", _AGAIN)
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _check_members(path: Path, declared: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    for name in sorted(declared.keys() | members.keys()):
        where = f"{path}:{name}"
        if name not in MEMBERS:
            raise BundleError("a member that no bundle has", where, _AGAIN)
        if name not in members:
            raise BundleError("a member is missing", where, _AGAIN)
        if name not in declared or not isinstance(declared[name], dict):
            raise BundleError("a member is not in the manifest", where, _AGAIN)
        if declared[name].get("bytes") != len(members[name]):
            raise BundleError("a member has another size than the manifest says", where, _AGAIN)
        if declared[name].get("sha256") != hashlib.sha256(members[name]).hexdigest():
            raise BundleError("a member was altered (its SHA-256 differs)", where, _AGAIN)
