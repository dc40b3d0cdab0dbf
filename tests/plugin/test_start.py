"""A start that cannot be right fails at once, in one line, with an exit code."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import amqtt.broker
import amqtt.errors
import pytest
import yaml
from plugin_tools import Recorder, RecordingPlugin, free_port

from mqtt_ids.errors import StartError, StateError
from mqtt_ids_plugin.broker_access import Access

pytestmark = pytest.mark.broker

PLUGIN = "mqtt_ids_plugin.IDSPlugin"
RECORDING = "recording_plugins.RecordingPlugin"
ANYBODY: dict[str, Any] = {
    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
}


def script(folder: Path, plugins: dict[str, Any], port: int) -> subprocess.CompletedProcess[str]:
    config = folder / "amqtt.yaml"
    bind = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    config.write_text(yaml.safe_dump({"listeners": {"default": bind}, "plugins": plugins}))
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, "amqtt", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
    )


_SCRIPT = """
import sys
import plugin_tools
from amqtt.scripts.broker_script import main
sys.argv = sys.argv[1:]
main()
"""


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("mqtt-ids") == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"modee": "observe"}, "mqtt-ids: modee: unknown key; did you mean mode?"),
        ({"protect": {"bann": "1m"}}, "mqtt-ids: protect.bann: unknown key"),
        ({"mode": "attack"}, "mqtt-ids: mode: "),
        ({"config": "/nowhere/at/all.yaml"}, "mqtt-ids: /nowhere/at/all.yaml: cannot be read"),
        ("observe", "expected keys such as `mode: observe`"),
    ],
)
def test_wrong_settings_name_their_key(tmp_path: Path, values: object, line: str) -> None:
    done = script(tmp_path, {PLUGIN: values, **ANYBODY}, free_port())
    assert line in last_line(done)


def test_without_another_authentication_plugin_it_does_not_start(tmp_path: Path) -> None:
    plugins = {RECORDING: {"state_dir": str(tmp_path)}}
    done = script(tmp_path, plugins, free_port())
    assert last_line(done).startswith("mqtt-ids: no other authentication plugin is loaded")


def test_an_unwritable_state_folder_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    plugins = {PLUGIN: {"state_dir": str(tmp_path / "file" / "state")}, **ANYBODY}
    assert str(tmp_path / "file") in last_line(script(tmp_path, plugins, free_port()))


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        plugins = {RECORDING: {"state_dir": str(tmp_path)}, **ANYBODY}
        done = script(tmp_path, plugins, taken.getsockname()[1])
    assert "address already in use" in last_line(done)


def embedded(folder: Path, plugins: dict[str, Any]) -> amqtt.broker.Broker:
    bind = {"type": "tcp", "bind": f"127.0.0.1:{free_port()}"}
    recording = {RECORDING: {"state_dir": str(folder)}}
    return amqtt.broker.Broker(
        {"listeners": {"default": bind}, "plugins": {**recording, **plugins}}
    )


def test_who_embeds_the_broker_gets_the_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = embedded(tmp_path, {})
        with pytest.raises(amqtt.errors.BrokerError) as caught:
            await broker.start()
        assert isinstance(caught.value.__cause__, StartError)
        await broker.plugins_manager.close()

    asyncio.run(scenario())


def test_an_engine_that_does_not_start_opens_no_port(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = embedded(tmp_path, ANYBODY)
        recorder = recorder_of(broker)
        recorder.failure = StateError("the folder is read-only")
        with pytest.raises(amqtt.errors.BrokerError, match="the folder is read-only"):
            await broker.start()
        assert not broker._servers
        await broker.plugins_manager.close()

    asyncio.run(scenario())


def recorder_of(broker: amqtt.broker.Broker) -> Recorder:
    plugin = broker.plugins_manager.get_plugin("RecordingPlugin")
    assert isinstance(plugin, RecordingPlugin)
    return plugin.recorder


def test_an_amqtt_without_what_we_need_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(amqtt.broker.Broker, "_client_connected")

    async def scenario() -> None:
        broker = embedded(tmp_path, ANYBODY)
        with pytest.raises(amqtt.errors.BrokerError, match=r"has no Broker\._client_connected"):
            await broker.start()
        assert not recorder_of(broker).running
        await broker.plugins_manager.close()

    asyncio.run(scenario())


def test_other_plugins_keep_their_checks(tmp_path: Path) -> None:
    async def scenario() -> None:
        wrong = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymus": True}}
        with pytest.raises(amqtt.errors.PluginLoadError):
            embedded(tmp_path, wrong)

    asyncio.run(scenario())


def test_a_message_that_cannot_be_delivered_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        broker = embedded(tmp_path, ANYBODY)
        access = Access(broker.plugins_manager.context)  # type: ignore[arg-type]
        never = asyncio.get_running_loop().create_future()

        async def failing() -> None:
            raise TimeoutError("no PUBACK")

        for one in (asyncio.create_task(failing()), never, asyncio.create_task(failing())):
            broker._tasks_queue.append(one)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert access.clear_done() == 1
        never.cancel()
        assert access.clear_done() == 0

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert caplog.text.count("no PUBACK") == 2
