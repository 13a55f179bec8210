"""`--web`: the dashboard of a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgead.errors import SinkError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from edgead.detector import Detector
    from edgead.evaluation.thresholds import Thresholds
    from edgead.live import LiveDetector
    from edgead.sinks.view.heat import Heat
    from edgead.verdicts.areas import Polygon
    from edgead.web import Dashboard, Limits

Function = TypeVar("Function", bound=Callable[..., Any])

TOKEN_VARIABLE = "EDGEAD_WEB_TOKEN"  # noqa: S105 - its name
_MOST_BYTES = 4096
_NOTE = "A change lasts until this run ends or its bundle is reloaded; the bundle stays as it is."


def web_options(function: Function) -> Function:
    """The options `--web`, `--web-token-file` and `--web-name`."""
    decorators = (
        click.option(
            "--web",
            metavar="[HOST:PORT]",
            is_flag=False,
            flag_value="127.0.0.1:8080",
            help="Show a dashboard, by default on 127.0.0.1:8080. On any other address all of it needs a token.",
        ),
        click.option(
            "--web-token-file",
            type=click.Path(path_type=Path),
            help=f"The file that holds the dashboard's token; or give it in {TOKEN_VARIABLE}.",
        ),
        click.option(
            "--web-name",
            "web_names",
            multiple=True,
            metavar="NAME",
            help="A host name under which the dashboard is reached, as behind a reverse proxy; repeatable.",
        ),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def open_dashboard(
    web: str | None,
    token_file: Path | None,
    names: Sequence[str],
    detector: Detector | LiveDetector,
    *,
    title: str = "",
    cameras: Sequence[str] = (),
    files: Sequence[Path] = (),
    on_limits: Callable[[], None] = lambda: None,
    on_roi: Callable[[Polygon | None], None] | None = None,
    roi: Polygon | None = None,
    on_ignore: Callable[[Polygon | None], None] | None = None,
    ignore: Polygon | None = None,
    heat: Heat | None = None,
    lock: AbstractContextManager[Any] | None = None,
) -> Dashboard | None:
    """The dashboard that the options ask for, None without `--web`. Thresholds that are changed on it are the
    detector's from the next frame on; of a `LiveDetector`, those of the one that judges.

    title: of the page. cameras: the sources' names, where there are several. files: what the other sinks write. roi:
    the area in force; on_roi: carries out a change of it; ignore, on_ignore: likewise of what is not looked at.
    on_limits: called once thresholds were changed. heat: the scale of heat maps, by default that of the detector's
    threshold for pixels. lock: see `Settings`. Raises SinkError for a bad address or token.
    """
    if web is None:
        if token_file is not None or names:
            raise click.UsageError("--web-token-file and --web-name need --web")
        return None
    from edgead.web import Dashboard, Settings

    limits, change = _limits(detector.thresholds), _changer(detector, on_limits)
    settings = Settings(
        limits, roi, ignore, on_limits=change, on_roi=on_roi, on_ignore=on_ignore, note=_NOTE, lock=lock
    )
    pixel = detector.thresholds.pixel.value
    return Dashboard(
        web,
        token=_token(token_file),
        names=names,
        title=title,
        cameras=cameras if len(cameras) > 1 else (),
        settings=settings,
        scale=heat or ((0.0, 2 * pixel) if pixel > 0 else None),
        files=files,
        announce=lambda line: click.echo(line, err=True),
    )


def show_thresholds(dashboard: Dashboard, detector: Detector) -> None:
    """Have the page show the thresholds of a detector, which the bundle gave it."""
    dashboard.settings.adopt(_limits(detector.thresholds), "the bundle")


def _limits(thresholds: Thresholds) -> Limits:
    from edgead.web import Limits

    reject = thresholds.image.value
    return Limits(reject, min(thresholds.warn.value, reject))  # above it no warn threshold says anything


def _changer(detector: Detector | LiveDetector, changed: Callable[[], None]) -> Callable[[Limits], None]:
    from edgead.live import LiveDetector

    def change(limits: Limits) -> None:
        judging = detector.judging if isinstance(detector, LiveDetector) else detector  # both steps at the same one
        bands = judging.bands
        now = bands.thresholds
        image, warn = replace(now.image, value=limits.reject), replace(now.warn, value=limits.warn)
        # One assignment: a frame sees both or neither.
        judging.bands = replace(bands, thresholds=replace(now, image=image, warn=warn))
        changed()

    return change


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        with file.open("rb") as opened:
            token = opened.read(_MOST_BYTES).decode("ascii").strip()
    except OSError as error:
        raise SinkError(f"the token cannot be read: {error.strerror}", file, "check the path") from error
    except UnicodeDecodeError as error:
        raise SinkError("the token is not ASCII", file, "make one with `openssl rand -hex 16`") from error
    if not token:
        raise SinkError("the file of the token is empty", file, "make one with `openssl rand -hex 16`")
    return token
