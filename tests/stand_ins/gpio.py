"""GPIO without a chip: a stand-in for the module `gpiod` of libgpiod 2, and the board behind it.

What it raises, and how it counts and loses edges, is what a real kernel did with its simulated chip
(`benchmarks/gpio_sim.py`).
"""

from __future__ import annotations

import enum
import errno
import itertools
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from edgead.gpio import claim


class Value(enum.Enum):
    INACTIVE = 0
    ACTIVE = 1


class Direction(enum.Enum):
    AS_IS = 1
    INPUT = 2
    OUTPUT = 3


class Bias(enum.Enum):
    AS_IS = 1
    UNKNOWN = 2
    DISABLED = 3
    PULL_UP = 4
    PULL_DOWN = 5


class Edge(enum.Enum):
    NONE = 1
    RISING = 2
    FALLING = 3
    BOTH = 4


@dataclass
class LineSettings:
    direction: Direction = Direction.AS_IS
    edge_detection: Edge = Edge.NONE
    bias: Bias = Bias.AS_IS
    drive: object = None
    active_low: bool = False
    debounce_period: timedelta = timedelta()
    event_clock: object = None
    output_value: Value = Value.INACTIVE


@dataclass
class ChipInfo:
    name: str
    label: str
    num_lines: int


@dataclass
class LineInfo:
    name: str | None
    used: bool
    consumer: str | None


class EdgeEvent:
    class Type(enum.Enum):
        RISING_EDGE = 1
        FALLING_EDGE = 2

    def __init__(self, event_type, timestamp_ns, line_offset, global_seqno, line_seqno):
        self.event_type, self.timestamp_ns, self.line_offset = self.Type(event_type), timestamp_ns, line_offset
        self.global_seqno, self.line_seqno = global_seqno, line_seqno


class Chip:
    def __init__(self, path: str):
        board, self._name = Board.present, Path(path).resolve().name
        self._board, self._made = board, board.chips.get(self._name)
        if path in board.forbidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if self._made is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def __enter__(self) -> Chip:
        return self

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        self.close()

    def close(self) -> None:
        self._made = None

    def get_info(self):
        return ChipInfo(self._name, self._made.label, len(self._made.lines))

    def line_offset_from_id(self, id):
        names = [line.name for line in self._made.lines]
        if not isinstance(id, int):
            if id not in names:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return names.index(id)
        if id >= len(names):
            raise ValueError("line offset of out range")
        return id

    def get_line_info(self, line):
        made = self._made.lines[self.line_offset_from_id(line)]
        return LineInfo(made.name, made.consumer is not None, made.consumer)

    def request_lines(self, config, consumer=None, event_buffer_size=None, output_values=None):
        ((offset, settings),) = config.items()
        line = self._made.lines[offset]
        if line.consumer is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if self._board.refuses:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        line.take(consumer, settings, event_buffer_size or 16)
        return LineRequest((self._board, offset, line))


class LineRequest:
    def __init__(self, req):
        self._board, self._offset, self._line = req
        self._released = False

    @property
    def offsets(self):
        return [self._offset]

    def release(self) -> None:
        assert not self._released
        self._released, self._line.consumer = True, None

    def set_value(self, line, value) -> None:
        self._answer()
        assert line == self._offset and self._line.settings.direction is Direction.OUTPUT
        time.sleep(self._board.slow)
        self._line.set(value is Value.ACTIVE)

    def wait_edge_events(self, timeout=None) -> bool:
        assert timeout == 0, "who waits holds up the thread that judges"
        return self._board.broken or bool(self._line.events)

    def read_edge_events(self, max_events=None):
        self._answer()
        assert self._line.events, "reading would wait"
        return [self._line.events.popleft() for _ in range(min(max_events or 64, len(self._line.events)))]

    def _answer(self) -> None:
        assert not self._released
        if self._board.broken:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


@dataclass
class Line:
    """One line. high: its voltage. driven: when it was driven to which voltage, in time.monotonic."""

    name: str | None = None
    consumer: str | None = None
    settings: LineSettings = field(default_factory=LineSettings)
    high: bool = False
    driven: list[tuple[float, bool]] = field(default_factory=list)
    events: deque = field(default_factory=deque)
    count: int = 0

    def take(self, consumer, settings, size):
        self.consumer, self.settings = consumer, settings
        self.events, self.count = deque(maxlen=size), 0  # a full buffer loses the oldest
        if settings.direction is Direction.OUTPUT:
            self.set(settings.output_value is Value.ACTIVE)

    def set(self, active: bool) -> None:
        self.high = active is not self.settings.active_low
        self.driven.append((time.monotonic(), self.high))

    def pull(self, high: bool) -> None:
        """What the world does to the line."""
        if high is self.high:
            return
        self.high = high
        rises = high is not self.settings.active_low
        if self.consumer and self.settings.edge_detection in (Edge.BOTH, Edge.RISING if rises else Edge.FALLING):
            self.count += 1
            self.events.append(EdgeEvent(1 if rises else 2, time.monotonic_ns(), 0, self.count, self.count))

    @property
    def pulses(self) -> list[tuple[float, float]]:
        """When the line was driven active, and how long; of those that are over."""
        changes = [(at, high is not self.settings.active_low) for at, high in self.driven]
        return [
            (begin, end - begin)
            for (begin, active), (end, after) in itertools.pairwise(changes)
            if active and not after
        ]


@dataclass
class Controller:
    """One chip."""

    label: str
    lines: list[Line]


class Board:
    """The chips of a machine, in a folder of devices.

    forbidden: paths of chips that may not be opened. refuses: whether chips do not take what lines are asked for.
    broken: whether they are unplugged. slow: seconds that setting a line takes.
    """

    present: Board

    def __init__(self, folder: Path) -> None:
        self.folder, self.chips = folder, {}
        self.forbidden, self.refuses, self.broken, self.slow = set(), False, False, 0.0
        Board.present = self

    def add(self, name: str, label: str, names: dict[int, str] | None = None) -> list[Line]:
        """One more chip, of 32 lines."""
        (self.folder / name).touch()
        self.chips[name] = Controller(label, [Line((names or {}).get(offset)) for offset in range(32)])
        return self.chips[name].lines


def is_gpiochip_device(path) -> bool:
    return Path(path).resolve().name in Board.present.chips


def module() -> ModuleType:
    """The module `gpiod`."""
    made, line = ModuleType("gpiod"), ModuleType("gpiod.line")
    for each in (Chip, ChipInfo, LineInfo, LineRequest, LineSettings, EdgeEvent, is_gpiochip_device):
        setattr(made, each.__name__, each)
    for each in (Value, Direction, Bias, Edge):
        setattr(line, each.__name__, each)
    made.line = line
    return made


@pytest.fixture
def board(tmp_path, monkeypatch) -> Board:
    """A machine with the chip gpiochip0, called tegra234-gpio, whose line 3 is PQ.05."""
    made = Board(tmp_path)
    made.add("gpiochip0", "tegra234-gpio", {3: "PQ.05", 4: "PQ.06"})
    monkeypatch.setattr(claim, "DEVICES", tmp_path)
    monkeypatch.setitem(sys.modules, "gpiod", module())
    return made
