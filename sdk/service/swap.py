"""Another bundle for a line that runs: read, started and tested beside it, then taken over between two frames."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from edgead.bundle import Bundle, read_bundle
from edgead.detector import Detector
from edgead.errors import EdgeadError, EngineError
from edgead.live import LiveDetector
from edgead.progress import Progress
from edgead.selftest import self_test, stored_test
from edgead.service.asked import Asked
from edgead.service.notify import ServiceManager
from edgead.service.reload import adopt_thresholds, same_detector

log = logging.getLogger(__name__)

LEAVE_SECONDS = 2.0  # how long the end of a run waits for a detector that is loading


class Renewal:
    """Brings the bundle of a line up to date whenever `asked` is set, while the line goes on.

    One thread of its own reads the file. A bundle of the same graph gives its thresholds. Of any other the detector is
    loaded, its engine built where it has to be, tested on the bundle's own images, and tried on a frame of the line's
    size, which takes the memory that it will need. All of it comes into force in `turn`, in the thread that judges, or
    not at all: whatever goes wrong is said in one line of the log, and the line goes on with what it has. What is asked
    for meanwhile is done after it.

    load: opens the detector of the bundle, telling its progress, which may raise to end it. precision: the one that was
    asked for, None for the one that a bundle prefers. admit: raises an EdgeadError for a detector that the line cannot
    take. renewed: told of a detector that got other thresholds (of another detector `LiveDetector` tells). lock: held
    while something changes.
    """

    def __init__(
        self,
        live: LiveDetector,
        path: Path,
        load: Callable[[Progress], Detector],
        asked: Asked,
        *,
        precision: str | None = None,
        admit: Callable[[Detector], None] = lambda detector: None,
        renewed: Callable[[Detector], None] = lambda detector: None,
        manager: ServiceManager | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._live, self._path, self._load, self._asked = live, path, load, asked
        self._precision, self._admit, self._renewed = precision, admit, renewed
        self._manager, self._change = manager or ServiceManager({}), lock or nullcontext()
        self._thread: threading.Thread | None = None
        self._found: Bundle | Detector | Exception | None = None
        self._ended = False
        self._handing_over = threading.Lock()

    def turn(self) -> None:
        """Begin what was asked for, or put into force what was found. Called again and again by the thread that judges,
        between two frames; it takes no time."""
        if self._thread is None:
            if self._asked.take():
                self._manager.reloading()
                # A daemon: an engine that is being built does not hold up the end of the process
                thread = threading.Thread(target=self._look, name="edgead-renewal", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the system may refuse a thread
                    log.warning("not reloaded: %s", _reason(error))
                    self._manager.ready()
                else:
                    self._thread = thread
            return
        with self._handing_over:
            found, self._found = self._found, None
        if found is not None:
            self._thread.join()  # its last steps
            self._thread = None
            self._put_into_force(found)
            self._manager.ready()

    def __enter__(self) -> Renewal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The run is over: nothing comes into force any more. What is loading is ended where that can be, and left to
        itself where it cannot (`left_behind`); then the interpreter waits for it at its end, as a library that comes
        back from work to one that is gone aborts the process."""
        with self._handing_over:
            self._ended = True
            found, self._found = self._found, None
        if isinstance(found, Detector):
            found.close()
        if self._thread is not None:
            self._thread.join(LEAVE_SECONDS)
        if self.left_behind and self._thread is not None:
            atexit.register(self._thread.join)

    @property
    def left_behind(self) -> bool:
        """Whether something is loading still, after the end of the run."""
        return self._ended and self._thread is not None and self._thread.is_alive()

    def _put_into_force(self, found: Bundle | Detector | Exception) -> None:
        try:
            if isinstance(found, Exception):
                raise found
            with self._change:
                if isinstance(found, Bundle):
                    said = adopt_thresholds(self._live.current, found)
                    if self._live.judging is self._live.current:  # else it is told of with its first frame
                        self._renewed(self._live.current)
                else:
                    self._take_over(found)
                    said = f"another detector takes over, {_named(found)}"
        except Exception as error:  # noqa: BLE001 - a line does not end because of a bundle that it can do without
            log.warning("not reloaded: %s", _reason(error))
        else:
            log.warning("reloaded %s: %s", self._path, said)

    def _take_over(self, detector: Detector) -> None:
        try:
            self._admit(detector)
            self._live.swap(detector)
        except BaseException:
            detector.close()
            raise

    def _look(self) -> None:
        """The thread."""
        found: Bundle | Detector | Exception
        try:
            found = self._renew()
        except Exception as error:  # noqa: BLE001 - as above
            found = error
        with self._handing_over:
            if not self._ended:
                self._found = found
                return
        if isinstance(found, Detector):
            found.close()

    def _renew(self) -> Bundle | Detector:
        """The bundle where its thresholds are enough, else its detector, running and tested."""
        bundle = read_bundle(self._path)
        precision = self._precision or bundle.manifest.preferred
        if same_detector(self._live.current, bundle, precision):
            stored_test(bundle, precision).require(str(self._path))
            return bundle
        log.info("%s holds another detector, which is loaded while the line goes on", self._path)
        detector = self._load(self._progress)
        try:
            self_test(detector).require(str(self._path))
            if self._live.shape is not None:
                detector.infer(detector.prepare(np.zeros(self._live.shape, np.uint8)))
        except BaseException:
            detector.close()
            raise
        return detector

    def _progress(self, what: str, done: int, total: int) -> None:
        if self._ended:
            raise EngineError("the run ended before the detector was loaded", self._path)


def _named(detector: Detector) -> str:
    manifest = detector.bundle.manifest
    return f"{manifest.family} in {detector.precision}, bundle {detector.digest[:12]}"


def _reason(error: Exception) -> str:
    """In one line."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    said = str(error) if isinstance(error, EdgeadError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())
