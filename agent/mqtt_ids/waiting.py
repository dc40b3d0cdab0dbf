"""Connections on which no CONNECT was accepted yet: all that a half-open attack leaves to take."""

from mqtt_ids.events import AnyEvent, Closed, Connected, Opened
from mqtt_ids.names import canonical

LIMIT = 100_000  # connections; more than a broker's process may have open
OLD = 2.0  # seconds after which a connection is no longer just about to say CONNECT


class Waiting:
    """Which connections wait, since when and from where. O(1) an event."""

    def __init__(self) -> None:
        self._address: dict[int, str] = {}
        self._since: dict[str, dict[int, float]] = {}  # address: connection: when it opened

    def see(self, event: AnyEvent) -> None:
        """Take in what a sensor saw; anything but opening, accepting and closing is ignored."""
        kind = type(event)
        if kind is Opened:
            address = canonical(event.address)
            self._address[event.connection] = address
            self._since.setdefault(address, {})[event.connection] = event.time
            if len(self._address) > LIMIT:
                self._forget(next(iter(self._address)))
        elif kind is Connected or kind is Closed:
            self._forget(event.connection)

    def of(self, address: str | None, now: float) -> tuple[int, ...]:
        """The connections from `address` that have waited for long."""
        if address is None:
            return ()
        waiting = self._since.get(canonical(address), {})
        return tuple(number for number, since in waiting.items() if now - since >= OLD)

    def _forget(self, connection: int) -> None:
        address = self._address.pop(connection, None)
        if address is not None:
            waiting = self._since[address]
            del waiting[connection]
            if not waiting:
                del self._since[address]
