"""Features that are computed once: the same training as with the backbone in the loop, and nothing stale or damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from edgead.data.layout import read_dataset
from edgead.errors import DataError, TrainingError
from edgead.training import features
from edgead.training.features import collect
from edgead.training.fit import fit, fit_options
from edgead.training.models import build
from edgead.training.pictures import Chain, Photographs, in_pieces
from edgead.training.run import load_model, read_run

MODEL = {
    "backbone": "mobilenet_v3_small",
    "height": 64,
    "width": 64,
    "feature_height": 4,
    "feature_width": 4,
    "hidden": 16,
    "heads": 2,
    "feed_forward": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "score_pool": 8,
}
UNIAD = {**MODEL, "neighbor_height": 3, "neighbor_width": 3}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/features"


@pytest.fixture
def counted(monkeypatch):
    """How many images a backbone has been shown."""
    seen = []
    extract = features._extract

    def counting(model, images, device):
        seen.append(len(images))
        return extract(model, images, device)

    monkeypatch.setattr(features, "_extract", counting)
    return seen


def model_of(family="uniad", **changes):
    torch.manual_seed(0)
    return build(family, {**UNIAD, **changes})


def train(parts, folder, family="uniad", **changes):
    model = changes.pop("model", UNIAD)
    extra = {name: changes.pop(name) for name in ("weights", "defects", "resume") if name in changes}
    options = fit_options(family, **{"epochs": 3, "batch_size": 8, "threads": 1, **changes})
    return fit(family, read_dataset(parts).train, folder, root=parts, model_options=model, options=options, **extra)


def losses(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_kept_features_train_what_the_backbone_in_the_loop_trains(parts, tmp_path, cache):
    for where in ("memory", "disk", "off"):
        train(parts, tmp_path / where, features=where)
    assert losses(tmp_path / "memory") == losses(tmp_path / "disk")
    for kept, looped in zip(losses(tmp_path / "memory"), losses(tmp_path / "off"), strict=True):
        assert kept["train_loss"] == pytest.approx(looped["train_loss"], rel=1e-3)


def test_features_are_what_the_extractor_says_of_each_image(parts):
    model = model_of().eval()
    photographs = Photographs(read_dataset(parts).train, 64, 64)
    inputs = collect(model, photographs, "memory")
    assert len(inputs) == 24
    order = [5, 0, 23, 5]
    images = photographs.read(0, 24)[order]
    with torch.no_grad():
        np.testing.assert_allclose(inputs.gather(order), model.extract(torch.from_numpy(images)), atol=1e-5)


def test_disk_features_are_computed_once(parts, cache, counted):
    photographs = Photographs(read_dataset(parts).train, 64, 64)
    first = collect(model_of(), photographs, "disk")
    assert sum(counted) == 24 and len(list(cache.iterdir())) == 1
    again = collect(model_of(), photographs, "disk")
    assert sum(counted) == 24
    assert torch.equal(first.gather(range(24)), again.gather(range(24)))


@pytest.mark.parametrize(
    "change", [{"feature_resize": "point"}, {"taps": "features.1"}, {"backbone": "mobilenet_v2"}, {"feature_width": 2}]
)
def test_another_transform_has_other_features(parts, cache, counted, change):
    photographs = Photographs(read_dataset(parts).train, 64, 64)
    collect(model_of(neighbor_height=0), photographs, "disk")
    collect(model_of(neighbor_height=0, **change), photographs, "disk")
    assert sum(counted) == 48


def test_other_weights_or_pixels_have_other_features(parts, cache, counted):
    samples = read_dataset(parts).train
    collect(model_of(), Photographs(samples, 64, 64), "disk")
    other = model_of()
    with torch.no_grad():
        next(other.extractor.parameters()).mul_(1.001)
    collect(other, Photographs(samples, 64, 64), "disk")
    collect(model_of(), Photographs(samples, 64, 64, lambda sample, image: image[::-1]), "disk")
    assert sum(counted) == 72


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_features_are_computed_again(parts, cache, counted, damage):
    photographs = Photographs(read_dataset(parts).train, 64, 64)
    before = collect(model_of(), photographs, "disk").gather(range(24))
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[:-1000] if damage == "cut" else content)
    after = collect(model_of(), photographs, "disk").gather(range(24))
    assert sum(counted) == 48
    assert torch.equal(before, after)


def test_an_interrupted_computation_goes_on_where_it_stopped(parts, cache, counted, monkeypatch):
    monkeypatch.setattr(features, "PIECE", 6)
    samples = read_dataset(parts).train

    def stop(what, done, total):
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(model_of(), Photographs(samples, 64, 64), "disk", progress=stop)
    assert sum(counted) == 12
    collect(model_of(), Photographs(samples, 64, 64), "disk")
    assert sum(counted) == 24


@pytest.mark.parametrize("standardise", ["channel", "tap"])
def test_every_channel_is_standardised_by_the_training_images(parts, tmp_path, standardise):
    model = train(parts, tmp_path / "run", epochs=1, model={**UNIAD, "standardise": standardise})
    from edgead.data.layout import split_validation

    half = split_validation(read_dataset(parts).train, 0.2, 0)[0]
    tokens = collect(model, Photographs(half, 64, 64), "memory").gather(range(len(half))).double().numpy()
    mean, deviation = tokens.mean(axis=(0, 1)), tokens.std(axis=(0, 1))
    np.testing.assert_allclose(model.extractor.mean.numpy(), mean, rtol=1e-4, atol=1e-6)
    scaled = deviation > 2e-3 * np.median(deviation)
    if standardise == "tap":  # 16, 24, 48 and 96 channels
        shares = np.concatenate([np.full(count, np.sqrt(count * 4 / 184)) for count in (16, 24, 48, 96)])
        deviation = deviation * shares
        standard = (tokens - mean) / deviation
        energy = [np.square(part).sum(axis=2).mean() for part in np.split(standard, [16, 40, 88], axis=2)]
        np.testing.assert_allclose(energy, 184 / 4, rtol=0.02)
    np.testing.assert_allclose(model.extractor.deviation.numpy()[scaled], deviation[scaled], rtol=1e-3)


def test_the_papers_backbone_keeps_the_papers_way_and_others_the_measured_one():
    assert build("uniad", {}).extractor.channels == 24 + 32 + 56 + 160
    paper, other = build("uniad", {}).options, model_of().options
    assert (paper.feature_resize, paper.standardise) == ("point", "off")
    assert (other.feature_resize, other.standardise) == ("area", "tap")


def test_a_run_with_features_ends_as_any_run(parts, tmp_path):
    train(parts, tmp_path / "run", keep="last")
    record = read_run(tmp_path / "run")
    assert record.result["best_epoch"] == 2
    assert record.options["taps"] == "features.1,features.3,features.8,features.11"
    model = load_model(tmp_path / "run")
    assert not any(parameter.requires_grad for parameter in model.extractor.parameters())


def test_the_same_seed_gives_the_same_weights(parts, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(parts, tmp_path / name, seed=seed, epochs=2)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_several_classes_train_one_model(parts, tmp_path):
    root = tmp_path / "line"
    for name in ("bolt", "nut"):
        shutil.copytree(parts, root / name)
    train(root, tmp_path / "run")
    assert read_run(tmp_path / "run").data["classes"] == ["bolt", "nut"]
    assert read_run(tmp_path / "run").data["train_images"] == 2 * 19


def test_adtr_plus_learns_from_spoilt_images_and_from_defects(parts, tmp_path, counted):
    defects = [sample for sample in read_dataset(parts).test if sample.anomalous]
    train(parts, tmp_path / "run", "adtr-plus", model=MODEL, defects=defects)
    # 19 good, their spoilt copies, 8 defects; 5 held out and their copies
    assert sum(counted) == 19 * 2 + 8 + 5 * 2
    assert read_run(tmp_path / "run").data["defects"] == 8
    history = losses(tmp_path / "run")
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_published_weights_are_noted(parts, tmp_path, real_images):
    weights = real_images / "weights/mobilenet_v2_imagenet.pth"
    model = {**UNIAD, "backbone": "mobilenet_v2"}
    train(parts, tmp_path / "run", model=model, weights=str(weights), epochs=1)
    import hashlib

    assert read_run(tmp_path / "run").data["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()


# ---- bad input ends before training starts -------------------------------------------------------------------------


def refused(error, match, parts, folder, **changes):
    with pytest.raises(error, match=match):
        train(parts, folder, **changes)
    assert not (folder / "history.jsonl").exists()


def test_a_fully_masked_window_is_refused(parts, tmp_path):
    model = {**UNIAD, "neighbor_height": 7, "neighbor_width": 7}
    refused(TrainingError, "window", parts, tmp_path / "run", model=model)
    train(
        parts, tmp_path / "free", model={**model, "mask_encoder": False, "mask_memory": False, "mask_previous": False}
    )


def test_weights_with_foreign_keys_are_refused(parts, tmp_path):
    torch.save({"some.layer": torch.zeros(1)}, tmp_path / "foreign.pth")
    refused(TrainingError, r"some\.layer", parts, tmp_path / "run", weights=str(tmp_path / "foreign.pth"))


def test_a_class_without_images_is_refused(parts, tmp_path):
    root = tmp_path / "line"
    shutil.copytree(parts, root / "bolt")
    (root / "nut/train/good").mkdir(parents=True)
    refused(DataError, "nut", root, tmp_path / "run")


def test_an_image_that_cannot_be_decoded_is_refused(parts, tmp_path):
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    (root / "train/good/007.png").write_bytes(b"no image at all")
    refused(DataError, r"007\.png", root, tmp_path / "run")


def test_defects_are_for_families_that_learn_from_them(parts, tmp_path):
    defects = read_dataset(parts).test
    refused(TrainingError, "does not learn from defects", parts, tmp_path / "run", defects=defects)


def test_weights_are_for_families_with_a_backbone(parts, tmp_path):
    model = {"height": 32, "width": 32, "stages": 3}
    refused(TrainingError, "no backbone", parts, tmp_path / "run", family="lamp", model=model, weights="x.pth")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"heads": 3}, "do not divide into 3 heads"),
        ({"hidden": 15, "heads": 1}, "do not halve"),
        ({"feature_height": 3}, "does not divide"),
        ({"taps": "features.99"}, "features.99"),
        ({"backbone": "alexnet"}, "alexnet"),
        ({"neighbor_height": 2}, "odd"),
        ({"score_pool": 65}, "score pool"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_options_are_refused(parts, tmp_path, change, match):
    refused(TrainingError, match, parts, tmp_path / "run", model={**UNIAD, **change})


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_a_chain_reads_across_its_parts(parts):
    samples = read_dataset(parts).train
    whole = Photographs(samples, 16, 16)
    chain = Chain(
        [Photographs(samples[:5], 16, 16), Photographs(samples[5:7], 16, 16), Photographs(samples[7:], 16, 16)]
    )
    assert len(chain) == len(whole)
    for begin, end in ((0, 24), (3, 8), (5, 7), (6, 24)):
        assert np.array_equal(chain.read(begin, end), whole.read(begin, end))
    assert [len(piece) for piece in in_pieces(whole, 7)] == [7, 7, 7, 3]
    assert [len(piece) for piece in in_pieces(chain, 7)] == [5, 2, 7, 7, 3]


def test_one_model_of_all_classes_shares_the_features_of_one_for_each(parts, tmp_path, cache, counted):
    root = tmp_path / "line"
    for name in ("bolt", "nut"):
        shutil.copytree(parts, root / name)
    samples = read_dataset(root).train
    collect(model_of(), Photographs(samples, 64, 64), "disk")
    for name in ("bolt", "nut"):
        collect(model_of(), Photographs([s for s in samples if s.category == name], 64, 64), "disk")
    assert sum(counted) == 24  # the nuts are copies of the bolts
