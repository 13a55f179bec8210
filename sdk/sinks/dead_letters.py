"""Records that a server or a broker will never take, set aside so that none is missing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from edgead.errors import SinkError
from edgead.sinks.records import canonical, moment


class DeadLetters:
    """The file `<path>.refused.jsonl`: one line for each record, with the time and the reason; no file without a line.
    count: how many were added."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.refused.jsonl")
        self.count = 0

    def add(self, record: bytes, **why: Any) -> None:
        """Set one `canonical` record aside, for good. Raises SinkError."""
        line = {"at": moment(time.time()), **why, "record": json.loads(record)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(canonical(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkError(f"cannot set a refused record aside: {error.strerror}", self.path) from error
        self.count += 1
