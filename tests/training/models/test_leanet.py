"""LEA-Net against the paper's equations, its settings, and what each of its parts may learn from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from edgead.data.layout import read_dataset
from edgead.errors import TrainingError
from edgead.training import fit as fit_module
from edgead.training.fit import fit
from edgead.training.models import build
from edgead.training.options import FitOptions
from edgead.training.run import load_model, read_run

SIZE = {"height": 64, "width": 64, "unet_width": 4, "unet_blocks": 0, "color_epochs": 1}
PLAIN = ("none", "map", "four-channels", "attentioned")
ATTENDING = ("direct", "mobilenet", "resnet")


def leanet(**options):
    torch.manual_seed(1)
    return build("leanet", {**SIZE, **options}).eval()


def photographs(count=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8))


def inputs_of(model, count=3):
    with torch.no_grad():
        return model.extract(photographs(count))


@pytest.mark.parametrize("external", ["mobilenet", "resnet"])
def test_attention_is_the_papers(external):
    """Eq. 2: M_p = sigmoid(mean over channels of g_p(x_att)); Eq. 3: f_p' = (1 + M_p) f_p."""
    model = leanet(external=external, points="2,5")
    inputs = inputs_of(model)
    with torch.no_grad():
        _, _, attention = model.classify(inputs)
        features, _ = model.caan((inputs[:, 3:] / 50).clamp(max=1))
        before_and_after = model.adn.before_and_after(inputs[:, :3], attention)
    assert set(attention) == {2, 5}
    for point in (1, 2, 3, 4, 5):
        before, after = (part.double().numpy() for part in before_and_after[point - 1])
        if point not in attention:
            np.testing.assert_array_equal(before, after)
            continue
        g = features[point - 1].double().numpy()
        m = 1 / (1 + np.exp(-g.mean(axis=1, keepdims=True)))
        np.testing.assert_allclose(attention[point].numpy(), m, rtol=1e-5)
        np.testing.assert_allclose(after, (1 + m) * before, rtol=1e-5, atol=1e-6)


def test_direct_attention_is_the_map_itself():
    model = leanet(external="direct", points="3", map_limit=20.0)
    inputs = inputs_of(model)
    with torch.no_grad():
        _, opinion, attention = model.classify(inputs)
    cut = np.minimum(inputs[:, 3].numpy() / 20, 1)
    blocks = cut.reshape(3, 8, 8, 8, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(attention[3][:, 0], blocks, rtol=1e-5)
    assert opinion is None


def test_the_loss_is_the_sum_of_both_cross_entropies():
    """Eq. 1, by scikit-learn. The attention network has a unit for good and one for bad."""
    model = leanet(external="mobilenet")
    inputs, bad = inputs_of(model, 4), torch.tensor([0.0, 1.0, 1.0, 0.0])
    with torch.no_grad():
        logits, opinion, _ = model.classify(inputs)
        loss = float(model.training_loss(inputs, bad, bad[:, None]))
        validation = float(model.validation_loss(inputs, bad, bad[:, None]))
    f, g = logits.double().sigmoid().numpy(), opinion.double().sigmoid().numpy()
    classifier = log_loss(bad.numpy(), f)
    units = [log_loss(1 - bad.numpy(), g[:, 0]), log_loss(bad.numpy(), g[:, 1])]
    assert loss == pytest.approx(classifier + np.mean(units), rel=1e-5)
    assert validation == pytest.approx(classifier, rel=1e-5)


@pytest.mark.parametrize("external", PLAIN)
def test_what_the_classifier_is_shown(external, monkeypatch):
    model = leanet(external=external)
    inputs, shown = inputs_of(model), []
    model.adn.register_forward_pre_hook(lambda module, arguments: shown.append(arguments[0]))
    with torch.no_grad():
        model.classify(inputs)
    rgb = photographs().permute(0, 3, 1, 2).double() / 255
    if external == "none":
        assert inputs.shape[1] == 3
        expected = rgb
    else:
        cut = (inputs[:, 3:].double() / 50).clamp(max=1)
        both = {"map": [cut], "four-channels": [rgb, cut], "attentioned": [rgb * (1 + cut)]}
        expected = torch.cat(both[external], dim=1)
    torch.testing.assert_close(shown[0].double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("external", PLAIN + ATTENDING)
def test_the_answer_is_a_probability_a_map_and_where_it_looked(external):
    model = leanet(external=external, points="1,4")
    with torch.no_grad():
        answer = model(photographs())
        logits, _, attention = model.classify(model.extract(photographs()))
    torch.testing.assert_close(answer.score, logits.sigmoid())
    assert model.outputs == ("anomaly_map", "score", *(["attention_map"] if external in ATTENDING else []))
    if external == "none":
        assert torch.equal(answer.anomaly_map, answer.score[:, None, None].expand(3, 64, 64))
        assert answer.attention_map is None
        return
    difference = model.colorizer.difference(photographs().permute(0, 3, 1, 2) / 255.0)
    torch.testing.assert_close(answer.anomaly_map, difference[:, 0])
    if external in PLAIN:
        assert answer.attention_map is None
        return
    assert answer.attention_map.shape == (3, 64, 64)
    assert answer.attention_map.min() >= 0 and answer.attention_map.max() <= 1
    means = [float(m.mean()) for m in attention.values()]
    assert float(answer.attention_map.mean()) == pytest.approx(np.mean(means), rel=0.02)


def test_a_learned_gate_begins_closed():
    """The authors' code: what attention adds is weighed by a scalar that begins at 0 and is learned."""
    model = leanet(external="resnet", points="2", learned_gate=True)
    inputs, bad = inputs_of(model), torch.tensor([0.0, 1.0, 1.0])
    with torch.no_grad():
        torch.testing.assert_close(model.classify(inputs)[0], model.adn(inputs[:, :3]))
    model.training_loss(inputs, bad, bad[:, None]).backward()
    assert model.gates["2"].grad.abs() > 0


def test_training_changes_everything_but_the_colorizer():
    model = leanet(external="mobilenet").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    inputs, bad = model.extract(photographs(4)).detach(), torch.tensor([0.0, 1.0, 1.0, 0.0])
    model.training_loss(inputs, bad, bad[:, None]).backward()
    optimizer.step()
    changed = {
        name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"adn", "caan"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"height": 48}, "multiples of 32"),
        ({"points": "0"}, "points '0' are not some of 1"),
        ({"points": "2,2"}, "points '2,2'"),
        ({"points": ""}, "points ''"),
        ({"external": "telepathy"}, "none of none, map"),
        ({"network": "lenet"}, "none of resnet18"),
        ({"self_attention": "cbam"}, "self-attention 'cbam'"),
        ({"map_limit": 0.0}, "map limit of 0"),
        ({"color_epochs": 0}, "needs epochs"),
    ],
)
def test_options_that_cannot_be_are_refused(options, fault):
    with pytest.raises(TrainingError, match=fault):
        leanet(**options)


# ---- training ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(parts):
    dataset = read_dataset(parts)
    return dataset.train, [sample for sample in dataset.test if sample.anomalous]


def train(good, bad, folder, **arguments):
    options = FitOptions(epochs=1, batch_size=8, threads=1)
    return fit("leanet", good, folder, model_options=SIZE, options=options, defects=bad, **arguments)


def colorizer_of(folder):
    return read_run(folder / "colorizer"), (folder / "colorizer" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leanet") / "run"
    return train(*photos, folder), folder


def test_the_colorizer_learns_from_good_parts_that_nobody_is_tested_on(photos, trained, tmp_path):
    """The same good photos and other bad ones give the same colorizer, and it has not seen what is held out."""
    good, bad = photos
    run = read_run(trained[1])
    nested, weights = colorizer_of(trained[1])
    assert run.data["train_images"] == 19
    assert run.data["validation_images"] == 5
    assert nested.data["train_images"] + nested.data["validation_images"] == 19
    train(good, bad[:4], tmp_path / "other")
    assert colorizer_of(tmp_path / "other")[1] == weights


def test_bad_parts_are_held_out_as_well(trained, photos):
    model, _ = trained
    train_bad, validation_bad = fit_module._split_defects(model, photos[1], FitOptions())
    assert (len(train_bad), len(validation_bad)) == (6, 2)
    assert not set(train_bad) & set(validation_bad)


def test_a_run_that_stopped_between_both_trainings_goes_on(photos, trained, tmp_path, monkeypatch):
    examples = fit_module._examples

    def stop(model, *arguments):
        if model.family == "leanet":
            raise KeyboardInterrupt
        return examples(model, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "_examples", stop)
        with pytest.raises(KeyboardInterrupt):
            train(*photos, tmp_path / "run")
    train(*photos, tmp_path / "run", resume=True)
    for name in ("model.safetensors", "run.json", "history.jsonl"):
        again, once = ((folder / name).read_bytes() for folder in (tmp_path / "run", trained[1]))
        assert again == once, name


def test_a_trained_colorizer_is_taken(photos, trained, tmp_path):
    model = train(*photos, tmp_path / "run", weights=str(trained[1] / "colorizer"))
    assert not (tmp_path / "run" / "colorizer").exists()
    for name, tensor in trained[0].state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["weights"]


def test_a_colorizer_of_another_width_is_taken_as_it_is(photos, tmp_path):
    folder = tmp_path / "colorizer"
    wide = {"height": 64, "width": 64, "unet_width": 6, "unet_blocks": 1}
    fit("colorizer", photos[0], folder, model_options=wide, options=FitOptions(epochs=1, threads=1))
    model = train(*photos, tmp_path / "run", weights=str(folder))
    assert (model.options.unet_width, model.options.unet_blocks) == (6, 1)
    torch.testing.assert_close(load_model(tmp_path / "run").state_dict(), model.state_dict())


def test_what_is_no_colorizer_of_this_size_is_refused(photos, run, tmp_path):
    with pytest.raises(TrainingError, match="a lamp is no colorizer"):
        train(*photos, tmp_path / "run", weights=str(run))
    folder = tmp_path / "colorizer"
    options = {"height": 32, "width": 32, "unet_width": 4, "unet_blocks": 0}
    fit("colorizer", photos[0], folder, model_options=options, options=FitOptions(epochs=1, threads=1))
    with pytest.raises(TrainingError, match="for 32 x 32 pixels, not 64 x 64"):
        train(*photos, tmp_path / "other", weights=str(folder))


def test_it_needs_bad_parts(photos, tmp_path):
    with pytest.raises(TrainingError, match="no images of bad parts"):
        train(photos[0], [], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(TrainingError, match="a single image of a bad part"):
        train(*photos[:1], photos[1][:1], tmp_path / "run")


def test_a_plain_classifier_takes_no_colorizer(photos, trained, tmp_path):
    with pytest.raises(TrainingError, match="has no colorizer"):
        fit(
            "leanet",
            photos[0],
            tmp_path / "run",
            model_options={**SIZE, "external": "none"},
            defects=photos[1],
            weights=str(trained[1] / "colorizer"),
        )
    assert not (tmp_path / "run").exists()
