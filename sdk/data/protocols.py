"""Anomaly detection measured on labelled classes: some are normal, and all others are defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgead.data.labelled import Image, Labelled, read_labelled
from edgead.data.samples import GOOD, Dataset, Sample, by_name
from edgead.errors import DataError

_LONGEST = 200  # characters of a class in a bundle's manifest


def one_class(root: Path, normal: Sequence[int | str]) -> Dataset:
    """Train on the normal classes together, and test on all test images: those of other classes are the defects.

    root: what `edgead.data.labelled.read_labelled` takes: a `.npz` file, CIFAR-10's binary batches, or folders.
    normal: classes by number or by name; a number written as text counts where no class has that name.

    The data set has one category, called for its classes ("normal 0,1,2,3,4"), so that one model learns them all and
    the AUROC is that of the whole test, as UniAD measures CIFAR-10 (You et al., NeurIPS 2022). The defect of an image
    that is not normal is the name of its class.

    Raises DataError as `read_labelled` does, for classes that are not there, named twice or without images in either
    part, and where nothing is left to find.
    """
    found = read_labelled(root)
    chosen = _choose(found, normal, root)

    def sample(image: Image) -> Sample:
        defect = GOOD if image.label in chosen else found.names[image.label]
        return Sample(image.path, image.name, category, defect, index=image.index)

    category = f"normal {','.join(found.names[label] for label in chosen)}"
    if len(category) > _LONGEST:
        category = f"normal {len(chosen)} of {len(found.names)} classes"
    train = by_name(sample(image) for image in found.train if image.label in chosen)
    return Dataset(root, (category,), train, by_name(map(sample, found.test)))


def _choose(found: Labelled, normal: Sequence[int | str], root: Path) -> list[int]:
    """The numbers of the normal classes, sorted and checked."""
    chosen = sorted(_number(entry, found.names, root) for entry in normal)
    if not chosen:
        raise DataError("no class is normal", root, f"name some of {_list(found.names)}")
    if len(set(chosen)) < len(chosen):
        twice = next(label for label in chosen if chosen.count(label) > 1)
        raise DataError(f"class {found.names[twice]} is named twice", root, "name it once")
    tested = {image.label for image in found.test}
    for part, there in (("training", {image.label for image in found.train}), ("test", tested)):
        for label in chosen:
            if label not in there:
                todo = "add them, or leave the class out of the normal ones"
                raise DataError(f"class {found.names[label]} has no {part} images", root, todo)
    others = sorted(tested.difference(chosen))
    if not others:
        todo = "leave at least one class out of the normal ones"
        raise DataError("all test images are of normal classes", root, todo)
    for label in others:
        if found.names[label].casefold() == GOOD:  # its images would count as good parts
            raise DataError(f"class {found.names[label]} is not normal", root, "call it something else")
    return chosen


def _number(entry: int | str, names: Mapping[int, str], root: Path) -> int:
    """The number of a class."""
    by_text = {str(label): label for label in names} | {name: label for label, name in names.items()}
    if isinstance(entry, str) and entry in by_text:
        return by_text[entry]
    if entry in names:
        return int(entry)
    raise DataError(f"there is no class {entry!r}", root, f"name some of {_list(names)}")


def _list(names: Mapping[int, str]) -> str:
    shown = [name if name == str(label) else f"{label} ({name})" for label, name in list(names.items())[:20]]
    return ", ".join(shown) + (" and others" if len(names) > 20 else "")
