"""The dashboard: a page on which people at the line see what the inspection does.

    settings = Settings(Limits(reject=0.8, warn=0.6))
    for result in edgead.stream(detector, 0, sinks=[Dashboard("127.0.0.1:8080", settings=settings)]): ...

A dashboard is a sink. The thread of the sinks only notes the newest result; pictures are made, and requests answered,
in threads of the dashboard's own, and only while somebody looks. Starlette, uvicorn and prometheus-client are imported
when a dashboard opens (extra `web`).
"""

from edgead.web.dashboard import Dashboard
from edgead.web.settings import Limits, Settings

__all__ = ["Dashboard", "Limits", "Settings"]
