"""The page in a real Chromium, one test for each thing that it does."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgead.summary import Summary
from edgead.web import Limits
from edgead.web import board as boards
from tests.sdk.web.chromium import TABLET, Chromium, find
from tests.sdk.web.conftest import TOKEN, Line, MakeLine, open_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find() is None, reason="no Chromium is installed: apt-get install chromium"),
]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
SCORES = (0.2, 0.25, 0.22, 0.7, 0.21, 1.4, 0.24)
LIVE = "document.querySelector('#status').className === 'pill live'"


class Feeder:
    """A line that gives a result every 50 ms until it is told to stop."""

    def __init__(self, line: Line) -> None:
        self._stop, self._line = threading.Event(), line
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for score in itertools.cycle(SCORES):
            if self._stop.wait(0.05):
                return
            self._line.feed(score, side=240)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    made = Chromium(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Chromium) -> Chromium:
    """The browser as if it had just been started, but for its cookies, which are of other ports."""
    chromium.go("about:blank")  # the page of the test before asks no more
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.ignore_network = False
    chromium.size(*TABLET)
    chromium.scheme("light")
    return chromium


@pytest.fixture
def page(browser: Chromium, make_line: MakeLine) -> Iterator[tuple[Chromium, Line]]:
    """The page of a line that runs; at the end nothing may have been complained about in the console."""
    line = make_line(title="Cell 4")
    feeder = Feeder(line)
    browser.go(line.dashboard.url)
    browser.until(LIVE)
    browser.until("document.querySelector('#verdict').className !== 'verdict none'")
    yield browser, line
    feeder.stop()
    browser.go("about:blank")
    assert browser.errors == []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of which one result is enough for a minute."""
    monkeypatch.setattr(boards, "STALE_SECONDS", (60.0, 60.0))


def unlock(browser: Chromium, token: str = TOKEN) -> None:
    browser.until("!document.querySelector('#unlock').hidden")
    browser.run("document.querySelector('#token').focus()")
    browser.type(token)
    browser.key("Enter")


def unlocked(browser: Chromium) -> None:
    unlock(browser)
    browser.until("document.querySelector('#unlock').hidden && !document.querySelector('#limits-apply').hidden")


def test_it_loads_from_its_own_server_alone_and_shows_live_numbers(page):
    browser, line = page
    first = int(browser.text("#judged").replace(",", ""))
    browser.until(f"Number(document.querySelector('#judged').textContent.replace(',', '')) > {first + 10}")
    assert float(browser.text("#rate")) > 3
    assert browser.text("#title") == "Cell 4"
    counts = {kind: int(browser.text(f"#{kind}")) for kind in ("accept", "warn", "reject")}
    assert min(counts.values()) > 0
    assert browser.text("#share").endswith("%") and browser.text("#latency").endswith("ms")
    browser.until("document.querySelectorAll('#stages tbody tr').length === 4")
    assert {url.partition("/")[2].partition("/")[2].partition("/")[0] for url in browser.requests} == {
        f"127.0.0.1:{line.port}"
    }


def test_the_picture_is_drawn_and_its_verdict_is_above_it(page):
    browser, _ = page
    for kind, word in (("reject", "Reject"), ("warn", "Warn"), ("accept", "Accept")):
        shown = browser.until(
            f"document.querySelector('#verdict').className === 'verdict {kind}'"
            " && document.querySelector('#word').textContent"
        )
        assert word in shown
    middle = (  # of a copy, as reading the canvas itself again and again makes Chromium complain
        "(copy => (copy.drawImage(document.querySelector('#picture'), -5, -5), copy.getImageData(0, 0, 1, 1).data[0]))"
        "(new OffscreenCanvas(1, 1).getContext('2d'))"
    )
    values = set()
    for _ in range(10):
        values.add(browser.run(middle))
        time.sleep(0.2)
    assert len(values) > 3 and min(values) >= 55  # frames grow brighter one by one
    assert browser.run("document.querySelector('#picture').width") == 320


def test_the_timeline_shows_scores_and_thresholds_and_can_be_read(page):
    browser, _ = page
    browser.until(
        "['accept', 'warn', 'reject'].every((k) => document.querySelector(`#timeline .dots.${k}`)?.getAttribute('d'))"
    )
    assert browser.run("[...document.querySelectorAll('#timeline .name')].map((t) => t.textContent)") == [
        "warn 0.6",
        "reject 1",
    ]
    assert browser.box("#timeline .mark.warn")[1] > browser.box("#timeline .mark.reject")[1]
    x, y, wide, high = browser.box("#timeline")
    browser.drag(x + wide - 110, y + high / 2)
    browser.until("document.querySelector('#reading').textContent.includes(' · frame ')")
    browser.drag(5, 5)
    browser.tab_to("#timeline")
    browser.key("ArrowLeft")
    browser.key("ArrowLeft")
    assert (
        " · frame " in browser.text("#reading")
        and browser.run("document.querySelectorAll('#timeline .cursor').length") == 2
    )


@pytest.mark.parametrize("size", [(360, 740), (768, 1024), (1280, 800)])
@pytest.mark.parametrize("unit", [1.0, 1e-4])  # of scores
def test_labels_of_the_timeline_keep_apart_however_few_points_there_are(browser, make_line, patient, size, unit):
    line = make_line()
    line.dashboard.settings.limits = Limits(unit, 0.6 * unit)
    browser.size(*size)
    browser.go(line.dashboard.url)
    fed = 0
    for points in (0, 1, 2, 3, 25, 40, 55, 70, 300):
        line.feed(*(0.2 * unit,) * (points - fed))
        fed = points
        shown = f"the last {points}" if points else ""
        browser.until(
            f"document.querySelector('#judged').textContent === '{points}'"
            f" && document.querySelector('#reading').textContent === '{shown}'"
        )
        labels = browser.run(
            "[...document.querySelectorAll('#timeline text, .legend > span, #reading, #scores-title')]"
            ".filter((one) => one.textContent && one.checkVisibility()).map((one) => [one.textContent,"
            " ...(b => [b.left, b.top, b.right, b.bottom])(one.getBoundingClientRect())])"
        )
        assert labels
        x, y, wide, high = browser.box(".scores")
        for words, left, top, right, bottom in labels:
            assert x < left and right < x + wide and y < top and bottom < y + high, (points, words)
        for (one, *box), (other, *second) in itertools.combinations(labels, 2):
            apart = box[2] <= second[0] or second[2] <= box[0] or box[3] <= second[1] or second[3] <= box[1]
            assert apart, (points, one, other)
    assert browser.run("document.querySelectorAll('#timeline .time').length") == 2


def test_rejects_are_listed_and_enlarged_by_keyboard(page):
    browser, _ = page
    browser.until(
        "[...document.querySelectorAll('#gallery img')].filter((i) => i.complete && i.naturalWidth === 320).length >= 3"
    )
    browser.tab_to("#gallery button")
    browser.key("Enter")
    browser.until(
        "document.querySelector('#zoom').open && document.querySelector('#zoom-picture').naturalWidth === 320"
    )
    title = browser.text("#zoom-title")
    browser.key("ArrowRight")
    browser.until(f"document.querySelector('#zoom-title').textContent !== {title!r}")
    browser.key("Escape")
    browser.until("!document.querySelector('#zoom').open")
    assert browser.run("document.activeElement.closest('#gallery') !== null")


def test_a_threshold_is_changed_by_keyboard_alone(page):
    browser, line = page
    line.dashboard.settings.limits = Limits(1.0, 0.123456789)
    browser.until("document.querySelector('#limit-warn').value === '0.123457'")
    assert browser.run("document.querySelector('#limit-reject').disabled")
    browser.tab_to("#token")
    browser.type(TOKEN)
    browser.key("Enter")
    browser.until("!document.querySelector('#limit-reject').disabled")
    browser.run("document.activeElement.blur()")
    browser.tab_to("#limit-reject")
    browser.key("a", code=65, modifiers=2)
    browser.type("1.25")
    browser.key("Enter")
    browser.until("[...document.querySelectorAll('#timeline .name')].some((t) => t.textContent === 'reject 1.25')")
    assert line.limits == [Limits(1.25, float(np.float32(0.123456789)))]  # the field shows six digits of it
    assert "Reject from 1.25" in browser.until("document.querySelector('#events b')?.textContent")
    assert "127.0.0.1" in browser.text("#events")


def test_thresholds_that_make_no_sense_are_refused_and_can_be_undone(page):
    browser, line = page
    unlocked(browser)
    browser.ignore_network = True  # Chromium logs every answer from 400 on
    browser.run("document.querySelector('#limit-reject').focus()")
    for typed, problem in (("0.1", "above reject"), ("many", "two numbers")):
        browser.key("a", code=65, modifiers=2)
        browser.type(typed)
        browser.key("Enter")
        browser.until(f"document.querySelector('#limits-problem').textContent.includes({problem!r})")
    browser.click("#limits-reset")
    assert browser.run("document.querySelector('#limit-reject').value") == "1"
    assert line.limits == []


def test_what_is_being_typed_is_not_overwritten_by_news(page):
    browser, _ = page
    unlocked(browser)
    browser.run("document.querySelector('#limit-warn').focus()")
    browser.key("a", code=65, modifiers=2)
    browser.type("0.75")
    time.sleep(1.2)
    assert browser.run("document.querySelector('#limit-warn').value") == "0.75"


def test_a_wrong_token_changes_nothing(page):
    browser, _ = page
    browser.ignore_network = True
    unlock(browser, "not-the-token-at-all")
    browser.until("document.querySelector('#unlock-problem').textContent.includes('not the token')")
    assert browser.run("document.querySelector('#limit-reject').disabled")


def test_an_area_is_drawn_dragged_and_typed(page):
    browser, line = page
    unlocked(browser)
    browser.click("#roi-edit")
    browser.run("scrollTo(0, 0)")
    x, y, wide, high = browser.box("#area")
    for across, down in ((0.25, 0.25), (0.75, 0.25), (0.5, 0.5)):
        browser.press(x + wide * across, y + high * down)
        browser.release(x + wide * across, y + high * down)
    browser.press(x + wide * 0.5, y + high * 0.5)
    browser.drag(x + wide * 0.5, y + high * 0.75)
    browser.release(x + wide * 0.5, y + high * 0.75)
    assert browser.run("document.querySelectorAll('#roi-corners li').length") == 3
    browser.run("document.querySelector('#roi-corners li:last-child input').focus()")
    browser.key("a", code=65, modifiers=2)
    browser.type("60")
    browser.click("#roi-apply")
    browser.until("document.querySelector('#roi-words').textContent === 'A polygon with 3 corners.'")
    (polygon,) = line.rois
    for corner, wanted in zip(polygon.points, ((0.25, 0.25), (0.75, 0.25), (0.6, 0.75)), strict=True):
        assert corner == pytest.approx(wanted, abs=0.01)
    assert browser.run("document.querySelectorAll('#area .inner').length") == 1  # drawn on the live picture
    browser.click("#roi-whole")
    browser.until("document.querySelector('#roi-words').textContent === 'The whole picture.'")
    assert line.rois[1] is None


def test_an_area_to_ignore_is_drawn_beside_it_and_one_at_a_time(page):
    browser, line = page
    unlocked(browser)
    browser.click("#roi-edit")
    browser.click("#ignore-edit")
    assert browser.run(
        "document.querySelector('#roi-editor').hidden && !document.querySelector('#ignore-editor').hidden"
    )
    browser.run("scrollTo(0, 0)")
    x, y, wide, high = browser.box("#area")
    for across, down in ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75)):
        browser.press(x + wide * across, y + high * down)
        browser.release(x + wide * across, y + high * down)
    assert browser.run("document.querySelectorAll('#roi-corners li').length") == 0
    browser.click("#ignore-apply")
    browser.until("document.querySelector('#ignore-words').textContent === 'A polygon with 3 corners.'")
    (polygon,) = line.ignored
    for corner, wanted in zip(polygon.points, ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75)), strict=True):
        assert corner == pytest.approx(wanted, abs=0.01)
    assert browser.run("document.querySelectorAll('#area .ignore .inner').length") == 1 and line.rois == []
    browser.click("#ignore-whole")
    browser.until("document.querySelector('#ignore-words').textContent === 'Nothing.'")
    assert line.ignored[1] is None


def test_on_an_upright_tablet_the_picture_is_in_sight_while_an_area_is_drawn(page):
    browser, _ = page
    browser.size(768, 1024)
    unlocked(browser)
    browser.click("#ignore-edit")
    for selector in ("#frame", "#ignore-add", "#ignore-apply"):
        _, y, _, high = browser.box(selector)
        assert y >= 0 and y + high <= 1024, selector
    assert browser.box("#frame")[1] >= browser.box(".top")[3]  # not under the bar
    browser.click("#ignore-add")
    browser.click("#ignore-corners button")
    assert browser.run("document.activeElement.id") == "ignore-add"  # where the last corner's button was


def test_an_area_is_made_by_keyboard_alone(page):
    browser, line = page
    unlocked(browser)
    browser.tab_to("#roi-edit")
    browser.key("Enter")
    for _ in range(4):
        browser.tab_to("#roi-add")
        browser.key("Enter")
    browser.tab_to("#roi-apply")
    browser.key("Enter")
    browser.until("document.querySelector('#roi-words').textContent === 'A polygon with 4 corners.'")
    assert len(line.rois[0].points) == 4


def test_an_area_that_crosses_itself_is_refused_and_kept_for_correction(page):
    browser, line = page
    unlocked(browser)
    browser.ignore_network = True
    browser.click("#roi-edit")
    browser.run("scrollTo(0, 0)")
    x, y, wide, high = browser.box("#area")
    for across, down in ((0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)):
        browser.press(x + wide * across, y + high * down)
        browser.release(x + wide * across, y + high * down)
    browser.click("#roi-apply")
    browser.until("document.querySelector('#roi-problem').textContent.includes('cross')")
    assert line.rois == [] and browser.run("document.querySelectorAll('#roi-corners li').length") == 4
    browser.click("#roi-cancel")
    assert browser.run("document.querySelector('#roi-editor').hidden")


def test_a_silent_camera_is_never_shown_as_live(browser, make_line, monkeypatch):
    monkeypatch.setattr(boards, "STALE_SECONDS", (1.0, 60.0))
    line = make_line()
    browser.go(line.dashboard.url)
    browser.until("document.querySelector('#curtain').textContent.includes('Waiting for the first picture')")
    line.feed(*[0.2] * 20)
    browser.until(LIVE)
    browser.until("document.querySelector('#status').className === 'pill stale'")
    assert (
        browser.text("#word") == "Not live"
        and browser.run("document.querySelector('#verdict').className") == "verdict none"
    )
    assert "No picture for" in browser.text("#curtain") and "grayscale" in browser.run(
        "getComputedStyle(document.querySelector('#picture')).filter"
    )
    assert browser.run("document.title").startswith("Silent")
    line.feed(1.5)
    browser.until(LIVE)
    browser.until("document.querySelector('#verdict').className === 'verdict reject'")
    assert browser.run("getComputedStyle(document.querySelector('#curtain')).display") == "none"


def test_a_picture_that_does_not_come_through_is_never_shown_as_live(page):
    browser, _ = page
    browser.ignore_network = True
    browser.call("Network.setBlockedURLs", urls=["*/live.jpg*"])
    try:
        browser.until("document.querySelector('#status').textContent.includes('Picture late')")
        assert browser.text("#word") == "Not live"
    finally:
        browser.call("Network.setBlockedURLs", urls=[])
    browser.until(LIVE)


def test_a_picture_that_was_long_on_its_way_is_never_shown_as_live(browser, make_line, monkeypatch):
    """The picture takes six seconds, as over a bad network; verdicts come meanwhile."""
    line = make_line()
    develop = line.dashboard._darkroom._develop
    monkeypatch.setattr(line.dashboard._darkroom, "_develop", lambda *given: time.sleep(6) or develop(*given))
    feeder = Feeder(line)
    try:
        browser.go(line.dashboard.url)
        browser.run(
            "globalThis.ages = []; setInterval(() => { if (document.querySelector('#status').className === 'pill live'"
            " && document.querySelector('#where').textContent) ages.push(performance.now()); }, 50)"
        )
        browser.until("document.querySelector('#where').textContent", 20)
        time.sleep(0.5)
        assert browser.run("ages") == [] and browser.text("#word") == "Not live"
    finally:
        feeder.stop()


def test_a_page_that_was_hidden_shows_nothing_old_as_live(page):
    browser, _ = page
    hide = (
        "(hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); })"
    )
    browser.run(f"{hide}(true)")
    browser.until("document.querySelector('#status').textContent === 'Paused'")
    assert browser.text("#word") == "Not live" and browser.run("document.title").startswith("Paused")
    time.sleep(1)  # what was under way has ended
    browser.run("1")  # reads what the browser has told
    browser.requests.clear()
    time.sleep(3)
    browser.run("1")
    assert browser.requests == []  # nothing is asked for while nobody looks
    browser.ignore_network = True
    browser.call("Network.setBlockedURLs", urls=["*/live.jpg*"])
    try:
        browser.run(f"{hide}(false)")
        browser.until("document.querySelector('#status').textContent === 'Picture late'")
        for _ in range(10):
            assert browser.text("#word") == "Not live"
            time.sleep(0.1)
    finally:
        browser.call("Network.setBlockedURLs", urls=[])
    browser.until(LIVE)


def test_what_is_read_out_is_written_when_it_changes_and_only_then(browser, make_line, monkeypatch):
    """Screen readers read out every text that is set: once for a camera that falls silent, not once a second."""
    monkeypatch.setattr(boards, "STALE_SECONDS", (1.0, 60.0))
    line = make_line()
    line.feed(0.2)
    browser.go(line.dashboard.url)
    browser.until(f"{LIVE} && document.querySelector('#word').textContent === '✓ Accept'")
    assert browser.run("[...document.querySelectorAll('[role=status]')].map((one) => one.id)") == [
        "status",
        "word",
        "health-words",
    ]
    browser.run(
        "globalThis.spoken = []; for (const one of document.querySelectorAll('[role=status]')) new MutationObserver("
        "() => spoken.push(one.textContent)).observe(one, { childList: true, characterData: true, subtree: true })"
    )
    browser.until("document.querySelector('#status').className === 'pill stale'")
    time.sleep(2.5)
    assert sorted(browser.run("spoken")) == ["Camera is silent", "Not live", "Silent"]
    browser.run("spoken.length = 0")
    line.feed(0.2, 0.2, 0.2, 0.2, 0.2)
    browser.until(LIVE)
    time.sleep(0.5)
    assert sorted(browser.run("spoken")) == ["", "Live", "✓ Accept"]
    assert browser.run("document.querySelector('#reading').getAttribute('aria-live')") == "off"  # it counts
    browser.tab_to("#timeline")
    browser.key("ArrowLeft")
    assert browser.run("document.querySelector('#reading').getAttribute('aria-live')") == "polite"


def test_it_says_so_when_the_server_is_gone_and_goes_on_with_the_next(browser, patient):
    browser.ignore_network = True
    first = open_line()
    port = first.port
    first.feed(0.2, 1.5)
    browser.go(first.dashboard.url)
    browser.until(LIVE)
    unlocked(browser)
    first.dashboard.close()
    browser.until("document.querySelector('#status').className === 'pill cut'")
    assert "Not connected for" in browser.text("#curtain")
    assert browser.text("#word") in ("Not live", "No verdict yet")  # whatever was read last: no verdict
    second = open_line(f"127.0.0.1:{port}")
    try:
        second.feed(0.7)
        browser.until(LIVE)
        browser.until("document.querySelector('#judged').textContent === '1'")  # nothing of the run before
        browser.until("document.querySelector('#reading').textContent === 'the last 1'")
        browser.until("document.querySelector('#gallery').textContent.includes('No part was rejected')")
        assert browser.run("!document.querySelector('#limits-apply').hidden")  # the same token: still logged in
        assert browser.errors == []
    finally:
        second.dashboard.close()


def test_where_others_can_reach_it_one_logs_in_first(browser, make_line, patient):
    line = make_line("0.0.0.0:0")
    line.feed(0.2)
    browser.ignore_network = True  # a 401 answers the first token
    browser.go(line.dashboard.url)
    browser.until("location.pathname === '/login' && document.activeElement.id === 'token'")
    browser.type("wrong-token-entirely")
    browser.key("Enter")
    browser.until("document.querySelector('.problem')?.textContent === 'This is not the token.'")
    browser.until("document.activeElement.id === 'token'")
    browser.type(TOKEN)
    browser.key("Enter")
    browser.until(LIVE)
    assert browser.run("document.cookie") == ""  # out of reach for scripts
    browser.click("#logout")
    browser.until("location.pathname === '/login'")
    browser.go(line.dashboard.url)
    browser.until("location.pathname === '/login'")
    assert browser.errors == []


def test_cameras_are_chosen(browser, make_line, patient):
    line = make_line(cameras=("cam-a", "cam-b"))
    line.feed(0.2, 0.2, 0.2, source="cam-a")
    line.feed(1.5, source="cam-b")
    browser.go(line.dashboard.url)
    browser.until("document.querySelector('#judged').textContent === '3'")
    browser.click("#cameras button:last-child")
    browser.until("document.querySelector('#judged').textContent === '1'")
    browser.until("document.querySelector('#verdict').className === 'verdict reject'")
    assert "cam-b" in browser.text("#where")
    assert browser.run("document.querySelectorAll('#health li').length") == 2


def test_a_sink_that_is_away_is_told(browser, make_line, patient):
    line, summary = make_line(), Summary()
    line.dashboard.watch(lambda: summary)
    line.feed(0.2)
    browser.go(line.dashboard.url)
    browser.until(LIVE)
    assert browser.text("#health-words") == ""
    summary.spooled, summary.troubles = 1234, {"mqtt://broker/line": "has taken nothing for 11 s <b>"}
    browser.until("document.querySelector('#health-words').textContent === 'mqtt://broker/line takes no records'")
    assert "has taken nothing for 11 s <b>" in browser.text("#health li:has(i.bad)")
    assert "1,234 records" in browser.text("#health li:has(i.low)")
    summary.spooled, summary.troubles = 0, {}
    browser.until("document.querySelector('#health-words').textContent === ''")


def test_the_next_run_has_other_cameras(browser, patient):
    browser.ignore_network = True
    first = open_line(cameras=("cam-a", "cam-b"))
    first.feed(0.2, source="cam-b")
    browser.go(first.dashboard.url)
    browser.until("document.querySelectorAll('#cameras button').length === 2")
    browser.click("#cameras button:last-child")
    browser.until("document.querySelector('#judged').textContent === '1'")
    port = first.port
    first.dashboard.close()
    second = open_line(f"127.0.0.1:{port}", cameras=("cam-c", "cam-d"))
    names = "[...document.querySelectorAll('#cameras button')].map((one) => one.textContent).join()"
    pressed = "document.querySelector('#cameras [aria-pressed=true]').textContent"
    try:
        browser.until(f"{names} === 'cam-c,cam-d' && {pressed} === 'cam-d'")
    finally:
        second.dashboard.close()
    third = open_line(f"127.0.0.1:{port}", cameras=("cam-e",))
    try:
        browser.until("document.querySelector('#cameras').hidden")
        assert browser.run(pressed) == "cam-e"  # it was the second one
    finally:
        third.dashboard.close()


def test_names_from_outside_are_text_and_never_markup(browser, make_line, patient):
    evil = "<img src=x onerror=alert(1)>"
    line = make_line(cameras=(evil, f"{evil}2"), title=evil, files=[Path(f"/tmp/{evil.replace('/', '')}.db")])
    line.feed(1.5, 0.2, source=evil)
    line.lose(evil)
    browser.go(line.dashboard.url)
    browser.until(LIVE)
    browser.until("document.querySelectorAll('#gallery img').length === 1")
    assert browser.text("#title") == evil and evil in browser.text("#events") and evil in browser.text("#cameras")
    assert browser.run("document.querySelectorAll('[onerror]').length") == 0
    assert browser.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(page, scheme):
    browser, line = page
    browser.scheme(scheme)
    seen, lowest = set(), 21.0

    def check() -> None:
        nonlocal lowest
        found = browser.run(CONTRAST)
        assert found["bad"] == [] and found["count"] > 40
        lowest = min(lowest, found["lowest"])

    until = time.monotonic() + 15
    while len(seen) < 3 and time.monotonic() < until:  # each verdict has its own colours
        seen.add(browser.run("document.querySelector('#verdict').className"))
        check()
    assert len(seen) == 3
    unlocked(browser)
    line.lose()
    browser.click("#roi-edit")
    browser.click("#roi-add")
    check()
    browser.click("#roi-cancel")
    browser.until("document.querySelector('#gallery button img')")
    browser.click("#gallery button")
    check()
    browser.key("Escape")
    assert lowest < 21


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_stale_and_the_login_page_have_contrast(browser, make_line, scheme, monkeypatch):
    monkeypatch.setattr(boards, "STALE_SECONDS", (1.0, 60.0))
    line = make_line("0.0.0.0:0")
    line.feed(0.2, 0.2)
    browser.scheme(scheme)
    browser.ignore_network = True
    browser.go(line.dashboard.url)
    browser.until("location.pathname === '/login' && document.activeElement.id === 'token'")
    assert browser.run(CONTRAST)["bad"] == []
    browser.type(TOKEN)
    browser.key("Enter")
    browser.until("document.querySelector('#status')?.className === 'pill stale'")
    assert browser.run(CONTRAST)["bad"] == []
    line.dashboard.close()
    browser.until("document.querySelector('#status').className === 'pill cut'")
    assert browser.run(CONTRAST)["bad"] == []


@pytest.mark.parametrize(
    "size",
    [(1180, 820), (820, 1180), (1366, 1024), (390, 844), (1920, 1080), (360, 740), (768, 1024), (1024, 768)],
)
def test_nothing_runs_over_the_edge_and_fingers_find_their_targets(page, size):
    browser, _ = page
    browser.size(*size)
    unlocked(browser)
    browser.until("document.querySelector('#gallery button img')")
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    browser.click("#roi-edit")
    browser.key("Enter")  # a corner, and what changes it
    small = (
        "[...document.querySelectorAll('button, input')].filter((one) => one.checkVisibility()"
        " && Math.min(one.getBoundingClientRect().height, one.getBoundingClientRect().width) < 44).map((one) => one.id)"
    )
    assert browser.run(small) == [] and browser.run("document.querySelectorAll('#roi-corners input').length") == 2
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    browser.click("#roi-cancel")
    _, _, wide, high = browser.box("#frame")
    assert wide / high == pytest.approx(4 / 3, rel=0.02)
    if folder := os.environ.get("EDGEAD_SCREENSHOTS"):
        browser.picture(Path(folder) / f"page-{size[0]}.png")


def test_everything_that_can_be_done_is_reached_with_the_tab_key(page):
    browser, _ = page
    unlocked(browser)
    browser.run("document.querySelector('.skip').focus()")
    focused = "(one => one.id || one.parentElement.parentElement?.id || one.tagName)(document.activeElement)"
    reached = []
    for _ in range(80):
        browser.key("Tab")
        reached.append(browser.run(focused))
        if reached[-1] == "BODY":
            break
        style = "getComputedStyle(document.activeElement)"
        assert browser.run(f"{style}.outlineStyle === 'solid' && parseFloat({style}.outlineWidth)") >= 3, reached
    assert {"logout", "limit-warn", "limit-reject", "roi-edit", "timeline", "gallery"} <= set(reached)


def test_a_very_high_score_does_not_flatten_the_others(browser, make_line, patient):
    line = make_line()
    line.feed(0.2, 0.7, 1.2)
    browser.go(line.dashboard.url)
    browser.until("document.querySelector('#reading').textContent === 'the last 3'")
    assert browser.run("document.querySelector('#beyond').hidden")
    line.feed(500.0)
    browser.until("!document.querySelector('#beyond').hidden")
    reject, warn = (browser.box(f"#timeline .mark.{kind}")[1] for kind in ("reject", "warn"))
    assert warn - reject > 15
    browser.tab_to("#timeline")
    browser.key("End")
    assert browser.text("#reading").startswith("500 reject")  # the true score
