"""Fifty lives of an engine on one state folder, each ended by SIGKILL at a random moment.

Run as a script: `short_lives.py FOLDER LIVES SEED`. The engine, its detector, its store and the
file system are real; only time is made up, a second every few milliseconds, with a wall clock that
jumps between two lives. Each life tells through a pipe what it has promised: a ban that is in
force, a decision that was answered, an incident that has had its second, a snapshot that is
written. The next life must know all of it. Prints what was seen as JSON, or fails.
"""

import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mqtt_ids import control, state_files, store
from mqtt_ids import events as ev
from mqtt_ids.counters import Client as C
from mqtt_ids.detecting import CLIENTS
from mqtt_ids.detector import Detector
from mqtt_ids.errors import IdsError
from mqtt_ids.events import SEES_ALL
from mqtt_ids.feature_table import Role
from mqtt_ids.models import open_model
from mqtt_ids.policy import Ban, Handle, HandleKind
from mqtt_ids.run import Engine
from mqtt_ids.settings import Settings

CLIENTS_HERE = 10
SECOND = 0.002  # seconds that one of made-up time takes
BEAT = 10  # seconds of made-up time
WRITE = 0.004  # seconds that a write may take
MOST_BEATS = 10  # of a life
SOON = 0.02  # seconds until an incident is written, instead of one
DAY = 86_400.0

Tell = Callable[[str, object], None]


class Hand:
    """Tells of each ban when it is put in force: then it must outlive us."""

    offers: frozenset[HandleKind] = frozenset({"address", "connection"})

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None

    def disconnect(self, handle: Handle) -> int:
        return len(handle.value) * 0

    def obstacle(self, handle: Handle) -> str | None:
        return None if handle.value else "which?"

    def keep_out(self, ban: Ban) -> None:
        self._tell("ban", ban.handle.value)

    def let_in(self, handle: Handle) -> None:
        self._tell("let in", handle.value)


class Life:
    """One engine in this process, until it is killed."""

    def __init__(self, folder: Path, number: int, model: Any, tell: Tell) -> None:  # noqa: ANN401
        self._number = number
        self._tell = tell
        self.now = random.Random(number).uniform(0.0, 1e6)  # a machine that was on for so long
        wall = 1.8e9 + number * 900.0 + random.Random(-number).choice((0.0, -DAY, 30 * DAY))
        self._ahead = wall - self.now
        self._detector = Detector(model, sees=SEES_ALL)
        settings = {"mode": "protect", "protect": {"ban": "365d"}, "state_dir": str(folder)}
        self._engine = Engine(
            Settings.from_mapping(settings),
            sensor="test",
            sees=SEES_ALL,
            actuator=Hand(tell),
            publish=self._published,
            clock=lambda: self.now,
            wall=lambda: self.now + self._ahead,
            detector=self._detector,
        )
        self._open: list[str] = []
        self._connection = 0

    async def live(self) -> None:
        await self._engine.start()
        self._tell("up", self.known())
        self._watch_files()
        numbers = [self._joins(f"c{n}", f"10.0.0.{n}") for n in range(CLIENTS_HERE)]
        second = 0
        while True:
            second += 1
            self.now += 1.0
            for place, number in enumerate(numbers):
                self._says(number, f"10.0.0.{place}", f"c{place}", f"home/{place}")
            if second % 25 == 10:
                self._goes_mad(f"mad-{self._number}-{second}", f"10.1.{self._number}.{second}")
            if second % 50 == 20 and self._open:
                await self._accepts(self._open.pop(0))
            if second % BEAT == 0:
                self._tell("beat", second)
            await asyncio.sleep(SECOND)

    def known(self) -> dict[str, object]:
        """What this life remembers of those before it."""
        stored = self._engine._store
        return {
            "publishes": self.publishes(),
            "bans": [ban.handle.value for ban in self._engine._responder.bans],
            "accepted": [one.incident for one in stored.accepted()],
            "incidents": [json.loads(alert)["id"] for alert in stored.incidents(10_000)],
        }

    def publishes(self) -> float:
        """All publishes behind the normals, by what they would be without fading."""
        normal = self._detector.watch.normal(Role.CLIENT)
        columns = (normal._total, normal._waiting, normal._slot)
        return float(sum(column[:, C.PUBLISHES].sum() for column in columns))

    def _watch_files(self) -> None:
        """Tell of each snapshot, once it is on the disk, how much is in it."""
        put, replace = self._engine._store.put_file, state_files.replace
        amounts: list[float] = []

        def noted(name: str, make: Callable[[], bytes]) -> None:
            self._detector.memories[CLIENTS].take(self.now)  # all is folded
            amounts.append(self.publishes())
            put(name, make)

        def replaced(file: Path, data: bytes) -> None:
            amount = amounts[-1]
            self._tell("writing", amount)
            replace(file, data)
            self._tell("written", amount)

        self._engine._store.put_file = noted  # type: ignore[method-assign]
        state_files.replace = replaced

    def _published(self, topic: str, data: bytes, retain: bool) -> None:  # noqa: FBT001
        if topic != "$ids/alerts" or retain:
            return
        alert = json.loads(data)
        if alert["state"] == "open" and alert["severity"] != "info":
            self._open.append(alert["id"])
            asyncio.get_running_loop().call_later(
                20 * SOON, lambda: self._tell("incident", alert["id"])
            )

    async def _accepts(self, incident: str) -> None:
        try:
            answer = await self._engine._desk.answer(control.Accept(incident, undo=False))
        except IdsError as error:
            self._tell("refused", str(error))
            return
        if isinstance(answer, dict) and answer["stored"]:
            self._tell("accepted", incident)

    def _joins(self, client_id: str, address: str) -> int:
        self._connection += 1
        base: dict[str, Any] = {
            "time": self.now,
            "connection": self._connection,
            "address": address,
        }
        self._engine.feed(ev.Opened(**base))
        self._engine.feed(ev.Connected(**base, client_id=client_id))
        return self._connection

    def _says(self, number: int, address: str, client_id: str, topic: str) -> None:
        self._engine.feed(
            ev.Published(
                time=self.now,
                connection=number,
                address=address,
                client_id=client_id,
                topic=topic,
                size=20,
            )
        )

    def _goes_mad(self, client_id: str, address: str) -> None:
        self._says(self._joins(client_id, address), address, client_id, "$ids/alerts")


def one_life(folder: Path, number: int, model: Any, rng: random.Random) -> list[tuple[str, Any]]:  # noqa: ANN401
    """What a life told before it was killed, a moment after so many beats.

    Every other one is killed as it writes.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)

        def tell(what: str, value: object) -> None:
            os.write(writes, json.dumps([what, value]).encode() + b"\n")  # whole below PIPE_BUF

        try:
            asyncio.run(Life(folder, number, model, tell).live())
        finally:
            os._exit(3)  # a life ends by SIGKILL only
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        lines, beats = [pipe.readline()], rng.randint(1, MOST_BEATS)
        while beats and lines[-1]:
            lines.append(pipe.readline())
            beats -= lines[-1].startswith(b'["beat"')
        while number % 2 and lines[-1] and not lines[-1].startswith(b'["writing"'):
            lines.append(pipe.readline())
        time.sleep(rng.uniform(0.0, WRITE if number % 2 else BEAT * SECOND))
        os.kill(child, signal.SIGKILL)
        lines += pipe.readlines()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, f"life {number} ended by itself: {status}"
    return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]


def main(folder: Path, lives: int, seed: int) -> dict[str, float]:
    rng = random.Random(seed)
    model = open_model("default")
    promised: dict[str, set[str]] = {"ban": set(), "accepted": set(), "incident": set()}
    written, seen = 0.0, dict.fromkeys(("ban", "accepted", "incident", "written", "refused"), 0)
    for number in range(lives):
        told = one_life(folder, number, model, rng)
        known = next(value for what, value in told if what == "up")
        for promise, where in (
            ("ban", "bans"),
            ("accepted", "accepted"),
            ("incident", "incidents"),
        ):
            lost = promised[promise] - set(known[where])
            assert not lost, f"life {number} has lost {promise}: {lost}"
        assert known["publishes"] >= written * 0.99, f"life {number} has lost what was learned"
        for what, value in told:
            if what in seen:
                seen[what] += 1
            if what in promised:
                promised[what].add(value)
            elif what == "let in":
                promised["ban"].discard(value)
            elif what == "written":
                written = value
    return {**seen, "publishes": written}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    store.SOON = store.PROMPT = SOON
    seen_by_all = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(seen_by_all))
