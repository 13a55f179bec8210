"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgead.web.board import PERCENTILES, score_of
from edgead.web.site import Site

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(site: Site) -> bytes:
    """All metrics of a dashboard in Prometheus' text format. The registry is its own: nothing is global."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Board(site))
    return generate_latest(registry)


class _Board(Collector):
    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Counters and gauges as they are now. Durations are in seconds, as Prometheus' conventions ask."""
        verdicts = CounterMetricFamily("edgead_verdicts", "Verdicts.", labels=["camera", "verdict"])
        lost = CounterMetricFamily("edgead_lost_frames", "Frames that were lost.", labels=["camera"])
        rate = GaugeMetricFamily("edgead_rate", "Verdicts per second over ten seconds.", labels=["camera"])
        age = GaugeMetricFamily("edgead_last_result_age_seconds", "Time since the last verdict.", labels=["camera"])
        stale = GaugeMetricFamily("edgead_camera_stale", "1 where the camera is silent.", labels=["camera"])
        score = GaugeMetricFamily("edgead_score", "The last score, in raw units.", labels=["camera"])
        stages = Metric("edgead_stage_seconds", "Time per stage since the start.", "summary")
        for number, camera in enumerate(self._site.board.cameras):
            name = camera.name or "camera"
            for verdict, count in camera.to_json()["verdicts"].items():
                verdicts.add_metric([name, verdict], count)
            lost.add_metric([name], camera.lost)
            rate.add_metric([name], camera.rate)
            stale.add_metric([name], float(camera.state != "live"))
            if (latest := self._site.board.latest(number)) is not None:
                age.add_metric([name], camera.age or 0.0)
                if (raw := score_of(latest.result)) is not None:
                    score.add_metric([name], raw)
            for stage, histogram in camera.stages.items():
                labels = {"camera": name, "stage": stage}
                for percent in PERCENTILES:
                    quantile = {**labels, "quantile": f"{percent / 100:g}"}
                    stages.add_sample("edgead_stage_seconds", quantile, histogram.percentile(percent) / 1e3)
                stages.add_sample("edgead_stage_seconds_sum", labels, histogram.total / 1e3)
                stages.add_sample("edgead_stage_seconds_count", labels, histogram.count)
        yield from (verdicts, lost, rate, age, stale, score, stages)
        if (limits := self._site.settings.limits) is not None:
            threshold = GaugeMetricFamily("edgead_threshold", "The thresholds, in raw units.", labels=["kind"])
            threshold.add_metric(["reject"], limits.reject)
            threshold.add_metric(["warn"], limits.warn)
            yield threshold
        if self._site.summary is not None:
            summary = self._site.summary()
            dropped = CounterMetricFamily("edgead_dropped_frames", "Frames that gave way to newer ones.")
            dropped.add_metric([], summary.dropped)
            spooled = GaugeMetricFamily("edgead_spooled_records", "Records that wait for sinks.")
            spooled.add_metric([], summary.spooled)
            troubled = GaugeMetricFamily("edgead_troubled_sinks", "Sinks that something keeps from their work.")
            troubled.add_metric([], len(summary.troubles))
            yield from (dropped, spooled, troubled)
