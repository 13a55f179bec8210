"""Which images choose and which judge: half of each kind, by names and seed alone; and that the halves keep apart."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import roc_auc_score

from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles
from edgead.cli.comparison_lines import comparison_lines
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import GateRefused
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from edgead.export.verification import halves
from edgead.export.verification.gate import Budget, check_gate
from edgead.export.verification.halves import judging_half
from edgead.export.verification.held_out import HeldOut
from edgead.export.verification.verifier import Verifier
from tests.conftest import write_parts
from tests.lenient import LENIENT


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty are enough here."""
    monkeypatch.setattr(halves, "FEWEST", 20)


def held_of(**kinds: int) -> HeldOut:
    """Blank images of these kinds, `good` first, named by kind and number."""
    shown = [kind for kind, count in kinds.items() for _ in range(count)]
    names = tuple(f"test/{kind}/{number:03d}.png" for kind, count in kinds.items() for number in range(count))
    masks = np.zeros((len(shown), 1, 1), bool)
    anomalous = np.array([kind != "good" for kind in shown])
    kind = tuple(("screw", kind) for kind in shown)
    return HeldOut(names, np.zeros((len(shown), 1, 1, 3), np.uint8), anomalous, masks, masks[:, 0, 0], False, kind)


def judges(held: HeldOut, seed: int = 0) -> set[str]:
    half = judging_half(held, seed)
    assert half is not None
    return set(itertools.compress(held.names, half))


def test_each_kind_is_halved():
    held = held_of(good=41, bent=13, scratch=7, dirt=1)
    counted = Counter(name.split("/")[1] for name in judges(held))
    for kind, count in Counter(kind for _, kind in held.kinds).items():
        assert abs(counted[kind] - count / 2) <= 0.5
    assert abs(counted.total() - len(held.names) / 2) <= 0.5


def test_the_draw_depends_on_names_and_seed_alone():
    held = held_of(good=30, bent=30)
    rows = np.random.default_rng(0).permutation(30)
    turned = replace(held, names=(*(held.names[row] for row in rows), *(held.names[30 + row] for row in rows)))
    assert judges(turned) == judges(held) != judges(held, seed=1)


def test_too_few_are_not_parted():
    assert judging_half(held_of(good=19, bent=100), 0) is None
    assert judging_half(held_of(good=100, bent=19), 0) is None
    assert judging_half(held_of(good=20, bent=20), 0) is not None


def test_a_painted_copy_goes_with_its_original():
    held = held_of(good=24, painted=24)
    names = (*held.names[:24], *(f"{name} (painted)" for name in held.names[:24]))
    found = judges(replace(held, names=names, painted=True))
    good = {name for name in found if not name.endswith("(painted)")}
    assert len(good) == 12 and found == good | {f"{name} (painted)" for name in good}


@pytest.fixture(scope="module")
def many(tmp_path_factory, parts):
    """The training images of `parts`, beside 20 good and 21 bad ones to test."""
    return write_parts(tmp_path_factory.mktemp("many") / "parts", good=20, bad=21)


def test_one_half_chooses_and_the_other_judges(fp32_bundle, many):
    bundle = read_bundle(fp32_bundle)
    verifier = Verifier(bundle, assign_roles(read_dataset(many), bundle.manifest), choosing=True)
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        tried, judged = verifier.try_out(engine), verifier.verify(engine).comparison
    choosing = set(verifier.choosing.names)
    named = {sample.name: sample for sample in read_dataset(many).test}
    judging = [named[name] for name in named.keys() - choosing]
    assert tried.images == judged.chosen_by == len(choosing) and judged.images == len(judging) == 41 - len(choosing)
    assert judged.chosen_apart and not tried.chosen_by
    session = onnxruntime.InferenceSession(bundle.graph("fp32"), providers=["CPUExecutionProvider"])
    scores = [session.run(["score"], {"image": load_images([one], 64, 64)})[0][0] for one in judging]
    expected = roc_auc_score([one.anomalous for one in judging], scores)
    assert judged.metrics.image_auroc == judged.reference.image_auroc == pytest.approx(expected)


@pytest.mark.parametrize(("precision", "method"), [("int8", "auto"), ("mixed", "minmax"), ("int8", "minmax")])
def test_a_build_says_which_images_chose_it(fp32_bundle, many, tmp_path, precision, method):
    path = tmp_path / "part.edgead"
    path.write_bytes(fp32_bundle.read_bytes())
    options = BuildOptions(precision, "openvino", method, budget=LENIENT)
    report = build_engine(path, read_dataset(many), options)
    found, chose = report.comparison, (precision, method) != ("int8", "minmax")
    assert (found.chosen_by > 0) == found.chosen_apart == chose
    assert found.images == (41 - found.chosen_by if chose else 41)
    assert any("other images" in line for line in comparison_lines(found)) == chose
    kept = report.bundle.manifest.variant(precision)
    assert kept.metrics["images"] == found.images and kept.verification["chosen_by"] == found.chosen_by


def test_where_all_chose_the_lines_say_that_the_figures_flatter(fp32_bundle, parts):
    bundle = read_bundle(fp32_bundle)
    verifier = Verifier(bundle, assign_roles(read_dataset(parts), bundle.manifest), choosing=True)
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        found = verifier.verify(engine).comparison
    assert found.images == found.chosen_by == 16 and not found.chosen_apart
    assert any("the same images" in line for line in comparison_lines(found))


def test_a_refusal_says_that_the_images_had_no_say(fp32_bundle, many):
    bundle = read_bundle(fp32_bundle)
    verifier = Verifier(bundle, assign_roles(read_dataset(many), bundle.manifest), choosing=True)
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        found = verifier.verify(engine).comparison
    with pytest.raises(GateRefused, match=r"^refused on images that had no say in the choice: the map is off"):
        check_gate(replace(found, map_error=0.5), Budget(), "part.edgead int8")
