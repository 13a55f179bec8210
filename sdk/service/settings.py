"""`line.toml`: the options of a command in a file, by the names that the command line gives them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgead.errors import EdgeadError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 20


def read_settings(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """The settings of a TOML file: `max-frames = 100`, `camera = ["0", "rtsp://..."]`; dashes and underscores are the
    same.

    known: names of the options that there are. Raises EdgeadError for a file that cannot be read, that is no TOML, and
    for a name that no option has, with the nearest ones.
    """
    todo = "see `edgead stream --help` for the names"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EdgeadError(f"the settings cannot be read ({error.strerror})", path, "check the path") from error
    if len(text) > LARGEST:
        raise EdgeadError("the settings are larger than 1 MiB", path, "give a TOML file with the options of a line")
    try:
        document: Mapping[str, Any] = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise EdgeadError(f"the settings are no TOML ({error})", path, "mend the line that is named") from error
    names = {name.replace("-", "_"): name for name in known}
    settings = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name not in names:
            near = difflib.get_close_matches(key, names.values(), 3)
            raise EdgeadError(
                f"there is no option {key!r}", path, f"did you mean {' or '.join(near)}?" if near else todo
            )
        if isinstance(value, Mapping):
            raise EdgeadError(f"{key!r} is a table, not a value", path, todo)
        settings[name] = value
    return settings
