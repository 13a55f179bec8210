"""edgead doctor"""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgead.cli.options import json_option, print_json
from edgead.doctor import examine


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """Show what is installed, which engines can run here, and why the others cannot."""
    facts = examine()
    if as_json:
        print_json(facts)
        return
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
