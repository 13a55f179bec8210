"""What a line says of itself, for machines: one object of JSON in a line, in files that replace each other."""

from __future__ import annotations

import json
import logging
import logging.handlers
from datetime import datetime, timezone
from pathlib import Path

from edgead.errors import EdgeadError

BYTES, FILES = 10 << 20, 5


class JsonFormatter(logging.Formatter):
    """time (UTC), level, logger, message, and the error with its trace where there was one."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=True)


def log_to(path: Path, *, size: int = BYTES, files: int = FILES) -> logging.Handler:
    """Append edgead's log, from `info` on, to a file; once it has `size` bytes it becomes `<name>.1`, and so on up to
    `files` old ones. The handler that is returned is to be removed at the end.

    Raises EdgeadError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=size, backupCount=files, encoding="utf-8")
    except OSError as error:
        raise EdgeadError(f"the log cannot be written ({error.strerror})", path, "give another place") from error
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("edgead")
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return handler
