"""The command line: a thin adapter. Parse, call one library function, turn one family of errors into an exit code."""

from __future__ import annotations

import importlib
import sys

import click

from edgead import __version__
from edgead.errors import EdgeadError

COMMANDS = {
    "demo": "Run the whole chain on rendered parts, or on your own folder.",
    "train": "Train a detector on photos of good parts.",
    "evaluate": "Measure a detector on labelled images, with a report to look at.",
    "import": "Turn a checkpoint of an author's code into a training run.",
    "experiment": "Fill in a paper's table, or draw one of its figures.",
    "landscape": "Draw the loss around the weights of training runs.",
    "attention": "Draw what LEA-Net sees in images, before and after attention.",
    "export": "Turn a training run into a bundle.",
    "calibrate": "Add an INT8 graph to a bundle.",
    "sensitivity": "Show what INT8 costs each layer.",
    "build-engine": "Build and verify an engine for a device.",
    "verify": "Compare two engines, or two precisions, on images.",
    "bench": "Measure engines by turns: latency, throughput, memory, energy.",
    "stream": "Judge every frame of a camera, a video or a folder.",
    "audit": "Prove that no record of a results database was altered.",
    "inspect": "Show what is in a bundle.",
    "doctor": "Show what is installed and which engines can run.",
}


_TODO = "check the path, its permissions and the free space"
_MODULES = {"import": "import_checkpoint"}  # commands that are keywords of Python


class LazyGroup(click.Group):
    """Imports a command's module when the command is called, so that `--help` stays fast and needs no extras."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        stem = _MODULES.get(name, name.replace("-", "_"))
        try:
            module = importlib.import_module(f"edgead.cli.{stem}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "edgead":
                raise
            raise EdgeadError(
                f"{error.name} is not installed", f"edgead {name}", 'run `pip install "edgead[train]"`'
            ) from error
        command: click.Command = getattr(module, f"{stem}_command")
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgead")
def cli() -> None:
    """From photos of good parts to a verdict on every camera frame."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 the library failed, 2 usage, 3 a quality gate or an audit
    refused, 130 interrupted."""
    try:
        code = cli.main(arguments, prog_name="edgead", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EdgeadError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # of files and folders that nobody has looked at before
        where = error.filename or error.filename2 or "the system"
        failure = EdgeadError(error.strerror or str(error), click.format_filename(str(where)), _TODO)
        click.echo(f"error: {failure}", err=True)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
