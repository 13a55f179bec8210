"""Reading what a client sends, up to a limit and within a time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MOST_BYTES = 16 * 1024  # a polygon of 100 corners takes 5 kB
SECONDS = 10.0
_CLOSE = {"connection": "close"}  # nobody reads the rest


async def read_body(request: Request) -> bytes:
    """The body. Raises HTTPException 413 where it is too long, 408 where it does not come."""
    length = request.headers.get("content-length", "0")
    if len(length) > 9 or int(length) > MOST_BYTES:
        raise HTTPException(413, f"send at most {MOST_BYTES} bytes", _CLOSE)
    try:
        return await asyncio.wait_for(_gather(request), SECONDS)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the request did not come within {SECONDS:.0f} s", _CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "the client went away", _CLOSE) from None


async def read_json(request: Request) -> object:
    """The body as JSON in UTF-8, without NaN or Infinity. Raises HTTPException for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    body = await read_body(request)
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise HTTPException(400, "this is no JSON") from None


async def _gather(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"send at most {MOST_BYTES} bytes", _CLOSE)
    return bytes(body)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: of two values for one key, either might be the one that is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
