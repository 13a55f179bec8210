"""edgead doctor"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from edgead.cli.options import PATH, json_option, precision_option, print_json, target_option
from edgead.doctor import examine

if TYPE_CHECKING:
    from edgead.selftest import SelfTest


@click.command("doctor")
@click.argument("bundle", type=PATH, required=False)
@target_option
@precision_option
@json_option
def doctor_command(bundle: Path | None, target: str, precision: str | None, as_json: bool) -> None:
    """Show what is installed, which engines can run here, and why the others cannot.

    With a BUNDLE, start its engine as well, and have it judge the images in the bundle whose verdict is known; one that
    judges them otherwise ends in an error.
    """
    facts = examine()
    if as_json and bundle is None:
        print_json(facts)
    elif not as_json:
        _show(facts)
    if bundle is None:
        return
    from edgead.loading import load  # whose packages may be what is missing
    from edgead.selftest import self_test

    with load(bundle, target=target, precision=precision) as detector:
        test = self_test(detector)
        engine = f"{detector.precision} on {detector.engine.name}"
    if as_json:
        print_json({**facts, "self_test": test.to_json()})
    else:
        click.echo("\n".join(_tested(f"{bundle}, {engine}", test)))
    test.require(str(bundle))


def _tested(what: str, test: SelfTest) -> list[str]:
    if not test.images:
        return [f"{what}: no images to check it by are stored; export the bundle again"]
    return [f"{what}: {sum(check.passed for check in test.checks)} of {test.images} images as expected", *test.lines()]


def _show(facts: dict[str, Any]) -> None:
    console = Console(highlight=False, markup=False)  # `edgead[train]` is no style
    console.print(f"edgead {facts['edgead']}, Python {facts['python']}, {facts['platform']}")
    native = facts["native"]
    console.print(f"native library: {native['fault'] or native['library']}")
    here = f", not usable here: {native['cuda_fault']}" if native["cuda_fault"] else ""
    console.print(f"CUDA kernels: {native['cuda'] or 'not built (no nvcc when edgead was installed)'}{here}")
    console.print(f"TensorRT plugins: {native['plugins'] or 'not built (no nvcc or no TensorRT headers)'}")
    console.print(f"engine cache: {facts['cache']['folder']} ({facts['cache']['engines']} engines)")
    console.print(_engines(facts))
    console.print(_packages(facts))


def _engines(facts: dict[str, Any]) -> Table:
    table = Table(
        "engine", "runs here", "reason", title="Engines, in the order that `auto` tries them", title_justify="left"
    )
    for engine in facts["engines"]:
        default = engine["target"] == facts["default_engine"]
        table.add_row(
            engine["target"],
            "yes, the default" if default else "yes" if engine["runs"] else "no",
            engine["reason"] or "",
        )
    return table


def _packages(facts: dict[str, Any]) -> Table:
    table = Table("extra", "package", "version", title="Packages", title_justify="left")
    for extra, packages in facts["packages"].items():
        for name, version in packages.items():
            table.add_row(
                extra,
                name,
                version or f'missing: pip install "edgead[{extra}]"' if extra != "base" else version or "missing",
            )
    return table
