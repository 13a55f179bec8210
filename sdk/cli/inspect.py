"""edgead inspect part.edgead"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgead.bundle import Bundle, read_bundle
from edgead.cli.options import bundle_argument, json_option, print_json
from edgead.manifest import SelfTestImages, Variant
from edgead.selftest import expected_of


@click.command("inspect")
@bundle_argument
@json_option
def inspect_command(bundle: Path, as_json: bool) -> None:
    """Show what is in a bundle: the model, its graphs, thresholds, metrics and origin."""
    read = read_bundle(bundle)
    if as_json:
        print_json(
            {"digest": read.digest, **read.manifest.to_json(), "members": {n: len(b) for n, b in read.members.items()}}
        )
        return
    console = Console(highlight=False, markup=False)
    manifest = read.manifest
    console.print(f"{bundle.name}  {manifest.family} for {', '.join(manifest.classes)}")
    size = f"{manifest.height} x {manifest.width}"
    console.print(f"input {size} RGB, batches of up to {manifest.max_batch}; runs in {manifest.preferred}")
    console.print(f"digest {read.digest}")
    console.print(_variants(read))
    for precision, variant in manifest.variants.items():
        console.print(
            f"{precision}: rejects at {variant.thresholds.image.describe()}; against fp32: {_verified(variant)}"
        )
    if manifest.self_test is not None:
        console.print(_self_test(read, manifest.self_test))
    console.print(_pairs("Model options", manifest.options))
    console.print(_pairs("Trained on", manifest.training))
    console.print(_pairs("Made with", manifest.tools))


def _variants(bundle: Bundle) -> Table:
    table = Table("precision", "size", "reject", "warn", "pixel", "image AUROC", title="Graphs", title_justify="left")
    for precision, variant in bundle.manifest.variants.items():
        thresholds = variant.thresholds
        size = f"{len(bundle.members[variant.member]) / 2**20:.1f} MiB"
        values = (f"{threshold.value:.4g}" for threshold in (thresholds.image, thresholds.warn, thresholds.pixel))
        table.add_row(precision, size, *values, _auroc(variant))
    return table


def _auroc(variant: Variant) -> str:
    value = (variant.metrics or {}).get("image_auroc")
    return "not measured" if value is None else f"{value:.3f}"


def _verified(variant: Variant) -> str:
    report = variant.verification
    if not report:
        return "it is the fp32 graph" if variant.member == "model.onnx" else "not compared"
    changed = f"{report['changed_verdicts']} of {report['images']} verdicts changed"
    return f"{report['target']}: map off by {report['map_error']:.1%}, {changed}"


def _self_test(bundle: Bundle, images: SelfTestImages) -> Table:
    """The images by which engines are checked, and each precision's score of them."""
    title = f"Self-test ({', '.join(filter(None, ('defects are painted' if images.painted else '', images.note)))})"
    variants = bundle.manifest.variants
    table = Table("image", "expected", *variants, title=title.removesuffix(" ()"), title_justify="left")
    for member, expected in expected_of(bundle).items():
        scores = (variant.self_test.get(member) for variant in variants.values())
        table.add_row(member, expected, *("-" if score is None else f"{score:.4g}" for score in scores))
    return table


def _pairs(title: str, pairs: Any) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        table.add_row(str(name), ", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return table
