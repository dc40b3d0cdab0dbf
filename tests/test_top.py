"""`mqtt-ids top`: a picture of now, on a terminal, in a pipe, and while the agent is away."""

import asyncio
import io
import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from live_broker import until
from rich.console import Console

from mqtt_ids import control
from mqtt_ids import events as ev
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL
from mqtt_ids.models import open_model
from mqtt_ids.policy import Ban, Handle, HandleKind
from mqtt_ids.run import Engine
from mqtt_ids.settings import Settings
from mqtt_ids.top_view import AT_THRESHOLD, BLOCKS, CURVE, LETTERS, Board

EVIL = "evil\x1b[2J\n\tid"  # clears the screen of whoever prints it
WITHIN = 30.0  # seconds


def client(name: str = "cam", ratio: float | None = 0.1, **more: object) -> dict[str, Any]:
    return {
        "client_id": name,
        "address": "192.0.2.1",
        "connected": True,
        "verdict": "calm",
        "rate": 0.5,
        "score": None if ratio is None else 0.01 * ratio,
        "ratio": ratio,
        "learned": 0.25,
        **more,
    }


def answer(*clients: dict[str, Any], **more: object) -> dict[str, Any]:
    return {
        "sensor": "amqtt",
        "mode": "observe",
        "running_for": 61.5,
        "events": 10,
        "lag": 0.0,
        "clients": len(clients),
        "connected": len(clients),
        "learned": 0,
        "active": 1,
        "open_incidents": 2,
        "bans": 0,
        "oddest": list(clients),
        "incidents": [],
        "actions": [],
        **more,
    }


def drawn(board: Board, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=160, height=height)
    console.print(board.picture(height))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("heights", [BLOCKS, LETTERS])
def test_a_curve_rises_with_the_score_and_the_threshold_is_seen(heights: str) -> None:
    board = Board(blocks=heights is BLOCKS)
    ratios = [None, 1e-9, 0.01, 0.1, 0.5, 1.0, 1.01, 9.9, 11.0, 1e9]
    for ratio in ratios:
        board.take(answer(client(ratio=ratio)))
    places = [heights.index(char) for char in board.curve("cam")]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[ratios.index(1.0)] == AT_THRESHOLD
    assert places[ratios.index(1.01)] > AT_THRESHOLD
    assert places[-1] == len(heights) - 1


def test_a_curve_is_of_the_last_few_answers() -> None:
    board = Board()
    for _ in range(3 * CURVE):
        board.take(answer(client()))
    assert len(board.curve("cam")) == CURVE


def test_ever_new_clients_do_not_fill_the_memory() -> None:
    board = Board()
    for number in range(30):
        board.take(answer(*(client(f"c{number}-{each}") for each in range(100))))
    assert len(board._curves) == 1000
    assert board.curve("c29-0")


def test_what_an_attacker_named_is_no_command_to_the_terminal() -> None:
    board = Board()
    incident = {
        "id": "01",
        "attack": "flood",
        "severity": "high",
        "client_id": EVIL,
        "address": "192.0.2.1",
        "first_seen": "now",
        "action": "none",
    }
    action = {"at": "now", "what": "ban", "by": "hand", "handle": {"value": EVIL}, "why": None}
    board.take(answer(client(EVIL), incidents=[incident], actions=[action]))
    told = drawn(board)
    assert "\x1b" not in told
    assert told.count(r"evil\x1b[2J\n\tid") == 3


def test_it_fits_the_screen() -> None:
    board = Board()
    board.take(answer(*(client(f"c{number}") for number in range(100))))
    for height in (15, 24, 50):
        assert len(drawn(board, height).splitlines()) <= height


def test_a_missed_answer_is_one_line_over_what_was_last_known() -> None:
    board = Board()
    board.missed("no agent runs")
    assert "no agent runs; trying again" in drawn(board)
    board.take(answer(client("porch")))
    board.missed("it is busy")
    assert "it is busy; trying again" in drawn(board)
    assert "porch" in drawn(board)
    board.take(answer(client("porch")))
    assert "trying again" not in drawn(board)


class Hand:
    offers: frozenset[HandleKind] = frozenset()

    def __init__(self) -> None:
        self.on_failure = lambda _handle, _why: None

    def obstacle(self, handle: Handle) -> str | None:
        return f"{handle.kind}: no hand"

    def keep_out(self, ban: Ban) -> None:
        raise AssertionError(ban)

    def let_in(self, handle: Handle) -> None:
        raise AssertionError(handle)

    def disconnect(self, handle: Handle) -> int:
        raise AssertionError(handle)


class Agent:
    """An engine with so many clients, in a thread of its own."""

    def __init__(self, folder: Path, clients: int) -> None:
        self._engine = Engine(
            Settings.from_mapping({"state_dir": str(folder)}),
            sensor="test",
            sees=SEES_ALL,
            actuator=Hand(),
            publish=lambda _topic, _data, _retain: None,
            detector=Detector(open_model("default"), sees=SEES_ALL),
        )
        self._clients = clients
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._engine.stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _begin(self) -> None:
        await self._engine.start()
        now = time.monotonic()
        for number in range(self._clients):
            address = f"10.0.{number // 250}.{number % 250}"
            base: dict[str, Any] = {"time": now, "connection": number, "address": address}
            name = EVIL if number == 0 else f"sensor-{number}"
            self._engine.feed(ev.Connected(**base, client_id=name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("top")
    with Agent(folder, 3):
        yield folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mqtt_ids", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_in_a_pipe_it_is_told_once(folder: Path) -> None:
    result = run("--state", str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    assert "test, mode observe" in result.stdout
    assert r"evil\x1b[2J\n\tid" in result.stdout
    assert "\x1b" not in result.stdout


def test_as_json_it_has_the_figures(folder: Path) -> None:
    told = json.loads(run("--json", "--most", "2", "--state", str(folder)).stdout)
    assert told["clients"] == told["connected"] == 3
    assert len(told["oddest"]) == 2
    assert set(told["oddest"][0]) == set(client())


def test_without_an_agent_a_pipe_gets_one_line(tmp_path: Path) -> None:
    result = run("--state", str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_five_thousand_clients_are_a_small_answer(tmp_path: Path) -> None:
    with Agent(tmp_path, 5000):
        told = control.ask(tmp_path, control.Top(10_000))
        assert told["clients"] == 5000
        assert len(told["oddest"]) == 200
        assert len(json.dumps(told)) < 100_000


class Terminal:
    """`mqtt-ids top` on a terminal of its own, and all that it has drawn."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.master, self._slave = pty.openpty()
        plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mqtt_ids", "top", "--state", str(folder)],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**plain, "TERM": "xterm", "COLUMNS": "160", "LINES": "40", **environment},
        )
        self.drawn = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self._slave)

    def shows(self, what: bytes) -> None:
        """Wait until this is drawn; what was drawn before counts no more."""
        until(lambda: what in self._more(), WITHIN, failing=f"{what!r} not in {self.drawn!r}")
        self.drawn = b""

    def _more(self) -> bytes:
        while select.select([self.master], [], [], 0.0)[0]:
            self.drawn += os.read(self.master, 65_536)
        return self.drawn

    def presses(self, key: bytes) -> int:
        os.write(self.master, key)
        return self.ends()

    def ends(self) -> int:
        until(lambda: self._more() is None or self.process.poll() is not None, WITHIN)
        self._more()
        code = self.process.poll()
        assert code is not None, "it goes on"
        return code

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before and b"\x1b[?1049l" in self.drawn


def test_the_agent_may_come_and_go(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        terminal.shows(b"no agent runs")
        with Agent(tmp_path, 2):
            terminal.shows(b"sensor-1")
        terminal.shows(b"trying again")
        with Agent(tmp_path, 2):
            terminal.shows(b"2 connected")
            assert terminal.presses(b"q") == 0
        assert terminal.is_as_before()


@pytest.mark.parametrize("number", [2, 15], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_leaves_the_terminal_as_it_was(folder: Path, number: int) -> None:
    with Terminal(folder) as terminal:
        terminal.shows(b"sensor-1")
        terminal.process.send_signal(number)
        assert terminal.ends() == 0
        assert terminal.is_as_before()


def test_colours_are_left_out_where_nobody_wants_them(folder: Path) -> None:
    with Terminal(folder, NO_COLOR="1") as terminal:
        until(lambda: b"q to quit" in terminal._more(), WITHIN, failing="nothing is drawn")
        assert b"sensor-1" in terminal.drawn
        assert not any(b"\x1b[3%d" % colour in terminal.drawn for colour in range(8))
        assert terminal.presses(b"q") == 0
