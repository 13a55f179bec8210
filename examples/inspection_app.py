"""An inspection cell beside a PLC: it watches a camera, answers each part with one bit, and keeps a record.

The PLC is stood in for by two streams of text: a line on standard input is its trigger, a line on standard output is
the bit that it reads. Only names of `edgead` itself are used.

python examples/inspection_app.py part.edgead --camera 0 --record results.sqlite < triggers > bits
"""

from __future__ import annotations

import argparse
import sys

import edgead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--camera", default="0")
    parser.add_argument("--record", default="results.sqlite")
    given = parser.parse_args()

    def lost(frame: edgead.LostFrame) -> None:
        print(f"frame {frame.frame_id} was lost: {frame.reason}", file=sys.stderr)

    with edgead.load(given.bundle) as detector:
        results = edgead.stream(detector, given.camera, policy="latest", sinks=[given.record], on_fault=lost)
        for trigger in sys.stdin:  # the PLC says that a part lies in front of the camera
            result = next(results, None)  # the freshest frame, judged
            good = result is not None and result.verdict is edgead.Verdict.ACCEPT
            print(f"{trigger.strip()} {int(good)}", flush=True)  # whatever is not known to be good is not passed on
            if result is None:
                raise SystemExit("the camera gives no more frames")
        results.close()


if __name__ == "__main__":
    main()
