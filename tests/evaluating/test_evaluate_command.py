"""`mqtt-ids evaluate` as its user runs it, on captures of one's own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.sources.event_log import Writer

EVALUATE = (sys.executable, "-m", "mqtt_ids", "evaluate")
HOME = 9_650  # anybody may look at it
NINE = 9 * 3600.0  # o'clock, on a Monday
EVIL = "<script>alert(1)</script>"


def evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MQTTSET_DIR"}
    return subprocess.run(
        [*EVALUATE, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def log(path: Path, events: Iterable[AnyEvent]) -> str:
    with Writer(path, wall=lambda time: time + 1.7e9) as writer:
        for event in events:
            writer.write(event)
    return str(path)


def flooded() -> list[AnyEvent]:
    """A flood, and nobody else."""
    home = make_home(HOME, family="test", size=4)
    attacker = Attacker(home, 1, start=NINE + 5.0, duration=20.0)
    attack = attacker.flood(rate=2000.0)
    events = list(record(home, [attack], start=NINE, duration=30.0))
    return [event for event in events if event.connection in attack.truth.connections]


@pytest.mark.slow
def test_captures_of_ones_own_make_a_report(tmp_path: Path) -> None:
    calm = log(tmp_path / f"{EVIL.replace('/', '')}.jsonl", calm_home())
    flood = log(tmp_path / "flood.jsonl", flooded())
    out = tmp_path / "out"
    run = evaluate(
        "--calm", calm, "--attack", f"flood={flood}", "--json", "--short", "--out", str(out)
    )
    assert (run.returncode, "Traceback" in run.stderr) == (0, False), run.stderr
    bars = json.loads(run.stdout)
    assert bars
    assert json.loads((out / "results.json").read_text())["bars"] == bars
    results = json.loads((out / "results.json").read_text())
    (attack,) = results["attacks"]
    assert attack["name"] == "flood"
    assert attack["found"]["ours"]["after"] < 5.0
    assert attack["found"]["ours"]["last_name"] == "flood"
    (quiet,) = results["calm"]
    assert quiet["alarms"]["ours"] == []
    page = (out / "report.html").read_text()
    assert "flood.jsonl" in page
    assert EVIL.replace("/", "") not in page


def calm_home() -> Iterable[AnyEvent]:
    home = make_home(HOME, family="test", size=4)
    return record(home, start=NINE, duration=900.0)


def test_what_is_no_attack_is_refused_with_what_there_is(tmp_path: Path) -> None:
    some = log(tmp_path / "some.jsonl", flooded()[:10])
    run = evaluate("--attack", f"ddos={some}", "--out", str(tmp_path / "out"))
    assert (run.returncode, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 1
    assert "ddos" in run.stderr
    assert "dos, flood" in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--calm", "nowhere.pcap"), "nowhere.pcap"),
        (("--attack", "flood"), "NAME=FILE"),
        (("--model", "nowhere"), "nowhere"),
        (("--mqttset", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_any_work(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    run = evaluate(*arguments, "--out", str(tmp_path / "out"))
    assert (run.returncode, run.stdout) == (2, "")
    assert told in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = evaluate("--out", str(tmp_path / "file" / "out"))
    assert run.returncode == 2
    assert "no folder that can be written to" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_help_teaches(tmp_path: Path) -> None:
    run = evaluate("--help")
    assert run.returncode == 0
    for word in ("--short", "--check", "--calm", "--attack", "report.html", "MQTTSET_DIR"):
        assert word in run.stdout
