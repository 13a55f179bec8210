"""Weights files: what fits is loaded, everything else is refused before anything has changed."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgead.errors import TrainingError
from edgead.training.backbones import build_backbone, fingerprint, load_weights, whole_network


@pytest.fixture(scope="module")
def state():
    """Random weights of the whole network, classifier included."""
    torch.manual_seed(7)
    state = whole_network("mobilenet_v3_small", "cpu").state_dict()
    return OrderedDict((name, torch.rand_like(t) if t.is_floating_point() else t + 3) for name, t in state.items())


@pytest.fixture()
def backbone():
    return build_backbone("mobilenet_v3_small", ["features.3", "features.4"])


def saved(path, document, **options):
    torch.save(document, path, **options)
    return str(path)


def refused(backbone, source, match, **options):
    before = fingerprint(backbone)
    with pytest.raises(TrainingError, match=match) as raised:
        load_weights(backbone, source, **options)
    assert fingerprint(backbone) == before
    assert raised.value.todo
    return raised.value


def holds(backbone, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": dict(s)}])
def test_a_state_dict_is_found(tmp_path, backbone, state, wrap):
    source = saved(tmp_path / "w.pth", wrap(state))
    assert load_weights(backbone, source) == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert holds(backbone, state)


def test_other_containers_hold_the_same(tmp_path, backbone, state):
    """Files from before torch 1.6, as torchvision's older ones are, and safetensors."""
    old = saved(tmp_path / "old.pt", state, _use_new_zipfile_serialization=False)
    save_file(dict(state), tmp_path / "new.safetensors")
    for source in (old, str(tmp_path / "new.safetensors")):
        other = build_backbone("mobilenet_v3_small", backbone.taps)
        load_weights(other, source)
        assert holds(other, state)


def test_none_leaves_the_backbone_as_it_is(backbone):
    before = fingerprint(backbone)
    assert load_weights(backbone, "none") == ""
    assert fingerprint(backbone) == before


def test_batch_counters_and_the_classifier_may_be_missing(tmp_path, backbone, state):
    part = {name: tensor for name, tensor in state.items() if name in backbone.state_dict()}
    part = {name: tensor for name, tensor in part.items() if not name.endswith("num_batches_tracked")}
    load_weights(backbone, saved(tmp_path / "w.pth", part))
    assert all(torch.equal(backbone.state_dict()[name], tensor) for name, tensor in part.items())


def test_half_precision_is_widened(tmp_path, backbone, state):
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    load_weights(backbone, saved(tmp_path / "w.pth", half))
    assert backbone.state_dict()["features.0.0.weight"].dtype == torch.float32
    assert torch.equal(backbone.state_dict()["features.0.0.weight"], half["features.0.0.weight"].float())


def test_foreign_keys_are_named(tmp_path, backbone, state):
    foreign = {f"module.{name}": tensor for name, tensor in state.items()}
    error = refused(backbone, saved(tmp_path / "w.pth", foreign), r"no module\.features.*and 241 more")
    assert error.what.count("module.") == 3


def test_missing_keys_are_named(tmp_path, backbone, state):
    part = {name: tensor for name, tensor in state.items() if not name.startswith("features.2.")}
    refused(backbone, saved(tmp_path / "w.pth", part), r"lack features\.2\.block\.0\.0\.weight, .* and 12 more")


def test_another_shape_is_refused(tmp_path, backbone, state):
    part = dict(state) | {"classifier.3.weight": torch.zeros(10, 1024)}
    refused(backbone, saved(tmp_path / "w.pth", part), r"shape of classifier\.3\.weight")


@pytest.mark.parametrize(
    "value",
    [torch.full((16,), float("nan")), torch.full((16,), float("inf")), torch.full((16,), 1e300, dtype=torch.float64)],
)
def test_no_finite_numbers_are_refused(tmp_path, backbone, state, value):
    source = saved(tmp_path / "w.pth", dict(state) | {"features.0.1.bias": value})
    refused(backbone, source, r"features\.0\.1\.bias .*no finite floating-point numbers")


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(16, dtype=torch.int64),
        torch.zeros(16, dtype=torch.complex64),
        torch.zeros(16).to_sparse(),
        torch.zeros(16, device="meta"),
    ],
)
def test_other_tensors_are_refused(tmp_path, backbone, state, value):
    source = saved(tmp_path / "w.pth", dict(state) | {"features.0.1.bias": value})
    refused(backbone, source, "no finite floating-point numbers")


@pytest.mark.parametrize("document", [[1, 2], {"epoch": 3}, torch.zeros(3), {"state_dict": {"a": "b"}}])
def test_a_file_without_a_state_dict_is_refused(tmp_path, backbone, document):
    refused(backbone, saved(tmp_path / "w.pth", document), "no state dict")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("modern", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path, backbone, state, modern):
    trace = tmp_path / "executed"
    document = dict(state) | {"bomb": Bomb(trace)}
    source = saved(tmp_path / "w.pth", document, _use_new_zipfile_serialization=modern)
    refused(backbone, source, "never executed")
    assert not trace.exists()
    torch.load(source, weights_only=False)
    assert trace.exists()  # the file would have done harm


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files_are_refused(tmp_path, backbone, state, suffix):
    path = tmp_path / f"w.{suffix}"
    if suffix == "pth":
        saved(path, state)
    else:
        save_file(dict(state), path)
    whole = path.read_bytes()
    for content in (b"", b"<html>not found</html>", whole[: len(whole) // 2], whole[:-40], b"\x80\x02"):
        path.write_bytes(content)
        refused(backbone, str(path), "damaged")


def test_a_file_that_is_not_there_or_not_readable_is_named(tmp_path, backbone):
    refused(backbone, str(tmp_path / "nowhere.pth"), r"cannot be read \(No such file.*nowhere\.pth.*--weights PATH")
    (tmp_path / "folder.pth").mkdir()
    refused(backbone, str(tmp_path / "folder.pth"), "cannot be read")
    refused(backbone, str(tmp_path / "weights.onnx"), r"no weights file.*\.pth, \.pt, \.safetensors")


def test_the_digest_is_checked(tmp_path, backbone, state):
    source = saved(tmp_path / "mobilenet-00000000.pth", state)  # a local file may be called anything
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert load_weights(backbone, source, sha256=digest) == digest
    assert load_weights(backbone, source, sha256=digest[:8].upper()) == digest
    wrong = "0" * 8 if digest[0] != "0" else "1" * 8
    refused(backbone, source, rf"SHA-256 {digest[:12]}\.\.\., not the {wrong}", sha256=wrong)
    refused(backbone, source, "no SHA-256", sha256=digest[:7])
    refused(backbone, source, "no SHA-256", sha256="efficientnet")


def test_a_fingerprint_tells_features_apart(tmp_path, backbone, state):
    load_weights(backbone, saved(tmp_path / "w.pth", state))
    same = build_backbone("mobilenet_v3_small", backbone.taps)
    assert fingerprint(same) != fingerprint(backbone)
    load_weights(same, str(tmp_path / "w.pth"))
    same.state_dict()["features.0.1.num_batches_tracked"].add_(1)
    assert fingerprint(same) == fingerprint(backbone)
    other_tap = build_backbone("mobilenet_v3_small", ["features.4"])
    load_weights(other_tap, str(tmp_path / "w.pth"))
    assert fingerprint(other_tap) != fingerprint(backbone)
    same.state_dict()["features.3.block.0.0.weight"].view(-1)[5] += 1e-6
    assert fingerprint(same) != fingerprint(backbone)


def test_real_weights_give_real_features(real_images):
    import cv2

    source = str(real_images / "weights/mobilenet_v2_imagenet.pth")
    network = whole_network("mobilenet_v2", "cpu").eval()
    backbone = build_backbone("mobilenet_v2", ["features.3", "features.6", "features.13", "features.18"])
    digest = load_weights(backbone, source)
    assert digest == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    network.load_state_dict(torch.load(io.BytesIO(Path(source).read_bytes()), weights_only=True))

    paths = sorted((real_images / "plantvillage_cherry").rglob("*.[jJ][pP]*"))[::90][:6]
    images = [cv2.resize(cv2.imread(str(path))[..., ::-1], (224, 224), interpolation=cv2.INTER_AREA) for path in paths]
    pixels = torch.stack([torch.from_numpy(image.copy()) for image in images]).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    normalised = (pixels - mean) / deviation
    with torch.no_grad():
        features, logits = backbone(normalised), network(normalised)
    shapes = [tuple(feature.shape[1:]) for feature in features]
    assert shapes == [(24, 56, 56), (32, 28, 28), (96, 14, 14), (1280, 7, 7)]
    assert all(feature.isfinite().all() and feature.std() > 0.05 for feature in features)
    assert logits.shape == (6, 1000)
    # The classifier, trained on these very features, is sure of something; it is not of shuffled ones.
    pooled = features[-1].mean((2, 3))
    classify = network.get_submodule("classifier")
    torch.testing.assert_close(classify(pooled), logits, rtol=1e-4, atol=1e-4)
    shuffled = classify(pooled[:, torch.randperm(1280, generator=torch.Generator().manual_seed(0))])
    assert logits.softmax(1).amax(1).mean() > 2 * shuffled.softmax(1).amax(1).mean()
