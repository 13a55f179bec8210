"""Downloads from a server of our own, which breaks off, ignores ranges, changes its file and answers with nonsense."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from edgead.errors import TrainingError
from edgead.training.backbones import build_backbone, fingerprint, load_weights
from edgead.training.backbones.download import Digest, download

BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()
NAMED = f"model-{DIGEST[:8]}.pth"


class Site:
    """What the server does: body, whether it knows ranges, its ETag, after how many bytes it hangs up. asked: the Range
    of each request."""

    def __init__(self) -> None:
        self.body, self.ranges, self.tag, self.stop = BODY, True, "", 0
        self.location, self.length, self.asked = "", True, []


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self):
        site, body, wanted = self.site, self.site.body, self.headers.get("Range", "")
        site.asked.append(wanted)
        if site.location:
            self.send_response(302)
            self.send_header("Location", site.location)
            return self.end_headers()
        if "missing" in self.path:
            return self.send_error(404)
        start, fresh = 0, self.headers.get("If-Range", site.tag) == site.tag
        if site.ranges and fresh and (match := re.fullmatch(r"bytes=(\d+)-", wanted)):
            start = int(match[1])
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if site.tag:
            self.send_header("ETag", site.tag)
        if site.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        part = body[start:]
        self.wfile.write(part[: site.stop] if site.stop else part)
        return None

    def log_message(self, *arguments):
        pass


@contextmanager
def serving(site: Site) -> Iterator[str]:
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "weights"


@pytest.fixture()
def site():
    return Site()


@pytest.fixture()
def address(site):
    with serving(site) as address:
        yield address


def files(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_downloaded_once(site, address, cache):
    seen = []
    path = download(f"{address}/{NAMED}", progress=lambda *step: seen.append(step))
    assert path.read_bytes() == BODY
    assert seen[-1] == ("downloading weights", len(BODY), len(BODY))
    assert files(cache) == [path.name]
    assert download(f"{address}/{NAMED}") == path
    assert len(site.asked) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(site, address, cache):
    site.stop = 300_000
    with pytest.raises(TrainingError, match=r"ended after 300000 of 1048576.*model-.*try again.*--weights PATH"):
        download(f"{address}/{NAMED}")
    (partial,) = [name for name in files(cache) if name.endswith(".partial")]
    assert (cache / partial).read_bytes() == BODY[:300_000]
    site.stop, seen = 0, []
    path = download(f"{address}/{NAMED}", progress=lambda *step: seen.append(step))
    assert path.read_bytes() == BODY
    assert site.asked == ["", "bytes=300000-"]
    assert seen[0][1] > 300_000 and seen[-1] == ("downloading weights", len(BODY), len(BODY))
    assert files(cache) == [path.name]


def test_a_server_without_ranges_sends_all_of_it_again(site, address, cache):
    site.ranges, site.stop = False, 300_000
    with pytest.raises(TrainingError):
        download(f"{address}/{NAMED}")
    site.stop = 0
    assert download(f"{address}/{NAMED}").read_bytes() == BODY
    assert site.asked == ["", "bytes=300000-"]


def test_a_file_without_a_digest_is_resumed_while_its_etag_stays(site, address, cache):
    site.tag, site.stop = '"first"', 300_000
    for _ in range(2):
        with pytest.raises(TrainingError):
            download(f"{address}/model.pth")
    site.stop = 0
    assert download(f"{address}/model.pth").read_bytes() == BODY
    assert site.asked == ["", "bytes=300000-", "bytes=600000-"]


@pytest.mark.parametrize("tag", ["", 'W/"weak"', '"first"'])
def test_two_versions_are_never_joined(site, address, tag):
    site.tag, site.stop = tag, 300_000
    with pytest.raises(TrainingError):
        download(f"{address}/model.pth")
    site.body, site.stop = BODY[::-1], 0
    site.tag = tag.replace("first", "second")
    assert download(f"{address}/model.pth").read_bytes() == BODY[::-1]


def test_more_here_than_there_starts_over(site, address, cache):
    site.stop = len(BODY) - 1
    with pytest.raises(TrainingError):
        download(f"{address}/{NAMED}")
    (partial,) = cache.glob("*.partial")
    partial.write_bytes(BODY + b"more")
    site.stop = 0
    assert download(f"{address}/{NAMED}").read_bytes() == BODY
    assert site.asked == ["", f"bytes={len(BODY) + 4}-", ""]


def test_a_wrong_digest_leaves_nothing(site, address, cache):
    with pytest.raises(TrainingError, match=rf"SHA-256 {DIGEST[:12]}\.\.\., not the 01234567 in its name.*model-01"):
        download(f"{address}/model-01234567.pth")
    with pytest.raises(TrainingError, match="not the ffffffff that was asked for"):
        download(f"{address}/model.pth", [Digest.given("ffffffff")])
    assert files(cache) == []


def test_a_damaged_cache_entry_is_fetched_again(site, address):
    path = download(f"{address}/{NAMED}")
    path.write_bytes(BODY[:-1] + b"x")
    assert download(f"{address}/{NAMED}").read_bytes() == BODY
    assert len(site.asked) == 2


def test_same_names_from_two_addresses_stay_apart(site, address):
    first = download(f"{address}/a/model.pth")
    site.body = BODY[::-1]
    second = download(f"{address}/b/model.pth?download=true")
    assert first != second
    assert (first.read_bytes(), second.read_bytes()) == (BODY, BODY[::-1])
    assert first.suffix == second.suffix == ".pth"


def test_a_name_cannot_leave_the_folder(site, address, cache):
    path = download(f"{address}/a/..%2F..%2Fmodel%00%20x.pth")
    assert path.parent == cache
    assert re.fullmatch(r"[\w.-]+", path.name)


def test_a_length_that_is_not_told(site, address):
    site.length = False
    assert download(f"{address}/{NAMED}").read_bytes() == BODY


def test_what_the_server_refuses_is_said(address):
    with pytest.raises(TrainingError, match=r"404.*missing\.pth.*--weights PATH"):
        download(f"{address}/missing.pth")


def test_offline(cache):
    with serving(Site()) as address:
        pass  # its port is closed now
    with pytest.raises(TrainingError, match=r"cannot be downloaded \(.*refused\), http://127.*download it elsewhere"):
        download(f"{address}/{NAMED}")


def test_a_silent_server_is_given_up(monkeypatch):
    import socket

    monkeypatch.setattr("edgead.training.backbones.download.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TrainingError, match=r"cannot be downloaded \(.*timed out"):
            download(f"http://127.0.0.1:{port}/{NAMED}")


def test_a_cache_that_cannot_be_written_is_said(address, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file"))
    with pytest.raises(TrainingError, match="cannot be downloaded"):
        download(f"{address}/{NAMED}")


@pytest.mark.parametrize("source", ["file:///etc/{}.pth", "ftp://host/{}.pth", "s3://bucket/{}.pth", "://{}.pth"])
def test_only_the_web_is_asked(source):
    with pytest.raises(TrainingError, match="do not come by"):
        load_weights(build_backbone("mobilenet_v3_small", ["features.0"]), source.format("w"))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/w.pth", "data:text/plain,x"])
def test_redirects_stay_in_the_web(site, address, location):
    site.location = location
    with pytest.raises(TrainingError, match="cannot be downloaded"):
        download(f"{address}/{NAMED}")


def test_weights_come_from_an_address(site, address, cache, tmp_path):
    torch.manual_seed(0)
    source = build_backbone("mobilenet_v3_small", ["features.1"])
    torch.save(source.state_dict(), tmp_path / "w.pth")
    site.body = (tmp_path / "w.pth").read_bytes()
    target = build_backbone("mobilenet_v3_small", ["features.1"])
    assert fingerprint(source) != fingerprint(target)
    digest = load_weights(target, f"{address}/model.pth")
    assert digest == hashlib.sha256(site.body).hexdigest()
    assert fingerprint(source) == fingerprint(target)
    with pytest.raises(TrainingError, match="no weights file"):
        load_weights(target, f"{address}/model.zip")
    assert len(site.asked) == 1


def test_an_error_page_is_not_kept(site, address, cache):
    site.body = b"<html>Please log in</html>"
    with pytest.raises(TrainingError, match="damaged"):
        load_weights(build_backbone("mobilenet_v3_small", ["features.0"]), f"{address}/model.pth")
    assert files(cache) == []


def test_those_that_start_together_download_once(site, address, cache):
    with ThreadPoolExecutor(3) as pool:  # the lock is the open file's, and tells threads apart as it does processes
        paths = set(pool.map(download, [f"{address}/{NAMED}"] * 3))
    assert [path.name for path in paths] == files(cache)
    assert site.asked == [""]
