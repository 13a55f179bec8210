"""LAMP: the architecture that the paper describes, its map and score, its options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgead.errors import TrainingError
from edgead.training.models import build
from edgead.training.models.lamp import Lamp, LampOptions

SMALL = {"height": 64, "width": 64, "base_width": 4}


def images(count=2, side=64, seed=0):
    return torch.randint(
        0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("stages", [4, 6])
def test_layers_follow_the_papers_order(stages):
    model = Lamp(LampOptions(**SMALL, stages=stages)).autoencoder
    encoder, decoder = ([type(layer) for layer in part] for part in (model.encoder, model.decoder))
    assert encoder == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * stages
    assert decoder[: 4 * stages] == [nn.Upsample, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * stages


@pytest.mark.parametrize("stages", [2, 4, 6])
def test_the_bottleneck_is_the_only_way_through(stages):
    model = Lamp(LampOptions(**SMALL, stages=stages)).eval()
    shapes = []
    model.autoencoder.encoder.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    model(images())
    assert shapes == [(2, min(4 * 2 ** (stages - 1), 256), 64 // 2**stages, 64 // 2**stages)]


@pytest.mark.parametrize("patches", [1, 4, 16])
def test_patches_are_reconstructed_independently(patches):
    model = Lamp(LampOptions(**SMALL, stages=4, patches=patches)).eval()
    first, side = images(1), 64 // round(patches**0.5)
    second = first.clone()
    second[:, :side, :side] = 255 - second[:, :side, :side]  # only the first patch changes
    with torch.no_grad():
        pair = [model.reconstruct(image.permute(0, 3, 1, 2) / 255) for image in (first, second)]
    changed = (pair[0] != pair[1]).any(dim=1)[0]
    outside = changed.clone()
    outside[:side, :side] = False
    assert changed.any()
    assert not outside.any()


@pytest.mark.parametrize("score", ["max", "mean"])
@pytest.mark.parametrize("window", [1, 5])
def test_map_and_score_are_the_filtered_squared_error(score, window):
    model = Lamp(LampOptions(**SMALL, score=score, map_window=window)).eval()
    batch = images(3)
    with torch.no_grad():
        anomaly_map, scores = model(batch)[:2]
        rebuilt = model.reconstruct(batch.permute(0, 3, 1, 2) / 255).double().numpy()
    error = ((batch.numpy().transpose(0, 3, 1, 2) / 255.0 - rebuilt) ** 2).mean(axis=1)
    margin = window // 2
    expected = np.zeros_like(error)
    for y in range(64):
        for x in range(64):
            area = error[:, max(0, y - margin) : y + margin + 1, max(0, x - margin) : x + margin + 1]
            expected[:, y, x] = area.mean(axis=(1, 2))
    np.testing.assert_allclose(anomaly_map.numpy(), expected, rtol=1e-4, atol=1e-7)
    wanted = expected.max(axis=(1, 2)) if score == "max" else error.mean(axis=(1, 2))
    np.testing.assert_allclose(scores.numpy(), wanted, rtol=1e-4)


def test_the_amplifier_changes_the_loss_and_nothing_else():
    models = [Lamp(LampOptions(**SMALL, amplified=amplified)) for amplified in (True, False)]
    models[1].load_state_dict(models[0].state_dict())
    batch = images(4)
    assert models[0].training_loss(batch) != models[1].training_loss(batch)
    for model in models:
        model.eval()
    assert torch.equal(models[0].validation_loss(batch), models[1].validation_loss(batch))
    for amplified, plain in zip(models[0](batch)[:2], models[1](batch)[:2], strict=True):
        assert torch.equal(amplified, plain)


def test_an_image_is_judged_alone_as_in_a_batch():
    model = Lamp(LampOptions(**SMALL)).eval()
    batch = images(3)
    with torch.no_grad():
        together, alone = model(batch).score, torch.cat([model(image[None]).score for image in batch])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": 3}, "square"),
        ({"height": 100}, "multiples of 64"),
        ({"kernel_size": 4}, "odd"),
        ({"map_window": 2}, "odd"),
        ({"epsilon": 0.0}, "between 0 and 1"),
        ({"epsilon": 1.0}, "between 0 and 1"),
        ({"loss": "l3"}, "l3"),
        ({"score": "median"}, "median"),
        ({"stages": 0}, "at least 1"),
        ({"colour": 1}, "no option colour"),
    ],
)
def test_impossible_options_are_refused(change, message):
    with pytest.raises(TrainingError, match=message):
        build("lamp", {**SMALL, **change})


def test_an_unknown_family_is_refused():
    with pytest.raises(TrainingError, match="choose one of uniad, adtr"):
        build("oracle", {})
