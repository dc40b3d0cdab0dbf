"""The agent in front of a broker: clients come to us, and we see and forward each packet."""

import asyncio
import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.bridge.descriptors import connections, raise_limit
from mqtt_ids.bridge.doors import Doors, open_doors
from mqtt_ids.bridge.inherited import Inherited
from mqtt_ids.errors import StartError
from mqtt_ids.events import SEES_ALL, AnyEvent
from mqtt_ids.facts import OWN_TOPICS
from mqtt_ids.run import Engine
from mqtt_ids.sensors.proxy.greetings import ProxyProtocol, introduction
from mqtt_ids.sensors.proxy.options import Options, Upstream
from mqtt_ids.sensors.proxy.proxy import Proxy
from mqtt_ids.service.messenger import Messenger
from mqtt_ids.service.notices import Notices
from mqtt_ids.service.serving import serve
from mqtt_ids.settings import Settings, Topics
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Received

log = logging.getLogger(__name__)

SENSOR: Final = "proxy"
PROXY_PROTOCOLS: Final[Mapping[str, ProxyProtocol]] = {"none": 0, "v1": 1, "v2": 2}


class Bridge:
    """Made of parts that know nothing of each other; here they are joined."""

    def __init__(
        self, settings: Settings, access: Access, notices: Notices, doors: Doors, most: int
    ) -> None:
        """`most` connections are served at once."""
        self._notices = notices
        self._doors = doors
        self._access = access
        self._proxy = Proxy(
            upstream(settings, access), options(settings, most), self, tell=self._warn
        )
        self._messenger = Messenger(settings, access, notices, take=self._take)
        # Who came by our name would have the broker end our own connection.
        self._own = _own(self._messenger.client_id) if settings.mode == "protect" else None
        self._engine = Engine(
            settings,
            sensor=SENSOR,
            sees=SEES_ALL,
            actuator=self._proxy,
            publish=self._messenger.publish,
            withdraw=self._messenger.withdraw,
        )

    @property
    def feed(self) -> Callable[[AnyEvent], None]:
        """The engine's own, for it is called with each event."""
        return self._engine.feed

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        """The ban that keeps this one out; our own id is nobody's who comes to us."""
        if self._own is not None and client_id == self._own.handle.value:
            return self._own
        return self._engine.barred(address=address, client_id=client_id, username=username)

    async def start(self) -> None:
        """Take the state folder, then let clients in. Raises as `Engine.start`, or StartError."""
        await self._engine.start()
        try:
            await self._proxy.start(self._doors.listeners)
        except OSError as error:
            raise StartError(f"cannot listen on {self._doors.text}: {error.strerror}") from None
        log.info("listening on %s, in front of %r", self._doors.text, self._access)
        self._messenger.listen_to(())
        await self._messenger.uplink.start()

    async def stop(self) -> None:
        """Close all connections, write what waits, say offline."""
        await self._proxy.stop()
        await self._engine.stop()
        await self._messenger.uplink.stop()

    def _warn(self, text: str) -> None:
        log.warning(text)
        self._notices.status(text)

    def _take(self, message: Received) -> None:
        """What a subscription has brought."""
        voice = self._messenger.voice
        if not message.retain and not voice.is_ours(message.topic, message.payload):
            voice.somebody_else(message.topic)


def upstream(settings: Settings, access: Access) -> Upstream:
    """The broker behind, as we call it ourselves. Raises SettingsError."""
    return Upstream(
        address=access.address,
        tls=access.context() if access.encrypted else None,
        web=access.path if access.web else None,
        proxy_protocol=PROXY_PROTOCOLS[settings.inline.proxy_protocol],
    )


def options(settings: Settings, most: int) -> Options:
    """How the proxy behaves."""
    return Options(
        connect_within=settings.inline.connect_within,
        max_connections=most,
        reserved=reserved(settings.topics) if settings.mode == "protect" else (),
        fail_closed=settings.inline.fail == "closed",
    )


def reserved(topics: Topics) -> tuple[bytes, ...]:
    """Where only we may publish: on all of `$ids/…`, and on our topics elsewhere."""
    named = (topics.alerts, topics.status, topics.summary)
    elsewhere = (f"{topic}\0" for topic in named if not topic.startswith(OWN_TOPICS))
    return tuple(each.encode() for each in (OWN_TOPICS, *elsewhere))


def _own(client_id: str) -> Ban:
    handle = Handle("client_id", client_id)
    return Ban(handle=handle, until=math.inf, seconds=math.inf, why="it is our own name", by="hand")


def run(settings: Settings, access: Access, passed: Sequence[Inherited]) -> None:
    """Serve until SIGINT or SIGTERM. Raises SettingsError, or as `Bridge.start` does."""
    most, line = connections(settings.limits.max_clients, raise_limit())
    if line is not None:
        log.warning(line)
    form = PROXY_PROTOCOLS[settings.inline.proxy_protocol]
    if form:
        access = dataclasses.replace(access, introduce=functools.partial(introduction, form))
    asyncio.run(_serve(settings, access, open_doors(settings, passed, access.address), most))


async def _serve(settings: Settings, access: Access, doors: Doors, most: int) -> None:
    notices = Notices.from_environment()
    await serve(Bridge(settings, access, notices, doors, most), notices)
