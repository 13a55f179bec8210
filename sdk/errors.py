"""Every error that edgead raises on purpose: one tree, in one file.

An error says what went wrong, where, and what to do about it; the command line prints exactly that line and exits with
`exit_code`.
"""

from __future__ import annotations


class EdgeadError(Exception):
    """The root of the tree.

    Parameters: `what` happened; `where` (a path, a camera, a bundle member); `todo`, the next step for the reader.
    """

    exit_code = 1

    def __init__(self, what: str, where: object = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, str(where), todo
        super().__init__(", ".join(part for part in (self.what, self.where, self.todo) if part))


class DataError(EdgeadError):
    """An image, a mask or a data folder is missing, empty or unreadable."""


class FrameError(EdgeadError):
    """A frame has the wrong type, shape or size for the detector."""


class BundleError(EdgeadError):
    """A bundle is damaged, hostile, or lacks what was asked of it."""


class TrainingError(EdgeadError):
    """Training cannot start, or cannot go on."""


class ExportError(EdgeadError):
    """A model cannot be turned into a detector graph, or the graph disagrees with the model."""


class CalibrationError(EdgeadError):
    """A graph cannot be quantised with the images given."""


class EngineError(EdgeadError):
    """An engine cannot be built, loaded or run."""


class EngineUnavailable(EngineError):
    """The runtime of an engine is not here; the message says what is missing."""


class KernelError(EdgeadError):
    """The native library is missing, or an operator was called with arrays that it does not take."""


class SourceError(EdgeadError):
    """A camera, file or folder cannot be opened, or has failed for good."""


class SinkError(EdgeadError):
    """A result cannot be written."""


class GateRefused(EdgeadError):
    """A quality gate refused: the engine differs from the fp32 graph by more than the budget."""

    exit_code = 3
