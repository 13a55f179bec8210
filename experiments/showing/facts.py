"""How an experiment was done beside how the paper did it: every difference, said out loud."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgead.experiments.cells.record import Record
from edgead.experiments.cells.work import MACHINE
from edgead.experiments.reading.config import FOLDS, NOT_STATED, Experiment, Series, Source
from edgead.training.backbones import IMAGENET

_TOLD = ("backbone", "epochs", "keep", "seed", "validation")
"""Options that are told in words."""
_Line = tuple[str, str, str, bool]


@dataclass(frozen=True)
class Cut:
    """How many images train and test at most; None for all."""

    train: int | None = None
    test: int | None = None


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


def facts(meant: Experiment, done: Experiment, records: Sequence[Record], weights: str, cut: Cut) -> list[Fact]:
    """What was done, for each series of which a cell is done, against the file.

    meant: the experiment as it is in the file; done: as it was run. records: of the cells that are done. weights: where
    the backbone's were asked for. cut: the images at most.
    """
    found: list[Fact] = []
    there = {record.series for record in records} or {series.name for series in done.series}
    shown = [series.label for series in done.series if series.name in there]
    for reference, series in zip(meant.series, done.series, strict=True):
        if series.name not in there:
            continue
        mine = [record for record in records if record.series == series.name]
        lines = (
            *_images(meant.source, done, series, mine),
            *(_backbone(meant.source, reference, series, mine[0], weights) if mine else ()),
            *(_epochs(meant, done, reference, series, mine) if mine else ()),
            ("seeds" if len(done.seeds) > 1 else "seed", *_seeds(meant, done)),
            *_options(reference, series),
            *_tried(reference, series, mine),
        )
        found += [Fact(series.label, *line) for line in lines]
    return [*_merged(found, shown), *(Fact("", *line) for line in _extent(meant, done, cut))]


def _images(source: Source, done: Experiment, series: Series, records: Sequence[Record]) -> Iterator[_Line]:
    """Of one seed, since each has as many."""
    one = [record for record in records if record.seed == records[0].seed and record.tried == records[0].tried]
    train, held_out, bad, test = (
        sum(record.images[part] for record in one) for part in ("train", "validation", "defects", "test")
    )
    categories = len({(record.row, category) for record in one for category in record.categories})
    kinds = "1 category" if categories == 1 else f"{categories} categories"
    models = "1 model" if len(one) == 1 else f"{len(one)} models"
    here = f"{train} to train and {held_out} held out, {test} to test: {kinds}, {models}"
    if done.cross_validated:
        folds = len({record.fold for record in one})
        here = f"{test} in {folds} folds, each tested by models of the others: {kinds}, {models}"
    if one:
        yield "images", source.data, here + (" for each seed" if len(done.seeds) > 1 else ""), False
    of = "training images" if bad else "normal training images"
    yield "held out of training", NOT_STATED, f"{100 * series.fit_options().validation:.3g} % of the {of}", False


def _backbone(source: Source, reference: Series, series: Series, record: Record, weights: str) -> Iterator[_Line]:
    there, here = (one.model_options().get("backbone") for one in (reference, series))
    if here is None:
        return
    yield "backbone", str(there), str(here), here != there
    origin = "ImageNet, by torchvision" if weights == IMAGENET else "from a file"
    words = f"{origin}, SHA-256 {record.weights[:16]}" if record.weights else "random, not trained"
    yield "its weights", source.weights, words, weights != IMAGENET


def _epochs(
    meant: Experiment, done: Experiment, reference: Series, series: Series, records: Sequence[Record]
) -> Iterator[_Line]:
    there, here = reference.fit_options(), series.fit_options()
    trained = sorted({record.epochs for record in records})
    yield "epochs", str(there.epochs), _range(trained), trained != [there.epochs]
    if 0 < there.decay_epochs < there.epochs and here.decay_epochs >= trained[-1]:
        yield "fall of the learning rate", f"to a tenth after {there.decay_epochs} epochs", "none", True
    held_out = "images" if series.protocol == FOLDS else "good images"
    rule = "the last" if here.keep == "last" else f"the best by the validation loss on held-out {held_out}"
    kept = f"{rule}: {_range(sorted({record.best_epoch + 1 for record in records}))}"
    if done.every:
        words = f"the first, every {done.every}, and the last; in the pictures {kept}"
        yield "epochs that are measured", f"every {meant.every}", words, done.every != meant.every
    else:
        yield "epoch that is measured", meant.source.kept, kept, meant.source.kept != NOT_STATED


def _seeds(meant: Experiment, done: Experiment) -> tuple[str, str, bool]:
    """What the file says, where it was changed; papers do not say."""
    there, here = (", ".join(map(str, one.seeds)) for one in (meant, done))
    return (NOT_STATED, here, False) if there == here else (f"{NOT_STATED}; in the file {there}", here, True)


def _extent(meant: Experiment, done: Experiment, cut: Cut) -> Iterator[_Line]:
    """What was left out."""
    if done.left_out:
        kept = [row.name for row in done.rows if row.key not in done.left_out]
        yield "rows", f"all {len(meant.of_paper)}", ", ".join(kept), True
    for what, most in (("images to train at most", cut.train), ("images to test at most", cut.test)):
        if most is not None:
            yield what, "all", str(most), True


def _tried(reference: Series, series: Series, records: Sequence[Record]) -> Iterator[_Line]:
    """A best option is one of several, and has been chosen by the images that test it."""
    if reference.best_of is None:
        return
    option, every = reference.best_of.option, [str(value) for value in reference.best_of.values]
    if series.best_of is None:
        here = [str(series.model_options()[option])]
    else:
        rivals = _rivals(records)
        here = [value for value in every if value in rivals or not records]
    yield option, _best_of(every), _best_of(here), here != every


def _best_of(values: Sequence[str]) -> str:
    return f"the best of {', '.join(values)} on the test images" if len(values) > 1 else values[0]


def _rivals(records: Sequence[Record]) -> set[str]:
    """The values that a best one was chosen from: in each row those with the most cells done."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        rows[record.row][record.tried] += 1
    return {value for done in rows.values() for value, count in done.items() if count == max(done.values())}


def _options(reference: Series, series: Series) -> Iterator[_Line]:
    """The options that were changed, by the command line or by another backbone."""
    for one, other in (
        (reference.model_options(), series.model_options()),
        (asdict(reference.fit_options()), asdict(series.fit_options())),
    ):
        tried = reference.best_of.option if reference.best_of else ""
        yield from (line for line in _changed(one, other) if line[0] != tried)


def _changed(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[_Line]:
    for name, value in there.items():
        if name not in (*MACHINE, *_TOLD) and here[name] != value:
            yield name, str(value).replace(",", ", "), str(here[name]).replace(",", ", "), True


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _merged(found: Sequence[Fact], series: Sequence[str]) -> list[Fact]:
    """Facts that hold for all series, once and without a name; what is alike in kind, one below the other."""
    seen: dict[_Line, list[str]] = {}
    for fact in found:
        seen.setdefault((fact.what, fact.paper, fact.here, fact.differs), []).append(fact.series)
    order = list(dict.fromkeys(fact.what for fact in found))
    return [
        Fact(_whose(labels, series), *line)
        for line, labels in sorted(seen.items(), key=lambda entry: order.index(entry[0][0]))
    ]


def _whose(labels: Sequence[str], series: Sequence[str]) -> str:
    """The series by name, or, where that is shorter, those that it is not; "" for all."""
    others = [label for label in series if label not in labels]
    if not others:
        return ""
    return "; ".join(labels) if len(labels) <= len(others) else f"all but {'; '.join(others)}"
