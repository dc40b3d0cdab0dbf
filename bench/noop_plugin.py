"""A plugin that hears of everything that ours tells of, and does nothing: the baseline for it."""

from amqtt.plugins.base import BasePlugin


class NoopPlugin(BasePlugin):  # type: ignore[type-arg]
    """One handler that does nothing for each event of amqtt that our events could be made from."""

    async def on_broker_client_connected(self, **_: object) -> None:
        """A CONNECT was accepted."""

    async def on_broker_client_disconnected(self, **_: object) -> None:
        """A client is gone."""

    async def on_broker_client_subscribed(self, **_: object) -> None:
        """A SUBSCRIBE came."""

    async def on_broker_client_unsubscribed(self, **_: object) -> None:
        """An UNSUBSCRIBE came."""

    async def on_mqtt_packet_received(self, **_: object) -> None:
        """A packet came."""
