"""Two hundred connections that never come to the end of their CONNECT: the home goes on.

They drip a byte now and then, half of them after a third of a megabyte, and come back when they are
closed. Nothing is done against them here (observe mode) but that what they hold is bounded.
"""

import contextlib
import logging
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, Self

import pytest
from bridge_home import Home, at_home
from live_attacks import WELCOME, alarms, alerts
from live_broker import forget_peak, until
from live_home import FAMILY, LISTENER, password, residents
from live_tools import Listener, Raw, Stage, Told
from mosquitto_broker import needs_mosquitto

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Actor, Clock, Connect, Drop, Lost, Open, Script, Send

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto]

log = logging.getLogger(__name__)

HOLDERS: Final = 200
PLACES: Final = 80  # connections that are served at once
CONNECT_WITHIN: Final = 4.0  # seconds
HOLDS: Final = 6.0  # seconds before a newcomer comes
NEWCOMERS: Final = 10
TRIES: Final = 5
LET_IN_WITHIN: Final = 2.0  # seconds
UNFINISHED: Final = wire.packet(0x10, wire.text("MQTT") + bytes(350_000))[:-1000]
MOST_GROWTH: Final = 16.0 + 14.0  # MB: what is held of unfinished CONNECTs, and all that is with it
MOST: Final = 130.0  # MB
ATTACKERS: Final = ("127.0.4.1", "127.0.4.2")  # with a few bytes, and with many
NEWCOMERS_AT: Final = "127.0.4.9"


def holder(number: int) -> Actor:
    """Half a CONNECT, then a byte now and then; again where that is ended."""
    many = number % 2
    begun, rest = (UNFINISHED, b"\0") if many else (UNFINISHED[:5], b"M")

    def script(_: Clock, rng: random.Random) -> Script:
        while True:
            if (yield Open()) is None:
                yield Send(begun)
                while type((yield rng.uniform(0.5, 1.0))) is not Lost:
                    yield Send(rest)
            yield Drop()
            yield rng.uniform(1.0, 3.0)

    name = f"holder-{number}"
    start = 2.0 * number / HOLDERS
    return Actor(name=name, address=ATTACKERS[many], script=script, seed=name, start=start)


class Files:
    """How many files the agent has open, again and again, from a thread."""

    def __init__(self, pid: int) -> None:
        self.counts: list[int] = []
        self._folder = Path(f"/proc/{pid}/fd")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    @property
    def now(self) -> int:
        return sum(1 for _ in self._folder.iterdir())

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.counts.append(self.now)


class Siege(NamedTuple):
    """What was seen of it. `before` is when the home was there alone."""

    lost: list[str]
    listener_connections: int
    newcomers: list[float]  # seconds until each was let in
    stayed: int  # newcomers that were there in the end
    files: list[int]
    files_before: int
    files_after: int
    memory_before: float  # MB
    memory: float  # at its peak
    dripped: float  # seconds until one that drips alone was closed
    alerts: list[Told]
    told: str
    errors: int


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    settings = {
        "limits": {"max_clients": PLACES},
        "inline": {"connect_within": f"{CONNECT_WITHIN:g}s"},
    }
    with at_home(tmp_path_factory.mktemp("bridge"), **settings) as home:
        yield play(home)


def play(home: Home) -> Siege:
    port, agent = home.port, home.agent
    lost: list[str] = []
    with (
        ExitStack() as here,
        Listener(port, (LISTENER, password(LISTENER))) as ear,
        Files(agent.pid) as files,
        Stage(port) as stage,
    ):
        stage.play(residents(lost.append))
        dripped = drip(port)
        before, files_before = agent.memory("VmRSS"), files.now
        forget_peak(agent.pid)
        files.counts.clear()
        holding = stage.play(map(holder, range(HOLDERS)))
        time.sleep(HOLDS)
        newcomers, times = [], []
        for number in range(NEWCOMERS):
            began = time.monotonic()
            newcomers.append(here.enter_context(come(port, number)))
            times.append(time.monotonic() - began)
        counts, peak = list(files.counts), agent.memory("VmHWM")
        stayed = sum(is_there(raw) for raw in newcomers)
        holding.stop()
        most = files_before + 2 * NEWCOMERS
        until(lambda: files.now <= most, 5.0)
        files_after = files.now
        status = agent.status()
        lost_by_then, connections = list(lost), ear.connections
    return Siege(
        lost=lost_by_then,
        listener_connections=connections,
        newcomers=times,
        stayed=stayed,
        files=counts,
        files_before=files_before,
        files_after=files_after,
        memory_before=before,
        memory=peak,
        dripped=dripped,
        alerts=alerts(ear),
        told=agent.told,
        errors=status["errors"],
    )


def drip(port: int) -> float:
    """Seconds after which one is closed that sends a byte of its CONNECT each 0.3 s."""
    began = time.monotonic()
    packet = wire.connect(Connect("drip", FAMILY, password(FAMILY)))
    with Raw(port, ATTACKERS[0]) as raw:
        for byte in packet[:-1]:
            raw.send(bytes((byte,)))
            if raw.is_closed(0.3):
                break
    return time.monotonic() - began


def come(port: int, number: int) -> Raw:
    """One that is let in, at its first try or, as clients do, at a later one."""
    packet = wire.connect(Connect(f"new-{number}", FAMILY, password(FAMILY)))
    for _ in range(TRIES):
        raw = Raw(port, NEWCOMERS_AT)
        with contextlib.suppress(ConnectionError):  # closed already
            raw.send(packet)
        if raw.receive(4) == WELCOME:
            return raw
        raw.close()
    raise AssertionError(f"not let in, {TRIES} times")


def is_there(raw: Raw) -> bool:
    raw.send(b"\xc0\x00")  # PINGREQ
    return raw.receive(2) == b"\xd0\x00"


def test_who_lives_there_does_not_notice(siege: Siege) -> None:
    assert siege.lost == []
    assert siege.listener_connections == 1


def test_newcomers_are_let_in(siege: Siege) -> None:
    log.info("let in after at most %.3f s", max(siege.newcomers))
    assert max(siege.newcomers) <= LET_IN_WITHIN
    assert siege.stayed == NEWCOMERS


def test_connections_are_bounded(siege: Siege) -> None:
    """Each place is a file, and another one to the broker; some are about to be closed."""
    log.info(
        "files: %d before, at most %d, %d after",
        siege.files_before,
        max(siege.files),
        siege.files_after,
    )
    usual = statistics.quantiles(siege.files, n=20)[-1]  # but for moments
    assert usual > siege.files_before + PLACES / 2, "nobody was held"
    assert usual <= siege.files_before + PLACES + NEWCOMERS
    assert siege.files_after <= siege.files_before + 2 * NEWCOMERS


def test_memory_is_bounded(siege: Siege) -> None:
    log.info("memory: %.1f MB before, %.1f MB at its peak", siege.memory_before, siege.memory)
    assert siege.memory - siege.memory_before <= MOST_GROWTH
    assert siege.memory <= MOST


def test_to_drip_buys_no_time(siege: Siege) -> None:
    assert CONNECT_WITHIN <= siege.dripped <= CONNECT_WITHIN + 2.0


def test_it_is_told(siege: Siege) -> None:
    told = alarms(siege.alerts)
    assert {one.alert["address"] for one in told} == {*ATTACKERS}
    # Each half CONNECT that is cut off is a broken packet, too.
    assert {one.alert["attack"] for one in told} <= {"slowite", "malformed"}


def test_the_log_is_bounded(siege: Siege) -> None:
    assert len(siege.told.splitlines()) <= 20, siege.told
    assert siege.errors == 0
