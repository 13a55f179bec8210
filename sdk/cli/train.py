"""edgead train FAMILY --data DIR -o RUN"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgead.cli.options import (
    PATH,
    Function,
    check_folder,
    dataclass_options,
    json_option,
    print_json,
    take_options,
)
from edgead.cli.run_data import defects as defects_of
from edgead.data.layout import read_dataset
from edgead.progress import progress_bar
from edgead.training.backbones import IMAGENET
from edgead.training.fit import fit
from edgead.training.models import FAMILIES, DetectorModule, family
from edgead.training.models.base import DefectLearner
from edgead.training.options import FitOptions
from edgead.training.run import read_run


class Families(click.Group):
    """One command for each detector family, with that family's options."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(FAMILIES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return _command(name) if name in FAMILIES else None


@click.group("train", cls=Families)
def train_command() -> None:
    """Train a detector on photos of good parts, and leave a run folder."""


def _command(name: str) -> click.Command:
    kind = family(name)

    @click.option(
        "--data",
        type=PATH,
        required=True,
        help="A folder with train/good, and test/<defect> (as MVTec has it), VisA's, `good` and `bad` folders, or a "
        "folder of good images; or several such side by side, for one model of many parts.",
    )
    @click.option("-o", "--output", type=PATH, required=True, help="The run folder to make.")
    @click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
    @json_option
    @_special_options(kind)
    @dataclass_options(FitOptions, kind.fit_defaults)
    @dataclass_options(kind.Options)
    def train(
        data: Path,
        output: Path,
        resume: bool,
        as_json: bool,
        weights: str = "none",
        defects: Path | None = None,
        foundation: Path | None = None,
        **arguments: Any,
    ) -> None:
        model_options = take_options(kind.Options, arguments)
        options = FitOptions(**take_options(FitOptions, arguments))
        check_folder(output)
        dataset = read_dataset(data)
        with progress_bar() as progress:
            fit(
                name,
                dataset.train,
                output,
                root=dataset.root,
                model_options=model_options,
                options=options,
                weights=str(foundation) if foundation else weights,
                defects=defects_of(defects),
                resume=resume,
                progress=progress,
            )
        run = read_run(output)
        if as_json:
            print_json({"run": str(output), "data": dict(run.data), "result": dict(run.result)})
        else:
            result = run.result
            click.echo(
                f"{output}: {result['epochs']} epochs, {options.keep} was {result['best_epoch'] + 1} "
                f"(validation loss {result['validation_loss']:.4g})"
            )

    train.__doc__ = (kind.__doc__ or "").splitlines()[0]
    return click.command(name)(train)


def _special_options(kind: type[DetectorModule]) -> Callable[[Function], Function]:
    """The options of families with a frozen backbone or a foundation, and of those that learn from defects."""

    def decorate(function: Function) -> Function:
        if issubclass(kind, DefectLearner):
            needed = "needed" if kind.classifies else "masks help"
            function = click.option(
                "--defects",
                type=PATH,
                required=kind.classifies,
                help=f"Images of bad parts to learn from: a folder of nothing else, or one like --data; {needed}.",
            )(function)
        if kind.founded_on:
            function = click.option(
                f"--{kind.founded_on}",
                "foundation",
                type=PATH,
                metavar="RUN",
                help=f"A run of `edgead train {kind.founded_on}` on the same good parts; or one is trained first.",
            )(function)
        elif kind.frozen_features:
            function = click.option(
                "--weights",
                default=IMAGENET,
                show_default=True,
                metavar="imagenet|PATH|URL|none",
                help="The backbone's weights: torchvision's published ones, a file or an address of such, or random.",
            )(function)
        return function

    return decorate
