"""UniAD against its paper: the equations once more in NumPy and float64, and what only training or its options do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from edgead.errors import TrainingError
from edgead.training.models import build

TINY = {
    "backbone": "mobilenet_v3_small",
    "taps": "features.1,features.3",
    "hidden": 16,
    "heads": 2,
    "feed_forward": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "neighbor_height": 3,
    "neighbor_width": 3,
}
MASKS = ("mask_encoder", "mask_memory", "mask_previous")
GRIDS = ((5, 5), (6, 8), (14, 14))
WINDOWS = ((3, 3), (5, 3), (7, 7), (0, 0))


def uniad(grid=(5, 5), *, seed=0, **options):
    """A small model whose weights, biases and norms are all random."""
    torch.manual_seed(seed)
    rows, columns = grid
    size = {"height": 16 * rows, "width": 16 * columns, "feature_height": rows, "feature_width": columns}
    model = build("uniad", {**TINY, **size, **options}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("extractor") and parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
        if model.options.standardise != "off":
            model.extractor.mean.normal_()
            model.extractor.deviation.uniform_(0.5, 2)
    return model


def features(model, count=2, seed=1):
    """float [count, T, C], each channel on a scale of its own, as features are."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = model.extractor.grid
    scale = torch.rand(model.extractor.channels, generator=random) * 4 + 0.1
    return torch.randn(count, rows * columns, model.extractor.channels, generator=random) * scale


# The paper once more, in float64.


class Paper:
    """Sections 3.1 to 3.3 of You et al. 2022, from the weights of a model."""

    def __init__(self, model):
        self.weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        self.options = model.options
        self.rows, self.columns = model.options.feature_height, model.options.feature_width

    def linear(self, name, x):
        return np.einsum("ntc,dc->ntd", x, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        centred = x - x.mean(axis=2, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def positions(self):
        row, column = self.weights["positions.row"], self.weights["positions.column"]
        return np.array([np.concatenate([column[x], row[y]]) for y in range(self.rows) for x in range(self.columns)])

    def hidden(self):
        """Whether a query (first axis) may not see a key (second axis)."""
        tall, wide = self.options.neighbor_height, self.options.neighbor_width
        mask = np.zeros((self.rows * self.columns,) * 2, bool)
        for y, x in itertools.product(range(self.rows), range(self.columns)):
            for other_y, other_x in itertools.product(range(self.rows), range(self.columns)):
                inside = abs(other_y - y) <= (tall - 1) / 2 and abs(other_x - x) <= (wide - 1) / 2
                mask[y * self.columns + x, other_y * self.columns + other_x] = inside
        return mask

    def attention(self, name, query, key, value, masked):
        heads = self.options.heads
        q, k, v = (
            self.linear(f"{name}.{part}", x).reshape(*x.shape[:2], heads, -1)
            for part, x in (("query", query), ("key", key), ("value", value))
        )
        scores = np.einsum("nqhc,nkhc->nhqk", q, k) / math.sqrt(q.shape[3])
        if masked:
            scores[:, :, self.hidden()] = -np.inf
        weights = np.exp(scores - scores.max(axis=3, keepdims=True))
        weights /= weights.sum(axis=3, keepdims=True)
        mixed = np.einsum("nhqk,nkhc->nqhc", weights, v)
        return self.linear(f"{name}.output", mixed.reshape(query.shape))

    def feed_forward(self, name, x):
        return self.linear(f"{name}.feed_forward.3", np.maximum(self.linear(f"{name}.feed_forward.0", x), 0))

    def reconstruct(self, tokens):
        options, place = self.options, self.positions()
        memory = self.linear("input", tokens)
        for index in range(options.encoder_layers):
            name = f"encoder.{index}"
            seen = self.attention(f"{name}.attention", memory + place, memory + place, memory, options.mask_encoder)
            memory = self.norm(f"{name}.after_attention.norm", memory + seen)
            memory = self.norm(f"{name}.after_feed_forward.norm", memory + self.feed_forward(name, memory))
        previous = memory
        for index in range(options.decoder_layers):
            name = f"decoder.{index}"
            query = np.broadcast_to(self.weights[f"queries.{index}"], memory.shape)
            seen = self.attention(f"{name}.first", query + place, memory + place, memory, options.mask_memory)
            query = self.norm(f"{name}.after_first.norm", query + seen)
            seen = self.attention(f"{name}.second", query + place, previous + place, previous, options.mask_previous)
            query = self.norm(f"{name}.after_second.norm", query + seen)
            previous = self.norm(f"{name}.after_feed_forward.norm", query + self.feed_forward(name, query))
        return self.linear("output", self.norm("norm", previous))

    def answer(self, tokens):
        tokens = tokens.double().numpy()
        if self.options.standardise != "off":
            tokens = (tokens - self.weights["extractor.mean"]) / self.weights["extractor.deviation"]
        rebuilt = self.reconstruct(tokens)
        distance = np.sqrt(((rebuilt - tokens) ** 2).sum(axis=2)).reshape(-1, self.rows, self.columns)
        anomaly_map = np.einsum(
            "Yy,nyx,Xx->nYX",
            corners(self.rows, self.options.height),
            distance,
            corners(self.columns, self.options.width),
        )
        if self.options.score == "mean":
            return rebuilt, anomaly_map, anomaly_map.mean(axis=(1, 2))
        side = self.options.score_pool
        pooled = np.lib.stride_tricks.sliding_window_view(anomaly_map, (side, side), axis=(1, 2)).mean(axis=(3, 4))
        return rebuilt, anomaly_map, pooled.max(axis=(1, 2))


def corners(few, many):
    """[many, few]: linear interpolation that keeps both ends in place."""
    return lerp(np.linspace(0, few - 1, many), few)


def centres(few, many):
    """[many, few]: linear interpolation between the centres of cells."""
    return lerp(np.clip((np.arange(many) + 0.5) * few / many - 0.5, 0, few - 1), few)


def lerp(places, count):
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count)))


def agree(found, expected, tolerance=1e-5):
    difference = np.abs(found.detach().double().numpy() - expected).max()
    assert not difference > tolerance * np.abs(expected).max()
    assert np.isfinite(difference)


def check(model):
    tokens = features(model)
    rebuilt, anomaly_map, score = Paper(model).answer(tokens)
    with torch.no_grad():
        agree(model.reconstruct(model.extractor.standardised(tokens)), rebuilt)
        answer = model.answer(tokens)
    agree(answer.anomaly_map, anomaly_map)
    agree(answer.score, score)


FITTING = [
    (grid, window)
    for grid, window in itertools.product(GRIDS, WINDOWS)
    if not (grid == (5, 5) and window == (7, 7))  # every query would be blind
]


@pytest.mark.parametrize(("grid", "window"), FITTING)
def test_the_detector_is_the_papers(grid, window):
    check(uniad(grid, neighbor_height=window[0], neighbor_width=window[1]))


@pytest.mark.parametrize("masks", list(itertools.product((True, False), repeat=3)))
def test_each_attention_has_its_own_mask(masks):
    check(uniad((6, 8), neighbor_height=5, neighbor_width=3, **dict(zip(MASKS, masks, strict=True))))


def test_each_mask_changes_the_reconstruction():
    whole, tokens = uniad(), features(uniad())
    for mask in MASKS:
        other = uniad(**{mask: False})
        other.load_state_dict(whole.state_dict())
        with torch.no_grad():
            assert not torch.allclose(whole.reconstruct(tokens), other.reconstruct(tokens), atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [{"score": "mean"}, {"standardise": "off"}, {"standardise": "channel"}, {"score_pool": 1}, {"height": 112}],
)
def test_options_of_the_answer(options):
    check(uniad(**options, feature_resize="point"))


def test_a_token_does_not_see_its_own_neighbourhood():
    """The gradient of what the token in the centre of the grid learns reaches every token outside its window."""
    attention = uniad((7, 7)).encoder[0].attention
    queries, tokens = torch.randn(2, 1, 49, 16).unbind()
    found = attention(queries, tokens.requires_grad_(), tokens)[0, 24].sum()
    seen = torch.autograd.grad(found, tokens)[0].abs().sum(2).view(7, 7) > 0
    assert not seen[2:5, 2:5].any()
    assert int(seen.sum()) == 49 - 9


# Training.


def test_jitter_is_noise_as_strong_as_the_token():
    model = uniad(jitter_scale=5.0).train()
    tokens = features(model, 64)
    strength = tokens.norm(dim=2, keepdim=True) / tokens.shape[2] * 5.0
    drawn = (model.disturb(tokens) - tokens) / strength
    assert abs(float(drawn.mean())) < 5 / math.sqrt(drawn.numel())
    assert abs(float(drawn.std()) - 1) < 5 / math.sqrt(2 * drawn.numel())
    assert (drawn.std(dim=(1, 2)) > 0.9).all()
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(("options", "training"), [({}, False), ({"jitter_scale": 0.0}, True)])
def test_without_training_or_strength_there_is_no_jitter(options, training):
    model = uniad(**options).train(training)
    tokens = features(model)
    assert torch.equal(model.disturb(tokens), tokens)


def test_jitter_leaves_a_share_of_the_images_alone():
    model = uniad(jitter_probability=0.5).train()
    tokens = features(model, 400)
    same = (model.disturb(tokens) == tokens).flatten(1)
    alone = same.all(dim=1)
    assert torch.equal(alone, same.any(dim=1))  # an image is jittered as a whole
    assert abs(int(alone.sum()) - 200) < 50


def test_the_loss_compares_with_the_features_before_the_jitter(monkeypatch):
    model = uniad(standardise="off").train()
    tokens = features(model, 8)
    monkeypatch.setattr(model, "reconstruct", lambda tokens: tokens)
    torch.manual_seed(3)
    loss = model.training_loss(tokens)
    torch.manual_seed(3)
    noise = torch.randn(tokens.shape) * tokens.norm(dim=2, keepdim=True) * (20 / tokens.shape[2])
    torch.testing.assert_close(loss, noise.square().mean(), rtol=1e-5, atol=0)


def test_training_lowers_the_loss():
    model = uniad(hidden=32, jitter_scale=2.0, standardise="off").train()
    tokens = features(model, 1) + 0.1 * features(model, 8, seed=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(40):
        loss = model.training_loss(tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    learnt = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learnt == {name for name, _ in model.named_parameters() if not name.startswith("extractor.")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbor_height": 5, "neighbor_width": 5}, "leaves a query no key on a 5x5 grid"),
        ({"neighbor_height": 9, "neighbor_width": 7}, "leaves a query no key"),
        ({"neighbor_height": 4}, "odd"),
        ({"neighbor_width": -1}, "odd"),
        ({"heads": 3}, "do not divide into 3 heads"),
        ({"feature_resize": "nearest"}, "neither point nor area"),
        ({"score": "median"}, "neither max nor mean"),
    ],
)
def test_impossible_options_are_refused_before_training(options, message):
    with pytest.raises(TrainingError, match=message) as raised:
        uniad(**options)
    assert raised.value.todo


def test_without_a_mask_any_window_will_do():
    check(uniad(neighbor_height=5, neighbor_width=5, **dict.fromkeys(MASKS, False)))


# Features.


@pytest.mark.parametrize("resize", ["point", "area"])
def test_features_are_the_taps_on_one_grid(resize):
    """Taps of 16 x 24, 8 x 12 and 4 x 6 places on a grid of 8 x 12: one has to shrink, one fits, one has to grow."""
    model = uniad((8, 12), height=64, width=96, taps="features.1,features.3,features.8", feature_resize=resize)
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = (image.double().numpy() / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        taps = model.extractor.backbone(torch.from_numpy(pixels).float().permute(0, 3, 1, 2))
        found = model.extract(image)
    assert [tap.shape[2:] for tap in taps] == [(16, 24), (8, 12), (4, 6)]
    placed = []
    for tap, whole in zip(taps, (16, 8, 4), strict=True):
        values = tap.double().numpy()
        if resize == "area" and whole == 16:
            values = values.reshape(2, -1, 8, 2, 12, 2).mean(axis=(3, 5))
        else:
            rule = corners if resize == "point" else centres
            values = np.einsum("Yy,ncyx,Xx->ncYX", rule(whole, 8), values, rule(whole * 3 // 2, 12))
        placed.append(values)
    expected = np.concatenate(placed, axis=1).transpose(0, 2, 3, 1).reshape(2, 96, -1)
    agree(found, expected)


@pytest.mark.parametrize(("standardise", "shares"), [("channel", (1, 1)), ("tap", (2 * 16 / 40, 2 * 24 / 40))])
def test_statistics_are_those_of_all_training_tokens(standardise, shares):
    """With `tap` the two taps, of 16 and 24 channels, weigh the same in the distance."""
    model = uniad(standardise=standardise)
    tokens = features(model, 12) + 3
    tokens[:, :, 5] = 7.0  # never changes
    model.prepare([tokens[:5], tokens[5:6], tokens[6:]])
    flat = tokens.double().numpy().reshape(-1, tokens.shape[2])
    np.testing.assert_allclose(model.extractor.mean, flat.mean(axis=0), rtol=1e-6)
    moving = np.arange(tokens.shape[2]) != 5
    expected = flat.std(axis=0) * np.sqrt(np.repeat(shares, (16, 24)))
    np.testing.assert_allclose(model.extractor.deviation[moving], expected[moving], rtol=1e-6)
    standard = model.extractor.standardised(tokens)
    assert torch.isfinite(standard).all()
    assert float(standard[:, :, 5].abs().max()) < 1


def test_the_image_and_its_features_have_the_same_answer():
    model = uniad()
    image = torch.randint(0, 256, (2, 80, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for whole, part in zip(model(image)[:2], model.answer(model.extract(image))[:2], strict=True):
            assert torch.equal(whole, part)
