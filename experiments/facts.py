"""How an experiment was done beside how the paper did it: every difference, said out loud."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgead.experiments.config import NOT_STATED, Experiment, Series, Source
from edgead.experiments.runner import Outcome
from edgead.training.backbones import IMAGENET
from edgead.training.run import Run

_MACHINE = ("accelerator", "compile", "devices", "features", "num_nodes", "strategy", "threads")
_TOLD = ("backbone", "epochs", "keep", "seed", "validation")
"""Options that are no matter of the method, and those that are told in words."""
_Line = tuple[str, str, str, bool]


@dataclass(frozen=True)
class Fact:
    """series: whose, or "" for all. what: the thing. paper: how it is in the paper, or in the file where the paper
    leaves it open. here: how it is here. differs: whether that is known to be something else."""

    series: str
    what: str
    paper: str
    here: str
    differs: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def facts(meant: Experiment, done: Experiment, outcomes: Sequence[Outcome], weights: str) -> list[Fact]:
    """What was done, for each series, against the file. meant: the experiment as it is in the file; done: as it was
    run. weights: where the backbone's were asked for."""
    found: list[Fact] = []
    for reference, series in zip(meant.series, done.series, strict=True):
        mine = [outcome for outcome in outcomes if outcome.training.series.name == series.name]
        runs = [outcome.run for outcome in mine]
        lines = (
            *_images(meant.source, series, mine),
            *_backbone(meant.source, reference, series, runs[0], weights),
            *_epochs(meant, done, reference, series, runs),
            *_options(reference, series),
        )
        found += [Fact(series.label, *line) for line in lines]
    return _merged(found, len(done.series))


def _images(source: Source, series: Series, outcomes: Sequence[Outcome]) -> Iterator[_Line]:
    runs = [outcome.run for outcome in outcomes]
    train, held_out = (sum(int(run.data[f"{part}_images"]) for run in runs) for part in ("train", "validation"))
    test = sum(len(outcome.evaluation.samples) for outcome in outcomes)
    categories = sum(len(outcome.evaluation.categories) for outcome in outcomes)
    kinds = "1 category" if categories == 1 else f"{categories} categories"
    models = "1 model" if len(runs) == 1 else f"{len(runs)} models"
    here = f"{train} to train and {held_out} held out, {test} to test: {kinds}, {models}"
    yield "images", source.data, here, False
    share = f"{100 * series.fit_options().validation:.3g} % of the normal training images"
    yield "held out of training", NOT_STATED, share, False


def _backbone(source: Source, reference: Series, series: Series, run: Run, weights: str) -> Iterator[_Line]:
    there, here = (one.model_options().get("backbone") for one in (reference, series))
    if here is None:
        return
    yield "backbone", str(there), str(here), here != there
    digest = str(run.data.get("weights", ""))
    origin = "ImageNet, by torchvision" if weights == IMAGENET else "from a file"
    words = f"{origin}, SHA-256 {digest[:16]}" if digest else "random, not trained"
    yield "its weights", source.weights, words, weights != IMAGENET


def _epochs(
    meant: Experiment, done: Experiment, reference: Series, series: Series, runs: Sequence[Run]
) -> Iterator[_Line]:
    there, here = reference.fit_options(), series.fit_options()
    trained = sorted({int(run.result["epochs"]) for run in runs})
    yield "epochs", str(there.epochs), _range(trained), trained != [there.epochs]
    if 0 < there.decay_epochs < there.epochs and here.decay_epochs >= trained[-1]:
        yield "fall of the learning rate", f"to a tenth after {there.decay_epochs} epochs", "none", True
    rule = "the last" if here.keep == "last" else "the best by the validation loss on held-out good images"
    kept = f"{rule}: {_range(sorted({int(run.result['best_epoch']) + 1 for run in runs}))}"
    if done.every:
        words = f"the first, every {done.every}, and the last; in the pictures {kept}"
        yield "epochs that are measured", f"every {meant.every}", words, done.every != meant.every
    else:
        yield "epoch that is measured", meant.source.kept, kept, meant.source.kept != NOT_STATED
    yield "seed", NOT_STATED, str(here.seed), False


def _options(reference: Series, series: Series) -> Iterator[_Line]:
    """The options that were changed, by the command line or by another backbone."""
    for one, other in (
        (reference.model_options(), series.model_options()),
        (asdict(reference.fit_options()), asdict(series.fit_options())),
    ):
        yield from _changed(one, other)


def _changed(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[_Line]:
    for name, value in there.items():
        if name not in (*_MACHINE, *_TOLD) and here[name] != value:
            yield name, str(value).replace(",", ", "), str(here[name]).replace(",", ", "), True


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _merged(found: Sequence[Fact], series: int) -> list[Fact]:
    """Facts that hold for all series, once and without a name; what is alike in kind, one below the other."""
    seen: dict[_Line, list[str]] = {}
    for fact in found:
        seen.setdefault((fact.what, fact.paper, fact.here, fact.differs), []).append(fact.series)
    order = list(dict.fromkeys(fact.what for fact in found))
    return [
        Fact("" if len(labels) == series else "; ".join(labels), *line)
        for line, labels in sorted(seen.items(), key=lambda entry: order.index(entry[0][0]))
    ]
