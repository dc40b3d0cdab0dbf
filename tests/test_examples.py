"""The examples that other programs read: systemd, logrotate, Home Assistant's Supervisor."""

import json
import os
import re
import shutil
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

from mqtt_ids.bridge.inherited import Kind
from mqtt_ids.doctor import recipes
from mqtt_ids.doctor.findings import Findings
from mqtt_ids.settings import Settings, from_yaml
from mqtt_ids.uplink.access import Access
from mqtt_ids.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
UNIT = EXAMPLES / "mqtt-ids-agent.service"
INLINE_UNIT = EXAMPLES / "mqtt-ids-inline.service"
SOCKET = EXAMPLES / "mqtt-ids-inline.socket"
ROTATION = EXAMPLES / "logrotate-mosquitto"
APP = EXAMPLES / "home-assistant-app" / "mqtt_ids"
GUIDE = ROOT / "docs" / "raspberry-pi.md"
INLINE_GUIDE = ROOT / "docs" / "inline.md"
GUIDES = {UNIT: GUIDE, INLINE_UNIT: INLINE_GUIDE}
EXPOSURE = 1.5  # of 10; below 2 systemd calls it OK


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


def run(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environ},
    )


# The units


def directives(unit: Path) -> dict[str, list[str]]:
    """Each directive with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def configurations(guide: Path) -> list[Settings]:
    """What each block of YAML in a guide configures."""
    text = guide.read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```", text)
    return [Settings.from_mapping(yaml.safe_load(textwrap.dedent(block))) for block in blocks]


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", [UNIT, INLINE_UNIT, SOCKET], ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_the_units(tmp_path: Path, unit: Path) -> None:
    for each in (UNIT, INLINE_UNIT, SOCKET):
        text = re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", each.read_text(encoding="utf-8"))
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    checked = run("systemd-analyze", "verify", tmp_path / unit.name)
    assert unit.name not in checked.stderr
    assert checked.returncode == 0


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", [UNIT, INLINE_UNIT], ids=lambda unit: unit.name)
def test_the_sandboxes_stay_tight(unit: Path) -> None:
    checked = run("systemd-analyze", "security", "--offline=yes", "--no-pager", unit)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", checked.stdout)
    assert level is not None, checked.stderr
    assert float(level[1]) <= EXPOSURE


@pytest.mark.parametrize("unit", [UNIT, INLINE_UNIT], ids=lambda unit: unit.name)
def test_the_units_command_is_one_that_the_package_has(unit: Path) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (command,) = directives(unit)["ExecStart"]
    program, *arguments = command.split()
    assert Path(program).name in scripts
    assert arguments[arguments.index("--state") + 1] == "/var/lib/mqtt-ids"
    assert directives(unit)["StateDirectory"] == ["mqtt-ids"]


def test_the_reader_s_group_is_the_one_that_rotation_gives_the_log_to() -> None:
    (group,) = directives(UNIT)["SupplementaryGroups"]
    assert f"create 0640 mosquitto {group}" in ROTATION.read_text(encoding="utf-8")
    assert f"groupadd --force --system {group}" in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("unit", [UNIT, INLINE_UNIT], ids=lambda unit: unit.name)
def test_the_guides_configuration_reads_the_unit_s_password(unit: Path) -> None:
    (settings,) = [one for one in configurations(GUIDES[unit]) if one.password_file is not None]
    assert settings.broker is not None
    access = Access.of(settings.broker, password_file=settings.password_file)
    assert access.username == "ids"
    (given,) = directives(unit)["LoadCredential"]
    name = given.partition(":")[0]
    assert str(settings.password_file) == f"/run/credentials/{unit.name}/{name}"


def test_the_socket_bears_a_name_that_the_agent_reads_and_the_port_of_the_guide() -> None:
    socket = directives(SOCKET)
    assert socket["FileDescriptorName"] == ["mqtt"]
    assert "mqtt" in get_args(Kind)
    assert directives(INLINE_UNIT)["Requires"] == [SOCKET.name]
    ports = {str(one.listen.port) for one in configurations(INLINE_GUIDE) if one.listen is not None}
    assert socket["ListenStream"] == [*ports]


# The log's rotation


def test_the_rotation_is_the_doctor_s() -> None:
    steps = recipes.readable(recipes.LOG, Findings(broker="mqtt://localhost:1883"))
    (printed,) = [step.lines for step in steps if step.where == recipes.ROTATION]
    lines = ROTATION.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == list(printed)


@needs("logrotate")
def test_logrotate_rotates_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "mosquitto.log"
    log.write_text("a line\n", encoding="ascii")
    signalled = tmp_path / "signalled"
    text = ROTATION.read_text(encoding="utf-8").replace(recipes.LOG, str(log))
    text = re.sub(r"create 0640 .*", "create 0640", text)  # whoever runs the test
    text = re.sub(r"kill -HUP .*", f"touch {signalled}", text)
    config = tmp_path / "config"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o644)
    rotated = run("logrotate", "--force", "--state", tmp_path / "state", config)
    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert (folder / "mosquitto.log.1").read_text(encoding="ascii") == "a line\n"
    assert log.stat().st_mode & 0o777 == 0o640
    assert signalled.exists()


# The app for Home Assistant


def app(name: str) -> dict[str, object]:
    return read_yaml(APP / name)


def test_the_app_s_configuration_is_whole() -> None:
    config = app("config.yaml")
    assert {"name", "version", "slug", "description", "arch"} <= set(config)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert config["version"] == version
    assert config["slug"] == APP.name
    # Only these have wheels of the model's runtime, and Home Assistant OS runs on no other.
    assert config["arch"] == ["aarch64", "amd64"]
    assert config["services"] == ["mqtt:need"]
    options, schema = config["options"], config["schema"]
    assert isinstance(options, dict)
    assert isinstance(schema, dict)
    assert options.keys() == schema.keys()
    texts = app("translations/en.yaml")["configuration"]
    assert isinstance(texts, dict)
    assert texts.keys() == options.keys()
    assert set(read_yaml(APP.parent / "repository.yaml")) == {"name", "maintainer"}


def test_the_image_is_made_of_what_is_there() -> None:
    text = (APP / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?:--\S+ )?(\S+) ", text, re.MULTILINE)
    # The wheel is put there by hand; DOCS.md says how.
    assert [name for name in copied if not (APP / name).exists()] == ["mqtt_ids-*.whl"]
    assert os.access(APP / "run.sh", os.X_OK)


STAND_IN = """
bashio::services.available() {{ {available}; }}
bashio::services() {{
    case $2 in
        host) echo core-mosquitto ;;
        port) echo 1883 ;;
        ssl) echo {ssl} ;;
        username) echo 'add/ons "@' ;;
        password) echo "pass 'word" ;;
    esac
}}
bashio::config() {{ echo {discovery}; }}
bashio::exit.nok() {{ echo "$1" >&2; exit 1; }}
"""


def start_script(
    folder: Path, *, available: str = "true", ssl: str = "false", discovery: str = "true"
) -> subprocess.CompletedProcess[str]:
    """Run run.sh as bashio does, with a stand-in for the Supervisor and for the agent."""
    stand_in = STAND_IN.format(available=available, ssl=ssl, discovery=discovery)
    agent = folder / "agent"
    agent.write_text('#!/bin/sh\nprintf "%s\\n" "$MQTT_IDS_PASSWORD" "$@"\n', encoding="ascii")
    agent.chmod(0o755)
    script = (APP / "run.sh").read_text(encoding="utf-8")
    script = script.replace("/opt/mqtt-ids/bin/mqtt-ids-agent", str(agent))
    config = str(folder / "config.yaml")
    return run("bash", "-c", stand_in + script, MQTT_IDS_CONFIG=config)


@needs("jq")
@pytest.mark.parametrize(("ssl", "scheme"), [("false", "mqtt"), ("true", "mqtts")])
def test_the_app_starts_the_agent_at_the_supervisor_s_broker(
    tmp_path: Path, ssl: str, scheme: str
) -> None:
    started = start_script(tmp_path, ssl=ssl, discovery="false")
    config = tmp_path / "config.yaml"
    assert started.stdout.splitlines() == ["pass 'word", "--config", str(config)], started.stderr
    assert "word" not in config.read_text(encoding="utf-8")
    settings = from_yaml(read_yaml(config), config)
    assert settings.broker is not None
    access = Access.of(settings.broker)
    assert (access.scheme, str(access.address)) == (scheme, "core-mosquitto:1883")
    assert access.username == 'add/ons "@'
    assert str(settings.state_dir) == "/data/state"
    assert settings.home_assistant.discovery is False


@needs("jq")
def test_without_a_broker_the_app_says_what_is_missing(tmp_path: Path) -> None:
    started = start_script(tmp_path, available="false")
    assert started.returncode == 1
    assert "install the app Mosquitto broker" in started.stderr
    assert started.stdout == ""


@needs("shellcheck")
def test_the_start_script_is_sound() -> None:
    checked = run("shellcheck", "--shell=bash", "--format=json", APP / "run.sh")
    assert json.loads(checked.stdout) == []
