"""The class that amqtt's YAML names: it puts the sensor into the broker, with the engine behind.

Nothing here admits anybody, and nothing here raises into a running broker. What must not be
wrong is checked before the listeners open; then the start fails with one line.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

from amqtt.broker import BrokerContext
from amqtt.errors import BrokerError, PluginError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from mqtt_ids.errors import IdsError, SettingsError, StartError
from mqtt_ids.events import SEES_ALL, AnyEvent
from mqtt_ids.faults import Faults
from mqtt_ids.responders.act import Actuator
from mqtt_ids.responders.publish import Publish
from mqtt_ids.run import Engine
from mqtt_ids.sensors.observer import Observer
from mqtt_ids.settings import Settings
from mqtt_ids_model import ModelError
from mqtt_ids_plugin.broker_access import (
    Access,
    RawConfig,
    end_script,
    take_config_whole,
)
from mqtt_ids_plugin.gate import Gate, current
from mqtt_ids_plugin.outbox import Outbox
from mqtt_ids_plugin.table import Table

log = logging.getLogger(__name__)

SENSOR = "amqtt"


class Runnable(Observer, Protocol):
    """The engine, as far as the plugin knows it."""

    async def start(self) -> None:
        """Begin; raises IdsError or ModelError in one line, and then leaves nothing behind."""

    async def stop(self) -> None:
        """End; twice, or without a start, does no harm."""


def _check(values: object) -> None:
    """Refuse wrong settings as amqtt's script shows them: one line, and an exit code."""
    try:
        _settings(values)
    except SettingsError as error:
        raise PluginError(f"mqtt-ids: {error}") from error


def _settings(values: object) -> Settings:
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise SettingsError("mqtt_ids_plugin.IDSPlugin: expected keys such as `mode: observe`")
    return Settings.from_mapping(values)


take_config_whole(_check)


class IDSPlugin(BaseAuthPlugin):
    """Intrusion detection inside amqtt.

    An authentication plugin only to refuse once more who is banned: it never admits anybody, and
    the broker does not start where no other plugin decides who may come in.
    """

    Config = RawConfig

    def __init__(self, context: BrokerContext) -> None:
        super().__init__(context)
        self._context = context
        self._settings = _settings(cast("RawConfig", context.config).values)
        self._access = Access(context)
        self._faults = Faults()
        self._outbox = Outbox(context, self._access.clear_done)
        limits = self._settings.limits
        self._table = Table(self._feed, self._reserved, time.monotonic, limits.max_clients)
        self._engine = self._make_engine(self._table, self._outbox.publish)
        self._gate = Gate(self._access, self._engine, self._table)
        self._own_topics = frozenset(
            (
                self._settings.topics.alerts,
                self._settings.topics.status,
                self._settings.topics.summary,
            )
        )

    async def authenticate(self, *, session: Session) -> bool | None:
        """False for who is banned, else no opinion."""
        connection = current.get()
        if connection is not None:
            connection.session = session
        banned = self._engine.barred(
            address=None if connection is None else connection.address,
            client_id=session.client_id,
            username=session.username,
        )
        return None if banned is None else False

    async def on_broker_pre_start(self) -> None:
        """Take place between listeners and broker; the last moment before clients can come."""
        failure: Exception | None = None
        try:
            await self._start()
        except (IdsError, ModelError) as error:
            failure = error
        except Exception as error:
            log.exception("the start failed")
            failure = StartError(f"the start failed: {type(error).__name__}: {error}")

        def guard(listen: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
            async def listening() -> None:
                await self._listen(listen, failure)

            return listening

        self._access.wrap_listening(guard)

    async def on_broker_pre_shutdown(self) -> None:
        """Say offline, and write what waits."""
        await self._stop()

    async def close(self) -> None:
        """The broker is done with us, be it after a start that failed."""
        await self._stop()

    def _make_engine(self, actuator: Actuator, publish: Publish) -> Runnable:
        return Engine(
            self._settings, sensor=SENSOR, sees=SEES_ALL, actuator=actuator, publish=publish
        )

    async def _start(self) -> None:
        self._access.check()
        if not self._access.has_other_authentication(self):
            raise StartError(
                "no other authentication plugin is loaded, so the broker would refuse everybody;"
                " add amqtt.plugins.authentication.FileAuthPlugin, or AnonymousAuthPlugin to let"
                " everybody in"
            )
        await self._engine.start()
        self._outbox.start()
        self._table.start()
        self._access.steady_subscriptions()
        self._access.keep_retained_to_subscribers()
        self._access.wrap_connections(self._gate.wrap)

    async def _listen(
        self, listen: Callable[[], Awaitable[None]], failure: Exception | None
    ) -> None:
        """Open the listeners, or fail the start in a way that is seen."""
        if failure is None:
            try:
                await listen()
            except (OSError, BrokerError) as error:
                failure = StartError(f"cannot listen: {error}")
            else:
                return
        await self._stop()
        end_script(f"mqtt-ids: {failure}")
        raise failure

    async def _stop(self) -> None:
        self._table.stop()
        await self._engine.stop()
        await self._outbox.stop()

    def _reserved(self, topic: str) -> bool:
        """Whether no client may publish there: the broker's own topics, and ours."""
        return topic.startswith("$") or topic in self._own_topics

    def _feed(self, event: AnyEvent) -> None:
        try:
            self._engine.feed(event)
        except Exception as error:  # noqa: BLE001 - the broker goes on, whatever is wrong with us
            self._faults.caught("the engine", error, event.time)
