"""An inspection cell beside a PLC: it watches a camera, answers each part with one bit, and keeps a record.

The PLC is stood in for by two streams of text: a line on standard input says that a part lies in front of the camera, a
line on standard output is the bit for it. 1: a picture taken since then was accepted, in time. 0: anything else.

python examples/inspection_app.py part.edgead --camera 0 --record results.sqlite < triggers > bits
"""

import argparse
import sys
import threading
import time

import edgead

PATIENCE = 1.0  # seconds after which the PLC has its bit, whatever the camera does
LAG = 0.1  # seconds that a picture may be older than it says, as cameras and their drivers hold some back
newest: list[edgead.Result] = []


def answer(over: threading.Event) -> None:
    for trigger in sys.stdin:
        since, until = time.time() + LAG, time.monotonic() + PATIENCE
        newest.clear()
        while not any(result.captured_at >= since for result in newest) and time.monotonic() < until:
            time.sleep(0.005)
        good = any(result.captured_at >= since and result.verdict is edgead.Verdict.ACCEPT for result in newest)
        print(f"{trigger.strip()} {int(good)}", flush=True)
    over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--camera", default="0")
    parser.add_argument("--record", default="results.sqlite")
    given, over = parser.parse_args(), threading.Event()
    plc = threading.Thread(target=answer, args=[over], daemon=True)
    with edgead.load(given.bundle) as detector:
        plc.start()
        try:  # judging without a pause, since a picture that waited for its trigger would be an old one
            for result in edgead.stream(detector, given.camera, policy="latest", sinks=[given.record], stop=over):
                newest[:] = [result]
        finally:
            plc.join(2 * PATIENCE)  # a part that waits gets its bit, also when the camera has failed
    raise SystemExit(None if over.is_set() else "the camera gives no more pictures")


if __name__ == "__main__":
    main()
