"""Which of the engines that a device has for one graph is run: the usual one, or one that was built with options."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from edgead.atomic import write_atomic
from edgead.engines.cache import EngineKey, cache_folder
from edgead.engines.entry import writing

log = logging.getLogger(__name__)


def choose(usual: EngineKey, options: Mapping[str, str]) -> None:
    """Have the engine with these options run here instead of the usual one, whose key is given; without options, the
    usual one again. Raises EngineError where the cache folder cannot be written."""
    path = _path(usual)
    with writing(path.parent):
        if options:
            write_atomic(path, json.dumps(dict(options), sort_keys=True))
        else:
            path.unlink(missing_ok=True)


def chosen(usual: EngineKey) -> dict[str, str]:
    """The options given to `choose` last, or none. A damaged file counts as none."""
    path = _path(usual)
    try:
        options = json.loads(path.read_bytes())
        if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
            raise ValueError("it holds no options")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s is not used (%s); the engine with the usual options is", path, error)
        return {}
    return options


def _path(usual: EngineKey) -> Path:
    return cache_folder() / f"{usual.digest}.options"
