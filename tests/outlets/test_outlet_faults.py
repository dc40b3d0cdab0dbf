"""Every outlet in trouble at once, in a real broker: detection and the broker do not notice.

The disk of the exported alerts is full, Prometheus scrapes a hundred times a second, and a crowd
connects to the metrics to say nothing, or to read nothing. The home lives, and is attacked.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from live_broker import Broker, free_port, until
from live_home import ATTACKS, LISTENER, logins, password, residents
from live_tools import MARKER, SCHEMA, Listener, Stage, Told
from outlet_tools import HOST, fill, needs_mount, numbers, scrape, small_disk

from mqtt_ids.readers import HostPort

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mount]

WARM_UP = 8.0  # seconds of calm, with all the trouble
GOES_ON = 4.0  # seconds that the attack goes on after it was told
LATE = 4.0  # seconds that we wait longer than is allowed, to tell late from never
SCRAPES = 100  # a second
MUTE = 40  # connections that say half a request and never read
WITHIN = 30.0  # seconds
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class Storm(threading.Thread):
    """Scrapes again and again, each time over a new connection."""

    def __init__(self, at: HostPort) -> None:
        super().__init__(daemon=True)
        self.answered: list[bytes] = []
        self.tried = 0
        self._at = at
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(1 / SCRAPES):
            self.tried += 1
            with contextlib.suppress(OSError):
                self.answered.append(self._scrape())
            del self.answered[:-1000]

    def _scrape(self) -> bytes:
        with socket.create_connection(self._at, 5.0) as connection:
            connection.sendall(REQUEST)
            data = b""
            while more := connection.recv(65_536):
                data += more
            return data

    def end(self) -> None:
        self._over.set()
        self.join(WITHIN)


class Crowd(threading.Thread):
    """Connections that say half a request, or a whole one without reading; made anew once cut."""

    def __init__(self, at: HostPort) -> None:
        super().__init__(daemon=True)
        self._at = at
        self._over = threading.Event()

    def run(self) -> None:
        held: list[socket.socket] = []
        while not self._over.wait(0.05):
            with contextlib.suppress(OSError):
                one = socket.create_connection(self._at, 1.0)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.sendall(REQUEST if len(held) % 2 else REQUEST[:10])
                held.append(one)
            if len(held) > MUTE:
                held.pop(0).close()
        for one in held:
            one.close()

    def end(self) -> None:
        self._over.set()
        self.join(WITHIN)


class Evening(NamedTuple):
    began: float
    alarms: list[Told]
    alerts: list[dict[str, Any]]
    lost: list[str]
    calm: dict[str, Any]  # the status before the attack
    status: dict[str, Any]  # the status after it
    mended: dict[str, Any]  # the status after the disk was emptied
    growth: float  # MB
    tried: int
    answered: list[bytes]
    text: str
    file: bytes
    log: str


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("faults")
    at = HostPort(HOST, free_port())
    with small_disk(folder / "disk", 256) as disk:
        file = disk / "alerts.jsonl"
        with Broker(folder, logins(), export={"file": str(file)}, metrics=str(at)) as broker:
            yield play(broker, at, file)


def play(broker: Broker, at: HostPort, file: Path) -> Evening:
    lost: list[str] = []
    filler = fill(file.parent)
    kind = ATTACKS["flood"]
    storm, crowd = Storm(at), Crowd(at)
    with Listener(broker.port, (LISTENER, password(LISTENER))) as ear, Stage(broker.port) as stage:
        storm.start()
        crowd.start()
        stage.play(residents(lost.append))
        time.sleep(WARM_UP)
        calm, before = broker.told(), broker.memory("VmRSS")
        attack = stage.play(kind.actors(kind.address))
        until(lambda: ear.alarms(kind.address), kind.limit + LATE)
        time.sleep(GOES_ON)
        attack.stop()
        status, growth = broker.told(), broker.memory("VmRSS") - before
        storm.end()
        crowd.end()
        lost_by_then = list(lost)
        filler.unlink()
        until(lambda: broker.told()["unwritten"] == 0, WITHIN, failing="never written")
        mended, text = broker.told(), scrape(at)[1]
        alarms, alerts = ear.alarms(kind.address), [told.alert for told in ear.alerts()]
    assert attack.began is not None
    broker.stop()
    return Evening(
        attack.began,
        alarms,
        alerts,
        lost_by_then,
        calm,
        status,
        mended,
        growth,
        storm.tried,
        storm.answered,
        text,
        file.read_bytes(),
        broker.log.read_text(encoding="utf-8"),
    )


def test_the_trouble_was_there(evening: Evening) -> None:
    assert evening.tried >= 300
    assert len(evening.answered) >= 100
    assert evening.status["unwritten"] > 0


def test_the_attack_is_told_in_time_and_rightly_named(evening: Evening) -> None:
    assert evening.alarms, "it was never told"
    first = evening.alarms[0]
    assert first.at - evening.began <= ATTACKS["flood"].limit
    assert first.alert["attack"] == ATTACKS["flood"].name


def test_nobody_loses_its_connection(evening: Evening) -> None:
    assert evening.lost == []
    assert evening.status["clients"] >= evening.calm["clients"] >= 12


def test_detection_keeps_up_and_memory_does_not_grow(evening: Evening) -> None:
    for status in (evening.calm, evening.status, evening.mended):
        assert (status["lag"] < 2.0, status["skipped"], status["errors"]) == (True, 0, 0)
    assert evening.growth < 10.0


def test_who_scrapes_gets_whole_answers(evening: Evening) -> None:
    for answer in evening.answered[-200:]:
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        assert int(length.split()[1]) == len(body)
        assert numbers(body.decode())["mqtt_ids_clients"] >= 0


def test_once_the_disk_has_room_each_alert_is_there(evening: Evening) -> None:
    written = [json.loads(line) for line in evening.file.splitlines()]
    for one in written:
        SCHEMA.validate(one)
    opened = {one["id"] for one in evening.alerts if one["state"] == "open"}
    assert opened
    assert opened <= {one["id"] for one in written if one["state"] == "open"}


def test_each_trouble_is_one_line_in_the_log(evening: Evening) -> None:
    lines = [line for line in evening.log.splitlines() if "alerts.jsonl" in line]
    refused, again = lines
    assert "cannot be written: No space left on device" in refused
    assert "is written again; 0 alerts are lost" in again
    assert "Traceback" not in evening.log


def test_no_payload_and_no_password_is_in_any_outlet(evening: Evening) -> None:
    assert evening.file
    assert MARKER not in evening.file.decode()
    assert MARKER not in evening.text
    assert MARKER not in evening.log
    assert "process_resident_memory_bytes" in evening.text
