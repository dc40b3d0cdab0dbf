"""A model that was tampered with is refused in one line, by amqtt's own script and by the agent."""

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml
from live_broker import HOST, PLUGIN, free_port, listening

pytestmark = pytest.mark.broker

AMQTT = "from amqtt.scripts.broker_script import main; main()"
AGENT = "from mqtt_ids.__main__ import agent_main; agent_main()"


def turn_a_bit(folder: Path) -> None:
    file = folder / "model.tflite"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lose_the_card(folder: Path) -> None:
    (folder / "card.json").unlink()


TAMPERING = {"one bit of the network": turn_a_bit, "the card is gone": lose_the_card}


@pytest.fixture(params=TAMPERING)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    with resources.as_file(resources.files("mqtt_ids_model") / "default") as shipped:
        shutil.copytree(shipped, folder)
    TAMPERING[request.param](folder)
    return folder


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_amqtt_does_not_start(tmp_path: Path, model: Path) -> None:
    port = free_port()
    config = tmp_path / "amqtt.yaml"
    settings = {"model": str(model), "state_dir": str(tmp_path / "state")}
    content = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {
            PLUGIN: settings,
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        },
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = run(AMQTT, "-c", str(config))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"mqtt-ids: {model}: ")
    assert port not in listening()


def test_the_agent_does_not_start(tmp_path: Path, model: Path) -> None:
    port = free_port()
    config = tmp_path / "mqtt-ids.yaml"
    settings = {"model": str(model), "state_dir": str(tmp_path / "state")}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = run(AGENT, "--config", str(config), "--bind", f"{HOST}:{port}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"mqtt-ids-agent: {model}: ")
    assert port not in listening()
