"""The command `mqtt-ids demo`: a broker with the plugin, a home, and five attacks on it.

All of it runs on this machine's loopback network and ends with the demo. What is shown was
received as anybody would: by a subscription to `$ids/alerts`.
"""

import asyncio
import collections
import contextlib
import logging
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_ids import embedded
from mqtt_ids.demo_report import Report, Sighting
from mqtt_ids.demo_scene import EVENING, LIMITS, LONGEST, Scene, write_passwords
from mqtt_ids.demo_show import Show, show
from mqtt_ids.errors import StartError
from mqtt_ids.lab.actions import Actor
from mqtt_ids.lab.deeds import Deed
from mqtt_ids.lab.live import perform
from mqtt_ids.readers import HostPort
from mqtt_ids.settings import Settings
from mqtt_ids.tables import line

CALM_FOR: Final = 20.0  # seconds before the first attack
PAUSE: Final = 4.0  # seconds after each attack
BEAT: Final = 0.25  # seconds from one picture to the next
SUBSCRIBED_WITHIN: Final = 10.0  # seconds
COMPLAINTS: Final = 10  # our own warnings that are shown in the end, at most
VIEWER: Final = "mqtt-ids-demo"  # the client id of who reads the alerts
VIEWER_ADDRESS: Final = "127.0.0.1"
INTERRUPTED: Final = 130  # exit code, as shells have it
TERMINATED: Final = 143


def demo() -> int:
    """Run the demo; its exit code: 1 where anything was not as it should be.

    Raises IdsError or the model package's ModelError, in one line, where it cannot start.
    """
    _check_loopback()
    screen = show()
    with (
        contextlib.closing(screen),
        _quiet() as complaints,
        tempfile.TemporaryDirectory() as folder,
    ):
        try:
            report = asyncio.run(_Demo(screen, Path(folder)).run())
        except KeyboardInterrupt:
            return INTERRUPTED
        except asyncio.CancelledError:
            return TERMINATED
        screen.end(report)
    for complaint in complaints:
        line(complaint)
    return 0 if report.passed else 1


class _Demo:
    """One run."""

    def __init__(self, screen: Show, folder: Path) -> None:
        self._show = screen
        self._folder = folder
        self._scene = Scene(self._lost)
        calm = self._scene.calm | {VIEWER: VIEWER_ADDRESS}
        self._report = Report(calm, self._scene.addresses)
        self._done: collections.Counter[str] = collections.Counter()
        self._news = asyncio.Event()
        self._began = 0.0

    async def run(self) -> Report:
        """Everything, in its order; what was started is ended."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        with _cancelled_by_sigterm():
            await self._play()
        return self._report

    async def _play(self) -> None:
        async with self._broker() as port, self._viewer(port), self._picture(), self._home(port):
            await asyncio.sleep(CALM_FOR)
            self._report.current.over = True
            for kind, limit in LIMITS.items():
                await self._attack(kind, limit, port)

    @contextlib.asynccontextmanager
    async def _broker(self) -> AsyncIterator[int]:
        """A broker with the plugin, where everybody needs a password; its port."""
        self._login = self._scene.viewer()
        passwords = self._folder / "passwords"
        write_passwords(self._scene.logins, passwords)
        bind = HostPort("127.0.0.1", _free_port())
        state = {"mode": "observe", "state_dir": str(self._folder / "state")}
        self._step(f"amqtt with the plugin starts on {bind}")
        broker = await embedded.started(embedded.broker_config(bind, state, passwords))
        try:
            yield bind.port
        finally:
            await embedded.stopped(broker)

    @contextlib.asynccontextmanager
    async def _viewer(self, port: int) -> AsyncIterator[None]:
        """A subscription to the alerts, in paho's own thread."""
        loop = asyncio.get_running_loop()
        subscribed = asyncio.Event()

        def heard(data: bytes) -> None:
            loop.call_soon_threadsafe(self._heard, data, loop.time())

        def ready() -> None:
            loop.call_soon_threadsafe(subscribed.set)

        client = _subscriber(self._login, heard, ready)
        client.connect_async("127.0.0.1", port, bind_address=VIEWER_ADDRESS)
        client.loop_start()
        try:
            await _in_time(subscribed)
            yield
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    @contextlib.asynccontextmanager
    async def _picture(self) -> AsyncIterator[None]:
        """Draws while the rest goes on."""

        async def draw() -> None:
            while True:
                self._show.beat(self._report, self._done["published"], self._now())
                await asyncio.sleep(BEAT)

        async with _running(draw()):
            yield

    @contextlib.asynccontextmanager
    async def _home(self, port: int) -> AsyncIterator[None]:
        """The home's clients live their lives."""
        calm = self._scene.calm
        self._step(f"a home of {len(calm)} clients, each at an address of its own, logs in")
        async with _running(self._perform(self._scene.actors, port, EVENING, self._did)):
            yield

    async def _attack(self, kind: str, limit: float, port: int) -> None:
        """One attack, until it is found or its time is up, and a while of calm after it."""
        address, attack = self._scene.attack(kind)
        trial = self._report.begin(kind, address)
        loop = asyncio.get_running_loop()

        def did(_: Deed) -> None:
            if trial.began is None:
                trial.began = loop.time()

        self._step(f"attack: {kind} from {address}")
        async with _running(self._perform(attack.actors, port, 0.0, did)):
            try:
                async with asyncio.timeout(limit):
                    while not trial.recognised:
                        self._news.clear()
                        await self._news.wait()
            except TimeoutError:
                self._step(f"{kind} is not found within {limit:g} s; it ends")
        await asyncio.sleep(PAUSE)
        trial.over = True

    async def _perform(
        self, actors: tuple[Actor, ...], port: int, start: float, note: Callable[[Deed], None]
    ) -> None:
        await perform(
            actors,
            port=port,
            start=start,
            duration=LONGEST,
            address_of=self._scene.address_of,
            note=note,
        )

    def _did(self, deed: Deed) -> None:
        self._done[deed.kind] += 1

    def _heard(self, data: bytes, at: float) -> None:
        """An alert has come in."""
        sighting = Sighting.decode(data, at)
        self._report.see(sighting)
        self._show.alert(sighting, at - self._began)
        self._news.set()

    def _lost(self, client_id: str) -> None:
        """A calm client was cut off or kept out."""
        self._report.lose(client_id)
        self._step(f"{client_id} has lost its connection")

    def _step(self, text: str) -> None:
        self._show.step(text, self._now())

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began


async def _in_time(subscribed: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(subscribed.wait(), SUBSCRIBED_WITHIN)
    except TimeoutError:
        raise StartError("the demo's own broker lets nobody subscribe to the alerts") from None


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Does `work` meanwhile. An error in it is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _subscriber(
    login: tuple[str, str], heard: Callable[[bytes], None], ready: Callable[[], None]
) -> paho.Client:
    """A client that subscribes to the alerts whenever it is connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=VIEWER)
    client.username_pw_set(*login)
    topic = Settings().topics.alerts

    def connected(client: paho.Client, *_: object) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = connected
    client.on_subscribe = lambda *_: ready()
    client.on_message = lambda _client, _data, message: heard(bytes(message.payload))
    return client


@contextlib.contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise RuntimeError("no task runs here")
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


class _Complaints(logging.Handler):
    """Keeps our own warnings, and silences the rest.

    Under attack a broker has much to complain about, and without any handler Python would write
    it to standard error.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: collections.deque[str] = collections.deque(maxlen=COMPLAINTS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it if it is ours."""
        if record.name.startswith("mqtt_ids"):
            self.kept.append(f"{record.levelname.lower()}: {record.name}: {record.getMessage()}")


@contextlib.contextmanager
def _quiet() -> Iterator[collections.deque[str]]:
    """Nothing is logged to the terminal; what we ourselves had to complain about."""
    root, handler = logging.getLogger(), _Complaints()
    root.addHandler(handler)
    try:
        yield handler.kept
    finally:
        root.removeHandler(handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _check_loopback() -> None:
    """Raises StartError where only one address of this machine may be used."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError as error:
            raise StartError(
                "the demo needs the whole loopback network, 127.0.0.0/8, as Linux has it:"
                f" 127.0.0.2 cannot be used: {error.strerror}"
            ) from None
