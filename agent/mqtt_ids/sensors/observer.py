"""Who listens to a sensor."""

from typing import Protocol

from mqtt_ids.bans import Ban
from mqtt_ids.events import AnyEvent


class Observer(Protocol):
    """The part of the engine that a sensor sees. Neither call raises."""

    def feed(self, event: AnyEvent) -> None:
        """Take in what a client did."""

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        """The ban that keeps this one out."""
