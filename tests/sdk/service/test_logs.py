"""Logs for machines: every line is an object, and old files make room."""

from __future__ import annotations

import json
import logging

import pytest

from edgead.errors import EdgeadError
from edgead.service.logs import log_to

log = logging.getLogger("edgead.line")


@pytest.fixture
def handler(tmp_path):
    handler = log_to(tmp_path / "logs/line.log", size=2000, files=3)
    yield handler
    logging.getLogger("edgead").removeHandler(handler)
    handler.close()


def test_a_line_is_an_object_whatever_was_said(handler, tmp_path):
    log.info('a "quoted"\nword, %s', "\u2028")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it broke")
    first, second = (json.loads(text) for text in (tmp_path / "logs/line.log").read_text().splitlines())
    assert first["message"] == 'a "quoted"\nword, \u2028' and first["level"] == "info"
    assert second["error"].endswith("ValueError: why") and second["logger"] == "edgead.line"


def test_old_files_are_replaced_and_no_line_is_cut(handler, tmp_path):
    for number in range(200):
        log.warning("message %d", number)
    files = sorted((tmp_path / "logs").iterdir())
    assert [path.name for path in files] == ["line.log", "line.log.1", "line.log.2", "line.log.3"]
    assert all(path.stat().st_size <= 2000 for path in files)
    lines = [json.loads(text)["message"] for path in reversed(files[1:]) for text in path.read_text().splitlines()]
    lines += [json.loads(text)["message"] for text in files[0].read_text().splitlines()]
    assert lines == [f"message {number}" for number in range(200 - len(lines), 200)]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EdgeadError, match="log cannot be written"):
        log_to(tmp_path / "file/line.log")
