"""A run on the terminal."""

from __future__ import annotations

import statistics

from edgead.bench.report import Measured, Report

_WIDE = 34  # of an engine's name where no name needs more


def lines(report: Report) -> list[str]:
    """The machine, then a row for every engine: of its latency, its throughput, its pipeline."""
    named = max(_WIDE, *(len(engine.name) + 2 for engine in report.engines))
    blocks = [_machine(report), _latency(report, named), _throughput(report, named)]
    if any(engine.piped for engine in report.engines):
        blocks.append(_pipelines(report, named))
    return [line for block in blocks for line in [*block, ""]][:-1]


def _machine(report: Report) -> list[str]:
    energy = [f"energy by {', '.join(report.meters)}"] if report.meters else []
    if report.no_energy:
        energy.append(f"energy not measured: {report.no_energy}")
    runtimes = {f"{one.target} {one.runtime_version} on {one.device}": None for one in report.engines}
    paces = [f"before: {report.before.line()}", f"after:  {report.after.line()}"]
    return [*report.machine.lines(), *paces, *runtimes, *energy]


def _latency(report: Report, named: int) -> list[str]:
    head = f"{'milliseconds, one image':<{named}}{'p50':>9}{'p95':>9}{'p99':>9}{'MiB':>8}{'J/image':>10}  to the first"
    return [head, *(_latency_row(report, engine, named) for engine in report.engines)]


def _latency_row(report: Report, engine: Measured, named: int) -> str:
    times = "".join(f"{engine.timed.percentile(percent):>9.3f}" for percent in (50, 95, 99))
    memory = (engine.memory.resident + (engine.memory.device or 0)) / 2**20
    joules = f"{sum(engine.joules.values()):.4f}" if engine.joules else "-"
    median, least, most = report.ratio(engine)
    ratio = "1" if engine is report.engines[0] else f"{median:.2f} ({least:.2f} to {most:.2f})"
    return f"  {engine.name:<{named - 2}}{times}{memory:>8.1f}{joules:>10}  {ratio}"


def _throughput(report: Report, named: int) -> list[str]:
    batches = sorted({batch for engine in report.engines for batch in engine.timed.batches})
    rows = [f"{'images/s, in batches of':<{named}}" + "".join(f"{batch:>9}" for batch in batches)]
    for engine in report.engines:
        rates = [f"{engine.timed.rate(batch):.1f}" if batch in engine.timed.batches else "-" for batch in batches]
        rows.append(f"  {engine.name:<{named - 2}}" + "".join(f"{rate:>9}" for rate in rates))
    return rows


def _pipelines(report: Report, named: int) -> list[str]:
    rows = [f"{'frames/s':<{named}}{'engine alone':>14}{'whole pipeline':>16}"]
    for engine in report.engines:
        if engine.piped:
            alone, whole = (statistics.median(rates) for rates in (engine.piped.engine, engine.piped.pipeline))
            keeps = f"  keeps {engine.piped.share:.0%}, waits {engine.piped.overhead:.0%}"
            rows.append(f"  {engine.name:<{named - 2}}{alone:>14.1f}{whole:>16.1f}{keeps}")
    only = report.engines[0].piped
    if len(report.engines) == 1 and only and only.summary:
        rows += ["", *only.summary.lines()]
    return rows
