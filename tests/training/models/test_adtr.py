"""ADTR and ADTR+ against their equations, written once more with einsum in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edgead.errors import TrainingError
from edgead.training.models import build
from edgead.training.models.adtr_plus import pseudo_huber

TINY = {
    "backbone": "mobilenet_v3_small",
    "taps": "features.0,features.1,features.3",
    "hidden": 16,
    "heads": 4,
    "feed_forward": 24,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "score_pool": 8,
}


def model_of(family="adtr", grid=(4, 4), **changes):
    """A small model whose every parameter is random, the norms' too; 16 pixels a token."""
    torch.manual_seed(5)
    size = {"feature_height": grid[0], "feature_width": grid[1], "height": 16 * grid[0], "width": 16 * grid[1]}
    model = build(family, {**TINY, **size, **changes}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("extractor"):
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def tokens_of(model, count=3, seed=0):
    shape = (count, model.extractor.grid[0] * model.extractor.grid[1], model.extractor.channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- the same network, written from the paper ----------------------------------------------------------------------


def weights(model):
    return {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}


def linear(w, name, x):
    return np.einsum("ntc,dc->ntd", x, w[f"{name}.weight"]) + w[f"{name}.bias"]


def norm(w, name, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def attend(w, name, query, key, value, heads):
    q, k, v = (linear(w, f"{name}.{part}", x) for part, x in (("query", query), ("key", key), ("value", value)))
    q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
    logits = np.einsum("nthd,nshd->nhts", q, k) / math.sqrt(q.shape[-1])
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed = np.einsum("nhts,nshd->nthd", shares, v)
    return linear(w, f"{name}.output", mixed.reshape(*mixed.shape[:2], -1))


def feed_forward(w, name, x):
    return linear(w, f"{name}.3", np.maximum(linear(w, f"{name}.0", x), 0))


def positions(w, height, width):
    places = [
        np.concatenate([w["positions.column"][x], w["positions.row"][y]]) for y in range(height) for x in range(width)
    ]
    return np.stack(places)


def by_the_paper(model, tokens):
    """The reconstruction of float64 [N, T, C]."""
    w, options = weights(model), model.options
    x = linear(w, "input", tokens)
    if not options.attention:
        for index in range(options.encoder_layers + options.decoder_layers):
            x = norm(w, f"layers.{index}.after.norm", x + feed_forward(w, f"layers.{index}.feed_forward", x))
        return linear(w, "output", x)
    place = positions(w, *model.extractor.grid)
    for index in range(options.encoder_layers):
        name = f"encoder.{index}"
        x = norm(
            w,
            f"{name}.after_attention.norm",
            x + attend(w, f"{name}.attention", x + place, x + place, x, options.heads),
        )
        x = norm(w, f"{name}.after_feed_forward.norm", x + feed_forward(w, f"{name}.feed_forward", x))
    y = np.broadcast_to(w["query"], x.shape) if options.query else x
    for index in range(options.decoder_layers):
        name = f"decoder.{index}"
        y = norm(w, f"{name}.after_first.norm", y + attend(w, f"{name}.first", y + place, y + place, y, options.heads))
        y = norm(
            w, f"{name}.after_second.norm", y + attend(w, f"{name}.second", y + place, x + place, x, options.heads)
        )
        y = norm(w, f"{name}.after_feed_forward.norm", y + feed_forward(w, f"{name}.feed_forward", y))
    return linear(w, "output", y)


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (8, 6)])
@pytest.mark.parametrize(("attention", "query"), [(True, True), (True, False), (False, True)])
def test_the_reconstruction_is_the_papers(grid, attention, query):
    model = model_of(grid=grid, attention=attention, query=query)
    tokens = tokens_of(model)
    with torch.no_grad():
        found = model.reconstruct(tokens).double().numpy()
    wanted = by_the_paper(model, tokens.double().numpy())
    assert np.abs(found - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())


def test_the_map_is_the_norm_of_the_difference_and_the_score_its_pooled_maximum():
    model = model_of()
    tokens = tokens_of(model)
    with torch.no_grad():
        answer = model.answer(tokens)
    difference = by_the_paper(model, tokens.double().numpy()) - tokens.double().numpy()
    grid = np.sqrt((difference**2).sum(axis=2)).reshape(-1, 4, 4)
    # The corners of the map are the corners of the grid.
    corners = answer.anomaly_map[:, [0, 0, -1, -1], [0, -1, 0, -1]].double().numpy()
    np.testing.assert_allclose(corners, grid[:, [0, 0, -1, -1], [0, -1, 0, -1]], rtol=1e-5)
    maps, side = answer.anomaly_map.double().numpy(), model.options.score_pool
    pooled = np.lib.stride_tricks.sliding_window_view(maps, (side, side), axis=(1, 2)).mean(axis=(3, 4))
    np.testing.assert_allclose(answer.score.numpy(), pooled.max(axis=(1, 2)), rtol=1e-5)


def test_the_loss_is_summed_over_channels_and_averaged_over_places():
    model = model_of(dropout=0.0)
    tokens = tokens_of(model)
    difference = by_the_paper(model, tokens.double().numpy()) - tokens.double().numpy()
    wanted = (difference**2).sum(axis=2).mean()
    assert float(model.training_loss(tokens).detach()) == pytest.approx(wanted, rel=1e-5)


def test_the_papers_backbone_gives_720_channels_on_a_grid_of_16():
    options = build("adtr", {}).options
    model = build("adtr", {})
    assert model.extractor.channels == 24 + 32 + 56 + 160 + 448
    assert (options.height, options.feature_height, options.hidden, options.heads) == (256, 16, 256, 8)
    assert (options.feature_resize, options.standardise) == ("point", "off")
    assert tuple(model.query.shape) == (256, 256)


# ---- ADTR+ ---------------------------------------------------------------------------------------------------------


def loss_by_hand(phi, bad, where, alpha, top):
    """details.md, image by image in Python floats."""
    total = 0.0
    for image, is_bad, places in zip(phi, bad, where, strict=True):
        if places[0] >= 0:
            good = sum((1 - y) * p for y, p in zip(places, image, strict=True)) / len(image)
            marked = sum(y * p for y, p in zip(places, image, strict=True)) / len(image)
            total += good - (alpha * math.log(1 - math.exp(-marked)) if any(places) else 0)
        else:
            q = sum(sorted(image)[-top:]) / top
            total += (1 - is_bad) * q - (alpha * math.log(1 - math.exp(-q)) if is_bad else 0)
    return total / len(phi)


def test_the_losses_of_painted_and_unpainted_images_are_the_papers():
    model = model_of("adtr-plus", alpha=0.3, top=3, dropout=0.0)
    tokens = tokens_of(model, 4)
    where = torch.zeros(4, 16)
    where[1, 5:8] = 1  # painted
    where[2] = -1  # bad, nobody knows where
    bad = torch.tensor([0.0, 1.0, 1.0, 0.0])
    difference = by_the_paper(model, tokens.double().numpy()) - tokens.double().numpy()
    phi = np.sqrt(np.abs(difference).mean(axis=2) ** 2 + 1) - 1
    wanted = loss_by_hand(phi.tolist(), bad.tolist(), where.tolist(), 0.3, 3)
    assert float(model.training_loss(tokens, bad, where).detach()) == pytest.approx(wanted, rel=1e-4)


def test_pseudo_huber_is_quadratic_near_nothing_and_linear_far_away():
    near, far = torch.full((1, 1, 4), 1e-2), torch.full((1, 1, 4), 1e4)
    assert float(pseudo_huber(near)) == pytest.approx(0.5e-4, rel=1e-2)
    assert float(pseudo_huber(far)) == pytest.approx(1e4 - 1, rel=1e-5)


def test_a_perfect_reconstruction_of_a_defect_costs_much_and_not_infinitely():
    model = model_of("adtr-plus")
    model.reconstruct = lambda tokens: tokens
    tokens = tokens_of(model, 2).requires_grad_()
    loss = model.training_loss(tokens, torch.ones(2), torch.ones(2, 16))
    assert math.isfinite(loss.item()) and loss.item() > 10 * model.options.alpha


def test_learning_from_defects_pushes_their_distance_up():
    """The same image twice, once as good and once, with some tokens changed, as bad: only ADTR+ is told."""
    torch.manual_seed(0)
    model = model_of("adtr-plus", dropout=0.0, alpha=0.1).train()
    good = tokens_of(model, 1).expand(4, -1, -1)
    spoilt = good.clone()
    spoilt[:, 5:7] += 0.5
    inputs = torch.cat([good, spoilt])
    where = torch.zeros(8, 16)
    where[4:, 5:7] = 1
    bad = where.amax(dim=1)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        model.training_loss(inputs, bad, where).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        distance = model.distance(inputs, model.reconstruct(inputs)).flatten(1)
    assert distance[4, 5:7].min() > 1.5 * distance[4, [0, 1, 2, 3, 10, 11]].max()


def test_confetti_changes_what_its_mask_says_and_nothing_else():
    model = model_of("adtr-plus")
    image = np.full((64, 64, 3), 128, np.uint8)
    for seed in range(20):
        spoilt, mask = model.spoil(image, np.random.default_rng(seed))
        again, _ = model.spoil(image, np.random.default_rng(seed))
        assert np.array_equal(spoilt, again)
        assert 0 < mask.mean() <= 4 * 0.25**2
        assert np.array_equal(spoilt[~mask], image[~mask])
        assert (spoilt[mask] != 128).mean() > 0.9
    assert np.all(image == 128)


@pytest.mark.parametrize(
    "change",
    [{"alpha": 0.0}, {"top": 0}, {"top": 17}, {"spoilt_copies": -1}, {"confetti": 0}, {"confetti_size": 2.0}],
)
def test_impossible_options_are_refused(change):
    with pytest.raises(TrainingError, match="adtr-plus"):
        model_of("adtr-plus", **change)
