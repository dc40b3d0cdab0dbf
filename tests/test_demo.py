"""The demo: what it makes of alerts, what it shows, how it ends, and the whole of it for real."""

import asyncio
import contextlib
import io
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqtt.broker import Broker
from pwdlib.hashers.argon2 import Argon2Hasher
from rich.console import Console

from mqtt_ids import demo as command
from mqtt_ids import demo_scene
from mqtt_ids.alerts import Alert, Reason, encode
from mqtt_ids.demo_report import CALM, Report, Sighting, Trial
from mqtt_ids.demo_scene import LIMITS, Scene, write_passwords
from mqtt_ids.demo_show import Lively, Plain, rows, verdict
from mqtt_ids.embedded import broker_config
from mqtt_ids.lab.actions import Action, Actor, Clock, Connect, Disconnect, Lost, Open, Ping, Script
from mqtt_ids.lab.client import each
from mqtt_ids.lab.live import perform
from mqtt_ids.readers import HostPort

ATTACKER, OTHER = "127.0.0.9", "127.0.0.8"
LAMP, LAMP_AT, VISITOR_AT = "lamp", "127.0.0.2", "127.0.0.3"


def sighting(attack: str = "flood", /, **told: object) -> Sighting:
    """An alert from the wire, received 3 s after the attack began."""
    reason = Reason(
        feature="publish_rate", observed=9.0, usual=1.0, unit="1/s", share=0.5, text="so much"
    )
    fields = {
        "id": "1", "state": "open", "active": True, "severity": "high", "confidence": 0.9,
        "time": 0.0, "first_seen": 0.0, "reasons": (reason,), "address": ATTACKER, **told,
    }  # fmt: skip
    data = encode(Alert(attack=attack, **fields), 0.0)  # type: ignore[arg-type]
    return Sighting.decode(data, 103.0)


def attacked(kind: str = "flood") -> tuple[Report, Trial]:
    report = Report({LAMP: LAMP_AT}, [LAMP_AT, VISITOR_AT])
    trial = report.begin(kind, ATTACKER)
    trial.began = 100.0
    return report, trial


def test_an_attack_is_found_and_named() -> None:
    report, trial = attacked()
    report.see(sighting(clients=("x",)))
    assert (trial.detected_after, trial.recognised, report.passed) == (3.0, True, True)
    assert rows(report)[1] == ("flood", "3.0 s", "flood", "0")


def test_an_attack_that_nobody_told_of_is_missed() -> None:
    report, trial = attacked()
    report.see(sighting(severity="info"))
    trial.over = True
    assert not report.passed
    assert rows(report)[1] == ("flood", "missed", "-", "0")
    assert verdict(report).startswith("0 of 1")


def test_a_wrong_name_is_no_success_until_it_is_put_right() -> None:
    report, trial = attacked()
    report.see(sighting("unusual"))
    assert (trial.detected_after, report.passed) == (3.0, False)
    report.see(sighting("flood", state="update"))
    assert (trial.names, report.passed) == (("flood",), True)
    report.see(sighting("dos", id="2"))
    assert (trial.names, report.passed) == (("dos", "flood"), False)


def test_an_earlier_attacker_s_alert_is_not_the_later_one_s() -> None:
    report, first = attacked()
    second = report.begin("dos", OTHER)
    report.see(sighting())
    assert first.recognised
    assert second.detected_after is None
    assert second.disturbed == set()


@pytest.mark.parametrize(
    ("told", "disturbed"),
    [
        ({"client_id": LAMP, "address": LAMP_AT}, {LAMP}),
        ({"client_id": "x", "address": LAMP_AT}, {LAMP}),
        ({"clients": ("x", LAMP)}, {LAMP}),
        ({"address": VISITOR_AT}, {VISITOR_AT}),
        ({"client_id": "ghost", "address": None}, {"ghost"}),
        ({"client_id": LAMP, "address": LAMP_AT, "severity": "info"}, set()),
        ({"client_id": "x"}, set()),
    ],
)
def test_who_is_disturbed(told: dict[str, object], disturbed: set[str]) -> None:
    report, trial = attacked()
    report.see(sighting(id="0"))
    report.see(sighting(**told))
    assert trial.disturbed == disturbed
    assert report.passed is not bool(disturbed)


def test_a_calm_client_that_loses_its_connection_is_disturbed() -> None:
    report, trial = attacked()
    report.see(sighting())
    report.lose(LAMP)
    report.lose(LAMP)
    assert (trial.disturbed, report.passed) == ({LAMP}, False)
    assert verdict(report) == "1 of 1 attacks found and rightly named, disturbed: lamp"


def test_an_alert_before_any_attack_is_a_false_one() -> None:
    report = Report({LAMP: LAMP_AT}, [LAMP_AT])
    report.see(sighting(address=LAMP_AT, severity="info"))
    assert (report.current.attack, report.passed) == (CALM, True)
    report.see(sighting(address=LAMP_AT))
    assert (report.current.disturbed, report.passed) == ({LAMP}, False)


def test_an_attacker_has_an_address_of_his_own() -> None:
    report, _ = attacked()
    for taken in (LAMP_AT, VISITOR_AT, ATTACKER):
        with pytest.raises(ValueError, match="somebody else"):
            report.begin("dos", taken)


def test_plain_lines_obey_no_attacker(capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = attacked()
    evil = sighting(client_id="\x1b[2Jevil\n")
    report.see(evil)
    Plain().alert(evil, 3.0)
    Plain().end(report)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "  3.0 s  ALERT high flood by \\x1b[2Jevil\\n, 127.0.0.9: so much\n" in shown
    assert "flood   3.0 s           flood     0\n" in shown


def test_the_live_view_shows_the_same_and_gives_the_cursor_back() -> None:
    report, trial = attacked()
    report.see(sighting())
    trial.over = True
    out = io.StringIO()
    lively = Lively(Console(file=out, force_terminal=True, width=100, color_system=None))
    with contextlib.closing(lively):
        lively.step("attack: flood", 1.0)
        lively.alert(sighting(client_id="\x1b[2Jevil"), 3.0)
        lively.beat(report, 12, 4.0)
        lively.end(report)
    shown = out.getvalue()
    assert "\x1b[2Jevil" not in shown
    assert "  3.0 s  high      flood by \\x1b[2Jevil, 127.0.0.9: so much" in shown
    assert re.search(r"flood +3\.0 s +flood +0", shown)
    assert "1 of 1 attacks found" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def scripted(*actions: Action) -> Actor:
    def script(_: Clock, __: random.Random) -> Script:
        yield from each(actions)

    return Actor(name="a", address="10.0.0.1", script=script, seed="1")


@pytest.mark.parametrize(
    ("steps", "lost"),
    [
        ([(Open(), None), (Connect("a"), None), (5.0, Lost("none"))], 1),
        ([(Open(), None), (Connect("a"), None), (Ping(), Lost("none")), (1.0, None)], 1),
        ([(Open(), None), (Connect("a"), Lost("refused"))], 1),
        ([(Open(), Lost("unreachable"))], 1),
        ([(Open(), None), (Connect("a"), None), (Disconnect(), None), (1.0, None)], 0),
        ([(Open(), None), (Connect("a"), None), (5.0, None), (Ping(), None)], 0),
    ],
)
def test_a_client_tells_when_it_is_cut_off(
    steps: list[tuple[Action, Lost | None]], lost: int
) -> None:
    told: list[str] = []
    actor = scripted(*(action for action, _ in steps))
    script = demo_scene.telling(actor.script, "a", told.append)(Clock(0.0), random.Random(1))
    action = next(script)
    done = [action]
    with contextlib.suppress(StopIteration):
        for _, answer in steps:
            done.append(script.send(answer))
    assert done == [action for action, _ in steps]
    assert told == ["a"] * lost


def test_the_scene_is_a_home_of_a_dozen_and_five_strangers() -> None:
    scene = Scene(lambda _: None)
    calm = scene.calm
    assert len(calm) >= 12
    assert len(set(calm.values())) == len(calm)
    assert set(calm.values()) <= scene.addresses
    attacks = {kind: scene.attack(kind) for kind in LIMITS}
    addresses = {address for address, _ in attacks.values()}
    assert len(addresses) == len(LIMITS)
    assert not addresses & (scene.addresses | {command.VIEWER_ADDRESS})
    for kind, (address, attack) in attacks.items():
        assert attack.kind == kind
        assert {scene.address_of(actor.address) for actor in attack.actors} == {address}


def test_only_the_right_password_opens(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    write_passwords({"ann": "right"}, file)
    assert file.stat().st_mode & 0o077 == 0
    broker_config(HostPort("127.0.0.1", 1), {}, file)
    name, _, hashed = file.read_text().strip().partition(":")
    assert name == "ann"
    assert Argon2Hasher().verify("right", hashed)
    assert not Argon2Hasher().verify("wrong", hashed)


@pytest.mark.broker
def test_a_broker_that_stops_is_felt_by_the_home() -> None:
    told: list[str] = []
    scene = Scene(told.append)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def run() -> list[str]:
        broker = Broker(config)
        await broker.start()
        living = asyncio.create_task(
            perform(
                scene.actors, port=port, duration=5.0, start=demo_scene.EVENING,
                address_of=scene.address_of,
            )
        )  # fmt: skip
        await asyncio.sleep(2.0)
        calm = list(told)
        await broker.shutdown()
        await living
        return calm

    assert asyncio.run(run()) == []
    assert len(set(told)) >= 12


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attack so faint that nobody could call it one."""
    monkeypatch.setattr(command, "CALM_FOR", 1.0)
    monkeypatch.setattr(command, "PAUSE", 0.1)
    monkeypatch.setattr(command, "LIMITS", {"flood": 1.0})
    monkeypatch.setattr(demo_scene, "FLOOD", 0.5)


@pytest.mark.broker
@pytest.mark.usefixtures("short")
def test_a_missed_attack_is_exit_1_and_nothing_is_left_running(
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads = set(threading.enumerate())
    assert command.demo() == 1
    shown = capsys.readouterr()
    assert re.search(r"^flood +missed +- +0$", shown.out, re.MULTILINE)
    assert shown.err == ""
    assert set(threading.enumerate()) <= threads


def running(folder: Path) -> subprocess.Popen[str]:
    """The demo as a person starts it, with its temporary files in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "mqtt_ids", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.broker
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_can_be_stopped_at_once(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    with ended(running(tmp_path)) as process:
        assert process.stdout is not None
        while "logs in" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (code, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
@pytest.mark.runtime
@pytest.mark.slow
def test_all_five_are_found_and_rightly_named_and_nobody_is_disturbed(tmp_path: Path) -> None:
    with ended(running(tmp_path)) as process:
        shown, errors = process.communicate(timeout=170)
        assert (process.returncode, errors) == (0, ""), shown
    for kind in LIMITS:
        assert re.search(rf"^{kind} +\d+\.\d s +{kind} +0$", shown, re.MULTILINE), shown
    assert re.search(r"^none +- +- +0$", shown, re.MULTILINE)
    assert "5 of 5 attacks found and rightly named, nobody else disturbed" in shown
    assert list(tmp_path.iterdir()) == []
