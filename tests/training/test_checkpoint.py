"""Checkpoints come back as they were, and nothing in them is executed."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgead.errors import TrainingError
from edgead.training.checkpoint import SafetensorsIO, load_tree, save_tree

leaves = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.text(max_size=5) | st.integers(-9, 9)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_plain_trees_come_back(tmp_path, tree):
    save_tree(tmp_path / "tree", tree)
    loaded = load_tree(tmp_path / "tree")
    assert loaded == tree
    assert repr(loaded) == repr(tree)  # 1 and 1.0 and True stay apart, tuples stay tuples


def test_tensors_come_back_bit_for_bit(tmp_path):
    shared = torch.randn(3, 4)
    tree = {
        "weights": OrderedDict(a=shared, b=shared.t()),
        "state": {0: {"step": torch.tensor(3.0)}},
        "empty": torch.zeros(0),
    }
    save_tree(tmp_path / "tree", tree)
    loaded = load_tree(tmp_path / "tree")
    assert isinstance(loaded["weights"], OrderedDict)
    assert torch.equal(loaded["weights"]["a"], shared)
    assert torch.equal(loaded["weights"]["b"], shared.t())
    assert loaded["state"][0]["step"].item() == 3.0
    assert loaded["empty"].shape == (0,)


def test_what_is_no_data_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="cannot hold a function"):
        save_tree(tmp_path / "tree", {"callback": lambda: None})
    assert not list(tmp_path.iterdir())


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a checkpoint was unpickled",))


@pytest.mark.parametrize("content", [b"", b"not safetensors", pickle.dumps({"x": 1}), pickle.dumps(Bomb())])
def test_other_files_are_refused_and_never_unpickled(tmp_path, content):
    (tmp_path / "tree").write_bytes(content)
    with pytest.raises(TrainingError, match="damaged"):
        SafetensorsIO().load_checkpoint(tmp_path / "tree")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_tree(tmp_path / "nowhere")


def test_a_truncated_file_is_refused(tmp_path):
    save_tree(tmp_path / "tree", {"weights": torch.randn(100)})
    whole = (tmp_path / "tree").read_bytes()
    (tmp_path / "tree").write_bytes(whole[:-40])
    with pytest.raises(TrainingError, match="damaged"):
        load_tree(tmp_path / "tree")
