"""The commands, as a person or a script runs them: what they print, and how they end."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from mqtt_ids import control
from mqtt_ids.accepted import Accepted
from mqtt_ids.alerts import Alert, Reason
from mqtt_ids.control import ask
from mqtt_ids.errors import ControlError
from mqtt_ids.events import SEES_ALL, AnyEvent
from mqtt_ids.memory import Memory
from mqtt_ids.policy import Ban, Handle, HandleKind, Neighbours
from mqtt_ids.run import Engine
from mqtt_ids.settings import Settings
from mqtt_ids.standings import Standing, Standings

EVIL = "evil\x1b[2J\n\tid"  # clears the screen of whoever prints it


def run(
    *arguments: str, module: str = "mqtt_ids", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


AGENT = "from mqtt_ids.__main__ import agent_main; agent_main()"


def run_agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AGENT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a command that ended with 2."""
    assert (result.returncode, result.stdout) == (2, ""), result
    (line,) = result.stderr.splitlines()
    return line


class View(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    verdict: str = "calm"
    address: str | None = "192.0.2.9"
    username: str | None = None
    connected: bool = True
    since: float = 0.0
    last: float = 0.0
    score: float | None = 0.00123
    learned: bool = True


STANDING = [
    Standing(
        client_id=EVIL,
        address="192.0.2.9",
        connected=True,
        verdict="attack",
        rate=812.0,
        score=0.0825,
        ratio=5.5,
        learned=0.25,
    ),
    Standing(
        client_id="porch-cam",
        address=None,
        connected=False,
        verdict="calm",
        rate=0.0,
        score=None,
        ratio=None,
        learned=1.0,
    ),
]


class Script:
    """A detector that knows two clients and has one thing to tell."""

    skipped = 0
    memories: ClassVar[dict[str, Memory]] = {}
    accepted = Accepted()

    def __init__(self) -> None:
        self.next = [
            Alert(
                id="01JDK3V8Q2M4",
                state="open",
                active=True,
                severity="high",
                attack="flood",
                confidence=0.9,
                time=time.monotonic(),
                first_seen=time.monotonic(),
                address="192.0.2.9",
                client_id=EVIL,
                clients=(EVIL,),
                client_count=1,
                reasons=(
                    Reason(
                        feature="publish_rate_10s",
                        observed=812.0,
                        usual=0.9,
                        unit="1/s",
                        share=0.61,
                        text="publishes 812 messages/s, usually 0.9",
                    ),
                ),
            )
        ]

    def feed(self, event: AnyEvent) -> None:
        pass

    def tick(self, now: float) -> list[Alert]:
        assert now > 0
        told, self.next = self.next, []
        return told

    def end(self, now: float) -> list[Alert]:
        assert now
        return []

    def clients(self) -> list[View]:
        return [View(client_id="porch-cam"), View(client_id=EVIL, verdict="attack")]

    def standings(self, most: int, now: float) -> Standings:
        assert most
        assert now
        return Standings(clients=2, connected=2, learned=2, oddest=STANDING)

    def goes_on(self, incident_id: str) -> bool:
        return bool(incident_id)

    def neighbours(self, incident_id: str) -> Neighbours:
        assert incident_id
        return Neighbours(connected=12)


class Hand:
    offers: frozenset[HandleKind] = frozenset({"client_id", "address"})

    def __init__(self) -> None:
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None

    def obstacle(self, handle: Handle) -> str | None:  # noqa: ARG002 - the protocol's
        return None

    def keep_out(self, ban: Ban) -> None:
        pass

    def let_in(self, handle: Handle) -> None:
        pass

    def disconnect(self, handle: Handle) -> int:
        return int(handle.kind == "address")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of an agent that runs in a thread of this process."""
    folder = tmp_path_factory.mktemp("agent")
    engine = Engine(
        Settings.from_mapping({"mode": "protect", "state_dir": str(folder)}),
        sensor="test",
        sees=SEES_ALL,
        actuator=Hand(),
        publish=lambda _topic, _data, _retain: None,
        detector=Script(),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(engine.start(), loop).result(10)
    for _ in range(100):
        if ask(folder, control.Incidents()):
            break
        time.sleep(0.1)
    yield folder
    asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_status_shows_how_the_agent_is(folder: Path) -> None:
    result = run("status", "--state", str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    assert "test, mode protect, process " in result.stdout
    assert "2 connected" in result.stdout
    assert "192.0.2.9" in result.stdout


def test_the_folder_may_come_from_the_environment(folder: Path) -> None:
    assert run("status", MQTT_IDS_STATE=str(folder)).returncode == 0


@pytest.mark.parametrize(
    "what",
    [("status",), ("clients",), ("incidents",), ("incidents", "01JDK3V8Q2M4"), ("top",)],
)
def test_what_an_attacker_named_is_no_command_to_the_terminal(
    folder: Path, what: tuple[str, ...]
) -> None:
    result = run(*what, "--state", str(folder))
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert what == ("status",) or r"evil\x1b[2J\n\tid" in result.stdout


def test_clients_are_listed_the_suspicious_first(folder: Path) -> None:
    lines = run("clients", "--state", str(folder)).stdout.splitlines()
    assert lines[0].split()[:3] == ["CLIENT", "ADDRESS", "USER"]
    assert lines[1].startswith("evil")
    assert lines[2].split()[:5] == ["porch-cam", "192.0.2.9", "-", "yes", "calm"]


def test_each_listing_has_json(folder: Path) -> None:
    assert json.loads(run("status", "--json", "--state", str(folder)).stdout)["mode"] == "protect"
    clients = json.loads(run("clients", "--json", "--state", str(folder)).stdout)
    assert {client["client_id"] for client in clients} == {EVIL, "porch-cam"}
    (incident,) = json.loads(run("incidents", "--json", "--state", str(folder)).stdout)
    one = json.loads(run("incidents", incident["id"], "--json", "--state", str(folder)).stdout)
    assert one.items() >= incident.items()
    assert [each["what"] for each in one["actions"]] == ["ban"]
    assert [each["state"] for each in one["timeline"]] == ["open"]
    assert one["schema"] == "mqtt-ids/alert/1"
    assert one["action"] == "banned"


def test_an_incident_is_shown_with_its_reasons(folder: Path) -> None:
    shown = run("incidents", "01JDK3V8Q2M4", "--state", str(folder)).stdout
    assert "flood, severity high, open" in shown
    assert "publishes 812 messages/s, usually 0.9 (61% of the error)" in shown
    assert "banned address 192.0.2.9 for 10m" in shown
    assert re.search(r"\d\d:\d\d:\d\d\.\d  open +high +flood, 1 client", shown)
    assert re.search(r"\d\d:\d\d:\d\d\.\d  ban +address 192\.0\.2\.9, by policy", shown)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_an_incident_is_drawn(folder: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"night.{ending}"
    drawn = run("incidents", "01JDK3V8Q2M4", "--plot", str(file), "--state", str(folder))
    assert (drawn.returncode, drawn.stderr) == (0, "")
    head = file.read_bytes()[:200]
    assert head.startswith(b"\x89PNG") or b"<svg" in head or b"<?xml" in head
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--plot", "a.png"], "name its ID"),
        (["01JDK3V8Q2M4", "--plot", "a.gif"], ".png or .svg"),
        (["01JDK3V8Q2M4", "--plot", "/nowhere/a.png"], "cannot be written"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_told(
    folder: Path, arguments: list[str], told: str
) -> None:
    assert told in complaint(run("incidents", *arguments, "--state", str(folder)))


def test_an_incident_that_is_not_there_is_told(folder: Path) -> None:
    assert complaint(run("incidents", "01XX", "--state", str(folder))) == (
        "mqtt-ids: there is no incident 01XX"
    )


def test_banning_and_lifting(folder: Path) -> None:
    state = ("--state", str(folder))
    banned = run("ban", "client", "porch-cam", "--for", "1h", "--why", "sold it", *state)
    assert banned.stdout == "banned client porch-cam for 1h\n"
    bans = {one["handle"]["value"]: one for one in ask(folder, control.Status())["bans"]}
    assert (bans["porch-cam"]["why"], bans["porch-cam"]["by"]) == ("sold it", "hand")
    assert run("unban", "client", "porch-cam", *state).stdout == (
        "lifted the ban on client porch-cam\n"
    )
    assert "there is no ban" in complaint(run("unban", "client", "porch-cam", *state))
    assert "cannot ban by username" in complaint(run("ban", "user", "bob", *state))
    assert "is no IP address" in complaint(run("ban", "address", "porch", *state))
    assert "24h or 7d" in complaint(run("ban", "address", "10.0.0.1", "--for", "60", *state))


def test_a_terminal_gets_colours_unless_no_color_is_set(folder: Path) -> None:
    def on_terminal(**environment: str) -> bytes:
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "mqtt_ids", "clients", "--state", str(folder)]
        plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        subprocess.run(
            command,
            stdout=slave,
            env={**plain, "TERM": "xterm", "COLUMNS": "200", **environment},
            check=True,
            timeout=60,
        )
        os.close(slave)
        shown = os.read(master, 65_536)
        os.close(master)
        return shown

    assert b"\x1b[31m" in on_terminal()
    assert b"\x1b[31m" not in on_terminal(NO_COLOR="1")


def test_an_incident_is_accepted_listed_and_undone(folder: Path) -> None:
    name = "01JDK3V8Q2M4"
    nothing = run("accept", "--state", str(folder))
    assert nothing.stdout == "Nothing was accepted.\n"
    accepted = run("accept", name, "--for", "7d", "--state", str(folder))
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert accepted.stdout.startswith("accepted until 20")
    assert r"flood of evil\x1b[2J\n\tid" in accepted.stdout
    assert "normal up to  publishes 1,624 messages/s" in accepted.stdout
    listed = run("accept", "--state", str(folder)).stdout
    assert name in listed
    assert "\x1b" not in listed
    (one,) = json.loads(run("accept", "--json", "--state", str(folder)).stdout)
    assert one["levels"]["publish_rate_1m"] == pytest.approx(2 * 812.0)
    undone = run("accept", name, "--undo", "--state", str(folder))
    assert undone.stdout == "no longer accepted: flood of evil\\x1b[2J\\n\\tid\n"
    timeline = run("incidents", name, "--state", str(folder)).stdout.partition("\n\n")[2]
    assert re.findall(r"  ((?:un)?accept) +by hand \(flood of evil", timeline) == [
        "accept",
        "unaccept",
    ]
    assert run("accept", "--state", str(folder)).stdout == "Nothing was accepted.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("accept", "nothing"), "there is no incident nothing"),
        (("accept", "x\x1b[2J"), "there is no incident of this id"),
        (("accept", "01JDK3V8Q2M4", "--undo"), "no such incident was accepted"),
        (("accept", "--undo"), "which incident?"),
        (("accept", "--for", "7d"), "which incident?"),
        (("accept", "01JDK3V8Q2M4", "--for", "soon"), "'soon'"),
        (("forget", "nobody\x1b"), "there is no client"),
    ],
)
def test_what_cannot_be_decided_is_one_line(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    line = complaint(run(*arguments, "--state", str(folder)))
    assert told in line
    assert "\x1b" not in line


def test_a_pipe_that_closes_early_is_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "mqtt_ids", "clients", "--state", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["clients"],
        ["incidents"],
        ["ban", "address", "10.0.0.1"],
        ["release"],
        ["accept"],
        ["accept", "01JDK3V8Q2M4"],
        ["forget", "cam"],
        ["top"],
    ],
)
def test_without_an_agent_one_line_says_what_to_do(tmp_path: Path, command: list[str]) -> None:
    line = complaint(run(*command, "--state", str(tmp_path)))
    assert line.startswith(f"mqtt-ids: no agent runs with the state folder {tmp_path}; start")


def test_release_lifts_the_bans_that_a_dead_agent_left(tmp_path: Path) -> None:
    engine = Engine(
        Settings.from_mapping({"state_dir": str(tmp_path)}),
        sensor="test",
        sees=SEES_ALL,
        actuator=Hand(),
        publish=lambda _topic, _data, _retain: None,
        detector=Script(),
    )

    async def play() -> None:
        await engine.start()
        for number in range(3):
            impose = control.Impose("address", f"192.0.2.{number}")
            await asyncio.to_thread(ask, tmp_path, impose)
        await engine.stop()

    asyncio.run(play())
    state = ("--state", str(tmp_path))
    assert run("release", *state).stdout.splitlines() == [
        "no agent runs; its stored bans are lifted",
        "whom a Mosquitto or the firewall keeps out, the agent lets in when it runs again",
        "lifted 3 bans",
    ]
    assert run("release", *state).stdout.endswith("lifted 0 bans\n")


def test_release_of_a_folder_that_cannot_be_looked_into_is_no_fault_of_ours(
    tmp_path: Path,
) -> None:
    assert "too long" in complaint(run("release", "--state", str(tmp_path / ("x" * 300))))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nonsense"], "No such option"),
        (["stat"], "No such command 'stat'"),
        (["ban", "planet", "x"], "'planet' is not one of 'address', 'client', 'user'"),
        (["ban", "address"], "Missing argument"),
        (["incidents", "--limit", "0"], "not in the range"),
        (["model", "--model", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_usage_is_one_line_and_two(arguments: list[str], told: str) -> None:
    line = complaint(run(*arguments))
    assert line.startswith("mqtt-ids: ")
    assert told in line


def test_help_teaches_by_example() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "mqtt-ids ban address 192.168.1.66 --for 1h" in result.stdout
    for command in ("status", "clients", "incidents", "ban", "unban", "release", "model", "demo"):
        assert run(command, "--help").returncode == 0, command
    agent = run_agent("--help")
    assert "mqtt-ids-agent --mode protect" in agent.stdout


def test_the_models_card_is_shown() -> None:
    card = json.loads(run("model", "--json").stdout)
    assert card["schema"] == "mqtt-ids/model/1"
    assert card["layers"][1:-1] == [128, 64, 32, 16, 32, 64, 128]
    shown = run("model").stdout
    assert all(feature in shown for feature in card["features"])
    assert "budget" in shown


def test_no_command_at_all_shows_the_help_and_fails() -> None:
    result = run()
    assert result.returncode == 2
    assert "Commands:" in result.stderr


def test_status_is_quick_for_it_loads_neither_broker_nor_numpy() -> None:
    script = "import sys, mqtt_ids.cli; print({'amqtt', 'numpy'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "set()\n"


@pytest.mark.parametrize(
    ("entry", "arguments", "loading"),
    [
        ("main", ["status"], "msgspec"),
        ("main", ["demo"], "amqtt"),
        ("main", ["model"], "numpy"),
        ("agent_main", [], "click"),
        ("agent_main", ["--bind", "127.0.0.1:18830"], "amqtt"),
    ],
)
def test_ctrl_c_while_modules_load_is_quiet(entry: str, arguments: list[str], loading: str) -> None:
    script = f"""
import os, signal, sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == {loading!r}: os.kill(os.getpid(), signal.SIGINT)
from mqtt_ids.__main__ import {entry}
sys.meta_path.insert(0, Interrupted())
sys.argv[1:] = {arguments!r}
{entry}()
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stdout, result.stderr.strip()) == (130, "", "")


def test_a_fault_of_ours_is_one_line_and_shows_its_traceback_on_request() -> None:
    script = """
import sys
import click
from mqtt_ids.cli import run
@click.command()
def broken(): raise KeyError("x")
sys.exit(run(broken, "broken", []))
"""
    command = [sys.executable, "-c", script]
    quiet = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert complaint(quiet) == (
        "broken: a fault of ours: KeyError: 'x' (MQTT_IDS_DEBUG=1 shows where)"
    )
    loud = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "MQTT_IDS_DEBUG": "1"},
    )
    assert "Traceback" in loud.stderr


# The agent.

BEHIND = "broker: mqtt://127.0.0.1:2"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "mqtt-ids.yaml"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("mod: protect", "mod: unknown key; did you mean mode?"),
        ("mode: stop", "mode: 'stop' is not usable; expected observe or protect"),
        ("log: mosquitto.log", "log: is Mosquitto's; name the broker too, with --broker"),
        ("broker: localhost", "broker: expected a URL such as mqtt://localhost:1883"),
        ("listen: 127.0.0.1:1", "listen: name the broker behind it too, with --broker"),
        (f"listen: 127.0.0.1:1\n{BEHIND}\nlog: x", "log: is not read in front of the broker"),
        ("inline: {fail: closed}", "inline: nobody listens in front of the broker; give listen"),
        ("inline: {tls_listen: 127.0.0.1:1}", "inline.tls_listen: needs a certificate"),
        ("[", "not valid YAML"),
    ],
)
def test_a_wrong_configuration_is_refused(config: Path, content: str, told: str) -> None:
    config.write_text(content)
    line = complaint(run_agent("--config", str(config)))
    assert line.startswith(f"mqtt-ids-agent: {config}: ")
    assert told in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--listen", "0.0.0.0:1883", "--broker", "mqtt://localhost"),
            "listen: 0.0.0.0:1883 is where the broker is called itself; give it another port",
        ),
        (
            ("--listen", "192.0.2.1:1883", "--broker", "mqtt://127.0.0.1:2"),
            "cannot listen on 192.0.2.1:1883: Cannot assign requested address",
        ),
        (
            ("--listen", "127.0.0.1:1", "--broker", "mqtt://127.0.0.1:2", "--bind", "127.0.0.1:3"),
            "--bind: is for a broker of our own; leave out --broker, or --bind",
        ),
    ],
)
def test_nobody_is_served_where_that_cannot_be(arguments: tuple[str, ...], told: str) -> None:
    assert complaint(run_agent(*arguments)) == f"mqtt-ids-agent: {told}"


def test_a_port_in_use_in_front_of_a_broker_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = ("--state", str(tmp_path / "state"))
        front = ("--listen", f"127.0.0.1:{port}", "--broker", "mqtt://127.0.0.1:1")
        line = complaint(run_agent(*front, *state))
    assert line == (
        f"mqtt-ids-agent: cannot listen on 127.0.0.1:{port}: the port is in use by another"
        " program; stop that one, or choose another with --listen"
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = ("--state", str(tmp_path / "state"))
        line = complaint(run_agent("--bind", f"127.0.0.1:{port}", *state))
    assert line == (
        f"mqtt-ids-agent: cannot listen on 127.0.0.1:{port}: the port is in use by another"
        " program; stop that one, or choose another with --bind"
    )


def test_an_address_that_is_not_ours_is_refused() -> None:
    passwords = ("--password-file", os.devnull)
    assert "names no user" in complaint(run_agent("--bind", "192.0.2.1:1883", *passwords))


@pytest.mark.parametrize("bind", ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883", "example:1883"])
def test_a_broker_without_passwords_is_not_opened_to_the_network(bind: str) -> None:
    assert "nobody needs a password; give --password-file" in complaint(run_agent("--bind", bind))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "names no user"),
        ("# nobody\n", "names no user"),
        ("\n# us\nbob:canary-7\n", "line 3: expected USER:HASH"),
        (":$argon2id$x\n", "line 1: expected USER:HASH"),
    ],
)
def test_a_password_file_is_checked_and_its_passwords_are_not_shown(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "users"
    file.write_text(content)
    line = complaint(run_agent("--password-file", str(file)))
    assert told in line
    assert "canary-7" not in line


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_agent_watches_its_broker_until_a_signal(tmp_path: Path, number: int) -> None:
    state = tmp_path / "state"
    bind = f"127.0.0.1:{free_port()}"
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, "--bind", bind, "--state", str(state), "--mode", "protect"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        status = wait_for_status(state, agent)
        assert (status["sensor"], status["mode"]) == ("amqtt", "protect")
        assert run("ban", "address", "192.0.2.7", "--state", str(state)).returncode == 0
        second = run_agent("--bind", f"127.0.0.1:{free_port()}", "--state", str(state))
        assert f"in use by another mqtt-ids (process {agent.pid})" in second.stderr
        assert (second.returncode, "Traceback" in second.stderr) == (2, False)
    finally:
        agent.send_signal(number)
        _, errors = agent.communicate(timeout=30)
    assert agent.returncode == 0
    assert "Traceback" not in errors
    assert "no agent runs" in complaint(run("status", "--state", str(state)))


def wait_for_status(state: Path, agent: subprocess.Popen[str]) -> dict[str, object]:
    for _ in range(300):
        try:
            found: dict[str, object] = ask(state, control.Status())
        except ControlError:
            assert agent.poll() is None, agent.stderr and agent.stderr.read()
            time.sleep(0.1)
        else:
            return found
    pytest.fail("the agent did not come up within 30 s")


@pytest.mark.broker
def test_an_unusable_state_folder_stops_the_agent_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = ("--state", str(tmp_path / "file" / "state"))
    result = run_agent("--bind", f"127.0.0.1:{free_port()}", *state)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"mqtt-ids-agent: state_dir {tmp_path}/file/state: cannot be used")
