"""The agent beside a Mosquitto: what it sees there, and what it says and does, until a signal."""

import asyncio
import functools
import logging
import time
from pathlib import Path
from typing import Final

from mqtt_ids.events import AnyEvent
from mqtt_ids.hands.hands import Hands
from mqtt_ids.run import Engine
from mqtt_ids.service.messenger import Messenger
from mqtt_ids.service.notices import Notices
from mqtt_ids.service.safely import Safely
from mqtt_ids.service.serving import serve
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar.briefing import briefing
from mqtt_ids.sidecar.eyes import FIRST_GUESS, View, open_eyes
from mqtt_ids.sidecar.sources import Sources
from mqtt_ids.sidecar.tail import Tail
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Received, State
from mqtt_ids_model import ModelError

log = logging.getLogger(__name__)

SENSOR: Final = "mosquitto"
PORTS: Final = (1883, 8883)  # beside the one we go to ourselves
BEAT: Final = 1.0  # seconds
TOO_LATE: Final = 2.0  # seconds of lag from which on the loudest is not read in full
SHOWN_AFTER: Final = 8.0  # seconds connected after which it is known what can be seen and done
SHOWN_AT_LAST: Final = 60.0  # the same, where nothing was to be seen


class Sidecar:
    """Made of parts that know nothing of each other; here they are joined."""

    def __init__(self, settings: Settings, access: Access, notices: Notices) -> None:
        self._settings = settings
        self._access = access
        self._messenger = Messenger(settings, access, notices, turned=self._turn, take=self._take)
        self._uplink = self._messenger.uplink
        voice = self._messenger.voice
        self._sources = Sources(
            self._feed,
            client_id=self._messenger.client_id,
            own_topics=self._messenger.own_topics,
            is_ours=voice.is_ours,
            somebody_else=voice.somebody_else,
            follows_file=settings.log is not None,
            look=self._look,
        )
        self._tail = None if settings.log is None else self._follow(settings.log)
        self._hands = Hands(
            publish=lambda topic, data: self._uplink.publish(topic, data, qos=0),
            own_username=access.username,
            host=access.address.host,
            ports=tuple({access.address.port, *PORTS}),
        )
        self._view = View()
        self._engine = Engine(
            settings,
            sensor=SENSOR,
            sees=FIRST_GUESS,
            actuator=self._hands,
            publish=self._messenger.publish,
            own_ids=frozenset({self._messenger.client_id}),
            make_detector=open_eyes,
            backlog=self,
            withdraw=self._messenger.withdraw,
        )
        self._safely = Safely()
        self._tasks: list[asyncio.Task[None]] = []
        self._online_since: float | None = None
        self._shown = False

    def _feed(self, event: AnyEvent) -> None:
        self._engine.feed(event)

    def _follow(self, file: Path) -> Tail:
        return Tail(file, take=self._read, tell=log.warning, gone=self._sources.file_is_gone)

    def _read(self, lines: list[bytes], behind: int, *, old: bool) -> None:
        now = time.monotonic()
        self._safely("reading the log", lambda: self._sources.lines(lines, now, behind, old=old))

    @property
    def lag(self) -> float:
        """How many seconds it takes to read what waits."""
        return 0.0 if self._tail is None else self._tail.lag

    @property
    def skipped(self) -> int:
        """What was seen of the broker and could not be told."""
        lost = 0 if self._tail is None else self._tail.lost
        return lost + self._sources.skipped + self._uplink.lost

    async def start(self) -> None:
        """Take the state folder and begin. Raises as `Engine.start` does."""
        await self._engine.start()
        await self._hands.start()
        self._tasks = [asyncio.create_task(self._beat(), name="mqtt-ids-beat")]
        if self._tail is not None:
            self._tasks.append(asyncio.create_task(self._tail.run(), name="mqtt-ids-log"))
        self._messenger.listen_to(self._filters)
        await self._uplink.start()

    async def stop(self) -> None:
        """Let in whom we have kept out, say offline, write what waits."""
        self._engine.let_everybody_in()
        await self._hands.stop()
        await self._engine.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._uplink.stop()

    @property
    def _filters(self) -> tuple[str, ...]:
        return (*self._sources.filters, *self._hands.filters)

    def _turn(self, state: State) -> None:
        """The connection to the broker has changed."""
        if state.name == "online":
            self._online_since = time.monotonic()
            self._sources.online(self._uplink.end, self._online_since)
            self._hands.online()
        elif state.name in {"away", "refused"}:
            self._online_since = None
            self._sources.away(self._uplink.client_id)
            self._hands.away()

    def _take(self, message: Received) -> None:
        """What a subscription has brought."""
        if not self._hands.take(message.topic, message.payload):
            self._sources.message(message, time.monotonic())

    async def _beat(self) -> None:
        """Once a second, what time alone brings about."""
        while True:
            now = time.monotonic()
            self._safely("the beat", functools.partial(self._pass_time, now))
            await asyncio.sleep(BEAT)

    def _pass_time(self, now: float) -> None:
        self._sources.pass_time(now)
        self._sources.thinning.active = self.lag > TOO_LATE
        self._hands.pass_time(now)
        self._messenger.listen_to(self._filters)
        self._look()
        self._show(now)

    def _look(self) -> None:
        """Look with other eyes, where the sources show something else than before."""
        if self._view.look(self._sources.sees, time.monotonic()):
            try:
                self._engine.look_again(self._view.sees)
            except ModelError as error:
                log.error("%s; going on as before", error)  # noqa: TRY400 - one line says it

    def _show(self, now: float) -> None:
        """Tell once what is seen, as soon as that is known."""
        since = self._online_since
        if self._shown or since is None:
            return
        # The log's topics say nothing while nobody comes or goes.
        patience = SHOWN_AFTER if self._sources.sees or self._settings.log else SHOWN_AT_LAST
        if now - since >= patience:
            self._shown = True
            for line in self._brief():
                log.info(line)

    def _brief(self) -> list[str]:
        """What is seen and what is not, and what cannot be done about an offender."""
        lines = briefing(self._sources, self._settings, self._access)
        if self._settings.mode == "protect":
            lines += [f"protect mode: {reason}" for reason in self._hands.reasons]
        return lines


def run(settings: Settings, access: Access) -> None:
    """Watch until SIGINT or SIGTERM. Raises as `Sidecar.start` does."""
    asyncio.run(_serve(settings, access))


async def _serve(settings: Settings, access: Access) -> None:
    notices = Notices.from_environment()
    await serve(Sidecar(settings, access, notices), notices)
