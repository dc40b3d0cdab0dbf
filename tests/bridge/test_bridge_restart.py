"""The inline agent is killed, stopped, started again: what clients, broker and state see of it."""

import contextlib
import itertools
import json
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from bridge_tools import Bridge, Ear
from live_broker import HOST, listening, until
from live_tools import Raw
from mosquitto_broker import needs_mosquitto
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from proxy_tools import connect, publish
from sidecar_tools import WITHIN

from mqtt_ids import control, store

pytestmark = [pytest.mark.broker, needs_mosquitto]

ACCEPTED = bytes.fromhex("20020000")
NOT_AUTHORISED = bytes.fromhex("20020005")
DRIP = 0.01  # seconds between two connections of one thread
# What systemd does for a service: the socket as descriptor 3, and who is meant, with the same pid.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="mqtt")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Device:
    """A client that connects again by itself, as devices do, and hears its own topic."""

    def __init__(self, port: int, client_id: str) -> None:
        self.connections = 0
        self.heard: list[paho.MQTTMessage] = []
        self._topic = f"home/{client_id}"
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._connected
        self.client.on_message = lambda _client, _data, message: self.heard.append(message)
        self.client.connect(HOST, port)
        self.client.loop_start()

    def __enter__(self) -> Self:
        until(self.says_and_hears, WITHIN, failing="the device is not served")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client: paho.Client, *_: object) -> None:
        self.connections += 1
        client.subscribe(self._topic)

    def says_and_hears(self) -> bool:
        """Whether it hears what it has said."""
        before = len(self.heard)
        self.client.publish(self._topic, b"on")
        return until(lambda: len(self.heard) > before, 1.0)


def greeting(port: int, client_id: str) -> bytes:
    """What a new connection with this id is answered."""
    with Raw(port, HOST) as one:
        one.send(connect(client_id))
        return one.receive(4)


def stored(state: Path, attack: str) -> list[str]:
    """The states of the incidents of this name that the disk knows."""
    with contextlib.closing(sqlite3.connect(state / store.FILE, timeout=5.0)) as database:
        alerts = [json.loads(row[0]) for row in database.execute("SELECT alert FROM incidents")]
    return [alert["state"] for alert in alerts if alert["attack"] == attack]


def test_after_a_kill_clients_come_back_and_the_state_is_kept(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge, Ear(bridge.broker.port) as ear:
        with Device(bridge.port, "lamp") as lamp, Raw(bridge.port, HOST) as poser:
            bridge.ask(control.Impose("client_id", "porch-cam", 600.0, "sold it"))
            poser.send(connect("poser") + publish("$ids/alerts", b"{}"))
            until(lambda: stored(bridge.state, "spoofing"), WITHIN, failing="nothing was found")

            bridge.kill()
            assert poser.is_closed(WITHIN)
            until(lambda: ear.on("$ids/status")[-1:] == [b"offline"], WITHIN, failing="no will")
            bridge.start()
            bridge.ready()

            until(lambda: lamp.connections == 2, WITHIN, failing="the lamp does not come back")
            assert lamp.says_and_hears()
            assert greeting(bridge.port, "porch-cam") == NOT_AUTHORISED
            assert greeting(bridge.port, "door") == ACCEPTED
        (ban,) = bridge.ask(control.Status())["bans"]
        assert (ban["handle"]["value"], ban["why"]) == ("porch-cam", "sold it")
        until(
            lambda: stored(bridge.state, "spoofing") == ["closed"],
            WITHIN,
            failing="the incident stays open",
        )
        until(lambda: ear.status[-1:] == [b"online"], WITHIN, failing="the agent is not back")
        told = [a for a in ear.alerts if a.get("attack") == "spoofing"]
        assert [told[0]["state"], told[-1]["state"]] == ["open", "closed"]
        assert len({alert["id"] for alert in told}) == 1


def test_a_stop_closes_every_connection_and_says_offline(tmp_path: Path) -> None:
    with (
        Bridge(tmp_path) as bridge,
        Ear(bridge.broker.port) as ear,
        Raw(bridge.port, HOST) as client,
        Raw(bridge.port, HOST) as silent,
    ):
        client.send(connect("lamp", will="home/lamp/gone"))
        assert client.receive(4) == ACCEPTED
        until(lambda: ear.status[-1:] == [b"online"], WITHIN, failing="never online")

        assert bridge.stop() == 0
        assert client.is_closed(WITHIN)
        assert silent.is_closed(WITHIN)
        assert bridge.port not in listening()
        until(lambda: ear.status[-1:] == [b"offline"], WITHIN, failing="not told as offline")
        assert "Traceback" not in bridge.told


class Knock(NamedTuple):
    """One try to connect, from when to when, and what was answered."""

    began: float
    ended: float
    answer: bytes | str


class Knocking:
    """New clients without end, from some threads: each connects, waits for its answer and goes."""

    def __init__(self, port: int, threads: int = 3) -> None:
        self.knocks: list[Knock] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._knock, args=(number,)) for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * WITHIN)

    def _knock(self, number: int) -> None:
        for turn in itertools.count():
            if self._over.wait(DRIP):
                return
            began = time.monotonic()
            answer = self._try(f"new-{number}-{turn}")
            self.knocks.append(Knock(began, time.monotonic(), answer))

    def _try(self, client_id: str) -> bytes | str:
        try:
            with Raw(self._port, HOST) as one:
                one.send(connect(client_id))
                return one.receive(4, WITHIN)
        except OSError as error:
            return type(error).__name__

    def accepted_since(self, moment: float) -> bool:
        """Whether somebody who came after it was let in."""
        return any(k.began > moment and k.answer == ACCEPTED for k in list(self.knocks))


class Away(NamedTuple):
    """When an agent was told to end, was gone, and served again."""

    told: float
    gone: float
    back: float


class Gap(NamedTuple):
    """When the agent was told to end, was gone, and served again."""

    told: float
    gone: float
    back: float


def restart(bridge: Bridge, end: Callable[[], object]) -> Gap:
    told = time.monotonic()
    end()
    gone = time.monotonic()
    bridge.start()
    bridge.ready()
    return Gap(told, gone, time.monotonic())


def test_with_a_socket_from_systemd_nobody_is_refused_over_restarts(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        bridge = Bridge(
            tmp_path,
            before=(sys.executable, "-c", HAND_OVER, str(listener.fileno())),
            listen=f"{HOST}:{port}",
        )
        bridge.passed = (listener.fileno(),)
        gaps = []
        with bridge, Knocking(port) as knocking:
            until(lambda: knocking.accepted_since(0), WITHIN, failing="nobody is let in")
            for end in (bridge.stop, bridge.kill):
                gap = restart(bridge, end)
                gaps.append(gap)
                until(partial(knocking.accepted_since, gap.back), WITHIN, failing="not served")
    knocks = knocking.knocks
    # Who is just being served when the agent ends is cut off; everybody else gets an answer.
    lost = [knock for knock in knocks if knock.answer != ACCEPTED]
    assert [k for k in lost if not any(g.told <= k.ended and k.began <= g.gone for g in gaps)] == []
    assert "ConnectionRefusedError" not in {knock.answer for knock in lost}
    for gap in gaps:  # and somebody did wait for the next agent
        assert any(gap.told < k.began < gap.back and k.ended > gap.gone for k in knocks)
