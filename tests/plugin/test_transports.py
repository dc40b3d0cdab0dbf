"""WebSocket and TLS listeners show the same as plain TCP."""

import asyncio
import contextlib
import ssl
import subprocess
import time
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
import pytest
from amqtt.broker import Broker
from paho.mqtt.enums import CallbackAPIVersion
from plugin_tools import Home, RecordingPlugin, free_port, home

from mqtt_ids.bans import Handle
from mqtt_ids.events import (
    Closed,
    Connected,
    Disconnected,
    Malformed,
    Opened,
    Published,
    Subscribed,
)

pytestmark = pytest.mark.broker


Transport = Literal["tcp", "websockets"]


def talk(port: int, transport: Transport, ca: Path | None = None) -> list[bytes]:
    """A paho client that hears its own messages, one of them large."""
    heard: list[bytes] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="paho", transport=transport, clean_session=True
    )
    if ca is not None:
        client.tls_set(str(ca))
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    client.connect("127.0.0.1", port, keepalive=30)
    client.loop_start()
    client.subscribe("t", qos=1)
    for payload in (b"x" * 3, b"y" * 300_000, b"z"):
        client.publish("t", payload, qos=1).wait_for_publish(5)
    for _ in range(500):
        if len(heard) == 3:
            break
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    return heard


async def check(here: Home, heard: list[bytes]) -> None:
    assert [len(payload) for payload in heard] == [3, 300_000, 1]
    await here.sees(Closed)
    kinds = [type(event) for event in here.recorder.events]
    assert kinds == [Opened, Connected, Subscribed] + [Published] * 3 + [Disconnected, Closed]
    assert {event.address for event in here.recorder.events} == {"127.0.0.1"}
    assert [event.size for event in here.recorder.of(Published)] == [3, 300_000, 1]


def test_websocket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path, kind="ws") as here:
            await check(here, await asyncio.to_thread(talk, here.port, "websockets"))

    asyncio.run(scenario())


def test_a_websocket_client_is_cut_and_kept_out(tmp_path: Path) -> None:
    websockets = pytest.importorskip("websockets.asyncio.client")

    async def scenario() -> None:
        async with home(tmp_path, kind="ws") as here:
            url = f"ws://127.0.0.1:{here.port}"
            async with websockets.connect(url, subprotocols=["mqtt"]) as bad:
                await bad.send(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c")
                await bad.send(b"\x00\x01b")
                assert await bad.recv() == b"\x20\x02\x00\x00"
                assert here.recorder.actuator.disconnect(Handle("client_id", "b")) == 1
                await bad.wait_closed()
            async with websockets.connect(url, subprotocols=["mqtt"]) as broken:
                await broken.send(b"no MQTT at all")
                await broken.wait_closed()
            assert (await here.sees(Malformed))[0].reason == "not-connect-first"
            here.recorder.bans.add(Handle("address", "127.0.0.1"))
            async with websockets.connect(url, subprotocols=["mqtt"]) as banned:
                await banned.wait_closed()
            assert here.plugin.kept_out == 1

    asyncio.run(scenario())


def test_tls(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout {key} -out {cert}"
    command += " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run(command.split(), capture_output=True, check=False)
    assert made.returncode == 0, made.stderr

    async def scenario() -> None:
        port = free_port()
        listener = {
            "type": "tcp",
            "bind": f"127.0.0.1:{port}",
            "ssl": True,
            "certfile": str(cert),
            "keyfile": str(key),
        }
        plugins = {
            "recording_plugins.RecordingPlugin": {"state_dir": str(tmp_path)},
            "recording_plugins.PasswordPlugin": {},
        }
        broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
        await broker.start()
        plugin = broker.plugins_manager.get_plugin("RecordingPlugin")
        assert isinstance(plugin, RecordingPlugin)
        here = Home(broker, port, plugin)
        await check(here, await asyncio.to_thread(talk, port, "tcp", cert))
        context = ssl.create_default_context(cafile=str(cert))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await here.until(lambda: len(here.recorder.of(Opened)) == 2)
        assert here.recorder.actuator.disconnect(Handle("address", "127.0.0.1")) == 1
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(1), 3) == b""
        writer.close()
        await broker.shutdown()

    asyncio.run(scenario())
