"""What LEA-Net sees: the features against the paper's equations, the pictures, and the command that draws them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgead.cli.main import main
from edgead.data.images import read_image
from edgead.data.layout import read_dataset
from edgead.data.samples import Sample
from edgead.experiments.attention.pictures import AtPoint, Seen, attention_page, draw, picture_files
from edgead.training.fit import fit
from edgead.training.models import build
from edgead.training.options import FitOptions

SIZE = {"height": 64, "width": 64, "unet_width": 4, "unet_blocks": 0}


def leanet(**options):
    torch.manual_seed(1)
    return build("leanet", {**SIZE, **options}).eval()


def photographs(count=3):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8))


def caught(modules):
    """What modules give and take in the next forward passes, by name: float64 [N, C, h, w]."""
    given, taken = {}, {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, into, out, name=name: given.update({name: out.double().numpy().copy()}))
        module.register_forward_pre_hook(
            lambda _, into, name=name: taken.update({name: into[0].double().numpy().copy()})
        )
    return given, taken


def test_looks_are_what_the_layers_of_the_classifier_pass_on():
    """Eq. 2: M_p = sigmoid(mean over channels of g_p); Eq. 3: f_p' = (1 + M_p) f_p. Point 2 lies between layer1 and
    layer2 of the ResNet and behind features.1 of the MobileNet, point 4 between layer3 and layer4 and behind
    features.8."""
    model = leanet(external="mobilenet", points="4,2")
    parts = {name: model.adn.get_submodule(name) for name in ("layer1.1", "layer2.0", "layer3.1", "layer4.0")}
    parts |= {name: model.caan.get_submodule(name) for name in ("features.1", "features.8")}
    given, taken = caught(parts)
    with torch.no_grad():
        model(photographs())
        given, taken = dict(given), dict(taken)  # of the forward pass, and not of what looks at it
        looks = model.looks(photographs())
    assert [look.point for look in looks] == [2, 4]
    for look, g, last, following in zip(
        looks, ("features.1", "features.8"), ("layer1.1", "layer3.1"), ("layer2.0", "layer4.0"), strict=True
    ):
        attention = 1 / (1 + np.exp(-given[g].mean(axis=1)))
        side = 64 // 2**look.point
        assert look.before.shape == look.attention.shape == look.after.shape == (3, side, side)
        np.testing.assert_allclose(look.attention.numpy(), attention, rtol=1e-5)
        np.testing.assert_allclose(look.before.numpy(), given[last].mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(look.after.numpy(), taken[following].mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(look.after.numpy(), (1 + attention) * given[last].mean(axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("external", ["direct", "mobilenet", "resnet"])
def test_attention_adds_between_nothing_and_as_much_again(external):
    with torch.no_grad():
        looks = leanet(external=external, points="1,2,3,4,5").looks(photographs())
    assert len(looks) == 5
    for look in looks:
        some = look.before > 1e-4
        ratio = look.after[some] / look.before[some]
        assert some.any() and ratio.min() >= 1 - 1e-4 and ratio.max() <= 2 + 1e-4
        assert look.attention.min() >= 0 and look.attention.max() <= 1


@pytest.mark.parametrize("external", ["none", "map", "four-channels", "attentioned"])
def test_without_attention_between_layers_there_is_nothing_to_look_at(external):
    with torch.no_grad():
        assert leanet(external=external).looks(photographs(1)) == []


def seen(name="test/spot/000.png", factor=1.0, points=(2,)):
    """Features 0, 1, 2 in three columns of four cells, doubled in the last row alone."""
    before = np.tile(np.array([0, 1, 2, 1], np.float32), (2, 1)) * factor
    attention = np.array([[0] * 4, [1] * 4], np.float32)
    at = tuple(AtPoint(point, before, attention, before * (1 + attention)) for point in points)
    photograph = np.full((16, 32, 3), 90, np.uint8)
    difference = np.linspace(0, 40 * factor, 512, dtype=np.float32).reshape(16, 32)
    return Seen(Sample(Path(name), name, "part", "spot"), 0.876, photograph, photograph, difference, at)


def panels(row):
    return {panel.name: panel for _, triple in row.triples for panel in triple}


def cell(panel, row, column):
    """The colour in the middle of a cell of 2 x 4."""
    height, width = panel.image.shape[:2]
    return tuple(panel.image[height * (2 * row + 1) // 4, width * (2 * column + 1) // 8].tolist())


def test_features_before_and_after_have_one_scale_and_attention_its_own():
    small, large = draw([seen(factor=1.0), seen(factor=2.0)])
    before, attention, after = (panels(small)[f"point2-{name}"] for name in ("before", "attention", "after"))
    stronger = panels(large)["point2-before"]
    assert before.scale == after.scale == stronger.scale == (0, 8) and attention.scale == (0, 1)
    assert cell(before, 1, 2) == cell(after, 1, 1) == cell(stronger, 0, 1)  # 2, wherever it stands
    assert cell(after, 0, 1) == cell(before, 0, 1) != cell(after, 1, 1)
    assert (before.values, after.values, attention.values) == ((0, 2), (0, 4), (0, 1))
    darkest, brightest = cell(attention, 0, 0), cell(attention, 1, 0)
    assert cell(before, 0, 0) == darkest and cell(panels(large)["point2-after"], 1, 2) == brightest
    assert {panel.image.shape for panel in panels(small).values()} == {(144, 288, 3)}


def test_brighter_means_more():
    """Rec. 709 luma, for readers who see no colours."""
    image = panels(draw([seen()])[0])["difference"].image
    luma = image @ np.array([0.2126, 0.7152, 0.0722])
    rows = luma.mean(axis=1)
    assert rows[-1] > 4 * rows[0] and np.all(np.diff(rows) >= 0)


def test_all_images_share_the_scale_of_colour_differences():
    quiet, loud = (panels(row)["difference"] for row in draw([seen(factor=0.5), seen()]))
    assert quiet.scale == loud.scale == (0, 40) and quiet.values == (0, 20)
    assert quiet.image.max() < loud.image.max()


def test_values_outside_of_the_scale_or_unknown_are_drawn_at_its_ends():
    one = seen()
    one.points[0].attention[:] = [[-0.5, 0, 1, 1.5], [np.nan, 0, 0, 0]]
    panel = panels(draw([one])[0])["point2-attention"]
    assert cell(panel, 0, 0) == cell(panel, 0, 1) != cell(panel, 0, 2) == cell(panel, 0, 3) == cell(panel, 1, 0)
    assert panel.values == (-0.5, 1.5)
    one.difference[:] = 0  # nothing spans a scale
    assert np.unique(panels(draw([one])[0])["difference"].image.reshape(-1, 3), axis=0).shape == (1, 3)


@pytest.mark.parametrize("points", [(), (4,), (1, 2, 3, 4, 5)])
def test_the_page_holds_every_picture_and_the_files_are_the_same(points):
    rows = draw([seen(points=points), seen("test/<b>.png", points=points)])
    html, files = attention_page(rows, "<run>", 7), picture_files(rows)
    count = 2 * (3 + 3 * len(points))
    assert html.count("<img") == len(files) == count
    assert html.count('class="bar"') == count - 4  # photographs have no scale
    assert "<b>.png" not in html and "&lt;b&gt;.png" in html and "<run>" not in html and "<script" not in html
    assert "bad part: spot" in html and "probability of being bad <b>0.876</b>" in html and "seed 7" in html
    assert ("Attention point:" in html) == bool(points)
    for name, content in files.items():
        assert re.fullmatch(r"[12]-[\w.-]+\.png", name)
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (144, 288, 3)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["attention", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def trained(small, parts, folder, **options):
    dataset = read_dataset(parts)
    bad = tuple(sample for sample in dataset.test if sample.anomalous)
    model = {**small["leanet"], "color_epochs": 1, **options}
    fit("leanet", dataset.train, folder, defects=bad, model_options=model, options=FitOptions(1, 8, threads=1))
    return folder


@pytest.fixture(scope="module")
def attending(small, parts, tmp_path_factory):
    return trained(small, parts, tmp_path_factory.mktemp("attention") / "lea", points="3,4")


def test_the_command_shows_bad_and_good_images_by_turns(capsys, attending, parts, tmp_path):
    given = (attending, "--data", parts, "--images", 5, "--seed", 2)
    code, out, err = call(capsys, *given, "-o", tmp_path / "one")
    assert code == 0, err
    assert out == f"page  {tmp_path / 'one/attention.html'}\n"
    html = (tmp_path / "one/attention.html").read_text()
    assert html.count("<img") == 5 * 9 == len(list((tmp_path / "one").glob("*.png")))

    code, out, err = call(capsys, *given, "-o", tmp_path / "two", "--json")
    assert code == 0, err
    images = json.loads(out)["images"]
    assert [image["defect"] for image in images] == ["spot", "good", "spot", "good", "spot"]
    assert len({image["name"] for image in images}) == 5
    for image in images:
        assert image["name"] in html and f"{image['probability']:.3f}" in html
        assert [at["point"] for at in image["points"]] == [3, 4]
    for path in (tmp_path / "one").iterdir():  # the same seed gives the same bytes
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    _, other, _ = call(capsys, *given[:-1], 3, "-o", tmp_path / "three", "--json")
    assert [image["name"] for image in json.loads(other)["images"]] != [image["name"] for image in images]


def test_the_recoloured_photograph_keeps_its_lightness(capsys, attending, parts, tmp_path):
    """By OpenCV's CIELAB; where the U-Net's colours are none of a screen's, lightness cannot be kept."""
    code, _, err = call(capsys, attending, "--data", parts, "--images", 1, "-o", tmp_path)
    assert code == 0, err
    (first,), (second,) = (list(tmp_path.glob(f"*-{name}.png")) for name in ("photograph", "recoloured"))
    lab = [cv2.cvtColor(read_image(path).astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for path in (first, second)]
    assert np.median(np.abs(lab[0][..., 0] - lab[1][..., 0])) < 1
    assert np.abs(lab[0][..., 1:] - lab[1][..., 1:]).max() > 5


def test_too_few_images_of_one_kind_are_made_up_for_by_the_other(capsys, attending, parts, tmp_path):
    code, out, err = call(capsys, attending, "--data", parts, "--images", 100, "-o", tmp_path, "--json")
    assert code == 0, err
    defects = [image["defect"] for image in json.loads(out)["images"]]
    assert defects == ["spot", "good"] * 8
    photo = (parts / "train/good/000.png").read_bytes()
    for good, bad, expected in ((1, 4, "bgbb"), (4, 1, "bggg"), (0, 3, "bbb"), (3, 0, "ggg")):
        root = tmp_path / f"{good}-{bad}"
        places = [f"test/good/{i}.png" for i in range(good)] + [f"test/spot/{i}.png" for i in range(bad)]
        for place in ("train/good/0.png", *places):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(photo)
        code, out, err = call(capsys, attending, "--data", root, "--images", 4, "-o", tmp_path / "out", "--json")
        assert code == 0, err
        found = "".join("g" if image["defect"] == "good" else "b" for image in json.loads(out)["images"])
        assert found == expected


def test_what_cannot_be_shown_is_one_line(capsys, small, run, attending, parts, tmp_path):
    output = tmp_path / "out"
    blind = trained(small, parts, tmp_path / "blind", external="none")
    for model, data, words in (
        (run, parts, "lamp is no LEA-Net"),
        (tmp_path / "none", parts, "run"),
        (blind, parts, "neither colours nor attention"),
        (attending, parts / "train/good", "no test images"),
    ):
        code, out, err = call(capsys, model, "--data", data, "-o", output)
        assert code == 1 and out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err, err
        assert not output.exists()
    assert call(capsys, attending, "--data", parts, "-o", output, "--images", 0)[0] == 2
