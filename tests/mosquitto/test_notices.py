"""The notices to systemd, taken from real sockets: by path, by abstract name, dead, and full."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mqtt_ids.service.notices import LONGEST, Notices

US = str(os.getpid())


class Systemd:
    """Listens where NOTIFY_SOCKET points."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = "\0" + address[1:] if address[0] == "@" else address
        self._socket.bind(self.name)
        self._socket.settimeout(0)  # what was sent is there at once

    def heard(self) -> list[bytes]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096))
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    # An abstract name has no folder: the process's number keeps two runs apart.
    address = f"@mqtt-ids-test-{US}" if request.param == "abstract" else str(tmp_path / "notify")
    listener = Systemd(address)
    yield listener
    listener.close()


def notices(address: str, **environ: str) -> Notices:
    return Notices.from_environment({"NOTIFY_SOCKET": address, **environ})


def test_each_notice_is_one_datagram(systemd: Systemd) -> None:
    ours = notices(systemd.address)
    ours.ready()
    ours.status("watching 12 clients")
    ours.alive()
    ours.stopping()
    assert systemd.heard() == [
        b"READY=1",
        b"STATUS=watching 12 clients",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_the_variables_are_gone_for_children(systemd: Systemd) -> None:
    environ = {
        "NOTIFY_SOCKET": systemd.address,
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": US,
        "HOME": "/",
    }
    assert Notices.from_environment(environ).every == 15.0
    assert environ == {"HOME": "/"}


def test_the_environment_is_the_process_s_own_unless_told(systemd: Systemd) -> None:
    script = (
        "import os\n"
        "from mqtt_ids.service.notices import Notices\n"
        "Notices.from_environment().ready()\n"
        "assert os.system('test -z \"$NOTIFY_SOCKET\"') == 0"
    )
    environ = {**os.environ, "NOTIFY_SOCKET": systemd.address}
    subprocess.run([sys.executable, "-c", script], check=True, env=environ, timeout=60)
    assert systemd.heard() == [b"READY=1"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_nobody_asked(address: str) -> None:
    ours = notices(address, WATCHDOG_USEC="30000000")
    assert ours.every is None
    ours.ready()
    ours.status("to nobody")


def test_without_the_variable_nothing_happens() -> None:
    ours = Notices.from_environment({"WATCHDOG_USEC": "30000000"})
    assert ours.every is None
    ours.alive()


@pytest.mark.parametrize(
    ("watchdog", "every"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": US}, 15.0),
        ({"WATCHDOG_USEC": "500000"}, 0.25),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_when_the_watchdog_wants_to_hear(watchdog: dict[str, str], every: float | None) -> None:
    assert notices("/nowhere", **watchdog).every == every


def test_a_status_cannot_carry_another_notice(systemd: Systemd) -> None:
    ours = notices(systemd.address)
    ours.status("client a\nMAINPID=1\r\x1b[2J\u2028b\udcff " + "é" * 5000)
    (message,) = systemd.heard()
    assert message.startswith("STATUS=client a MAINPID=1 [2J b é".encode())
    assert len(message.decode().removeprefix("STATUS=")) == LONGEST


def test_a_dead_socket_harms_nobody_and_hears_it_all_once_it_lives(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    Systemd(address).close()  # the file stays, nobody listens
    ours = notices(address)
    ours.ready()
    ours.status("first")
    ours.status("second")
    Path(address).unlink()
    ours.alive()
    systemd = Systemd(address)
    assert systemd.heard() == []
    ours.alive()
    ours.alive()
    assert systemd.heard() == [b"READY=1\nSTATUS=second\nWATCHDOG=1", b"WATCHDOG=1"]
    systemd.close()


@pytest.mark.timeout(20)  # it would hang if it waited
def test_a_full_socket_is_not_waited_for(systemd: Systemd) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        other.connect(systemd.name)
        with suppress(BlockingIOError):
            while True:
                other.send(b"STATUS=x")
    ours = notices(systemd.address)
    ours.ready()
    assert b"READY=1" not in systemd.heard()
    ours.alive()
    assert systemd.heard() == [b"READY=1\nWATCHDOG=1"]


def test_a_name_that_no_socket_can_have_is_no_error() -> None:
    ours = notices("/" + "x" * 300)
    ours.ready()
    assert ours.every is None
