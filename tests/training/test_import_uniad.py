"""Checkpoints of UniAD's authors: the same parameters on this side, a run that works, and nothing in a file is run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import types
from collections import OrderedDict
from dataclasses import replace

import click
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgead.bundle import read_bundle
from edgead.cli.evaluate import evaluate_command
from edgead.cli.export import export_command
from edgead.cli.import_checkpoint import import_checkpoint_command
from edgead.data.layout import read_dataset, split_validation
from edgead.data.loading import load_images
from edgead.errors import TrainingError
from edgead.training.backbones import whole_network
from edgead.training.importing import ImportOptions, import_uniad
from edgead.training.models import build
from edgead.training.models.adtr import AdtrOptions
from edgead.training.models.uniad import UniadOptions
from edgead.training.run import load_model, read_run

GRID = {"height": 64, "width": 96, "feature_height": 4, "feature_width": 6}
SIZES = {"hidden": 16, "heads": 2, "feed_forward": 24, "encoder_layers": 2, "decoder_layers": 3}
WINDOW = {"neighbor_height": 3, "neighbor_width": 5, "mask_memory": False}
SMALL = {"backbone": "mobilenet_v3_small", "taps": "features.1,features.3"}
AS_TRAINED = {"feature_resize": "point", "standardise": "off"}


def uniad(**options):
    """A small model, every parameter of the reconstruction random."""
    torch.manual_seed(0)
    model = build("uniad", {**GRID, **SIZES, **WINDOW, **SMALL, **AS_TRAINED, **options}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("extractor."):
                parameter.copy_(torch.randn_like(parameter))
    return model


def as_theirs(model):
    """The reconstruction's state dict as the authors' modules name it."""
    mine, found = model.state_dict(), OrderedDict()

    def linear(theirs, ours):
        found[f"{theirs}.weight"], found[f"{theirs}.bias"] = mine[f"{ours}.weight"], mine[f"{ours}.bias"]

    def attention(theirs, ours):
        for leaf in ("weight", "bias"):
            found[f"{theirs}.in_proj_{leaf}"] = torch.cat(
                [mine[f"{ours}.{p}.{leaf}"] for p in ("query", "key", "value")]
            )
        linear(f"{theirs}.out_proj", f"{ours}.output")

    found["pos_embed.row_embed.weight"] = mine["positions.row"]
    found["pos_embed.col_embed.weight"] = mine["positions.column"]
    for i in range(model.options.encoder_layers):
        theirs = f"transformer.encoder.layers.{i}"
        attention(f"{theirs}.self_attn", f"encoder.{i}.attention")
        linear(f"{theirs}.linear1", f"encoder.{i}.feed_forward.0")
        linear(f"{theirs}.linear2", f"encoder.{i}.feed_forward.3")
        linear(f"{theirs}.norm1", f"encoder.{i}.after_attention.norm")
        linear(f"{theirs}.norm2", f"encoder.{i}.after_feed_forward.norm")
    for i in range(model.options.decoder_layers):
        theirs = f"transformer.decoder.layers.{i}"
        found[f"{theirs}.learned_embed.weight"] = mine[f"queries.{i}"]
        attention(f"{theirs}.self_attn", f"decoder.{i}.first")
        attention(f"{theirs}.multihead_attn", f"decoder.{i}.second")
        linear(f"{theirs}.linear1", f"decoder.{i}.feed_forward.0")
        linear(f"{theirs}.linear2", f"decoder.{i}.feed_forward.3")
        linear(f"{theirs}.norm1", f"decoder.{i}.after_first.norm")
        linear(f"{theirs}.norm2", f"decoder.{i}.after_second.norm")
        linear(f"{theirs}.norm3", f"decoder.{i}.after_feed_forward.norm")
    linear("transformer.decoder.norm", "norm")
    linear("input_proj", "input")
    linear("output_proj", "output")
    return found


class EasyDict(dict):
    """As the package of that name has it: items are attributes as well."""

    def __init__(self, items=(), **more):
        super().__init__()
        for key, value in {**dict(items), **more}.items():
            converted = EasyDict(value) if isinstance(value, dict) else value
            self[key] = converted
            self.__dict__[key] = converted


def settings(**changes):
    """`arch` as the authors' training writes it."""
    reconstruction = {
        "pos_embed_type": "learned",
        "nhead": 2,
        "activation": "relu",
        "neighbor_mask": {"neighbor_size": [3, 5], "mask": [True, False, True]},
        **changes,
    }
    return [
        EasyDict(name="backbone", type="models.backbones.mobilenet_v3_small", kwargs={"outblocks": [1, 5]}),
        EasyDict(name="neck", type="models.necks.MFCN", kwargs={"outstrides": [16]}),
        EasyDict(name="reconstruction", type="models.reconstructions.UniAD", kwargs=reconstruction),
    ]


def prefixed(state, prefix="module.reconstruction."):
    return OrderedDict((f"{prefix}{name}", tensor) for name, tensor in state.items())


def write(path, state, *, arch=None, epoch=7, **options):
    """Save as the authors do, with `EasyDict` looking like the package's; the package is gone when this returns."""
    module = types.ModuleType("easydict")
    module.EasyDict, EasyDict.__module__, EasyDict.__qualname__ = EasyDict, "easydict", "EasyDict"
    document = {"epoch": epoch, "arch": arch, "state_dict": state}
    document |= {"best_metric": np.float64(0.97), "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}
    sys.modules["easydict"] = module
    try:
        torch.save(document, path, **options)
    finally:
        del sys.modules["easydict"]
    return path


def bring(path, parts, folder, **options):
    """Import with the small backbone, random weights."""
    samples = read_dataset(parts).train
    given = ImportOptions(**{**SMALL, **options})
    return import_uniad(path, samples, folder, options=given, weights="none", root=parts)


def same_reconstruction(model, other):
    mine, others = model.state_dict(), other.state_dict()
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine if not name.startswith("extractor."))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_run_has_the_checkpoints_parameters(parts, tmp_path, zipped):
    model = uniad()
    state = prefixed(as_theirs(model))
    path = write(tmp_path / "ckpt.pth.tar", state, arch=settings(), _use_new_zipfile_serialization=zipped)
    bring(path, parts, tmp_path / "run")
    found = load_model(tmp_path / "run")
    same_reconstruction(found, model)
    assert found.options == model.options


def test_the_run_tells_where_it_comes_from(parts, tmp_path):
    path = write(tmp_path / "ckpt.pth.tar", prefixed(as_theirs(uniad())), arch=settings())
    bring(path, parts, tmp_path / "run", validation=0.25, seed=4)
    run = read_run(tmp_path / "run")
    held_out = split_validation(read_dataset(parts).train, 0.25, 4)[1]
    images = load_images(held_out, 64, 96)
    model = load_model(tmp_path / "run")
    with torch.no_grad():
        tokens = model.extract(torch.from_numpy(images))
        loss = float((model.reconstruct(tokens) - tokens).square().mean())
    assert run.result == {"epochs": 7, "best_epoch": 6, "validation_loss": pytest.approx(loss, rel=1e-5)}
    assert run.fit == {"validation": 0.25, "seed": 4}
    assert run.family == "uniad"
    assert run.root == str(parts.resolve())
    assert run.data == {
        "name": "parts",
        "classes": ["parts"],
        "train_images": 0,
        "validation_images": len(held_out),
        "sha256": hashlib.sha256(images).hexdigest(),
        "checkpoint": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == ["model.safetensors", "run.json"]


@pytest.mark.parametrize("prefix", ["", "reconstruction.", "module.", "module.reconstruction."])
def test_a_state_dict_alone_will_do(parts, tmp_path, prefix):
    model = uniad()
    torch.save(prefixed(as_theirs(model), prefix), tmp_path / "state.pth")
    options = {"heads": 2, "neighbor_height": 3, "neighbor_width": 5, "mask_memory": False}
    bring(tmp_path / "state.pth", parts, tmp_path / "run", **options)
    same_reconstruction(load_model(tmp_path / "run"), model)
    assert load_model(tmp_path / "run").options == model.options
    assert read_run(tmp_path / "run").result["epochs"] == 0


def test_options_go_before_settings_and_settings_before_defaults(parts, tmp_path):
    state = prefixed(as_theirs(uniad()))
    even = {"neighbor_size": [2, 4], "mask": [False, True, True]}  # their window reaches side // 2 to both sides
    path = write(tmp_path / "ckpt.pth", state, arch=settings(neighbor_mask=even))
    bring(path, parts, tmp_path / "said", neighbor_width=3, mask_encoder=True, score="mean", height=128)
    options = load_model(tmp_path / "said").options
    assert (options.heads, options.neighbor_height, options.neighbor_width) == (2, 3, 3)
    assert (options.mask_encoder, options.mask_memory, options.mask_previous) == (True, True, True)
    assert (options.score, options.height, options.width) == ("mean", 128, 96)
    bring(write(tmp_path / "none.pth", state, arch=settings(neighbor_mask=None)), parts, tmp_path / "none")
    options = load_model(tmp_path / "none").options
    assert (options.mask_encoder, options.mask_memory, options.mask_previous) == (False, False, False)
    with pytest.raises(TrainingError, match="7x7 leaves a query no key on a 4x6 grid"):
        bring(write(tmp_path / "unsaid.pth", state), parts, tmp_path / "unsaid")


# The authors' backbone.


STAGES = (2, 4, 4, 6, 6, 8, 2)
"""Blocks in the stages of EfficientNet-B4."""


def efficientnet_as_theirs(state):
    """torchvision's names of EfficientNet-B4 -> those of lukemelas' EfficientNet-PyTorch."""

    def name(key):
        match = re.fullmatch(r"features\.(\d)\.(\d)\.block\.(\d)\.(0|1|fc1|fc2)\.(.*)", key)
        if match:
            stage, block, layer = map(int, match.group(1, 2, 3))
            kind = layer if stage > 1 else layer + 1  # the blocks of the first stage do not expand
            layers = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_se_reduce", "_se_expand")]
            layers.append(("_project_conv", "_bn2"))
            leaf = layers[kind][match[4] in ("1", "fc2")]
            return f"_blocks.{sum(STAGES[: stage - 1]) + block}.{leaf}.{match[5]}"
        for ours, theirs in {
            "features.0.0": "_conv_stem",
            "features.0.1": "_bn0",
            "features.8.0": "_conv_head",
            "features.8.1": "_bn1",
            "classifier.1": "_fc",
        }.items():
            if key.startswith(f"{ours}."):
                return theirs + key.removeprefix(ours)
        raise AssertionError(key)

    return {name(key): tensor for key, tensor in state.items()}


@pytest.fixture(scope="module")
def efficientnet():
    """Random weights and statistics of EfficientNet-B4, under torchvision's names."""
    torch.manual_seed(1)
    state = whole_network("efficientnet_b4", "cpu").state_dict()
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(1e-3, 1)
    return state


PAPER = {"backbone": "efficientnet_b4_same", "taps": "features.1,features.2,features.3,features.5"}


def settings_on(backbone):
    return [EasyDict(name="backbone", type=f"models.backbones.{backbone}", kwargs={}), *settings()[1:]]


def test_the_checkpoints_own_efficientnet_is_taken(parts, tmp_path, efficientnet):
    model = uniad(**PAPER)
    theirs = efficientnet_as_theirs(efficientnet)
    assert {"_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_blocks.31._bn2.running_var"} <= theirs.keys()
    state = prefixed(as_theirs(model)) | prefixed(theirs, "module.backbone.")
    path = write(tmp_path / "ckpt.pth.tar", state)
    options = ImportOptions(heads=2, neighbor_height=3, neighbor_width=5, mask_memory=False)
    imported = import_uniad(path, read_dataset(parts).train, tmp_path / "run", options=options, root=parts)
    assert imported.own_backbone
    assert not imported.padded
    found = load_model(tmp_path / "run")
    assert found.options == model.options
    same_reconstruction(found, model)
    backbone = found.extractor.backbone
    for name, tensor in backbone.state_dict().items():
        if not name.endswith("running_var"):
            assert torch.equal(tensor, efficientnet[name]), name
    norm, inputs = backbone.get_submodule("features.5.2.block.1.1"), torch.randn(2, 960, 4, 4)
    there = [
        efficientnet[f"features.5.2.block.1.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    ]
    torch.testing.assert_close(norm(inputs), F.batch_norm(inputs, *there, eps=1e-3), rtol=1e-5, atol=1e-5)


def test_five_taps_are_known_by_their_channels(efficientnet, parts, tmp_path):
    model = uniad(backbone="efficientnet_b4_same", taps="features.1,features.2,features.3,features.5,features.7")
    torch.save(as_theirs(model), tmp_path / "state.pth")
    options = ImportOptions(heads=2, neighbor_height=3, neighbor_width=5, mask_memory=False)
    samples = read_dataset(parts).train
    import_uniad(tmp_path / "state.pth", samples, tmp_path / "run", options=options, weights="none")
    assert load_model(tmp_path / "run").options == model.options


def test_the_authors_name_means_their_padding(efficientnet, parts, tmp_path, capsys):
    state = prefixed(as_theirs(uniad(**PAPER)))
    state |= prefixed(efficientnet_as_theirs(efficientnet), "module.backbone.")
    path = write(tmp_path / "ckpt.pth", state, arch=settings_on("efficientnet_b4"))

    def command(name, *arguments):
        arguments = ["uniad", path, "--data", parts, "-o", tmp_path / name, *arguments]
        import_checkpoint_command.main(list(map(str, arguments)), standalone_mode=False)
        return capsys.readouterr().out, load_model(tmp_path / name)

    said, same = command("default")
    assert same.options.backbone == "efficientnet_b4_same"
    assert "pads" not in said
    said, plain = command("plain", "--backbone", "efficientnet_b4")
    assert plain.options == replace(same.options, backbone="efficientnet_b4")
    assert "and efficientnet_b4 both sides alike" in said
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in same.state_dict().items())
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert (same.extract(image) - plain.extract(image)).abs().max() > 0.01

    with pytest.raises(TrainingError, match="trained on efficientnet_b4, not resnet18") as raised:
        bring(path, parts, tmp_path / "other", backbone="resnet18", taps="auto")
    assert "--backbone efficientnet_b4_same" in raised.value.todo


@pytest.mark.parametrize("options", [UniadOptions, AdtrOptions])
def test_both_paddings_keep_the_papers_way(options):
    same = options(backbone="efficientnet_b4_same").resolve()
    assert same == replace(options(backbone="efficientnet_b4").resolve(), backbone="efficientnet_b4_same")
    assert (same.feature_resize, same.standardise) == ("point", "off")
    assert len(same.taps.split(",")) == (5 if options is AdtrOptions else 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("_blocks.3._bn1.running_var"), "lacks _blocks.3._bn1.running_var"),
        (lambda s: s.update({"_blocks.32._bn0.weight": torch.ones(1)}), "has _blocks.32._bn0.weight"),
        (lambda s: s.update({"_conv_stem.weight": torch.ones(48, 3, 5, 5)}), r"_conv_stem.weight \(48, 3, 5, 5\)"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(parts, tmp_path, efficientnet, change, message):
    theirs = efficientnet_as_theirs(efficientnet)
    change(theirs)
    path = write(tmp_path / "ckpt.pth", prefixed(as_theirs(uniad(**PAPER))) | prefixed(theirs, "module.backbone."))
    options = ImportOptions(heads=2, neighbor_height=3, neighbor_width=5)
    with pytest.raises(TrainingError, match=message):
        import_uniad(path, read_dataset(parts).train, tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()


def test_a_backbone_in_torchvisions_names_is_taken(parts, tmp_path):
    model = uniad()
    mine = model.extractor.backbone.state_dict()
    state = prefixed(as_theirs(model)) | prefixed(mine, "module.backbone.")
    path = write(tmp_path / "ckpt.pth", state, arch=settings())
    samples = read_dataset(parts).train
    imported = import_uniad(path, samples, tmp_path / "run", options=ImportOptions(**SMALL))
    found = load_model(tmp_path / "run").extractor.backbone.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in mine.items())
    assert imported.own_backbone
    assert not imported.padded


# What is refused.


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("where", ["best_metric", "arch", "state_dict"])
def test_code_in_a_checkpoint_is_never_run(parts, tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    document = {"state_dict": as_theirs(uniad()), where: Hostile()}
    torch.save(document, tmp_path / "ckpt.pth")
    with pytest.raises(TrainingError, match=r"damaged|never run"):
        bring(tmp_path / "ckpt.pth", parts, tmp_path / "run")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "run").exists()


def test_what_needs_another_package_says_how_to_save_it_again(parts, tmp_path):
    torch.save({"state_dict": as_theirs(uniad()), "config": click.Path()}, tmp_path / "ckpt.pth")
    with pytest.raises(TrainingError, match=r"click\.types\.Path, which is never run") as raised:
        bring(tmp_path / "ckpt.pth", parts, tmp_path / "run")
    assert 'weights_only=False)["state_dict"]' in raised.value.todo


def replaced(name, tensor):
    return lambda state: state.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("input_proj.weight"), "lacks input_proj.weight"),
        (lambda s: s.pop("transformer.decoder.layers.1.norm3.bias"), "lacks transformer.decoder.layers.1.norm3.bias"),
        (replaced("transformer.encoder.layers.0.gate", torch.ones(2)), "has transformer.encoder.layers.0.gate"),
        (replaced("transformer.encoder.norm.weight", torch.ones(16)), "normalises before each layer"),
        (replaced("output_proj.bias", torch.ones(3)), r"output_proj.bias \(3,\) instead of \(40,\)"),
        (replaced("pos_embed.row_embed.weight", torch.ones(2)), "is no matrix"),
        (replaced("output_proj.bias", torch.full((40,), torch.nan)), "no finite"),
        (replaced("output_proj.bias", torch.ones(40, dtype=torch.int64)), "no finite floating-point"),
        (lambda s: [s.pop(f"pos_embed.{n}_embed.weight") for n in ("row", "col")], "sine positions"),
        (lambda s: (s.clear(), s.update({"fc.weight": torch.ones(2, 2)})), "of no UniAD"),
        (lambda s: s.clear(), "no state dict"),
        (replaced("epoch", 3), "no state dict"),
    ],
)
def test_state_dicts_that_do_not_fit_are_refused(parts, tmp_path, change, message):
    state = as_theirs(uniad())
    change(state)
    path = write(tmp_path / "ckpt.pth", state, arch=settings())
    with pytest.raises(TrainingError, match=message) as raised:
        bring(path, parts, tmp_path / "run")
    assert raised.value.todo
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_embed_type": "v2"}, "positions of type v2"),
        ({"activation": "gelu"}, "activation gelu"),
        ({"neighbor_mask": {"neighbor_size": 7}}, "settings cannot be read"),
        ({"neighbor_mask": {"neighbor_size": [3, 3, 3], "mask": [True] * 3}}, "settings cannot be read"),
        ({"nhead": "many"}, "settings cannot be read"),
        ({"nhead": 5}, "do not divide into 5 heads"),
    ],
)
def test_settings_that_edgead_does_not_have_are_refused(parts, tmp_path, change, message):
    path = write(tmp_path / "ckpt.pth", as_theirs(uniad()), arch=settings(**change))
    with pytest.raises(TrainingError, match=message):
        bring(path, parts, tmp_path / "run")


def test_another_backbone_is_refused(parts, tmp_path):
    path = write(tmp_path / "ckpt.pth", as_theirs(uniad()), arch=settings())
    with pytest.raises(TrainingError, match="trained on mobilenet_v3_small, not mobilenet_v2"):
        bring(path, parts, tmp_path / "run", backbone="mobilenet_v2")
    with pytest.raises(TrainingError, match=r"rebuilds 40 channels, and mobilenet_v3_small has 16 at features\.1"):
        bring(path, parts, tmp_path / "run", taps="features.1")


def test_files_that_are_no_checkpoints_are_refused(parts, tmp_path):
    path = write(tmp_path / "ckpt.pth", as_theirs(uniad()), arch=settings())
    content = path.read_bytes()
    for name, damaged in (("half", content[: len(content) // 2]), ("empty", b""), ("text", b"not a checkpoint\n")):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(TrainingError, match="damaged"):
            bring(tmp_path / name, parts, tmp_path / "run")
    torch.save([torch.ones(1)], tmp_path / "list")
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        bring(tmp_path / "list", parts, tmp_path / "run")
    with pytest.raises(TrainingError, match="cannot be read"):
        bring(tmp_path / "nowhere", parts, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_in_it_is_left_alone(parts, tmp_path):
    path = write(tmp_path / "ckpt.pth", as_theirs(uniad()), arch=settings())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        bring(path, parts, tmp_path / "run")
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["notes"]


# The command line.


def test_the_command_leaves_a_run_that_exports(parts, tmp_path, capsys):
    model = uniad()
    path = write(tmp_path / "ckpt.pth", prefixed(as_theirs(model)), arch=settings())
    run, bundle = tmp_path / "run", tmp_path / "part.edgead"
    arguments = ["uniad", path, "--data", parts, "-o", run, "--backbone", SMALL["backbone"], "--taps", SMALL["taps"]]
    arguments += ["--weights", "none", "--no-mask-encoder", "--heads", 4]
    import_checkpoint_command.main(list(map(str, arguments)), standalone_mode=False)
    said = capsys.readouterr().out
    assert "UniAD of epoch 7, 4x6 tokens" in said
    assert "the backbone that it was trained on" in said
    options = load_model(run).options
    assert (options.mask_encoder, options.mask_memory, options.heads) == (False, False, 4)
    export_command.main([str(run), "-o", str(bundle)], standalone_mode=False)
    manifest = read_bundle(bundle).manifest
    assert (manifest.family, manifest.classes, manifest.training["epochs"]) == ("uniad", ("parts",), 7)
    evaluate_command.main([str(run), "--data", str(parts), "--json"], standalone_mode=False)
    assert '"pixel_auroc"' in capsys.readouterr().out


def test_the_command_prints_json(parts, tmp_path, capsys):
    path = write(tmp_path / "ckpt.pth", prefixed(as_theirs(uniad())), arch=settings())
    arguments = ["uniad", path, "--data", parts, "-o", tmp_path / "run", "--backbone", SMALL["backbone"], "--json"]
    arguments += ["--taps", SMALL["taps"], "--weights", "none"]
    import_checkpoint_command.main(list(map(str, arguments)), standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["result"]["epochs"] == 7
    assert told["data"]["validation_images"] > 0
