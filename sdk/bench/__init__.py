"""What engines cost on this machine: latency, throughput, memory, energy, and what a pipeline around them keeps."""

from edgead.bench.report import Measured, Report
from edgead.bench.run import Wanted, bench

__all__ = ["Measured", "Report", "Wanted", "bench"]
