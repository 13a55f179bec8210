"""What many tests share: a small folder of parts, a trained run, a bundle, real images where they are."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from tests.stand_ins.cuda import kernels, stand_in  # noqa: F401 - fixtures
from tests.stand_ins.emulated import emulated_library  # noqa: F401

SIDE = 64

TOKENS = {"height": 64, "width": 64, "feature_height": 4, "feature_width": 4, "score_pool": 8}
TOKENS |= {"backbone": "resnet18", "taps": "layer1,layer2", "hidden": 16, "heads": 2, "feed_forward": 32}
TOKENS |= {"encoder_layers": 1, "decoder_layers": 1}
SMALL = {
    "uniad": {**TOKENS, "neighbor_height": 3, "neighbor_width": 3},
    "adtr": TOKENS,
    "adtr-plus": TOKENS,
    "leanet": {"height": 64, "width": 64, "unet_width": 4, "unet_blocks": 1, "color_epochs": 2},
    "colorizer": {"height": 32, "width": 48, "unet_width": 4, "unet_blocks": 1},
    "lamp": {"height": 32, "width": 48, "stages": 3, "base_width": 4},
    "baseline": {**TOKENS, "network": "transformer"},
}
"""Options that make each family small enough for a test; a new family adds a line."""

# Machines that test are shared, and a moment of somebody else's work is no failure. `HYPOTHESIS_PROFILE=thorough` looks
# longer.
settings.register_profile("edgead", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "edgead"))

# A test run started in the background inherits a Ctrl-C that is ignored, and would pass that on to what it interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def part_photo(seed: int, *, spot: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A shaded disc on a gradient, uint8 [96, 96, 3], and the mask of its spot."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96].astype(np.float32)
    centre = 48 + random.uniform(-2, 2, 2)
    disc = 1 / (1 + np.exp((np.hypot(y - centre[0], x - centre[1]) - 30) / 1.5))
    light = 0.5 + 0.3 * (x * np.cos(angle := random.uniform(-0.3, 0.3)) + y * np.sin(angle)) / 96
    image = 0.25 * light + 0.5 * disc * light
    image = np.stack([image * tint for tint in (1.0, 0.95, 0.85)], axis=2)
    mask = np.zeros((96, 96), np.uint8)
    if spot:
        place = tuple(int(v) for v in random.integers(34, 62, 2))
        cv2.circle(mask, place, 6, 255, -1)
        image[mask > 0] = random.choice([0.02, 0.95])
    image += random.normal(0, 0.01, image.shape)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8), mask


def write_parts(root: Path, *, train: int = 24, good: int = 8, bad: int = 8) -> Path:
    """An MVTec-style folder of `part_photo`s."""
    plan = [("train/good", index, False) for index in range(train)]
    plan += [("test/good", 1000 + index, False) for index in range(good)]
    plan += [("test/spot", 2000 + index, True) for index in range(bad)]
    for folder, seed, spot in plan:
        image, mask = part_photo(seed, spot=spot)
        name = f"{seed % 1000:03d}"
        (root / folder).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / folder / f"{name}.png"), image)
        if spot:
            (root / "ground_truth/spot").mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / "ground_truth/spot" / f"{name}_mask.png"), mask)
    return root


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, object]]:
    """The small options of every family."""
    return SMALL


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small labelled data set: 24 good photos to train on, 8 good and 8 bad ones to test."""
    return write_parts(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture(scope="session")
def run(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished LAMP training on `parts`."""
    from edgead.data.layout import read_dataset
    from edgead.training.fit import fit
    from edgead.training.options import FitOptions

    folder = tmp_path_factory.mktemp("runs") / "parts"
    options = FitOptions(epochs=30, batch_size=8, threads=1)
    model = {"height": SIDE, "width": SIDE, "stages": 4, "base_width": 8, "map_window": 5}
    fit("lamp", read_dataset(parts).train, folder, root=parts, model_options=model, options=options)
    return folder


@pytest.fixture(scope="session")
def fp32_bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported bundle of `run`. Tests that change a bundle copy it first."""
    from edgead.cli.export import export_command

    path = tmp_path_factory.mktemp("bundles") / "parts.edgead"
    export_command.main([str(run), "-o", str(path)], standalone_mode=False)
    return path


@pytest.fixture(scope="session")
def tensorrt_headers() -> Path:
    """The folder of NvInfer.h: below the one that `TensorRT_ROOT` names, or where JetPack and Debian have it."""
    named = os.environ.get("TensorRT_ROOT")  # noqa: SIM112 - as CMake writes it
    system = [Path("/usr/include") / f"{machine}-linux-gnu" for machine in ("aarch64", "x86_64")]
    for folder in ([Path(named), Path(named) / "include"] if named else []) + system:
        if (folder / "NvInfer.h").is_file():
            return folder
    pytest.skip("no TensorRT headers: TensorRT_ROOT names no folder that has them")


@pytest.fixture
def edgead(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Standard output of one call of the command line in this process, which has to end with `code`."""
    from edgead.cli.main import main

    def call(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out

    return call


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or fills the engine cache of the person who runs it."""
    os.environ["EDGEAD_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images that `EDGEAD_DATA` names."""
    named = os.environ.get("EDGEAD_DATA")
    if not named:
        pytest.skip("EDGEAD_DATA names no folder of real images")
    return Path(named)
