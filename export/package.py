"""From a trained detector to `part.edgead`: graph, parity, thresholds, manifest."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgead import __version__
from edgead.bundle import GRAPH, Bundle
from edgead.data.layout import Sample
from edgead.data.loading import load_images
from edgead.drift.reference import Reference
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import ExportError
from edgead.evaluation.thresholds import Thresholds, fit_thresholds
from edgead.export.graph import OUTPUTS, to_graph
from edgead.export.known_images import choose_known
from edgead.export.verification.answers import Answers, run_all
from edgead.export.verification.parity import PARITY_IMAGES, check_parity
from edgead.manifest import Manifest, Variant
from edgead.progress import Progress, silent

_TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Origin:
    """Where a detector comes from, for the manifest. family, options: the model. classes: what it was trained on.
    training: the data's name, counts, digest, seed and validation share; no paths."""

    family: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    training: Mapping[str, Any]


def make_bundle(
    model: nn.Module,
    origin: Origin,
    validation: Sequence[Sample],
    *,
    height: int,
    width: int,
    max_batch: int = 8,
    threshold: str = "tail",
    labelled: Sequence[Sample] = (),
    self_test: bool = True,
    progress: Progress = silent,
) -> Bundle:
    """Export a detector with thresholds fitted on `validation`: normal images that training held out.

    The graph is compared with the model on some of them first. The same weights and images give the same bundle, bit
    for bit. With `threshold="f1"` the reject threshold comes from `labelled`, images of defects, which should be none
    that test the detector later. self_test: store some of the images, good ones and bad ones, to check engines by
    (`choose_known`). Raises ExportError where the graph differs from the model by more than the tolerance.
    """
    if not validation:
        raise ExportError(
            "there are no validation images to fit the thresholds on", "export", "give the training's data folder"
        )
    progress("exporting the graph", 0, 1)
    graph = to_graph(model, height, width, max_batch)
    progress("exporting the graph", 1, 1)
    images = load_images(validation, height, width, progress)
    parity = check_parity(model, graph, images[: min(PARITY_IMAGES, max_batch)])
    with OnnxRuntimeEngine(graph, max_batch=max_batch) as engine:
        answers = run_all(engine.infer, images, max_batch, progress, "fitting thresholds")
        defects = load_images(labelled, height, width)
        bad = run_all(engine.infer, defects, max_batch).scores if labelled else None
        thresholds = thresholds_of(answers, threshold, bad)
        known = None
        if self_test:
            seed = int(origin.training.get("seed", 0))
            known = choose_known(
                engine.infer, images, answers, thresholds, batch=max_batch, bad=defects, seed=seed, progress=progress
            )
    variant = Variant(
        GRAPH["fp32"],
        thresholds,
        score_range(answers, thresholds),
        good_scores=Reference.of_scores(answers.scores),
        self_test=known.scores if known else {},
    )
    manifest = Manifest(
        family=origin.family,
        options=origin.options,
        classes=origin.classes,
        height=height,
        width=width,
        max_batch=max_batch,
        outputs=getattr(model, "outputs", OUTPUTS),
        variants={"fp32": variant},
        training={**origin.training, "parity_map": parity.anomaly_map, "parity_score": parity.score},
        tools=tools(),
        self_test=known.images if known else None,
    )
    stored = known.members if known else {}
    return Bundle(manifest, {GRAPH["fp32"]: graph, "preview.png": preview(images[0]), **stored})


def thresholds_of(normal: Answers, method: str, anomalous_scores: NDArray[np.float32] | None = None) -> Thresholds:
    """Fit the thresholds of a graph on its own answers to normal images, and for `f1` its scores of defects."""
    maxima = normal.maps.max(axis=(1, 2))
    return fit_thresholds(normal.scores, maxima, method=method, anomalous_scores=anomalous_scores)


def score_range(normal: Answers, thresholds: Thresholds) -> tuple[float, float]:
    """The raw scores that become 0 and 1: the lowest of a normal image, and as far above the threshold as that is
    below. A probability stays what it is."""
    if thresholds.image.method == "probability":
        return 0.0, 1.0
    reject = thresholds.image.value
    reach = max(reject - float(normal.scores.min()), abs(reject) * 1e-3, float(np.finfo(np.float32).tiny))
    return reject - reach, reject + reach


def preview(image: NDArray[np.uint8], side: int = 128) -> bytes:
    """A small PNG of a good part, so that a person recognises the bundle."""
    scale = side / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    done, encoded = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    if not done:
        raise ExportError("the preview cannot be encoded", "preview.png", "check the OpenCV installation")
    return encoded.tobytes()


def tools() -> dict[str, str]:
    """Versions of what makes a bundle, and the commit of an edgead that runs from a checkout."""
    versions = {name: importlib.metadata.version(name) for name in _TOOLS}
    return {"edgead": __version__, "python": platform.python_version(), **versions, "commit": commit()}


def commit() -> str:
    """The commit of an edgead that runs from a checkout, with "+changes" where its files are not those of the commit;
    "release" elsewhere."""
    source = Path(__file__).resolve().parents[1]
    if not (source / ".git").exists():
        return "release"
    head = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--", "*.py", "*.toml", "*.cpp", "*.h", "*.cu")
    return f"{head}+changes" if head and changed else head or "unknown"


def _git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
