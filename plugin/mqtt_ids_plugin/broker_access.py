"""The only place that reaches into amqtt's private parts; each access says why it is needed.

amqtt's plugin interface shows neither connections nor what is refused, so the sensor sits between
its listeners and its protocol handler. What it needs there is looked for at the start; where it
is missing, the start fails with one line that names it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import amqtt
from amqtt.adapters import (
    ReaderAdapter,
    StreamReaderAdapter,
    StreamWriterAdapter,
    WebSocketsReader,
    WebSocketsWriter,
    WriterAdapter,
)
from amqtt.broker import Broker, BrokerContext
from amqtt.plugins import manager
from amqtt.plugins.base import BasePlugin
from amqtt.session import Session

from mqtt_ids.errors import StartError

log = logging.getLogger(__name__)

CHUNK: Final = 16_384  # bytes taken from the network at a time

Admit = Callable[[str, ReaderAdapter, WriterAdapter], Awaitable[None]]
Source = Callable[[int], Awaitable[bytes]]

_NEEDED: Final = (
    "_client_connected",
    "_publish_retained_messages_for_subscription",
    "_start_listeners",
    "_sessions",
    "_subscriptions",
    "_broadcast_queue",
    "_tasks_queue",
    "plugins_manager",
)


@dataclass
class RawConfig(BasePlugin.Config):
    """What stands below the plugin's name in amqtt's configuration, unchecked."""

    values: Mapping[str, object] = field(default_factory=dict)


def take_config_whole(check: Callable[[object], None]) -> None:
    """Have amqtt hand a plugin that asks for `RawConfig` its configuration as it stands.

    amqtt builds each plugin's configuration with dacite and would refuse an unknown key with a
    traceback that names neither file nor plugin. `check` sees the value first, and may raise.
    """
    if not hasattr(manager, "from_dict"):
        raise ImportError(_unknown("plugins.manager.from_dict"))
    build = manager.from_dict

    def from_dict(data_class: type[Any], data: dict[str, Any], config: object) -> object:
        if data_class is not RawConfig:
            return build(data_class=data_class, data=data, config=config)
        check(data)
        return RawConfig(data)

    vars(manager)["from_dict"] = from_dict


def _unknown(what: str) -> str:
    version = getattr(amqtt, "__version__", "unknown")
    return f"amqtt {version} has no {what}, so nothing could be observed; known to work is 0.12"


class _Subscriptions(dict[str, list[tuple[Session, int]]]):
    """Subscriptions that may change while somebody goes through them."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.keys()))

    def items(self) -> ItemsView[str, list[tuple[Session, int]]]:  # type: ignore[override]
        return self.copy().items()


class Access:
    """The private parts of one broker."""

    def __init__(self, context: BrokerContext) -> None:
        # The context's only way to the broker.
        broker: Broker | None = getattr(context, "_broker_instance", None)
        if broker is None:
            raise StartError(_unknown("BrokerContext._broker_instance"))
        self._broker = broker

    def check(self) -> None:
        """Raise StartError unless everything needed to observe is there."""
        for name in _NEEDED:
            if not hasattr(self._broker, name):
                raise StartError(_unknown(f"Broker.{name}"))

    def wrap_connections(self, wrap: Callable[[Admit], Admit]) -> None:
        """Put `wrap` around what the listeners call for each new connection.

        `stream_connected` and `ws_connected` look the method up on the broker at each call.
        """
        vars(self._broker)["_client_connected"] = wrap(self._broker._client_connected)  # noqa: SLF001

    def steady_subscriptions(self) -> None:
        """Let clients subscribe and leave while the broker goes through all subscriptions.

        It waits in the midst of it, for each newcomer, and for each message where plugins filter
        topics. A change meanwhile would cut the newcomer off, or lose the message.
        """
        broker = vars(self._broker)
        broker["_subscriptions"] = _Subscriptions(broker["_subscriptions"])

    def keep_retained_to_subscribers(self) -> None:
        """Send what is retained only to who subscribed to it.

        The broker also sends each newcomer what is retained on all that others subscribed to: to
        who may not read it, and to who only wants to say something and go.
        """
        broker = self._broker
        publish = broker._publish_retained_messages_for_subscription  # noqa: SLF001

        async def to_subscriber(subscription: tuple[str, int], session: Session) -> None:
            holders = broker.subscriptions.get(subscription[0], ())
            if any(holder.client_id == session.client_id for holder, _ in holders):
                await publish(subscription, session)

        vars(broker)["_publish_retained_messages_for_subscription"] = to_subscriber

    def wrap_listening(self, guard: Callable[[Callable[[], Awaitable[None]]], Any]) -> None:
        """Put `guard` around the opening of the listeners, the last step that can fail a start.

        An error in a plugin's own start event is not passed on by amqtt.
        """
        vars(self._broker)["_start_listeners"] = guard(self._broker._start_listeners)  # noqa: SLF001

    def has_other_authentication(self, ours: object) -> bool:
        """Whether another plugin than ours may admit anybody."""
        return any(one is not ours for one in self._broker.plugins_manager._auth_plugins)  # noqa: SLF001

    @property
    def backlog(self) -> int:
        """Messages that are accepted but not yet written to all their subscribers. O(1).

        The broker clears away what is done only with its next message: see `clear_done`.
        """
        broker = self._broker
        return broker._broadcast_queue.qsize() + len(broker._tasks_queue)  # noqa: SLF001

    def clear_done(self) -> int:
        """Clear away the messages that are done; the backlog that is left.

        The broker stops clearing at the first that is not done, and while no message comes.
        """
        tasks = self._broker._tasks_queue  # noqa: SLF001
        for _ in range(len(tasks)):
            task = tasks.popleft()
            if not task.done():
                tasks.append(task)
            elif not task.cancelled() and task.exception() is not None:
                log.info("a message could not be delivered: %s", task.exception())
        return self.backlog

    def has_session(self, client_id: str) -> bool:
        """Whether there is a session of that id, connected or stored."""
        return client_id in self._broker.sessions

    async def authenticates(self, session: Session) -> bool:
        """Whether all plugins together would admit `session`, as the broker itself asks them."""
        answers = await self._broker.plugins_manager.map_plugin_auth(session=session)
        given = [answer for answer in answers.values() if answer is not None]
        return bool(given) and all(given)

    def drop_session_of(self, client_id: str, writer: WriterAdapter) -> None:
        """Forget the session of a login that failed.

        The broker keeps it as connected for ever, so guessing with ever new ids would eat memory.
        """
        sessions = self._broker._sessions  # noqa: SLF001
        entry = sessions.get(client_id)
        if entry is not None and entry[1].writer is writer:
            del sessions[client_id]


def unserved(session: Session | None) -> int:
    """How many messages of this session the broker has read but not looked at."""
    return 0 if session is None else session.delivered_message_queue.qsize()


def end_script(line: str) -> None:
    """End the process with `line` where `Broker.start` runs as a task of its own, else do nothing.

    So it does in amqtt's script: nobody awaits it there, and its error would leave a process that
    runs and serves nobody. The task ends as cancelled, for asyncio would log anything else.
    """
    task = asyncio.current_task()
    coroutine = None if task is None else task.get_coro()
    if task is None or getattr(coroutine, "__qualname__", "") != Broker.start.__qualname__:
        return

    def end(_task: object) -> None:
        raise SystemExit(line)

    task.add_done_callback(end)
    raise asyncio.CancelledError


def open_source(reader: ReaderAdapter) -> Source:
    """A function that awaits bytes: at least one, b"" at the end. It never waits for more.

    Its argument says how many bytes are surely still to come. amqtt's adapters only give an exact
    number of bytes; whole pieces are faster, and a wait for one byte can be cancelled safely.
    """
    if isinstance(reader, StreamReaderAdapter):
        stream: asyncio.StreamReader = reader._reader  # noqa: SLF001

        async def from_stream(_wanted: int) -> bytes:
            return await stream.read(CHUNK)

        return from_stream
    if isinstance(reader, WebSocketsReader):

        async def from_messages(_wanted: int) -> bytes:
            first = await reader.read(1)
            return first + await reader.read(-1) if first else b""  # -1: what is left of a message

        return from_messages

    async def exactly(wanted: int) -> bytes:
        return await reader.read(wanted)

    return exactly


def transport_of(writer: WriterAdapter) -> asyncio.WriteTransport | None:
    """The transport below a writer, to be aborted; None where the adapter is not amqtt's."""
    if isinstance(writer, StreamWriterAdapter):
        return writer._writer.transport  # noqa: SLF001
    if isinstance(writer, WebSocketsWriter):
        transport: asyncio.WriteTransport = writer._protocol.transport  # noqa: SLF001
        return transport
    return None
