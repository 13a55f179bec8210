"""The rules of one camera, typed, and from a mapping as TOML gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgead.errors import DataError
from edgead.verdicts.area_limit import AreaLimit
from edgead.verdicts.areas import Area, MaskFile, Polygon
from edgead.verdicts.foreground import Line
from edgead.verdicts.hysteresis import Hysteresis
from edgead.verdicts.opened import TriggerAddress
from edgead.verdicts.parts import PartRule


@dataclass(frozen=True)
class Rules:
    """What becomes of a detector's results. With nothing given they stay what they are, bit for bit.

    roi: where to look, by default everywhere. ignore: where not to. min_area: what a defect has to have. hysteresis:
    of frames. parts: frames become parts. Raises DataError where both hysteresis and parts are asked for: a part's
    verdict comes of its own frames.
    """

    roi: tuple[Area, ...] = ()
    ignore: tuple[Area, ...] = ()
    min_area: AreaLimit | None = None
    hysteresis: Hysteresis | None = None
    parts: PartRule | None = None

    def __post_init__(self) -> None:
        if self.hysteresis is not None and self.parts is not None:
            todo = "take the hysteresis away, and say with `agree` how many frames of a part decide"
            raise DataError("hysteresis would mix the frames of several parts", "rules", todo)

    @property
    def need_map(self) -> bool:
        """Whether the anomaly map of every frame is needed."""
        return bool(self.roi or self.ignore or self.min_area)

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any], folder: Path = Path()) -> Rules:
        """Rules as TOML has them; masks are looked for in `folder`.

            roi = [[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]], "mask.png"]
            ignore = ["screws.png"]
            min_area = "0.5%"                    # or pixels of the frame: 50
            hysteresis = {reject = 3, frames = 5, release = 4}
            [parts]
            trigger = "stdin"                    # or "own", "mqtt://host/topic", or a line: [0.5, 1, 0.5, 0]
            agree = 2
            frames = 10

        Raises DataError that names the key.
        """
        _known("rules", document, ("roi", "ignore", "min_area", "hysteresis", "parts"))
        rules = cls(_areas(document, "roi", folder), _areas(document, "ignore", folder))
        if "min_area" in document:
            rules = replace(rules, min_area=_at("min_area", _limit, document["min_area"]))
        if "hysteresis" in document:
            rules = replace(rules, hysteresis=_at("hysteresis", _hysteresis, document["hysteresis"]))
        if "parts" in document:
            rules = replace(rules, parts=_at("parts", _parts, document["parts"]))
        return rules


def _areas(document: Mapping[str, Any], key: str, folder: Path) -> tuple[Area, ...]:
    given = document.get(key, [])
    if not isinstance(given, list):
        raise DataError(f"this is {given!r}, not a list", key, "give a list of polygons and of masks' file names")
    return tuple(_at(f"{key}[{number}]", lambda one: _area(one, folder), one) for number, one in enumerate(given))


def _area(given: object, folder: Path) -> Area:
    if isinstance(given, str):
        if not (folder / given).is_file():
            raise DataError("the mask does not exist", folder / given, "check the path")
        return MaskFile(folder / given)
    if isinstance(given, list) and all(isinstance(corner, list) and len(corner) == 2 for corner in given):
        return Polygon(tuple((_number(x), _number(y)) for x, y in given))
    raise DataError("this is no area", repr(given)[:60], "give corners [[x, y], ...] or a mask's file name")


def _limit(given: object) -> AreaLimit:
    return AreaLimit.parse(given) if isinstance(given, str) else AreaLimit(pixels=_number(given))


def _hysteresis(given: object) -> Hysteresis:
    table = _table(given, ("reject", "frames", "release"), ("reject", "frames"))
    return Hysteresis(**{key: _whole(key, value) for key, value in table.items()})


def _parts(given: object) -> PartRule:
    table = _table(given, ("trigger", "agree", "frames"), ("trigger",))
    numbers = {key: _whole(key, value) for key, value in table.items() if key != "trigger"}
    return PartRule(_trigger(table["trigger"]), **numbers)


def _trigger(given: object) -> Literal["stdin", "own"] | Line | TriggerAddress:
    if given == "stdin":
        return "stdin"
    if given == "own":
        return "own"
    if isinstance(given, list) and len(given) == 4:
        return Line(*map(_number, given))
    if isinstance(given, str) and "://" in given:
        return TriggerAddress(given)
    todo = 'give "stdin", "own", an address with mqtt://, mqtts:// or gpio://, or a line [x1, y1, x2, y2]'
    shown = repr(given)
    raise DataError("there is no such trigger", "" if "@" in shown else shown[:60], todo)  # before it, a password


def _at(key: str, read: Any, given: object) -> Any:
    """`read(given)`, whose error names the key."""
    try:
        return read(given)
    except DataError as error:
        raise DataError(error.what, f"{key} ({error.where})" if error.where else key, error.todo) from None


def _table(given: object, known: Sequence[str], needed: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise DataError(f"this is {given!r}, not a table", "", f"give {', '.join(known)}")
    _known("", given, known)
    if missing := [key for key in needed if key not in given]:
        raise DataError(f"{missing[0]} is missing", "", f"give {', '.join(needed)}")
    return given


def _known(where: str, document: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [str(key) for key in document if key not in known]:
        raise DataError(f"there is no {unknown[0]}", where, f"give some of {', '.join(known)}")


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise DataError(f"{given!r} is no number", "", "give a number")
    return float(given)


def _whole(key: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise DataError(f"{given!r} is no whole number", key, "give a whole number")
    return given
