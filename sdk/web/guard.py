"""What stands before every page: hosts, origins, tokens, and the headers of every answer."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgead.web.access import Access, Wait

OPEN = frozenset({"/healthz", "/login", "/page.css", "/icon.svg"})  # needed before somebody has logged in
ENTRIES = frozenset({"/", "/login"})  # what a link on another page may lead to
TOKENLESS = frozenset({"/login", "/logout"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer, browsers would call the origin of a form `null`
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that lets a request through, or answers it: 403 for another host or site, 401 without the token
    where one is needed, 429 after too many wrong ones. `scope["editor"]` then says whether the token was there."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope)
        await (self._app if refusal is None else refusal)(scope, receive, with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        if len(headers.getlist("host")) != 1 or not self._access.knows_host(headers["host"]):
            todo = "use its address, or start it with this name: --web-name NAME"
            return error(403, "the dashboard is not known under this host name", todo)
        if self._foreign(headers, method, path):
            return error(403, "this request comes from another site", "open the dashboard itself")
        try:
            scope["editor"] = self._has_token(headers, client_of(scope))
        except Wait as wait:
            return too_many(wait)
        if scope["editor"] or (path in TOKENLESS and method == "POST"):
            return None
        if self._access.private and path not in OPEN:
            if path == "/" and method in SAFE:
                return RedirectResponse("/login", status_code=303)
            return _unauthorised()
        return None if method in SAFE else _unauthorised()

    def _foreign(self, headers: Headers, method: str, path: str) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin.partition("://")[2].lower() != headers["host"].lower():
            return True
        entering = method in SAFE and path in ENTRIES and headers.get("sec-fetch-mode") == "navigate"
        return site not in ("none", "same-origin") and not entering

    def _has_token(self, headers: Headers, client: str) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._access.check(token.strip(), client)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._access.cookie)
        except CookieError:
            return False
        return cookie is not None and self._access.granted(cookie.value)


def client_of(scope: Scope) -> str:
    """The address of whoever asks."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def error(status: int, what: str, todo: str = "", headers: dict[str, str] | None = None) -> Response:
    """An answer that says what is wrong and what to do."""
    return JSONResponse({"what": what, "todo": todo}, status, headers=headers)


def too_many(wait: Wait) -> Response:
    """The answer to an address that sent too many wrong tokens."""
    seconds = str(int(wait.seconds) + 1)
    return error(429, "too many wrong tokens", f"wait {seconds} s", {"retry-after": seconds})


def _unauthorised() -> Response:
    return error(401, "the token is missing or wrong", "log in with it", {"www-authenticate": "Bearer"})
