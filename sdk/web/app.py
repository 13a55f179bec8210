"""The pages and what answers for them."""

from __future__ import annotations

import asyncio
import html
import json
from functools import partial
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edgead.errors import EdgeadError
from edgead.verdicts.areas import AreaKind
from edgead.web.access import LOGIN_SECONDS, Wait
from edgead.web.board import score_of
from edgead.web.bodies import read_body, read_json
from edgead.web.darkroom import SIZES
from edgead.web.guard import Guard, client_of, error, too_many
from edgead.web.metrics import METRICS_TYPE, exposition
from edgead.web.settings import AREAS, Limits, polygon_from_json
from edgead.web.site import TYPES, Site

WAIT_SECONDS = 2.0  # how long a request for the next picture waits for it
LOOK_SECONDS = 0.025  # how often it looks
_MESSAGE = b"<!-- message -->"


def make_app(site: Site) -> ASGIApp:
    """The application, with its guard before it."""
    routes = _Routes(site)
    app = Starlette(routes=routes.all(), exception_handlers={HTTPException: _refused, EdgeadError: _failed})
    app.router.redirect_slashes = False  # no page has two addresses
    return Guard(app, site.access)


class _Routes:
    """The endpoints. Those that are plain functions run in threads of their own, as they may look at a disk."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self) -> list[Route]:
        pages = [Route(f"/{name}", self._page) for name in self._site.pages if not name.endswith(".html")]
        return [
            Route("/", self._index),
            *pages,
            Route("/login", self._login_page),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/api/state", self._state),
            Route("/api/thresholds", self._thresholds, methods=["PUT"]),
            *(Route(f"/api/{kind}", partial(self._area, kind), methods=["PUT"]) for kind in AREAS),
            Route("/live.jpg", self._live),
            Route("/rejects/{number:int}.jpg", self._reject),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
        ]

    async def _index(self, request: Request) -> Response:
        return self._file("page.html")

    async def _page(self, request: Request) -> Response:
        return self._file(request.scope["path"][1:])

    async def _login_page(self, request: Request) -> Response:
        return self._file("login.html")

    async def _login(self, request: Request) -> Response:
        """A form's token -> a cookie. The page's own script asks for JSON, and stays where it is."""
        access, wants_json = self._site.access, request.headers.get("accept") == "application/json"
        try:
            fields = parse_qs((await read_body(request)).decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:
            raise HTTPException(400, "this is no form with a token") from None
        try:
            right = access.check(fields.get("token", [""])[0].strip(), client_of(request.scope))
        except Wait as wait:
            message = f"Too many wrong tokens. Wait {wait.seconds:.0f} seconds."
            return too_many(wait) if wants_json else self._file("login.html", message, 429)
        if not right:
            refused = error(401, "this is not the token", "look where the dashboard was started")
            return refused if wants_json else self._file("login.html", "This is not the token.", 401)
        response = Response(status_code=204) if wants_json else RedirectResponse("/", status_code=303)
        secure = request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            access.cookie, access.grant(), max_age=LOGIN_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def _logout(self, request: Request) -> Response:
        response = Response(status_code=204)
        response.delete_cookie(self._site.access.cookie, httponly=True, samesite="strict")
        return response

    def _state(self, request: Request) -> Response:
        camera, run = self._camera(request), request.query_params.get("run", "")
        state = self._site.state(camera, run, _whole(request, "after"), editor=request.scope["editor"])
        return JSONResponse(state)

    async def _thresholds(self, request: Request) -> Response:
        limits = Limits.from_json(await read_json(request))
        await run_in_threadpool(self._site.settings.set_limits, limits, client_of(request.scope))
        return JSONResponse(self._site.settings.to_json())

    async def _area(self, kind: AreaKind, request: Request) -> Response:
        given = await read_json(request)
        polygon = await run_in_threadpool(polygon_from_json, given)
        await run_in_threadpool(self._site.settings.set_area, kind, polygon, client_of(request.scope))
        return JSONResponse(self._site.settings.to_json())

    async def _live(self, request: Request) -> Response:
        """The newest picture after number `after`, with its result in a header; 204 where none came in time."""
        camera, after, size = self._camera(request), _whole(request, "after"), _whole(request, "size", SIZES[1])
        if size not in SIZES:
            raise HTTPException(400, f"size is one of {', '.join(map(str, SIZES))}")
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while (latest := self._site.board.latest(camera)) is None or (after and latest.number == after):
            if loop.time() >= until or self._site.closing or await request.is_disconnected():
                return Response(status_code=204)
            await asyncio.sleep(LOOK_SECONDS)
        picture = await asyncio.wrap_future(self._site.darkroom.live(camera, latest, size))
        told = {
            "number": latest.number,
            "frame_id": latest.result.frame_id,
            "source": latest.result.source,
            "captured_at": latest.result.captured_at,
            "verdict": latest.result.verdict.value,
            "score": score_of(latest.result),
            "regions": len(latest.result.regions),
        }
        return Response(picture, media_type="image/jpeg", headers={"x-result": json.dumps(told)})

    async def _reject(self, request: Request) -> Response:
        reject = self._site.darkroom.reject(request.path_params["number"])
        if reject is None or reject.picture is None:
            raise HTTPException(404, "there is no picture of this reject, or not any more")
        return Response(reject.picture, media_type="image/jpeg")

    def _metrics(self, request: Request) -> Response:
        return Response(exposition(self._site), media_type=METRICS_TYPE)

    def _healthz(self, request: Request) -> Response:
        """200 while the server answers: a camera or a line that stands still is for `/metrics` to tell, and no reason
        to start a process again."""
        return JSONResponse({"status": "ok"})

    def _file(self, name: str, message: str = "", status: int = 200) -> Response:
        content = self._site.pages[name].replace(_MESSAGE, html.escape(message).encode())
        kind = TYPES[name[name.rindex(".") :]]
        return Response(content, status, media_type=kind)

    def _camera(self, request: Request) -> int:
        camera = _whole(request, "camera")
        if camera >= len(self._site.board.cameras):
            raise HTTPException(404, "there is no such camera")
        return camera


def _whole(request: Request, name: str, default: int = 0) -> int:
    """A parameter of the address that is a number from 0 on."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise HTTPException(400, f"{name} is no whole number")
    return int(text)


def _refused(request: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, HTTPException):
        raise refusal
    return error(refusal.status_code, refusal.detail, headers=dict(refusal.headers or {}))


def _failed(request: Request, failure: Exception) -> Response:
    """A change that was refused, by us or by who carries it out."""
    if not isinstance(failure, EdgeadError):
        raise failure
    return error(422, failure.what, failure.todo)
