"""Which sink an address is for, and what is said of one that is for none."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.sinks import open_sink


@pytest.mark.parametrize(
    "text",
    [
        "mqqt://user:secret@broker/topic",
        "mqqt://user:secret@broker/topic.jsonl",
        "mqqt://user:se.secret@broker",
        "mqtt:///user:secret@broker/topic",
        "mqtt:user:secret@broker/t.x",
        "https:user:secret@broker/t.jsonl",
        "user:secret@broker/t.x",
        "ftp:/user:secret@broker/t.db",
        "https://user:secret@[::1/x",
    ],
)
def test_a_mistyped_address_does_not_tell_its_password(text: str) -> None:
    with pytest.raises(SinkError) as raised:
        open_sink(text)
    assert "secret" not in str(raised.value) and "user" not in str(raised.value) and raised.value.todo


@pytest.mark.parametrize("name", ["a:b.jsonl", "line@4.jsonl", "a/mqtt:1.jsonl"])
def test_a_file_may_be_called_as_it_likes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_sink(name):
        assert (tmp_path / name).is_file()
