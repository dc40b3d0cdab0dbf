"""What may go wrong around a running agent: told in one line, and mended without a restart."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto, passwords
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from relay import Relay
from sidecar_tools import Agent

from mqtt_ids import control
from mqtt_ids import events as ev
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish
from mqtt_ids.sensors.mosquitto.reader import Reader

pytestmark = [pytest.mark.broker, pytest.mark.slow, needs_mosquitto]

WITHIN = 30.0  # seconds
SLOWLY = 100.0  # seconds for what is tried again once a minute
ANYBODY = "allow_anonymous true"
TOPICS = "log_dest topic"
AWAY = ("connection refused", "refuses connections", "is lost", "closes the connection")
BLIND = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
NOBODY = 65_534  # a user whom files may belong to
SMALL = 1024  # kB of a disk that is soon full


def can(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not can(*BLIND, "true"), reason="needs root, and setpriv"
)
can_mount = os.geteuid() == 0 and can("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt")


class Phone:
    """Hears all that is said on `$ids/#`, in its order."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "phone")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("$ids/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _u, m: self.heard.append(
            (m.topic, bytes(m.payload), m.retain)
        )
        self._client.connect(HOST, port)
        self._client.loop_start()
        assert self._ready.wait(WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def status(self) -> list[bytes]:
        """What the agent says of itself, each change once."""
        told = [payload for topic, payload, _ in list(self.heard) if topic == "$ids/status"]
        return [each for n, each in enumerate(told) if told[n - 1 : n] != [each]]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(data) for topic, data, _ in list(self.heard) if topic == "$ids/alerts"]

    def wait_for(self, *status: bytes) -> None:
        found = until(lambda: tuple(self.status[-len(status) :]) == status, WITHIN)
        assert found, f"{status} was not said: {self.status}"


class Sender:
    """A client that publishes at quality of service 1 and counts what the broker has taken."""

    def __init__(self, port: int, name: str) -> None:
        self.taken = 0
        self._socket = socket.create_connection((HOST, port), WITHIN)
        self._socket.sendall(wire.connect(Connect(name)))
        assert self._socket.recv(4) == bytes.fromhex("20020000")
        threading.Thread(target=self._count, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _count(self) -> None:
        acknowledged = 0
        try:
            while data := self._socket.recv(65_536):
                acknowledged += len(data)
                self.taken = acknowledged // 4
        except OSError:
            pass

    def publish(self, count: int, topic: str = "home/sender/state") -> None:
        """Returns when the broker has taken them."""
        due = self.taken + count
        self._socket.sendall(wire.publish(Publish(topic, 5, qos=1), 7) * count)
        until(lambda: self.taken >= due, WITHIN, failing=f"{self.taken} of {due} were taken")

    def publish_all(self, times: int, count: int) -> None:
        for _ in range(times):
            self.publish(count)

    def publish_calmly(self, count: int, topic: str) -> None:
        for _ in range(count):
            self.publish(1, topic)
            time.sleep(0.05)

    def leave(self) -> None:
        self._socket.sendall(b"\xe0\x00")


def events(agent: Agent) -> int:
    return int(agent.status().get("events", -1))


def settled(agent: Agent) -> int:
    """How many events it has counted, once nothing more comes."""
    seen = [events(agent)]

    def quiet() -> bool:
        time.sleep(0.5)
        seen.append(events(agent))
        return seen[-4:] == [seen[-1]] * 4

    until(quiet, WITHIN, failing=f"never quiet: {seen}")
    return seen[-1]


def clients(agent: Agent) -> dict[str, bool]:
    """Whom it knows, and whether they are connected."""
    return {one["client_id"]: one["connected"] for one in agent.ask(control.Clients())}


def wait_for(agent: Agent, what: Callable[[], object], failing: str) -> None:
    until(what, WITHIN, failing=f"{failing}:\n{agent.told}")


def said(agent: Agent, *words: str) -> list[str]:
    """The lines with one of these words; each matter is to be told once."""
    return [line for line in agent.told.splitlines() if any(each in line for each in words)]


def is_ours(name: str) -> bool:
    return name.startswith("mqtt-ids-")


# --- what takes a minute goes on meanwhile -------------------------------------------------------


class Swallowed(NamedTuple):
    status: list[bytes]
    told: list[str]


def swallowed(folder: Path) -> Swallowed:
    """The network takes all and gives nothing; later it is there again."""
    with (
        Mosquitto(folder, ANYBODY) as broker,
        Relay(broker.port) as relay,
        Agent(folder / "agent", relay.url) as agent,
        Phone(broker.port) as phone,
    ):
        agent.wait_for("connected to")
        phone.wait_for(b"online")
        relay.swallow()
        until(lambda: phone.status[-1] == b"offline", SLOWLY, failing="no will")
        until(lambda: len(said(agent, "is lost")) == 1, SLOWLY, failing=agent.told)
        relay.mend()
        until(lambda: phone.status[-1] == b"online", SLOWLY, failing="not back")
        return Swallowed(phone.status, said(agent, "WARNING", "ERROR"))


def wrong_password(folder: Path) -> list[str]:
    """Then the right one."""
    users = passwords(folder, {"ids": "right"})
    file = folder / "password"
    file.write_text("guess-7f3e\n")
    file.chmod(0o600)
    with Mosquitto(folder, "allow_anonymous false", f"password_file {users}") as broker:
        url = broker.url.replace("//", "//ids@")
        with Agent(folder / "agent", url, password_file=str(file)) as agent:
            agent.wait_for("refuses the user")
            time.sleep(3.0)
            file.write_text("right\n")
            agent.wait_for("connected to", SLOWLY)
            assert "guess-7f3e" not in agent.told
            return said(agent, "WARNING", "ERROR")


class Full(NamedTuple):
    told: list[str]
    alerts: list[dict[str, Any]]
    unwritten: list[int]
    kept: list[str]


def full_disk(folder: Path) -> Full:
    """The state folder is on a disk of its own, which is full during an attack."""
    state = folder / "agent" / "state"
    state.mkdir(parents=True, mode=0o700)
    mount = f"mount -t tmpfs -o size={SMALL}k,mode=700 tmpfs {state}"
    before = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    with (
        Mosquitto(folder, ANYBODY, file_log=True) as broker,
        Phone(broker.port) as phone,
        Agent(folder / "agent", broker.url, log=broker.log, before=before) as agent,
    ):
        agent.wait_for("connected to", SLOWLY)
        inside = Path(f"/proc/{agent.pid}/root") / state.relative_to("/")
        with (inside / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass
        with Sender(broker.port, "flooder") as flooder:
            for _ in range(10):
                flooder.publish(2000)
                time.sleep(0.5)
        until(lambda: said(agent, "cannot be written"), SLOWLY, failing=agent.told)
        unwritten = [int(agent_status(inside)["unwritten"])]
        (inside / "filler").unlink()
        until(lambda: said(agent, "is written again"), SLOWLY, failing=agent.told)
        unwritten.append(int(agent_status(inside)["unwritten"]))
        kept = [one["attack"] for one in control.ask(inside, control.Incidents())]
        return Full(said(agent, "WARNING", "ERROR"), phone.alerts, unwritten, kept)


def agent_status(folder: Path) -> dict[str, Any]:
    status: dict[str, Any] = control.ask(folder, control.Status())
    return status


@pytest.fixture(scope="module", autouse=True)
def meanwhile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """What takes a minute or two, most of it waiting, beside the other tests."""
    jobs: dict[str, Callable[[Path], Any]] = {
        "swallowed": swallowed,
        "wrong_password": wrong_password,
    }
    if can_mount:
        jobs["full_disk"] = full_disk
    with ThreadPoolExecutor(len(jobs)) as pool:
        yield {name: pool.submit(do, tmp_path_factory.mktemp(name)) for name, do in jobs.items()}


# --- a house in which all goes well, and then does not -------------------------------------------


class House(NamedTuple):
    broker: Mosquitto
    agent: Agent


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A broker with a full log, in a file and on topics, and an agent that reads both."""
    folder = tmp_path_factory.mktemp("house")
    with (
        Mosquitto(folder, ANYBODY, TOPICS, file_log=True) as broker,
        Agent(folder / "agent", broker.url, log=broker.log) as agent,
    ):
        agent.wait_for("connected to", SLOWLY)
        with Sender(broker.port, "first") as first:
            wait_for(agent, lambda: "first" in clients(agent), "the log is not read")
            first.leave()
        yield House(broker, agent)


def in_the_log(lines: list[bytes], agent: Agent) -> int:
    """How many events one source alone makes of these lines."""
    reader = Reader()
    reader.leave_out((agent.state / "node").read_text().strip().join(["mqtt-ids-", ""]))
    told: list[ev.AnyEvent] = reader.read(lines, 1.0)
    told += reader.pass_time(3.0)
    return len(told)


def generations(log: Path) -> list[bytes]:
    """All lines that were ever logged, the oldest first."""
    rotated = sorted(log.parent.glob(f"{log.name}.*"), key=lambda one: -int(one.suffix[1:]))
    return [line for one in (*rotated, log) for line in one.read_bytes().split(b"\n")[:-1]]


def test_what_file_and_topics_tell_is_counted_once(house: House) -> None:
    broker, agent = house
    before, size = settled(agent), broker.log.stat().st_size
    for number in range(12):
        with Sender(broker.port, f"lamp-{number}") as lamp:
            lamp.publish_calmly(4, f"home/lamp-{number}/state")
            lamp.leave()
        time.sleep(0.2 * (number % 3))
    after = settled(agent)
    new = broker.log.read_bytes()[size:].split(b"\n")[:-1]
    assert after - before == in_the_log(new, agent) == 12 * (2 + 4 + 2)


def rename(log: Path) -> None:
    for number in (2, 1, 0):
        source = log.with_name(f"{log.name}.{number}") if number else log
        if source.exists():
            source.rename(log.with_name(f"{log.name}.{number + 1}"))


def copy_and_cut(log: Path) -> None:
    for number in (2, 1):
        source = log.with_name(f"{log.name}.{number}")
        if source.exists():
            source.rename(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def under_load(house: House, rotate: Callable[[], None]) -> tuple[int, int]:
    """20,000 publishes over three rotations: how many events, and how many lines tell of them."""
    broker, agent = house
    for old in broker.log.parent.glob(f"{broker.log.name}.*"):
        old.unlink()
    name = f"sender-{time.monotonic_ns()}"
    with Sender(broker.port, name) as sender:
        before = settled(agent)
        load = threading.Thread(target=sender.publish_all, args=(20, 1000))
        load.start()
        for share in (4000, 9000, 14_000):
            until(lambda share=share: sender.taken >= share, WITHIN, failing="no load")  # type: ignore[misc]
            rotate()
        load.join()
        assert sender.taken == 20_000
        after = settled(agent)
        sender.leave()
    came = b"Received PUBLISH from " + name.encode()
    return after - before, sum(came in line for line in generations(broker.log))


def test_no_line_is_lost_when_the_log_is_renamed_under_load(house: House) -> None:
    def rotate() -> None:
        rename(house.broker.log)
        time.sleep(0.1)  # what is written meanwhile is in the renamed file
        house.broker.signal(signal.SIGHUP)

    assert under_load(house, rotate) == (20_000, 20_000)
    assert "log: " not in house.agent.told


def test_no_line_that_is_anywhere_is_lost_when_the_log_is_cut_under_load(house: House) -> None:
    counted, there = under_load(house, lambda: copy_and_cut(house.broker.log))
    assert counted == there
    assert there > 15_000  # what comes between the copy and the cut is in neither


def test_the_broker_ends_and_comes_again(house: House) -> None:
    broker, agent = house
    with Phone(broker.port) as phone:
        with Sender(broker.port, "radio"):
            wait_for(agent, lambda: clients(agent).get("radio"), "radio is not seen")
            broker.kill()
            wait_for(agent, lambda: said(agent, *AWAY), "nothing is said of it")
        time.sleep(3.0)  # in which it is tried again and again
        broker.start()
        wait_for(agent, lambda: len(said(agent, "connected to")) == 2, "not connected again")
        wait_for(agent, lambda: not clients(agent)["radio"], "who was there still is")
        phone.wait_for(b"online")
    assert 1 <= len(said(agent, *AWAY)) <= 2  # lost, and then refused
    assert len({line.split("messenger", 1)[1] for line in said(agent, *AWAY)}) == len(
        said(agent, *AWAY)
    )


def test_its_own_traffic_was_no_client_s_and_its_ends_are_told(house: House) -> None:
    broker, agent = house
    ours = f"mqtt-ids-{(agent.state / 'node').read_text().strip()}"
    assert ours not in clients(agent)
    with Phone(broker.port) as phone:
        phone.wait_for(b"online")
        agent.kill()
        phone.wait_for(b"online", b"offline")  # its will
        agent.start()
        agent.wait_for("connected to")
        phone.wait_for(b"offline", b"online")
        assert agent.stop() == 0
        phone.wait_for(b"online", b"offline")
        agent.start()
        agent.wait_for("connected to")
        phone.wait_for(b"offline", b"online")
        assert agent.interrupt() == 0
        phone.wait_for(b"online", b"offline")
        agent.start()
        phone.wait_for(b"offline", b"online")
    assert "Traceback" not in agent.told


def test_a_second_agent_is_told_of_by_both_and_none_shares_a_folder(
    house: House, tmp_path: Path
) -> None:
    broker, first = house
    same = Agent(tmp_path / "same", broker.url, log=broker.log)
    same._config.write_text(f"state_dir: {first.state}\n")
    same.start()
    assert same.exit_code() == 2
    line = same.told.splitlines()[-1]
    assert f"process {first.pid}" in line
    with Agent(tmp_path / "second", broker.url, log=broker.log) as second:
        second.wait_for("connected to")
        wait_for(first, lambda: said(first, "somebody else publishes"), "the first says nothing")
        with Sender(broker.port, "flooder") as flooder:  # of which both have something to say
            for _ in range(8):
                flooder.publish(2000)
                time.sleep(0.5)
        wait_for(second, lambda: said(second, "somebody else publishes"), "nor the second")
        time.sleep(2.0)
        for each in (first, second):
            assert len(said(each, "somebody else publishes")) == 1
        assert second.stop() == 0


# --- what is there only later --------------------------------------------------------------------


def test_the_broker_and_its_log_come_after_the_agent(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, ANYBODY, file_log=True)
    with Agent(tmp_path / "agent", broker.url, log=broker.log) as agent:
        agent.wait_for("does the broker run?")
        agent.wait_for("mosquitto.log is not there; waiting for it")
        time.sleep(2.0)
        with broker:
            agent.wait_for("mosquitto.log can be read")
            agent.wait_for("connected to")
            with Sender(broker.port, "lamp"):
                wait_for(agent, lambda: clients(agent).get("lamp"), "the log is not read")
            assert agent.stop() == 0
        for words in ("does the broker run?", "waiting for it", "can be read", "connected to"):
            assert len(said(agent, f"{words}")) == 1 + (words == "connected to"), agent.told


@needs_root
def test_a_log_that_may_not_be_read_is_read_once_it_may(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, ANYBODY, TOPICS, file_log=True)

    def forbidden() -> None:
        broker.log.touch()
        broker.log.chmod(0o600)
        os.chown(broker.log, NOBODY, NOBODY)

    forbidden()
    with broker, Agent(tmp_path / "agent", broker.url, log=broker.log, before=BLIND) as agent:
        agent.wait_for("connected to")
        agent.wait_for("may not be read: no permission")
        with Sender(broker.port, "lamp") as lamp, Sender(broker.port, "lamp-2"):
            wait_for(agent, lambda: clients(agent).get("lamp"), "the topics are not read")
            before = settled(agent)
            lamp.publish_calmly(20, "home/lamp/state")  # by nobody in particular
            assert settled(agent) - before == 20
            broker.log.chmod(0o644)
            agent.wait_for("mosquitto.log can be read")
            counted_by_the_file(agent, lamp, before + 20)
            rename(broker.log)
            forbidden()
            broker.signal(signal.SIGHUP)
            wait_for(agent, lambda: len(said(agent, "no permission")) == 2, "nothing is said")
            with Sender(broker.port, "radio") as radio:
                wait_for(agent, lambda: clients(agent).get("radio"), "the topics are not read")
                now = settled(agent)
                broker.log.chmod(0o644)
                wait_for(agent, lambda: len(said(agent, "can be read")) == 2, "nothing is said")
                counted_by_the_file(agent, radio, now)
        assert agent.stop() == 0
        assert len(said(agent, "WARNING", "ERROR")) == 4, agent.told


def counted_by_the_file(agent: Agent, sender: Sender, before: int) -> None:
    """Nothing of what has gathered is told again, and then each line once and by whom."""
    sender.publish_calmly(10, "home/file/state")
    found = settled(agent) - before
    assert found == 10, found


# --- the network ---------------------------------------------------------------------------------


def test_what_is_raised_while_the_network_is_away_comes_once_afterwards(tmp_path: Path) -> None:
    """Over MQTT 3.1.1, where what we publish comes back to us."""
    with (
        Mosquitto(tmp_path, ANYBODY, file_log=True) as broker,
        Relay(broker.port, old=True) as relay,
        Agent(tmp_path / "agent", relay.url, log=broker.log) as agent,
        Phone(broker.port) as phone,
    ):
        agent.wait_for("with MQTT 3.1.1")
        phone.wait_for(b"online")
        relay.cut()
        phone.wait_for(b"online", b"offline")
        tried = relay.connections
        with Sender(broker.port, "flooder") as flooder:

            def found() -> bool:
                flooder.publish(2000)
                time.sleep(0.3)
                open_ = agent.ask(control.Incidents())
                return any(one["attack"] == "flood" for one in open_)

            until(found, WITHIN, failing="no flood was found")
        assert phone.alerts == []
        until(lambda: relay.connections >= tried + 2, WITHIN, failing="it is not tried again")
        relay.mend()
        phone.wait_for(b"offline", b"online")
        until(lambda: phone.alerts, WITHIN, failing="what was raised never came")
        time.sleep(2.0)
        opened = [
            one for one in phone.alerts if one["state"] == "open" and one["attack"] == "flood"
        ]
        assert len(opened) == 1
        told = [(one["id"], one["time"], one["state"]) for one in phone.alerts]
        assert len(told) == len(set(told))
        assert not any(is_ours(name) for name in clients(agent))
        assert len(said(agent, "is lost", "closes the connection")) <= 2, agent.told
        assert not said(agent, "somebody else publishes")
        assert agent.stop() == 0


def test_a_network_that_swallows_everything_is_noticed(meanwhile: dict[str, Future[Any]]) -> None:
    found: Swallowed = meanwhile["swallowed"].result(2 * SLOWLY)
    assert found.status == [b"online", b"offline", b"online"]
    assert len([line for line in found.told if "is lost" in line]) == 1
    assert len(found.told) <= 3, found.told


def test_a_password_is_corrected(meanwhile: dict[str, Future[Any]]) -> None:
    (told,) = meanwhile["wrong_password"].result(2 * SLOWLY)
    assert "refuses the user ids or its password" in told


@pytest.mark.skipif(not can_mount, reason="needs root, and the right to mount")
def test_a_full_disk_stops_no_detection(meanwhile: dict[str, Future[Any]]) -> None:
    found: Full = meanwhile["full_disk"].result(2 * SLOWLY)
    assert [line.split(": ", 1)[1].split(":")[-1] for line in found.told if "written" in line]
    assert len([line for line in found.told if "cannot be written" in line]) == 1
    assert len([line for line in found.told if "is written again" in line]) == 1
    assert "flood" in {one["attack"] for one in found.alerts}
    assert found.unwritten[0] > 0
    assert found.unwritten[1] == 0
    assert "flood" in found.kept
