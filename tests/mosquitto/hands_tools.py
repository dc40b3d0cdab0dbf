"""A Mosquitto with dynamic security, its users, and hands of ours in an event loop of their own."""

import asyncio
import glob
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from live_broker import HOST, until
from mosquitto_broker import Mosquitto
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.hands.dialogue import ANSWERS, REQUESTS
from mqtt_ids.hands.hands import Hands
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Pace, Received, State, Uplink

ADMIN, PASSWORD = "admin", "secret"
OWN = "mqtt-ids"
OWN_RIGHTS = (
    ("publishClientSend", "$CONTROL/dynamic-security/v1"),
    ("publishClientSend", "$ids/#"),
    ("publishClientSend", "homeassistant/#"),
    ("subscribePattern", "$CONTROL/dynamic-security/v1/response"),
    ("publishClientReceive", "$CONTROL/dynamic-security/v1/response"),
    ("subscribePattern", "$SYS/#"),
    ("subscribePattern", "$ids/#"),
    ("subscribePattern", "#"),
)
WITHIN = 10.0  # seconds
QUICK = Pace(first=0.05, most=0.2, refused=0.2)


class Guarded(Mosquitto):
    """With dynamic security, an administrator, and a user of ours as the docs tell to make it."""

    def __init__(self, folder: Path) -> None:
        store = folder / "dynamic-security.json"
        subprocess.run(
            ["mosquitto_ctrl", "dynsec", "init", str(store), ADMIN, PASSWORD],
            check=True,
            capture_output=True,
            timeout=20,
        )
        (plugin,) = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")  # noqa: PTH207 - one file
        super().__init__(
            folder,
            "allow_anonymous false",
            f"plugin {plugin}",
            f"plugin_opt_config_file {store}",
            file_log=True,
        )

    def ctrl(self, *words: str) -> str:
        """mosquitto_ctrl, as the administrator."""
        where = ["-h", HOST, "-p", str(self.port), "-u", ADMIN, "-P", PASSWORD]
        done = subprocess.run(
            ["mosquitto_ctrl", *where, "dynsec", *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout

    def add_own_user(self) -> None:
        """What docs/response.md tells to type."""
        self.ctrl("createRole", OWN)
        for kind, topic in OWN_RIGHTS:
            self.ctrl("addRoleACL", OWN, kind, topic, "allow")
        self.ctrl("createClient", OWN, "-p", PASSWORD)
        self.ctrl("addClientRole", OWN, OWN)


class Asker:
    """An administrator who asks and is answered."""

    def __init__(self, broker: Mosquitto) -> None:
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, "asker")
        self._client.username_pw_set(ADMIN, PASSWORD)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _client, _data, message: self._read(message.payload)
        self._client.connect(HOST, broker.port)
        self._client.subscribe(ANSWERS)
        self._client.loop_start()
        assert ready.wait(WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _read(self, payload: bytes | bytearray) -> None:
        for response in json.loads(payload)["responses"]:
            if response.get("correlationData") == "asker":
                self._answers.put(response)

    def do(self, command: str, **fields: object) -> dict[str, Any]:
        """One command and its answer."""
        body = {"command": command, "correlationData": "asker", **fields}
        self._client.publish(REQUESTS, json.dumps({"commands": [body]}))
        return self._answers.get(timeout=WITHIN)

    def user(self, name: str) -> dict[str, Any]:
        """What the broker knows of a user."""
        told: dict[str, Any] = self.do("getClient", username=name)["data"]["client"]
        return told

    def disabled(self, name: str) -> bool:
        """Whether this user is kept out."""
        return bool(self.user(name).get("disabled", False))

    def roles(self) -> list[str]:
        """The names of all roles."""
        roles: list[str] = self.do("listRoles")["data"]["roles"]
        return roles


class Device:
    """A client that stays connected, or notices that it is not, and tries once more if told to."""

    def __init__(
        self, port: int, user: str | None = None, source: str = "", name: str = ""
    ) -> None:
        self.connected = False
        self.refused = False
        self.ended = 0
        self._port, self._source = port, source
        self._client = Client(
            CallbackAPIVersion.VERSION2, name or f"device-{user}", reconnect_on_failure=False
        )
        if user is not None:
            self._client.username_pw_set(user, PASSWORD)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self.connect()

    def connect(self) -> Self:
        """Try (again), and wait for what becomes of it."""
        self.connected = self.refused = False
        try:
            self._client.connect(HOST, self._port, bind_address=self._source)
        except OSError:
            self.refused = True
            return self
        self._client.loop_start()
        until(lambda: self.connected or self.refused, WITHIN, failing="no CONNACK")
        return self

    def _on_connect(self, *args: Any) -> None:  # noqa: ANN401 - paho's
        self.connected = not args[3].is_failure
        self.refused = not self.connected

    def _on_disconnect(self, *_: object) -> None:
        self.connected = False
        self.ended += 1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Held:
    """Hands on a real link to a broker, in an event loop of their own."""

    def __init__(self, broker: Mosquitto, folder: Path, user: str | None = OWN) -> None:
        self.failures: list[tuple[Handle, str]] = []
        self.messages: list[Received] = []
        self.states: list[State] = []
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        url = f"mqtt://{f'{user}@' if user else ''}{HOST}:{broker.port}"
        access = Access.of(url, password_file=secret) if user else Access.of(url)
        self.link = Uplink(
            access,
            client_id="mqtt-ids-hands",
            filters=list(Hands.filters),
            on_state=self._on_state,
            on_message=self._on_message,
            pace=QUICK,
        )
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._user, self._port = user, broker.port
        self.hands: Hands

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait_for(self._start())
        return self

    async def _start(self) -> None:
        self.hands = Hands(
            publish=lambda topic, payload: self.link.publish(topic, payload, qos=0),
            own_username=self._user,
            ports=(self._port,),
        )
        self.hands.on_failure = lambda handle, why: self.failures.append((handle, why))
        await self.hands.start()
        await self.link.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WITHIN)
        self.loop.close()

    def stop(self) -> None:
        self._wait_for(self.hands.stop())
        self._wait_for(self.link.stop())

    def _wait_for(self, what: Any) -> None:  # noqa: ANN401 - a coroutine
        asyncio.run_coroutine_threadsafe(what, self.loop).result(2 * WITHIN)

    def _on_state(self, state: State) -> None:
        self.states.append(state)
        if state.name == "online":
            self.hands.online()
        elif state.name in {"away", "refused"}:
            self.hands.away()

    def _on_message(self, message: Received) -> None:
        if not self.hands.take(message.topic, message.payload):
            self.messages.append(message)

    def call(self, what: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it gives
        """Do it in the event loop."""

        async def done() -> Any:  # noqa: ANN401
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(WITHIN)

    def keep_out(self, handle: Handle, until: float) -> None:
        ban = Ban(handle=handle, until=until, seconds=600, why="test")
        self.call(lambda: self.hands.keep_out(ban))

    def let_in(self, handle: Handle) -> None:
        self.call(lambda: self.hands.let_in(handle))

    def ready(self) -> None:
        """Wait until dynamic security has answered."""
        until(lambda: "username" in self.hands.offers, WITHIN, failing=str(self.hands.reasons))


@contextmanager
def devices(*each: Device) -> Iterator[tuple[Device, ...]]:
    """Connected, and closed in the end."""
    try:
        yield each
    finally:
        for device in each:
            device.close()


class Agent:
    """hands_agent.py in a process of its own, in a network namespace if one is named."""

    def __init__(
        self, folder: Path, host: str, port: int, user: str = "", namespace: str | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        within = [] if namespace is None else ["ip", "netns", "exec", namespace]
        script = Path(__file__).with_name("hands_agent.py")
        self._process = subprocess.Popen(
            [*within, sys.executable, str(script), str(folder), host, str(port), user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == {"started": True}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def do(self, what: str, **fields: object) -> dict[str, Any]:
        """One line in, one line out."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def ready(self, kind: str = "username") -> None:
        """Wait until it has this hand."""
        until(lambda: kind in self.do("state")["offers"], WITHIN, failing=f"no hand by {kind}")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(WITHIN)

    def stop(self) -> None:
        """As a service is stopped."""
        self._process.terminate()
        assert self._process.wait(2 * WITHIN) == 0
