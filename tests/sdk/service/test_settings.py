"""Settings in a file: the same names as on the command line, and no silent typing error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import EdgeadError
from edgead.service.settings import read_settings

KNOWN = ("camera", "max-frames", "save", "no-build")


def settings(tmp_path, text):
    path = tmp_path / "line.toml"
    path.write_text(text)
    return read_settings(path, KNOWN)


def test_values_come_by_the_names_of_the_options(tmp_path):
    found = settings(tmp_path, 'camera = ["0", "rtsp://cell/top"]\nmax-frames = 5\nno_build = true\n# a note\n')
    assert found == {"camera": ["0", "rtsp://cell/top"], "max_frames": 5, "no_build": True}


@pytest.mark.parametrize(
    ("text", "reason", "todo"),
    [
        ("max-frame = 5", "no option 'max-frame'", "max-frames"),
        ("zzz = 1", "no option 'zzz'", "--help"),
        ("[camera]\na = 1", "'camera' is a table", "--help"),
        ("camera = ", "no TOML", "mend"),
        ("x" * (1 << 20) + "=1", "larger than 1 MiB", "TOML"),
    ],
)
def test_what_means_nothing_is_refused_and_named(tmp_path, text, reason, todo):
    with pytest.raises(EdgeadError, match=reason) as refusal:
        settings(tmp_path, text)
    assert todo in refusal.value.todo and "line.toml" in str(refusal.value.where)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgeadError, match="cannot be read"):
        read_settings(tmp_path / "none.toml", KNOWN)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_settings_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("settings") / "line.toml"
    path.write_bytes(content)
    with contextlib.suppress(EdgeadError):
        assert set(read_settings(path, KNOWN)) <= {"camera", "max_frames", "save", "no_build"}
