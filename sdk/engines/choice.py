"""Which of the engines that a device has for one graph is run: the usual one, or one that was built with options."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from edgead.atomic import write_atomic
from edgead.engines.cache import EngineKey, cache_folder
from edgead.errors import EngineError

log = logging.getLogger(__name__)


def choose(usual: EngineKey, options: Mapping[str, str]) -> None:
    """Have the engine with these options run here instead of the usual one, whose key is given; without options, the
    usual one again. Raises EngineError where the cache folder cannot be written."""
    path = _path(usual)
    try:
        if options:
            write_atomic(path, json.dumps(dict(options), sort_keys=True))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        todo = "free some space, fix its permissions, or set EDGEAD_CACHE to another folder"
        raise EngineError(f"the engine cache cannot be written ({error.strerror})", path.parent, todo) from error


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
