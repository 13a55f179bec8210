"""What systemd hears: on a real datagram socket, in the words of its protocol."""

from __future__ import annotations

import errno
import os
import socket
import time

import pytest

from edgead.service.notify import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A listening socket, and the environment that a service finds."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgead-{os.getpid()}-{tmp_path.name}"
    listener.bind(name if request.param == "path" else "\0" + name[1:])
    listener.settimeout(1)
    with listener:
        yield listener, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": str(os.getpid())}


def heard(listener):
    found = []
    listener.setblocking(False)
    try:
        while True:
            found.append(listener.recv(4096).decode())
    except BlockingIOError:
        return found


def test_a_service_is_ready_alive_and_stopping(manager):
    listener, environment = manager
    service = ServiceManager(environment)
    service.ready("watching\n2 cameras")
    service.alive()
    service.reloading()
    service.stopping("bye")
    ready, alive, reloading, stopping = heard(listener)
    assert ready == "READY=1\nSTATUS=watching 2 cameras"
    assert alive == "WATCHDOG=1"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert abs(int(reloading.rpartition("=")[2]) - time.monotonic_ns() // 1000) < 10_000_000
    assert stopping == "STOPPING=1\nSTATUS=bye"


def test_a_thread_that_works_may_say_so_as_often_as_it_likes(manager):
    listener, environment = manager
    service = ServiceManager(environment)
    began = time.monotonic()
    found = []
    while len(found) < 4 and time.monotonic() - began < 20:
        service.alive()
        found += heard(listener)
    assert found == ["WATCHDOG=1"] * 4
    assert time.monotonic() - began > 0.3  # every tenth of a second, where 0.4 s of silence would end it


def test_what_fails_once_is_tried_again(manager, monkeypatch):
    """A process without a free descriptor for a moment is not to be killed for silence later."""
    listener, environment = manager
    service = ServiceManager(environment)

    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as now:
        now.setattr(socket, "socket", none_left)
        service.ready()
    service.alive()
    assert heard(listener) == ["WATCHDOG=1"]


@pytest.mark.parametrize("changes", [{"WATCHDOG_USEC": "soon"}, {"WATCHDOG_PID": "1"}])
def test_where_no_watchdog_waits_none_is_told(manager, changes):
    listener, environment = manager
    service = ServiceManager({**environment, **changes})
    service.alive()
    service.ready()
    assert heard(listener) == ["READY=1"]


def test_without_a_manager_and_with_one_that_left_nothing_happens(manager, tmp_path):
    listener, environment = manager
    for found in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nowhere")}):
        ServiceManager(found).ready()
    service = ServiceManager(environment)
    listener.close()
    service.ready()
    service.alive()


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4"})
    begin = time.monotonic()
    for _ in range(2000):
        manager.alive()
    assert time.monotonic() - begin < 10
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            assert listener.recv(100) == b"WATCHDOG=1"
    manager.ready()
    assert listener.recv(100) == b"READY=1"
    listener.close()
