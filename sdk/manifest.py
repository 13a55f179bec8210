"""What a bundle says of itself: `manifest.json`, typed."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from edgead.drift.reference import Reference
from edgead.errors import BundleError
from edgead.evaluation.thresholds import Thresholds

SCHEMA_VERSION = 1
MAX_BYTES = 4 << 20
MAX_BATCH = 1024
"""The largest batch of images that a bundle may be made for."""
GOOD, BAD = "good", "bad"


@dataclass(frozen=True)
class SelfTestImages:
    """Images in the bundle whose verdict is known, to check an engine by (`edgead.selftest`).

    expected: by member, `good` (not rejected) or `bad` (rejected). painted: whether the defects of the bad ones were
    painted. note: why there are none of a kind; empty where there are of both.
    """

    expected: Mapping[str, str]
    painted: bool = False
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """The detector graph in one precision.

    member: the ONNX file in the bundle. thresholds: fitted on this precision's own scores, in raw units. score_range:
    raw scores that become 0 and 1. metrics: what was measured, with the data's name. verification: how it compares with
    fp32. good_scores: what is remembered of the scores of good images that training held out. self_test: its own raw
    score of each image of the bundle that it has to judge as expected, by member.
    """

    member: str
    thresholds: Thresholds
    score_range: tuple[float, float]
    metrics: Mapping[str, Any] | None = None
    verification: Mapping[str, Any] | None = None
    good_scores: Reference | None = None
    self_test: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """family and options: the model. classes: categories it was trained on. height, width: pixels of the graph's input.
    variants: by precision; `fp32` is always there. preferred: the precision that runs when none is asked for. training:
    the data's name, counts, digest, seed and validation share. tools: versions and commit of what made it. self_test:
    images to check an engine by, None in a bundle without."""

    family: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    height: int
    width: int
    max_batch: int
    outputs: tuple[str, ...]
    variants: Mapping[str, Variant]
    preferred: str = "fp32"
    training: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    self_test: SelfTestImages | None = None

    def variant(self, precision: str) -> Variant:
        """The variant of a precision. Raises BundleError where the bundle lacks it."""
        try:
            return self.variants[precision]
        except KeyError:
            here = ", ".join(self.variants)
            todo = f"run `edgead build-engine --precision {precision}` (it has {here})"
            raise BundleError(f"the bundle has no {precision} graph", "manifest.json", todo) from None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "model": {"family": self.family, "options": dict(self.options)},
            "classes": list(self.classes),
            "input": {"height": self.height, "width": self.width, "max_batch": self.max_batch},
            "outputs": list(self.outputs),
            "preferred": self.preferred,
            "variants": {name: _variant_to_json(variant) for name, variant in self.variants.items()},
            "training": dict(self.training),
            "tools": dict(self.tools),
        }
        if self.self_test is not None:
            images = self.self_test
            document["self_test"] = {"images": dict(images.expected), "painted": images.painted, "note": images.note}
        return document

    @classmethod
    def from_json(cls, document: Any) -> Manifest:
        """Check a parsed manifest against the schema and give it types. Raises BundleError with the place of the first
        fault."""
        validate(document)
        size, images = document["input"], document.get("self_test")
        variants = {name: _variant_from_json(variant) for name, variant in document["variants"].items()}
        if document["preferred"] not in variants:
            raise BundleError(
                "the preferred precision has no graph", "manifest.json:preferred", "export the bundle again"
            )
        known = images["images"] if images else {}
        for name, variant in variants.items():
            if strange := sorted(variant.self_test.keys() - known.keys()):
                where = f"manifest.json:variants/{name}/self_test"
                raise BundleError(f"a score of {strange[0]}, which is no image of it", where, "export the bundle again")
        return cls(
            family=document["model"]["family"],
            options=document["model"]["options"],
            classes=tuple(document["classes"]),
            height=size["height"],
            width=size["width"],
            max_batch=size["max_batch"],
            outputs=tuple(document["outputs"]),
            variants=variants,
            preferred=document["preferred"],
            training=document["training"],
            tools=document["tools"],
            self_test=SelfTestImages(known, images["painted"], images["note"]) if images else None,
        )


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of `manifest.json`."""
    text = (importlib.resources.files("edgead") / "manifest.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def validate(document: Any) -> None:
    """Raise BundleError where `document` is no manifest of a version that this edgead reads."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(f"made by a newer edgead (schema version {version})", "manifest.json", "update edgead")
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(document))
    if fault is not None:
        place = "/".join(map(str, fault.absolute_path)) or "the top"
        raise BundleError(
            f"the manifest is wrong at {place} ({fault.message[:200]})", "manifest.json", "export the bundle again"
        )


def _variant_to_json(variant: Variant) -> dict[str, Any]:
    document = {
        "member": variant.member,
        "thresholds": variant.thresholds.to_json(),
        "score_range": list(variant.score_range),
        "metrics": variant.metrics and dict(variant.metrics),
        "verification": variant.verification and dict(variant.verification),
    }
    if variant.good_scores is not None:
        document["good_scores"] = variant.good_scores.to_json()
    if variant.self_test:
        document["self_test"] = dict(variant.self_test)
    return document


def _variant_from_json(document: Mapping[str, Any]) -> Variant:
    low, high = document["score_range"]
    return Variant(
        member=document["member"],
        thresholds=Thresholds.from_json(document["thresholds"]),
        score_range=(float(low), float(high)),
        metrics=document["metrics"],
        verification=document["verification"],
        good_scores=Reference.from_json(document["good_scores"]) if "good_scores" in document else None,
        self_test={member: float(score) for member, score in document.get("self_test", {}).items()},
    )
