"""`mqtt-ids doctor` with real brokers: what it finds, and that its advice closes each gap."""

import glob
import grp
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from doctor_tools import (
    ADMIN,
    GROUP,
    SECRET,
    Apprentice,
    Installed,
    as_nobody,
    doctor,
    gap,
    is_root,
    names,
)
from live_broker import HOST, free_port, listening, until
from mosquitto_broker import SYSTEM, needs_mosquitto, passwords
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_ids.cli import ids, run
from mqtt_ids.doctor import recipes
from mqtt_ids.doctor.call import call
from mqtt_ids.doctor.costs import SOURCES
from mqtt_ids.doctor.findings import Findings
from mqtt_ids.doctor.handles import REQUEST
from mqtt_ids.doctor.rights import PROBE
from mqtt_ids.readers import HostPort
from mqtt_ids.uplink.access import PASSWORD, Access

pytestmark = needs_mosquitto
as_root = pytest.mark.skipif(not is_root(), reason="only root may become another user")
OPEN = "allow_anonymous true"
ALERTS = "$ids/alerts"
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others may look into, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="mqtt-ids-doctor-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def user_url(broker: Installed, user: str) -> str:
    return f"mqtt://{user}@{HOST}:{broker.port}"


@contextmanager
def subscriber(broker: Installed, topic: str) -> Iterator[list[bytes]]:
    """Somebody who shows alerts."""
    got: list[bytes] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "shows-alerts")
    client.on_message = lambda _c, _d, message: got.append(bytes(message.payload))
    client.on_subscribe = lambda *_: ready.set()
    client.connect(HOST, broker.port)
    client.subscribe(topic)
    client.loop_start()
    assert ready.wait(10)
    yield got
    client.disconnect()
    client.loop_stop()


# --- the log -------------------------------------------------------------------------------------


@pytest.mark.broker
@as_root
def test_from_a_broker_that_shows_nothing_to_one_without_a_gap(
    folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Installed(folder, OPEN) as broker:
        first = doctor(capsys, "--broker", broker.url)
        assert (first[0], names(first)) == (1, ["no-log-file", "alerts-open"])
        assert first[1]["findings"]["topics"] == dict.fromkeys(
            ("connects", "subscriptions", "packets"), False
        )
        apprentice = Apprentice(broker)
        apprentice.follow(gap(first, "no-log-file")["closes"])
        log = apprentice.place(recipes.LOG)
        assert f"--log {log}" in apprentice.left_out[-1]
        second = doctor(capsys, "--broker", broker.url, "--log", log)
        assert names(second) == ["alerts-open"]
        assert second[1]["findings"]["log"]["sight"] == dict.fromkeys(
            ("connects", "subscriptions", "packets"), True
        )
        apprentice.follow(gap(second, "alerts-open")["closes"])
        monkeypatch.setenv(PASSWORD, SECRET)
        third = doctor(capsys, "--broker", user_url(broker, "ids"), "--log", log)
        assert (third[0], names(third)) == (0, [])
        alerts = third[1]["findings"]["alerts"]
        assert third[1]["findings"]["anonymous"]
        assert (alerts["published"], alerts["read_back"]) == (True, True)
        assert (alerts["strangers_publish"], alerts["strangers_read"]) == (False, False)


@pytest.mark.broker
def test_log_topics_alone(tmp_path: Path, capsys: Capsys) -> None:
    with Installed(tmp_path, OPEN) as broker:
        first = doctor(capsys, "--broker", broker.url)
        steps = gap(first, "no-log-file")["closes"]
        (step,) = [each for each in steps if "log_dest topic" in each["lines"]]
        Apprentice(broker).take(step)
        broker.restart()
        second = doctor(capsys, "--broker", broker.url)
        topics = second[1]["findings"]["topics"]
        assert (topics["connects"], topics["subscriptions"]) == (True, True)
        assert len(gap(second, "no-log-file")["costs"]) < len(gap(first, "no-log-file")["costs"])


@pytest.mark.broker
@as_root
@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ((), "subscriptions and packets"),
        (("log_type notice", "log_type subscribe"), "packets"),
        (("log_type all", "connection_messages false"), "connections"),
    ],
)
def test_a_log_that_lacks_lines(
    folder: Path, capsys: Capsys, more: tuple[str, ...], lacks: str
) -> None:
    log = folder / "mosquitto.log"
    with Installed(folder, OPEN, f"log_dest file {log}", *more) as broker:
        where = ("--broker", broker.url, "--log", str(log))
        first = doctor(capsys, *where)
        assert f"no lines about {lacks}" in gap(first, "log-lines")["text"]
        if "connection_messages false" in broker.lines:
            broker.lines.remove("connection_messages false")  # as `true` in its place says
        Apprentice(broker).follow(gap(first, "log-lines")["closes"])
        assert names(doctor(capsys, *where)) == ["alerts-open"]


@pytest.mark.broker
@as_root
def test_a_log_that_may_not_be_read(folder: Path, capsys: Capsys) -> None:
    log, out = folder / "logs" / "mosquitto.log", folder / "out.json"
    log.parent.mkdir(mode=0o755)
    with Installed(folder, OPEN, f"log_dest file {log}", "log_type all") as broker:
        where = ("--broker", broker.url, "--log", str(log))
        assert names(doctor(capsys, *where)) == ["alerts-open"], "root may read all"
        first = as_nobody(out, *where)
        found = gap(first, "log-unreadable")
        assert "no permission" in found["text"]
        assert "mode 0600; we are nobody" in found["text"]
        apprentice = Apprentice(broker)
        apprentice.follow(found["closes"])
        assert f"sudo usermod -aG {GROUP} nobody" in apprentice.left_out
        assert "log-unreadable" in names(as_nobody(out, *where))
        members = [grp.getgrnam(GROUP).gr_gid]
        assert names(as_nobody(out, *where, groups=members)) == ["alerts-open"]


@pytest.mark.broker
def test_a_log_that_is_not_there_and_one_of_another_broker(tmp_path: Path, capsys: Capsys) -> None:
    other = tmp_path / "other.log"
    other.write_text("1795466419: mosquitto version 2.0.11 starting\n")
    with Installed(tmp_path, OPEN, "log_dest topic", "log_type all") as broker:
        missing = doctor(capsys, "--broker", broker.url, "--log", str(tmp_path / "none.log"))
        silent = doctor(capsys, "--broker", broker.url, "--log", str(other))
    assert "is not there" in gap(missing, "log-missing")["text"]
    assert "is it this broker's log?" in gap(silent, "log-silent")["text"]
    assert f"log_dest file {other}" in gap(silent, "log-silent")["closes"][0]["lines"]


# Not marked as `broker`: what they need beside a broker is seldom installed where tests run.

PROGRAMS = SYSTEM + os.pathsep + os.environ.get("PATH", "")


@as_root
def test_the_rotation_keeps_the_log_readable(folder: Path, capsys: Capsys) -> None:
    program = shutil.which("logrotate", path=PROGRAMS)
    if program is None:
        pytest.skip("logrotate is not installed")
    log, out = folder / "logs" / "mosquitto.log", folder / "out.json"
    log.parent.mkdir(mode=0o755)
    group = [grp.getgrnam(GROUP).gr_gid]
    (folder / "root" / "run" / "mosquitto").mkdir(parents=True)
    pid = f"pid_file {folder}/root{recipes.PID}"
    with Installed(folder, OPEN, f"log_dest file {log}", "log_type all", pid) as broker:
        where = ("--broker", broker.url, "--log", str(log))
        doctor(capsys, *where)
        apprentice = Apprentice(broker)
        apprentice.follow(gap(as_nobody(out, *where), "log-unreadable")["closes"])
        with log.open("ab") as stream:
            stream.write(b"0: filler\n" * 900_000)  # more than may be
        cron = apprentice.files[recipes.OFTEN].read_text().split()
        assert cron[:6] == ["*/5", "*", "*", "*", "*", "root"]
        command = [program, *cron[7:]]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        rotated = log.with_name("mosquitto.log.1")
        assert rotated.stat().st_size > 8 << 20
        until(lambda: log.stat().st_size < 1 << 20, 5.0, failing="no new log")
        assert names(as_nobody(out, *where, groups=group)) == ["alerts-open"]


@as_root
def test_the_line_for_memory_mounts(folder: Path, capsys: Capsys) -> None:
    with Installed(folder, OPEN) as broker:
        apprentice = Apprentice(broker)
        for step in gap(doctor(capsys, "--broker", broker.url), "no-log-file")["closes"]:
            if step["where"] == "/etc/fstab":
                apprentice.take(step)
    place = Path(apprentice.place(recipes.LOG)).parent
    place.mkdir(parents=True)
    script = f"mount -T {apprentice.files['/etc/fstab']} {place} && stat -f -c %T {place}"
    script += f" && stat -c '%U %a' {place}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if "ermission denied" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.stdout.split() == ["tmpfs", "mosquitto", "755"], done.stderr


# --- who may use $ids/… --------------------------------------------------------------------------


@pytest.mark.broker
def test_an_acl_that_hides_our_topics(
    folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = folder / "acl"
    rules.write_text("pattern readwrite #\nuser ids\ntopic read $SYS/#\n")
    users = passwords(folder, {"ids": SECRET, "tom": "cat"})
    log = folder / "mosquitto.log"
    lines = (f"acl_file {rules}", f"password_file {users}", f"log_dest file {log}", "log_type all")
    monkeypatch.setenv(PASSWORD, SECRET)
    with Installed(folder, "allow_anonymous false", *lines) as broker:
        where = ("--broker", user_url(broker, "ids"), "--log", str(log))
        first = doctor(capsys, *where)
        assert names(first) == ["alerts-refused"]
        assert first[1]["findings"]["dynamic_security"] == "denied"
        (step,) = [
            each for each in gap(first, "alerts-refused")["closes"] if each["where"] == recipes.ACL
        ]
        assert step["when"] == "where an acl_file is used"
        rules.write_text("\n".join(step["lines"]) + "\n")
        broker.restart()
        assert doctor(capsys, *where)[0] == 0


@pytest.mark.broker
def test_users_without_rules_may_all_raise_false_alerts(
    folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = passwords(folder, {"ids": SECRET})
    monkeypatch.setenv(PASSWORD, SECRET)
    lines = (f"password_file {users}", "log_dest topic", "log_type all")
    with Installed(folder, "allow_anonymous false", *lines) as broker:
        where = ("--broker", user_url(broker, "ids"))
        first = doctor(capsys, *where)
        assert "every user may publish" in gap(first, "alerts-open")["text"]
        Apprentice(broker).follow(gap(first, "alerts-open")["closes"])
        assert names(doctor(capsys, *where)) == ["no-log-file"]


def dynamic(folder: Path, anonymous: str) -> Installed:
    store = folder / "dynamic-security.json"
    init = ["mosquitto_ctrl", "dynsec", "init", str(store), ADMIN, SECRET]
    subprocess.run(init, check=True, capture_output=True, timeout=20)
    (plugin,) = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")  # noqa: PTH207 - one file
    log = ("log_dest topic", "log_type all", f"allow_anonymous {anonymous}")
    return Installed(folder, *log, f"plugin {plugin}", f"plugin_opt_config_file {store}")


def ctrl(broker: Installed, *words: str) -> None:
    where = ["-h", HOST, "-p", str(broker.port), "-u", ADMIN, "-P", SECRET]
    command = ["mosquitto_ctrl", *where, "dynsec", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def allow_all(broker: Installed) -> None:
    """By message: 2.0's mosquitto_ctrl cannot."""
    kinds = [{"acltype": kind, "allow": True} for kind in ("publishClientSend", "subscribe")]
    command = {"command": "setDefaultACLAccess", "acls": kinds}
    with call(Access.of(user_url(broker, ADMIN)), "admin") as line:
        assert line.publish(REQUEST, json.dumps({"commands": [command]}).encode())


def let_guests_do_all(broker: Installed) -> None:
    """A group of its own for clients without a user, as homes have it that began without any."""
    ctrl(broker, "createRole", "guest")
    for topic in ("#", "$ids/#"):
        ctrl(broker, "addRoleACL", "guest", "publishClientSend", topic, "allow")
        ctrl(broker, "addRoleACL", "guest", "subscribePattern", topic, "allow")
    ctrl(broker, "createGroup", "guests")
    ctrl(broker, "addGroupRole", "guests", "guest")
    ctrl(broker, "setAnonymousGroup", "guests")


@pytest.mark.broker
def test_dynamic_security_gives_us_a_role(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    with dynamic(tmp_path, "false") as broker:
        ctrl(broker, "createClient", "ids", "-p", SECRET)
        where = ("--broker", user_url(broker, "ids"))
        first = doctor(capsys, *where)
        assert first[1]["findings"]["dynamic_security"] == "denied"
        assert not first[1]["findings"]["system_topics"]
        steps = gap(first, "alerts-refused")["closes"]
        (step,) = [each for each in steps if each["when"] == "where dynamic security is loaded"]
        Apprentice(broker).take(step)
        second = doctor(capsys, *where)
        assert names(second) == ["no-log-file"]
        found = second[1]["findings"]
        assert (found["dynamic_security"], found["users"]) == ("answers", 2)
        assert found["topics"]["connects"]
        assert found["topics"]["subscriptions"]


@pytest.mark.broker
@pytest.mark.parametrize("grouped", [False, True])
def test_dynamic_security_keeps_strangers_off_our_topics(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, *, grouped: bool
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    with dynamic(tmp_path, "true") as broker:
        where = ("--broker", user_url(broker, ADMIN))
        if grouped:
            let_guests_do_all(broker)
            where = ("--broker", user_url(broker, recipes.USER))
            nobody = Findings(broker="", address=HostPort(HOST, broker.port))
            Apprentice(broker).take(msgspec.to_builtins(recipes.dynamic_role(nobody)[0]))
        else:
            allow_all(broker)
        first = doctor(capsys, *where)
        assert first[1]["findings"]["alerts"]["strangers_publish"]
        assert first[1]["findings"]["alerts"]["strangers_read"]
        Apprentice(broker).follow(gap(first, "alerts-open")["closes"])
        second = doctor(capsys, *where)
        alerts = second[1]["findings"]["alerts"]
        assert (alerts["strangers_publish"], alerts["strangers_read"]) == (False, False)
        if grouped:
            assert names(second) == ["no-log-file"]
        else:
            assert "every user may publish" in gap(second, "alerts-open")["text"]
        # What everybody may do stays as it was.
        with subscriber(broker, "kitchen/#") as got:  # what everybody may do stays as it was
            other = Client(CallbackAPIVersion.VERSION2, "sensor")
            other.connect(HOST, broker.port)
            other.loop_start()
            other.publish("kitchen/lamp", b"on", qos=1).wait_for_publish(5)
            until(lambda: got == [b"on"], 5.0, failing="the home is broken")
            other.disconnect()
            other.loop_stop()


# --- what others notice of it --------------------------------------------------------------------


@pytest.mark.broker
def test_who_shows_alerts_is_told_nothing_that_reads_like_one(
    tmp_path: Path, capsys: Capsys
) -> None:
    with Installed(tmp_path, OPEN) as broker, subscriber(broker, "$ids/#") as got:
        doctor(capsys, "--broker", broker.url)
        until(lambda: got, 5.0, failing="nothing was tried")
        messages = [json.loads(each) for each in got]
        assert {each["schema"] for each in messages} == {PROBE}
        assert {each["severity"] for each in messages} == {"info"}
        assert {key for each in messages for key in each} == {"schema", "severity", "from"}
    with Installed(tmp_path, OPEN) as broker, subscriber(broker, "$ids/#") as got:
        client = Client(CallbackAPIVersion.VERSION2, "agent")
        client.connect(HOST, broker.port)
        client.loop_start()
        client.publish("$ids/status", b"online", qos=1, retain=True).wait_for_publish(5)
        answer = doctor(capsys, "--broker", broker.url)
        assert got == [b"online"], "an agent at work would call it spoofing"
        assert answer[1]["findings"]["agent_online"]
        assert answer[1]["findings"]["alerts"]["published"] is None
        client.disconnect()
        client.loop_stop()


@pytest.mark.broker
def test_the_publisher_is_the_last_that_is_named(tmp_path: Path) -> None:
    with Installed(tmp_path, OPEN) as broker, call(Access.of(broker.url), "listens") as line:
        line.subscribe(["t"])
        poser = Client(CallbackAPIVersion.VERSION2, "poser", protocol=MQTTProtocolVersion.MQTTv5)
        poser.connect(HOST, broker.port)
        poser.loop_start()
        named = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        named.UserProperty = [("$clientid", "forged"), ("$clientid", "true")]
        poser.publish("t", b"x", qos=1, properties=named).wait_for_publish(5)
        assert line.until(lambda: bool(line.got), 5.0)
        assert line.got[0].publisher == "true"
        poser.disconnect()
        poser.loop_stop()


# --- where we do not get in ----------------------------------------------------------------------


def refused(capsys: Capsys, *arguments: str) -> str:
    """Its one line on standard error."""
    assert run(ids, "mqtt-ids", ["doctor", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("mqtt-ids: ")


@pytest.mark.broker
def test_passwords(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    users = passwords(tmp_path, {"ids": SECRET})
    with Installed(tmp_path, "allow_anonymous false", f"password_file {users}") as broker:
        assert "put one into the URL" in refused(capsys, "--broker", broker.url)
        monkeypatch.setenv(PASSWORD, "wrong pony")
        said = refused(capsys, "--broker", user_url(broker, "ids"))
        assert said.startswith("the broker refuses the user ids or its password")
        monkeypatch.setenv(PASSWORD, SECRET)
        code = run(ids, "mqtt-ids", ["doctor", "--broker", user_url(broker, "ids")])
        assert code == 1
        assert SECRET not in "".join(capsys.readouterr())
        told = f"mqtt://ids:hunter2@{HOST}:{broker.port}"
        assert "hunter2" not in refused(capsys, "--broker", told)


@pytest.mark.broker
def test_a_user_that_may_connect_but_once(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    users = passwords(tmp_path, {"ids": SECRET})
    lines = (f"password_file {users}", "use_username_as_clientid true")
    with Installed(tmp_path, "allow_anonymous false", *lines) as broker:
        assert "use_username_as_clientid" in refused(capsys, "--broker", user_url(broker, "ids"))


@pytest.mark.broker
def test_tls_that_is_none(tmp_path: Path, capsys: Capsys) -> None:
    with Installed(tmp_path, OPEN) as broker:
        said = refused(capsys, "--broker", broker.url.replace("mqtt:", "mqtts:"))
    assert "TLS" in said


def test_nobody_at_the_port(capsys: Capsys) -> None:
    assert "does the broker run?" in refused(capsys, "--broker", f"mqtt://{HOST}:{free_port()}")


def test_something_else_at_the_port(capsys: Capsys) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            visitor, _ = server.accept()
            visitor.recv(100)
            visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            visitor.close()

        thread = threading.Thread(target=serve)
        thread.start()
        said = refused(capsys, "--broker", f"mqtt://{HOST}:{port}")
        thread.join()
    assert said


AMQTT = """
import asyncio, ctypes, signal, sys
from amqtt.broker import Broker
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
auth = "amqtt.plugins.authentication.AnonymousAuthPlugin"
system = "amqtt.plugins.sys.broker.BrokerSysPlugin"
async def main():
    listener = {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}
    plugins = {auth: {"allow_anonymous": True}, system: {"sys_interval": 1}}
    await Broker({"listeners": {"default": listener}, "plugins": plugins}).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.broker
def test_another_broker(capsys: Capsys) -> None:
    port = free_port()
    broker = subprocess.Popen([sys.executable, "-c", AMQTT, str(port)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: port in listening(), 30.0, failing="amqtt does not start")
        answer = doctor(capsys, "--broker", f"mqtt://{HOST}:{port}")
    finally:
        broker.kill()
        broker.wait(10)
    assert answer[1]["findings"]["mqtt"] == "3.1.1"
    assert names(answer) == ["not-mosquitto", "alerts-refused"]


# --- how it is shown -----------------------------------------------------------------------------


def on_a_terminal(broker: Installed, **environ: str) -> bytes:
    """What a person sees, commands to the terminal included."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "mqtt_ids", "doctor", "--broker", broker.url]
    inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    env = {**inherited, "TERM": "xterm-256color", **environ}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65_536):
                shown += part
        except OSError:  # the end of a terminal
            pass
        os.close(ours)
        assert process.wait(60) == 1
    return shown


@pytest.mark.broker
def test_terminals_and_pipes(tmp_path: Path) -> None:
    with Installed(tmp_path, OPEN) as broker:
        coloured = on_a_terminal(broker)
        plain = on_a_terminal(broker, NO_COLOR="1")
        command = [sys.executable, "-m", "mqtt_ids", "doctor", "--broker", broker.url]
        began = time.monotonic()
        piped = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert time.monotonic() - began < 30
    assert b"\x1b[36m" in coloured
    assert b"looking for ourselves" in coloured
    assert b"\x1b[36m" not in plain
    assert b"\x1b" not in piped.stdout
    assert piped.stderr == b""
    assert b"log_type all" in piped.stdout
    assert all(source in piped.stdout.decode() for source, _ in SOURCES)


def test_help_is_there_and_options_are_read(tmp_path: Path, capsys: Capsys) -> None:
    config = tmp_path / "mqtt-ids.yaml"
    config.write_text(f"broker: mqtt://{HOST}:{free_port()}\n")
    assert "does the broker run?" in refused(capsys, "--config", str(config))
    assert "expected" in refused(capsys, "--broker", "http://here")
