"""The command `mqtt-ids scan`, as a person or a script runs it."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from mqtt_ids import events as ev
from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.capture_writer import MONDAY, frames_of, write_pcap
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.speech import PASSWORD
from mqtt_ids.scanning.run import Choices, Scanning
from mqtt_ids.sensors.capture.files import frames
from mqtt_ids.sources.event_log import Writer

SCHEMA = json.loads((resources.files("mqtt_ids") / "alert.schema.json").read_text())
SCAN = (sys.executable, "-m", "mqtt_ids", "scan")
EVIL = "evil\x1b[2J\n\tid"  # clears the screen of whoever prints it
LASTS, ATTACKED = 1_200.0, 1_000.0  # seconds


class Night:
    """Captures of a home: a calm one, and one in which a client floods the broker."""

    def __init__(self, folder: Path) -> None:
        home = next(
            home
            for home in (make_home(seed, size=6, style="plugs") for seed in range(50))
            if home.network == "lan" and not home.rules.anonymous
        )
        flood = Attacker(home, 1, start=ATTACKED, duration=20.0).flood(rate=300.0)
        self.calm = written(folder / "calm.pcap", record(home, duration=LASTS))
        self.night = written(folder / "night.pcap", record(home, [flood], duration=LASTS))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return Night(tmp_path_factory.mktemp("captures"))


def written(path: Path, events: Iterable[AnyEvent]) -> str:
    with path.open("wb") as file:
        write_pcap(file, frames_of(events))
    return str(path)


def log(path: Path, events: Iterable[AnyEvent]) -> str:
    with Writer(path, wall=lambda time: time + MONDAY) as writer:
        for event in events:
            writer.write(event)
    return str(path)


def scan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SCAN, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TZ": "UTC", **environment},
    )


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a command that ended with 2."""
    assert (result.returncode, result.stdout) == (2, ""), result
    (line,) = result.stderr.splitlines()
    assert line.startswith("mqtt-ids: ")
    return line.removeprefix("mqtt-ids: ")


def flooding(client_id: str) -> list[AnyEvent]:
    """A client that joins and floods."""
    who = {"connection": 1, "address": "192.0.2.9"}
    first: list[AnyEvent] = [
        ev.Opened(time=0.0, **who),  # type: ignore[arg-type]
        ev.Connected(time=0.0, client_id=client_id, username=EVIL, **who),  # type: ignore[arg-type]
    ]
    return first + [
        ev.Published(time=number / 500.0, client_id=client_id, topic=EVIL, size=9, **who)  # type: ignore[arg-type]
        for number in range(5_000)
    ]


# --- the story ---------------------------------------------------------------------------------


def test_a_calm_capture_is_nothing_out_of_the_ordinary(home: Night) -> None:
    result = scan(home.calm)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{home.calm}, ")
    assert lines[1] == "20 Nov 2023 00:00:00 to 00:20:00 UTC (20 min)"
    assert "MQTT packets (" in lines[2]
    assert lines[-1] == "Nothing out of the ordinary."


def test_an_attack_is_told_with_its_reasons(home: Night) -> None:
    result = scan(home.night)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("HIGH"))
    assert lines[place].startswith("HIGH      flood by ")
    assert lines[place + 1].startswith("          00:16:4")
    assert ", for " in lines[place + 1]
    assert lines[place + 2].startswith("          - publishes ")
    assert lines[-1] == "1 incident found."


def test_the_story_obeys_nobody_but_us(tmp_path: Path) -> None:
    result = scan(log(tmp_path / "evil\x1b.jsonl", flooding(EVIL)))
    assert result.returncode == 1
    assert "\x1b" not in result.stdout
    assert r"flood by evil\x1b[2J\n\tid (user evil\x1b[2J\n\tid) at 192.0.2.9" in result.stdout


def test_on_a_terminal_the_story_is_wrapped_and_coloured(home: Night) -> None:
    plain, coloured = on_terminal(home.night, NO_COLOR="1"), on_terminal(home.night)
    assert "\x1b[31mHIGH" in coloured
    assert "\x1b[31m" not in plain
    story = plain.rpartition("night.pcap, ")[2].splitlines()
    assert max(map(len, story)) <= 60
    assert story[-1] == "1 incident found."


def on_terminal(*arguments: str, **environment: str) -> str:
    main, terminal = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "60", "TZ": "UTC", **environment}
    clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [*SCAN, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env={**clean, **environment},
    )
    os.close(terminal)
    told = bytearray()
    try:
        while piece := os.read(main, 65_536):
            told += piece
    except OSError:  # the other end is closed
        pass
    os.close(main)
    process.wait(60)
    return told.decode().replace("\r\n", "\n")


def test_a_capture_without_mqtt_says_so(tmp_path: Path, home: Night) -> None:
    result = scan("--port", "1884", home.calm)
    assert result.returncode == 0
    assert "no connection to port 1884 was seen; --port chooses another port" in result.stdout
    assert result.stdout.splitlines()[-1] == "No MQTT was seen."


# --- for programs ------------------------------------------------------------------------------


def test_each_alert_is_a_line_that_keeps_the_schema(home: Night) -> None:
    result = scan("--json", home.night)
    assert (result.returncode, result.stderr) == (1, "")
    alerts = [json.loads(line) for line in result.stdout.splitlines()]
    for one in alerts:
        jsonschema.validate(one, SCHEMA, jsonschema.Draft202012Validator)
    assert {one["sensor"] for one in alerts} == {"capture"}
    grave = [one for one in alerts if one["severity"] != "info"]
    assert [one["attack"] for one in grave if one["state"] == "open"] == ["flood"]
    assert grave[0]["first_seen"].startswith("2023-11-20T00:16:4")
    assert grave[-1]["state"] == "closed"


def test_the_event_log_of_a_scan_tells_the_same(home: Night, tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    first = scan("--events", str(path), "--json", home.night)
    again = scan("--json", str(path))
    assert again.returncode == first.returncode == 1
    assert [gist(line) for line in again.stdout.splitlines()] == [
        gist(line) for line in first.stdout.splitlines()
    ]


def test_no_password_leaves_the_sensor(home: Night, tmp_path: Path) -> None:
    secret = PASSWORD.encode()
    assert secret in Path(home.night).read_bytes()
    for name in ("night.jsonl", "night.parquet"):
        result = scan("--events", str(tmp_path / name), "--json", home.night)
        assert secret not in result.stdout.encode() + (tmp_path / name).read_bytes()


def gist(line: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(line).items() if key != "id"}


# --- learning ----------------------------------------------------------------------------------


def test_learning_from_the_first_part_says_what_was_learned(home: Night) -> None:
    result = scan("--learn-first", "15m", home.night)
    assert result.returncode == 1
    assert "learned from 1" in result.stdout
    assert "thresholds against the shipped ones: " in result.stdout
    assert "HIGH      flood by " in result.stdout


def test_an_incident_in_the_calm_part_is_a_note(home: Night) -> None:
    result = scan("--learn-first", "19m", home.night)
    assert result.returncode == 0
    assert "note      in the calm part: flood by " in result.stdout
    assert result.stdout.splitlines()[-1] == "Nothing out of the ordinary."
    lines = scan("--json", "--learn-first", "19m", home.night).stdout.splitlines()
    assert {json.loads(line)["severity"] for line in lines} == {"info"}


def test_learning_from_another_capture(home: Night, tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    result = scan("--learn-from", home.calm, "--events", str(path), "--json", home.night)
    assert result.returncode == 1
    opened = [json.loads(line) for line in result.stdout.splitlines()]
    flood = next(one for one in opened if one["attack"] == "flood")
    assert flood["first_seen"].startswith("2023-11-20T00:16:4"), "in the second capture's time"
    again = scan(str(path)).stdout.splitlines()
    assert again[1] == "20 Nov 2023 00:00:00 to 00:20:00 UTC (20 min)", "the log holds it alone"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--learn-first", "5m"), "expected 15m to"),
        (("--learn-first", "30m"), "nothing is left to scan after the first 30m"),
        (("--learn-first", "20m", "--learn-from", "x"), "not from both"),
        (("--learn-from", "-"), "--learn-from needs a file"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    home: Night, arguments: tuple[str, ...], why: str
) -> None:
    assert why in complaint(scan(*arguments, home.night))


def test_too_short_a_calm_capture_is_refused(home: Night, tmp_path: Path) -> None:
    short = log(tmp_path / "short.jsonl", flooding("c")[:100])
    assert "at least 15m are needed" in complaint(scan("--learn-from", short, home.night))


# --- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Missing argument 'CAPTURE...'"),
        (("no-such-file",), "no-such-file: cannot be read (No such file or directory)"),
        (("-",), "standard input: empty"),
        (("a", "-"), "standard input must be the only capture"),
        (("--events", "x.csv", "a"), "should end in .jsonl or .parquet"),
        (("--plot", "x.pdf", "a"), "should end in .png or .svg"),
        (("--threshold", "high", "a"), "expected budget or mean-std, or a number"),
        (("--port", "0", "a"), "--port"),
        (("--model", "no-such-folder", "a"), "no-such-folder"),
    ],
)
def test_one_line_says_what_is_wrong(arguments: tuple[str, ...], why: str) -> None:
    assert why in complaint(scan(*arguments))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Anna,\n")
    assert "text, not a capture" in complaint(scan(str(tmp_path / "letter")))


def test_a_cut_capture_is_told_as_far_as_it_goes(home: Night, tmp_path: Path) -> None:
    data = Path(home.night).read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(data[:-5])
    result = scan(str(cut))
    assert result.returncode == 1, "by what was found"
    assert "HIGH      flood by " in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"mqtt-ids: {cut}: cut off")


def test_help_teaches_by_example() -> None:
    text = scan("--help").stdout
    for example in ("mqtt-ids scan night.pcap", "| mqtt-ids scan -", "--learn-first 1h", "| jq "):
        assert example in text


# --- live --------------------------------------------------------------------------------------


class Live:
    """A scan of a pipe that is still being written to."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*SCAN, *arguments, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=False,
        )

    def write(self, data: bytes) -> None:
        """In pieces, as a pipe gives them."""
        assert self.process.stdin is not None
        for start in range(0, len(data), 5_000):
            self.process.stdin.write(data[start : start + 5_000])
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def rest(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def live() -> Iterator[list[Live]]:
    started: list[Live] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.wait()


def test_an_alert_is_told_while_the_capture_is_still_written(home: Night, live: list[Live]) -> None:
    live.append(Live("--json"))
    data = Path(home.night).read_bytes()
    before = 24 + sum(16 + len(data) for _, _, _, data in frames_until(home, ATTACKED + 6.0))
    writing = threading.Thread(target=live[0].write, args=(data[:before],))
    writing.start()
    while (one := json.loads(live[0].line()))["attack"] != "flood":
        pass
    assert one["state"] == "open"
    writing.join()
    assert live[0].process.poll() is None, "it waits for more"
    code, out, _ = live[0].rest()
    assert code == 1
    assert all(json.loads(line) for line in out.splitlines())


def frames_until(home: Night, time: float) -> list[tuple[float, int, int, bytes]]:
    with Path(home.night).open("rb") as file:
        return [frame for frame in frames(file, "night") if frame[0] < MONDAY + time]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_tells_the_story_so_far(
    home: Night, live: list[Live], tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "live.jsonl"
    live.append(Live("--events", str(path)))
    data = Path(home.night).read_bytes()
    live[0].write(data[:-1_000])
    assert " flood by " in live[0].line()
    wait_until_it_waits(live[0])
    live[0].process.send_signal(number)
    code, out, err = live[0].rest()
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "1 incident found."
    assert path.exists(), "and the event log is whole"


def wait_until_it_waits(live: Live) -> None:
    """Until the process sleeps in a read of its standard input, all of which it has read."""
    assert live.process.stdin is not None
    while True:
        left = fcntl.ioctl(live.process.stdin, termios.FIONREAD, b"\0\0\0\0")
        state = Path(f"/proc/{live.process.pid}/stat").read_text().rpartition(") ")[2][0]
        if struct.unpack("i", left)[0] == 0 and state == "S":
            return
        time.sleep(0.05)


def test_ctrl_c_in_a_file_ends_with_the_code_of_shells(
    home: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    scanning = Scanning(Choices(captures=(home.calm,)))
    scanning._breaking.asked = True
    assert scanning.run() == 130
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing out of the ordinary."


def test_a_pipe_with_a_name_is_a_pipe_as_well(home: Night, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen([*SCAN, str(fifo)], stdout=subprocess.PIPE, text=True)
    with fifo.open("wb") as file:
        file.write(Path(home.night).read_bytes())
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.splitlines()[-1] == "1 incident found."
