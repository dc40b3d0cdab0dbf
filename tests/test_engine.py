"""The engine with a scripted detector: real store, real control socket, real clock."""

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from mqtt_ids import control
from mqtt_ids.accepted import Accepted
from mqtt_ids.alerts import Alert
from mqtt_ids.errors import ControlError, StateError
from mqtt_ids.events import SEES_ALL, AnyEvent, Closed, Connected, Opened, Published
from mqtt_ids.memory import Memory
from mqtt_ids.names import bounded
from mqtt_ids.policy import Ban, Handle, HandleKind, Neighbours
from mqtt_ids.run import Engine
from mqtt_ids.settings import Settings
from mqtt_ids.standings import Standings

ALL: frozenset[HandleKind] = frozenset({"connection", "client_id", "username", "address"})
ATTACKER = "192.0.2.9"


class View(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str = "cam"
    address: str | None = ATTACKER
    username: str | None = None
    connected: bool = True
    since: float = 0.0
    last: float = 0.0
    verdict: str = "calm"
    score: float | None = 0.001
    learned: bool = True


class Script:
    """A detector that alerts when it is told to, and fails when it is told to."""

    skipped = 0
    memories: ClassVar[dict[str, Memory]] = {}
    accepted = Accepted()

    def __init__(self) -> None:
        self.fed: list[AnyEvent] = []
        self.ticks: list[float] = []
        self.next: list[Alert] = []
        self.views: list[View] = []
        self.near = Neighbours(connected=12)
        self.broken = False

    def feed(self, event: AnyEvent) -> None:
        if self.broken:
            raise ValueError("broken on purpose")
        self.fed.append(event)

    def tick(self, now: float) -> list[Alert]:
        if self.broken:
            raise ValueError("broken on purpose")
        self.ticks.append(now)
        told, self.next = self.next, []
        return told

    def end(self, now: float) -> list[Alert]:
        assert now
        return []

    def clients(self) -> list[View]:
        return self.views

    def standings(self, most: int, now: float) -> Standings:
        assert most
        assert now
        return Standings(clients=2, connected=2, learned=2, oddest=[])

    def goes_on(self, incident_id: str) -> bool:
        return bool(incident_id)

    def neighbours(self, incident_id: str) -> Neighbours:
        assert incident_id
        return self.near


class Hand:
    """A sensor's hand that writes down whom it cut off."""

    def __init__(self, offers: frozenset[HandleKind] = ALL) -> None:
        self.offers = offers
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None
        self.cut: list[Handle] = []
        self.kept_out: list[Handle] = []
        self.obstacles: dict[Handle, str] = {}

    def disconnect(self, handle: Handle) -> int:
        self.cut.append(handle)
        return 1

    def obstacle(self, handle: Handle) -> str | None:
        return self.obstacles.get(handle)

    def keep_out(self, ban: Ban) -> None:
        self.kept_out.append(ban.handle)

    def let_in(self, handle: Handle) -> None:
        if handle in self.kept_out:
            self.kept_out.remove(handle)


class Home:
    """An engine with everything around it that a test wants to look at."""

    def __init__(self, folder: Path, **keys: object) -> None:
        self.folder = folder
        self.settings = Settings.from_mapping({"state_dir": str(folder), **keys})
        self.detector = Script()
        self.hand = Hand()
        self.published: list[tuple[str, bytes, bool]] = []
        self.ahead = 0.0  # seconds by which the wall clock was moved
        self.passed = 0.0  # seconds by which both clocks were moved
        self.engine = Engine(
            self.settings,
            sensor="test",
            sees=SEES_ALL,
            actuator=self.hand,
            publish=lambda topic, data, retain: self.published.append((topic, data, retain)),
            clock=self.clock,
            wall=lambda: time.time() + self.ahead + self.passed,
            detector=self.detector,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Home"]:
        await self.engine.start()
        try:
            yield self
        finally:
            await self.engine.stop()

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(data) for topic, data, _ in self.published if topic == "$ids/alerts"]

    def clock(self) -> float:
        return time.monotonic() + self.passed

    def tick(self, *alerts: Alert) -> list[dict[str, Any]]:
        """A second and a half later the detector tells these alerts; as they went out."""
        told = len(self.alerts())
        self.detector.next = list(alerts)
        self.passed += 1.5
        self.engine.feed(event(self.clock()))
        return self.alerts()[told:]

    async def ask(self, request: control.Request) -> Any:  # noqa: ANN401 - JSON
        return await asyncio.to_thread(control.ask, self.folder, request)


def event(at: float) -> Published:
    return Published(time=at, connection=1, address="192.0.2.1", topic="t", size=1)


def alert(**changes: object) -> Alert:
    now = time.monotonic()
    one = Alert(
        id="01JD",
        state="open",
        active=True,
        severity="high",
        attack="flood",
        confidence=0.9,
        time=now,
        first_seen=now - 1,
        address=ATTACKER,
        client_id="intruder",
        clients=("intruder",),
        client_count=1,
    )
    return msgspec.structs.replace(one, **changes)


def played(home: Home, play: Callable[[Home], Any]) -> None:
    """Run the engine for one play."""

    async def run() -> None:
        async with home.running():
            result = play(home)
            if asyncio.iscoroutine(result):
                await result

    asyncio.run(run())


def test_it_says_online_then_offline_and_tells_how_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.detector.views = [View(), View(client_id="new", learned=False), View(connected=False)]
    played(home, lambda _: None)
    (online, summary, offline) = home.published
    assert online == ("$ids/status", b"online", True)
    assert offline == ("$ids/status", b"offline", True)
    topic, data, retained = summary
    assert (topic, retained) == ("$ids/summary", True)
    told = json.loads(data)
    assert told["schema"] == "mqtt-ids/summary/1"
    assert told["mode"] == "observe"
    assert told["learning"] == {"state": "learning", "learned": 1, "clients": 2}
    assert (told["clients"], told["open_incidents"], told["lag"], told["skipped"]) == (2, 0, 0.0, 0)


def test_it_ticks_once_a_second_by_itself(tmp_path: Path) -> None:
    async def play(_: Home) -> None:
        await asyncio.sleep(3.3)

    home = Home(tmp_path)
    played(home, play)
    first, second, third = home.detector.ticks[:3]
    assert second - first >= 0.99
    assert third - second >= 0.99


def test_a_flood_that_starves_the_loop_does_not_stop_the_ticks(tmp_path: Path) -> None:
    def play(home: Home) -> None:  # never awaits: no task of ours gets a turn
        end = time.monotonic() + 2.8
        while (now := time.monotonic()) < end:
            home.engine.feed(event(now))
            time.sleep(0.001)

    home = Home(tmp_path)
    played(home, play)
    assert len(home.detector.ticks) >= 2


def test_a_loop_that_was_held_up_is_told_as_lag(tmp_path: Path) -> None:
    async def play(home: Home) -> Any:  # noqa: ANN401 - JSON
        time.sleep(2.0)  # noqa: ASYNC251 - on purpose
        await asyncio.sleep(0.1)
        return await home.ask(control.Status())

    home = Home(tmp_path)

    async def run() -> None:
        async with home.running():
            status = await play(home)
            assert 0.8 < status["lag"] < 3.0

    asyncio.run(run())


def test_observe_mode_alerts_and_touches_nobody(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        (told,) = home.tick(alert())
        assert told["action"] == "none"
        assert told["action_reason"] == "observe mode"
        assert (told["sensor"], told["mode"], told["schema"]) == (
            "test",
            "observe",
            "mqtt-ids/alert/1",
        )
        assert home.hand.cut == []
        assert home.engine.barred(address=ATTACKER) is None

    played(Home(tmp_path), play)


def test_protect_mode_cuts_off_and_keeps_out_with_the_alert(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        (told,) = home.tick(alert())
        assert told["action"] == "banned"
        assert told["action_until"].endswith("Z")
        assert home.hand.cut == [Handle("address", ATTACKER)]
        ban = home.engine.barred(address=f"::ffff:{ATTACKER}", client_id="any")
        assert ban is not None
        assert (ban.incident, ban.by) == ("01JD", "policy")
        assert home.engine.barred(address="192.0.2.1", client_id="cam", username="u") is None

    played(Home(tmp_path, mode="protect"), play)


def test_a_ban_meets_an_id_however_long_it_is(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        long = ["x" * 65_000 + end for end in "ab"]
        name = bounded(long[0])
        home.detector.near = Neighbours(address=("tv",), connected=12)
        (told,) = home.tick(alert(client_id=name, clients=(name,)))
        assert told["action"] == "banned"
        assert home.engine.barred(client_id=long[0]) is not None
        assert home.engine.barred(client_id=long[1]) is None

    played(Home(tmp_path, mode="protect"), play)


def test_an_incident_tells_of_its_ban_until_it_is_closed(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        home.tick(alert())
        (update,) = home.tick(alert(state="update", address=None, client_id=None, clients=()))
        assert (update["action"], update["action_until"] is None) == ("banned", False)
        (closed,) = home.tick(alert(state="closed", active=False))
        assert closed["action"] == "banned"
        (later,) = home.tick(alert(state="closed", active=False))
        assert later["action"] == "none"

    played(Home(tmp_path, mode="protect"), play)


def test_calm_neighbours_are_spared_and_half_open_connections_closed(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        home.detector.near = Neighbours(address=("tv",), connected=12)
        now = home.clock()
        for number in (1, 2, 3, 4):
            home.engine.feed(Opened(time=now - 5, connection=number, address=ATTACKER))
        home.engine.feed(Opened(time=now - 5, connection=5, address="192.0.2.1"))
        home.engine.feed(Opened(time=now + 1, connection=6, address=ATTACKER))
        home.engine.feed(Connected(time=now, connection=2, address=ATTACKER, client_id="tv"))
        home.engine.feed(Closed(time=now, connection=3, address=ATTACKER))
        nobody = alert(attack="slowite", client_id=None, clients=(), client_count=0)
        (told,) = home.tick(nobody)
        assert told["action"] == "disconnected"
        assert home.hand.cut == [Handle("connection", "1"), Handle("connection", "4")]
        assert home.engine.barred(address=ATTACKER) is None

    played(Home(tmp_path, mode="protect"), play)


def test_connections_too_young_to_judge_are_closed_soon_after_the_alert(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        home.detector.near = Neighbours(address=("tv",), connected=12)
        home.engine.feed(Opened(time=home.clock(), connection=1, address=ATTACKER))
        nobody = alert(attack="slowite", client_id=None, clients=(), client_count=0)
        (told,) = home.tick(nobody)
        assert (told["state"], told["action"]) == ("open", "none")
        told_later = [*home.tick(), *home.tick(), *home.tick()]
        assert [(one["state"], one["action"]) for one in told_later] == [("update", "disconnected")]
        assert told_later[0]["id"] == told["id"]
        home.engine.feed(Closed(time=home.clock(), connection=1, address=ATTACKER))
        home.engine.feed(Opened(time=home.clock(), connection=2, address=ATTACKER))
        again = [one for _ in range(4) for one in home.tick()]
        assert again == [], "it is told once, and done again"
        cut = [Handle("connection", "1"), Handle("connection", "2")]
        assert list(dict.fromkeys(home.hand.cut)) == cut
        home.tick(alert(attack="slowite", state="closed", active=False))
        home.engine.feed(Opened(time=home.clock(), connection=3, address=ATTACKER))
        for _ in range(4):
            home.tick()
        assert Handle("connection", "3") not in home.hand.cut

    played(Home(tmp_path, mode="protect"), play)


def test_a_mistake_about_many_established_clients_stops_at_the_share(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        names = [f"c{number}" for number in range(10)]
        home.detector.views = [View(client_id=name, address=None) for name in names]
        home.detector.near = Neighbours(connected=10)
        alerts = [
            alert(id=name, client_id=name, clients=(name,), address=f"192.0.2.{number}")
            for number, name in enumerate(names)
        ]
        actions = [told["action"] for told in home.tick(*alerts)]
        assert actions == ["banned"] * 2 + ["none"] * 8

    played(Home(tmp_path, mode="protect"), play)


def test_bans_outlive_a_restart_and_end_when_they_should(tmp_path: Path) -> None:
    played(Home(tmp_path, mode="protect"), lambda home: home.tick(alert()))

    def later(home: Home) -> None:
        assert home.engine.barred(address=ATTACKER) is not None
        home.ahead = 700
        assert home.engine.barred(address=ATTACKER) is None

    played(Home(tmp_path, mode="protect"), later)

    def much_later(home: Home) -> None:
        home.ahead = 0
        assert home.engine.barred(address=ATTACKER) is None

    long_after = Home(tmp_path, mode="protect")
    long_after.ahead = 700
    played(long_after, much_later)
    assert stored_bans(tmp_path) == 0


def stored_bans(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as reader:
        return int(reader.execute("SELECT count(*) FROM bans").fetchone()[0])


def test_a_clock_set_back_does_not_lengthen_a_ban(tmp_path: Path) -> None:
    played(Home(tmp_path, mode="protect"), lambda home: home.tick(alert()))
    back = Home(tmp_path, mode="protect")
    back.ahead = -86_400

    def play(home: Home) -> None:
        assert home.engine.barred(address=ATTACKER) is not None
        home.ahead += 700
        assert home.engine.barred(address=ATTACKER) is None

    played(back, play)


def test_who_switches_protection_off_is_rid_of_its_bans_but_not_of_his_own(
    tmp_path: Path,
) -> None:
    async def play(home: Home) -> None:
        home.tick(alert())
        await home.ask(control.Impose("client_id", "porch-cam", 3600.0))

    async def off(home: Home) -> None:
        assert home.engine.barred(address=ATTACKER) is None
        assert home.engine.barred(client_id="porch-cam") is not None

    played(Home(tmp_path, mode="protect"), play)
    played(Home(tmp_path, mode="observe"), off)
    assert stored_bans(tmp_path) == 1


def test_by_hand_bans_are_put_and_lifted(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        ban = await home.ask(control.Impose("address", "::ffff:192.0.2.7", 60.0, "sold it"))
        assert ban["handle"] == {"kind": "address", "value": "192.0.2.7"}
        assert home.hand.cut == [Handle("address", "192.0.2.7")]
        assert home.engine.barred(address="192.0.2.7") is not None
        status = await home.ask(control.Status())
        assert [one["why"] for one in status["bans"]] == ["sold it"]
        await home.ask(control.Lift("address", "192.0.2.7"))
        assert home.engine.barred(address="192.0.2.7") is None
        for request, told in (
            (control.Lift("address", "192.0.2.7"), "there is no ban on address"),
            (control.Impose("address", "the router"), "is no IP address"),
            (control.Impose("client_id", ""), "It is empty"),
            (control.Impose("connection", "7"), "cannot ban by connection"),
            (control.Impose("address", "192.0.2.7", 1e12), "from 1s to 365d"),
            (control.Impose("address", "192.0.2.7", -1.0), "from 1s to 365d"),
        ):
            with pytest.raises(ControlError, match=told):
                await home.ask(request)

    played(Home(tmp_path), play)


def test_what_was_lifted_by_hand_is_not_banned_again_by_the_same_incident(
    tmp_path: Path,
) -> None:
    async def play(home: Home) -> None:
        home.tick(alert())
        assert await home.ask(control.Release()) == {"lifted": 1}
        assert home.engine.barred(address=ATTACKER) is None
        assert home.published[-2:] == [("$ids/status", b"", True), ("$ids/summary", b"", True)]
        (told,) = home.tick(alert(state="update"))
        assert (told["action"], told["action_reason"]) == (
            "none",
            "lifted by hand for this incident",
        )
        (other,) = home.tick(alert(id="01JE"))
        assert other["action"] == "banned"

    played(Home(tmp_path, mode="protect"), play)


def test_incidents_are_stored_and_asked_for(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        home.tick(alert(), alert(id="01JE", severity="info", active=False))
        home.tick(alert(state="update"))
        listed = await home.ask(control.Incidents())
        assert [(one["id"], one["state"]) for one in listed] == [
            ("01JE", "open"),
            ("01JD", "update"),
        ]
        assert (await home.ask(control.Incidents(id="01JD")))["attack"] == "flood"
        with pytest.raises(ControlError, match="there is no incident 01JF"):
            await home.ask(control.Incidents(id="01JF"))
        status = await home.ask(control.Status())
        assert (status["open_incidents"], status["active"]) == (2, 1)

    played(Home(tmp_path), play)


def test_incidents_that_a_former_process_left_open_are_closed(tmp_path: Path) -> None:
    played(Home(tmp_path), lambda home: home.tick(alert()))

    async def play(home: Home) -> None:
        (told,) = home.alerts()
        assert (told["id"], told["state"], told["active"]) == ("01JD", "closed", False)

    played(Home(tmp_path), play)
    third = Home(tmp_path)
    played(third, lambda _: None)
    assert third.alerts() == []


def test_clients_are_listed_with_wall_time(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        home.detector.views = [View(since=time.monotonic() - 60, last=time.monotonic())]
        (client,) = await home.ask(control.Clients())
        assert (client["client_id"], client["verdict"], client["learned"]) == ("cam", "calm", True)
        assert client["last"].startswith(time.strftime("%Y-%m-%d", time.gmtime()))

    played(Home(tmp_path), play)


def test_a_detector_that_fails_is_logged_once_a_minute_and_the_broker_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(home: Home) -> None:
        home.detector.broken = True
        for _ in range(50):
            home.engine.feed(event(home.clock()))
        home.tick()
        status = await home.ask(control.Status())
        assert status["skipped"] == 51
        assert status["errors"] == 52
        assert status["last_error"] == "the detector: ValueError: broken on purpose"
        home.detector.broken = False
        (told,) = home.tick(alert())
        assert told["attack"] == "flood"

    played(Home(tmp_path), play)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is not None


def test_an_alert_goes_out_though_the_response_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def play(home: Home) -> None:
        def fail(incident_id: str) -> Neighbours:
            raise KeyError(incident_id)

        home.detector.neighbours = fail  # type: ignore[method-assign]
        (told,) = home.tick(alert())
        assert (told["action"], told["mode"]) == ("none", "protect")
        assert told["action_reason"] == "the response failed; the log tells more"

    played(Home(tmp_path, mode="protect"), play)
    assert "KeyError: '01JD'" in caplog.text


def test_a_ban_stands_though_the_sensor_cannot_disconnect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(home: Home) -> None:
        def fail(handle: Handle) -> int:
            raise OSError(f"no hand for {handle.kind}")

        home.hand.disconnect = fail  # type: ignore[method-assign]
        (told,) = home.tick(alert())
        assert told["action"] == "banned"
        assert home.engine.barred(address=ATTACKER) is not None
        await home.ask(control.Impose("client_id", "porch-cam"))
        assert (await home.ask(control.Status()))["errors"] == 2

    played(Home(tmp_path, mode="protect"), play)
    assert "no hand for address" in caplog.text


def test_a_ban_that_turned_out_to_be_none_is_told_of_and_another_handle_tried(
    tmp_path: Path,
) -> None:
    def play(home: Home) -> None:
        (told,) = home.tick(alert())
        assert told["action_reason"] == f"banned address {ATTACKER} for 10m"
        home.hand.on_failure(Handle("address", ATTACKER), "the firewall is away")
        (told,) = home.tick()
        assert (told["id"], told["state"]) == ("01JD", "update")
        assert told["action_reason"] == "banned client intruder for 10m"
        home.hand.on_failure(Handle("client_id", "intruder"), "it has none")
        (told,) = home.tick()
        assert (told["action"], told["action_until"]) == ("none", None)
        assert "the firewall is away; it has none" in told["action_reason"]
        assert home.tick() == []

    played(Home(tmp_path, mode="protect"), play)


def test_a_sensor_that_cannot_publish_stops_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("no broker")

    home.engine._publisher._publish = fail

    async def play(home: Home) -> None:
        home.tick(alert())
        listed = await home.ask(control.Incidents())
        assert [one["id"] for one in listed] == ["01JD"]

    played(home, play)


def test_feeding_and_asking_before_the_start_and_after_the_end_do_no_harm(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.engine.feed(event(1.0))
    assert home.engine.barred(address=ATTACKER) is None
    asyncio.run(home.engine.stop())
    played(home, lambda _: None)
    home.engine.feed(event(2.0))
    asyncio.run(home.engine.stop())
    assert home.detector.fed == []


def test_an_action_that_feeds_events_back_at_once_ticks_only_once(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        def disconnect(handle: Handle) -> int:
            home.passed += 100
            later = home.clock()
            home.engine.feed(Closed(time=later, connection=1, address=ATTACKER, by="ids"))
            return 1

        home.hand.disconnect = disconnect  # type: ignore[method-assign]
        assert len(home.tick(alert())) == 1
        assert len(home.detector.ticks) == 1

    played(Home(tmp_path, mode="protect"), play)


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "control.sock").mkdir()
    with pytest.raises(StateError):
        played(Home(tmp_path), lambda _: None)
    (tmp_path / "control.sock").rmdir()
    played(Home(tmp_path), lambda _: None)


def test_the_summary_comes_once_a_minute_and_soon_after_a_change(tmp_path: Path) -> None:
    def play(home: Home) -> None:
        def summaries() -> int:
            return sum(topic == "$ids/summary" for topic, _, _ in home.published)

        for _ in range(60):
            home.tick()
        assert summaries() == 2  # at the start, and after one of the 1.5 minutes
        for number in range(6):
            home.tick(alert(id=str(number)))
        assert summaries() == 4  # 9 s of changes: at once, and 5 s later

    played(Home(tmp_path), play)


def test_each_alert_goes_into_the_file_as_it_went_out(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    published = []
    for play in (lambda home: home.tick(alert()), lambda _: None):
        home = Home(tmp_path / "state", export={"file": str(file)})
        played(home, play)
        published += home.alerts()
    assert [one["state"] for one in published] == ["open", "closed"]  # the second start closes it
    assert [json.loads(line) for line in file.read_bytes().splitlines()] == published


def test_a_file_that_cannot_be_written_stops_no_alert(tmp_path: Path) -> None:
    async def play(home: Home) -> None:
        home.tick(alert())
        for _ in range(100):
            status = await home.ask(control.Status())
            if status["unwritten"]:
                break
            await asyncio.sleep(0.1)
        assert (status["unwritten"], status["errors"]) == (1, 0)

    home = Home(tmp_path, export={"file": str(tmp_path)})  # a folder
    played(home, play)
    assert [one["state"] for one in home.alerts()] == ["open"]
