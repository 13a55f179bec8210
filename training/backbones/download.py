"""A weights file from the web: into the cache folder, resumed where it stopped, whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from edgead.engines.cache import cache_folder
from edgead.errors import TrainingError
from edgead.progress import Progress, silent

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""
_ELSEWHERE = "download it elsewhere and give the file with --weights PATH"


@dataclass(frozen=True)
class Digest:
    """The first digits of the SHA-256 that a file must have, and who says so."""

    prefix: str
    origin: str

    @classmethod
    def given(cls, sha256: str) -> Digest:
        """A digest from the user. Raises TrainingError for fewer than 8 digits and for what is no digest."""
        if not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
            raise TrainingError(f"{sha256!r} is no SHA-256", "weights", "give its first 8 to all 64 hexadecimal digits")
        return cls(sha256.lower(), "that was asked for")

    @classmethod
    def named(cls, name: str) -> list[Digest]:
        """The digest that the names of torchvision's files end in, as in `resnet18-f37072fd.pth`."""
        match = re.search(r"-([0-9a-f]{8})\.pth$", name)
        return [cls(match[1], "in its name")] if match else []

    def check(self, found: str, where: object) -> None:
        """Raises TrainingError unless a file's SHA-256 begins with the digits."""
        if not found.startswith(self.prefix):
            what = f"the weights have SHA-256 {found[:12]}..., not the {self.prefix[:12]} {self.origin}"
            raise TrainingError(what, where, f"check where they come from, or {_ELSEWHERE}")


def file_name(url: str) -> str:
    """The last part of an http or https address, fit for a file. Raises TrainingError for other addresses."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise TrainingError(f"no address that can be read ({error})", url, "give an https address") from error
    if parts.scheme not in ("http", "https"):
        raise TrainingError(f"weights do not come by {parts.scheme}", url, f"give an https address, or {_ELSEWHERE}")
    return re.sub(r"[^\w.-]", "_", urllib.parse.unquote(parts.path).rpartition("/")[2])[-100:]


def download(url: str, wanted: Sequence[Digest] = (), progress: Progress = silent) -> Path:
    """The file behind an http or https address, from the cache folder if it is there.

    It takes its name once it is whole and has every digest of `wanted` and that of its own name. An interrupted
    download is kept and resumed. Raises TrainingError where it cannot be had, or is another one.
    """
    name = file_name(url)
    digests = [*wanted, *Digest.named(name)]
    # Many addresses end in the same `model.pth`; the name stays at the end, where it shows the kind of the file.
    target = cache_folder() / "weights" / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f"{target.name}.lock").open("w") as lock:
            # Distributed training starts a process for each GPU: the first downloads, the others wait and find it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _fits(target, digests):
                _fetch(url, target, digests, progress)
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if type(error) is urllib.error.URLError else error
        todo = f"try again, or {_ELSEWHERE}"
        raise TrainingError(f"the weights cannot be downloaded ({reason})", url, todo) from error
    return target


def _fits(path: Path, digests: Sequence[Digest]) -> bool:
    if not path.exists():
        return False
    found = _sha256(path) if digests else ""
    return all(found.startswith(digest.prefix) for digest in digests)


def _fetch(url: str, target: Path, digests: Sequence[Digest], progress: Progress) -> None:
    partial, version = (target.with_name(f"{target.name}.{suffix}") for suffix in ("partial", "version"))
    with partial.open("ab") as file:
        _receive(url, file, version, bool(digests), progress)
        file.flush()
        os.fsync(file.fileno())
    version.unlink(missing_ok=True)
    try:
        found = _sha256(partial)
        for digest in digests:
            digest.check(found, url)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _receive(url: str, file: BinaryIO, version: Path, checked: bool, progress: Progress) -> None:
    """Append to `file` what is missing of it. Where neither the server nor a digest tells that the rest belongs to the
    same file, or the server sends no part, it starts over."""
    done = file.seek(0, os.SEEK_END)
    known = version.read_text() if version.exists() else ""
    headers = {"User-Agent": "edgead"}
    if done and (known or checked):
        headers |= {"Range": f"bytes={done}-"} | ({"If-Range": known} if known else {})
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or "Range" not in headers:
            raise
        file.truncate(0)  # more is here than there: another file
        return _receive(url, file, version, checked, progress)
    with response:
        if response.status != 206:
            done = 0
            file.truncate(0)
            tag = response.headers.get("ETag", "")
            version.write_text("" if tag.startswith("W/") else tag)  # a weak tag cannot vouch for bytes
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise HTTPException("the server sent another part than the one asked for")
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else 0
        while block := response.read(1 << 20):
            file.write(block)
            done += len(block)
            progress("downloading weights", done, max(total, done))
    if total and done != total:
        raise HTTPException(f"the connection ended after {done} of {total} bytes")
    return None


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http and https alone: the usual one also opens local files and follows redirects to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
