"""From findings to gaps, without a broker: the unknown is no gap, and each gap has a way out."""

import re
from pathlib import Path

import pytest

from mqtt_ids.attacks import SEVERITY
from mqtt_ids.doctor.advice import gaps
from mqtt_ids.doctor.brief import brief
from mqtt_ids.doctor.costs import SOURCES, costs
from mqtt_ids.doctor.findings import Alerts, Findings, Firewall, LogFile, Sight
from mqtt_ids.doctor.installed import configured_log
from mqtt_ids.doctor.watch import storage
from mqtt_ids.readers import HostPort

NAME = "mqtt://localhost:1883"
ALL = Sight(connects=True, subscriptions=True, packets=True)
MOSQUITTO = "mosquitto version 2.0.11"


def found(**known: object) -> Findings:
    return Findings(broker=NAME, **known)  # type: ignore[arg-type]


def log(**known: object) -> LogFile:
    return LogFile(path="/var/log/mosquitto/mosquitto.log", **known)  # type: ignore[arg-type]


def test_what_is_unknown_is_no_gap() -> None:
    assert gaps(found()) == []
    assert brief(found()) == []


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"topics": Sight()}, ["no-log-file"]),
        ({"topics": Sight(), "version": "aMQTT version 0.12"}, ["not-mosquitto"]),
        ({"topics": Sight(), "configured_log": "/var/log/m.log"}, ["log-unused"]),
        ({"topics": Sight(), "log": log(state="missing")}, ["log-missing"]),
        ({"topics": Sight(), "log": log(state="read", sight=ALL)}, []),
        ({"log": log(state="read", sight=ALL, storage="card")}, ["log-on-card"]),
        ({"log": log(state="read", sight=ALL, storage="ram")}, []),
        ({"log": log(state="read", sight=ALL, size=1 << 30)}, ["log-large"]),
        ({"log": log(state="read", sight=Sight(connects=True))}, ["log-lines"]),
        ({"topics": Sight(connects=True, subscriptions=True), "properties": True}, []),
        ({"alerts": Alerts(published=True, read_back=True)}, []),
        ({"alerts": Alerts(published=False)}, ["alerts-refused"]),
        ({"alerts": Alerts(published=True, read_back=False)}, ["alerts-refused"]),
        ({"alerts": Alerts(read_back=False)}, ["alerts-refused"]),
        ({"alerts": Alerts(published=True, read_back=True, strangers_read=True)}, ["alerts-open"]),
        ({"alerts": Alerts(bound=False), "username": "ids"}, ["alerts-open"]),
        ({"firewall": Firewall(permitted=False, why="no")}, []),
        ({"firewall": Firewall(permitted=False, why="no"), "mode": "protect"}, ["no-handle"]),
        ({"firewall": Firewall(permitted=True), "mode": "protect"}, []),
    ],
)
def test_gaps(known: dict[str, object], expected: list[str]) -> None:
    answer = gaps(found(**known))
    assert [gap.id for gap in answer] == expected
    assert all(
        gap.costs and gap.closes and all(step.lines for step in gap.closes) for gap in answer
    )


def test_nothing_costs_nothing_and_each_source_saves_its_own() -> None:
    assert costs(found(log=log(state="read", sight=ALL))) == ()
    nothing = costs(found(topics=Sight()))
    for sight, name in (
        (Sight(connects=True), "brute-force"),
        (Sight(subscriptions=True), "enumeration"),
        (Sight(packets=True), "flood"),
    ):
        assert any(name in cost for cost in nothing)
        assert not any(name in cost for cost in costs(found(topics=sight)))
    assert not any("flood" in cost for cost in costs(found(topics=Sight(), properties=True)))
    old = costs(found(topics=Sight(connects=True), version=MOSQUITTO))
    assert any("Mosquitto 2.0" in cost for cost in old)


def test_the_documentation_knows_each_source_and_each_name() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text(encoding="utf-8")
    assert [name for name, _ in SOURCES if f"\n| {name}" not in page] == []
    missed = " ".join(costs(found(topics=Sight())))
    told = [name for name in SEVERITY if re.search(rf"\b{name}\b", missed)]
    assert len(told) >= 8
    assert [name for name in told if f"`{name}`" not in page] == []


def test_an_agent_says_it_in_a_few_lines() -> None:
    sight = Sight(connects=True, subscriptions=True)
    lines = brief(found(topics=sight, log=log(state="unreadable", why="x may not be read")))
    assert lines[0] == f"{NAME}: the log topics show connections and subscriptions"
    assert "may not be read" in lines[1]
    assert "flood" in lines[1]
    assert lines[-1] == "mqtt-ids doctor says how to close what is missing"
    assert len(lines) == 3


def test_a_user_name_is_quoted_in_commands() -> None:
    odd = Findings(
        broker="mqtt://a b;c@h:1",
        address=HostPort("h", 1),
        username="a b;c",
        alerts=Alerts(published=False),
        dynamic_security="answers",
    )
    (gap,) = gaps(odd)
    commands = [line for step in gap.closes for line in step.lines]
    assert any(line.endswith("addClientRole 'a b;c' mqtt-ids") for line in commands)


def test_the_log_that_is_configured(tmp_path: Path) -> None:
    more = tmp_path / "conf.d"
    more.mkdir()
    main = tmp_path / "mosquitto.conf"
    main.write_text(f"# log_dest file /no\npid_file /run/m.pid\ninclude_dir {more}\n")
    (more / "a.conf").write_text("listener 1883\nlistener 8883 0.0.0.0\n")
    here = HostPort("localhost", 8883)
    assert configured_log(main, here) is None
    (more / "b.conf").write_text("log_dest stdout\nlog_dest file /var/log/m log\n")
    assert configured_log(main, here) == "/var/log/m log"
    assert configured_log(main, HostPort("127.0.0.1", 1884)) is None, "another broker's"
    assert configured_log(main, HostPort("10.0.0.9", 8883)) is None, "another machine's"
    assert configured_log(tmp_path / "none", here) is None


def test_what_the_log_lies_on(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
        f"23 22 0:20 / {tmp_path}/ram rw - tmpfs tmpfs rw\n"
        f"24 22 8:1 / {tmp_path}/ssd rw - ext4 /dev/sda1 rw\n"
    )
    assert storage(tmp_path / "x.log", mounts) == "card"
    assert storage(tmp_path / "ram" / "x.log", mounts) == "ram"
    assert storage(tmp_path / "ssd" / "x.log", mounts) == "disk"
    assert storage(tmp_path / "x.log", tmp_path / "none") is None
