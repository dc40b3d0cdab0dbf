"""The real `mqtt-ids-agent --listen` in a process, in front of a Mosquitto that logs nothing."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from live_broker import HOST, free_port
from mosquitto_broker import Mosquitto
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from sidecar_tools import WITHIN, Agent

OPEN = ("allow_anonymous true",)
SILENT = ("log_dest none",)


class Bridge(Agent):
    """Serves at `port`, in front of `broker`; `settings` are further keys of the configuration.

    `lines` are the broker's configuration, beside that it logs nothing. The agent reaches it by
    `scheme`, and through the port `through` if something stands there. Both begin and end with the
    `with`; `start` and `stop` are the agent's alone.
    """

    def __init__(
        self,
        folder: Path,
        *lines: str,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        scheme: str = "mqtt",
        through: int | None = None,
        **settings: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.broker = Mosquitto(folder, *(lines or OPEN), *SILENT, verbose=False)
        url = f"{scheme}://{HOST}:{through or self.broker.port}"
        settings.setdefault("listen", f"{HOST}:{self.port}")
        super().__init__(folder, url, log=None, env=env, before=before, **settings)

    def __enter__(self) -> Self:
        self.broker.start()
        self.start()
        self.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.broker.kill()

    def ready(self, within: float = WITHIN) -> None:
        """Until clients can come, and it can say what it sees."""
        self.wait_for("listening on", within)
        self.wait_for("connected to", within)


class Ear:
    """Hears all that is said below `topics`, straight from the broker at `port`."""

    def __init__(self, port: int, *topics: str) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, f"ear-{free_port()}")
        self._client.reconnect_delay_set(1, 1)
        wanted = [(topic, 1) for topic in topics or ("$ids/#",)]
        self._client.on_connect = lambda client, *_: client.subscribe(wanted)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.connect(HOST, port)
        self._client.loop_start()
        assert self._ready.wait(WITHIN)

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.retain))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def on(self, topic: str) -> list[bytes]:
        """What was said there, in order."""
        return [payload for each, payload, _ in list(self.heard) if each == topic]

    @property
    def status(self) -> list[bytes]:
        """What the agent says of itself, each change once."""
        told = self.on("$ids/status")
        return [each for n, each in enumerate(told) if told[n - 1 : n] != [each]]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.on("$ids/alerts")]
