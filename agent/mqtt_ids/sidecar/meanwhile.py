"""What has gathered in a log that could not be read for a while: who came and who left.

To tell all of it now would be to tell of an hour in a second, and so of a flood by everybody.
"""

from collections.abc import Iterable

from mqtt_ids.events import AnyEvent, Closed, Connected, Opened


class Meanwhile:
    """Takes all that has happened, and tells what it came to."""

    def __init__(self) -> None:
        self._came: dict[int, list[AnyEvent]] = {}
        self._left: list[AnyEvent] = []

    def gather(self, events: Iterable[AnyEvent]) -> None:
        """More of what has happened."""
        for event in events:
            if isinstance(event, Opened | Connected):
                self._came.setdefault(event.connection, []).append(event)
            elif isinstance(event, Closed) and self._came.pop(event.connection, None) is None:
                self._left.append(event)

    def come_to(self) -> list[AnyEvent]:
        """The connections that are gone, then those that are new, in their order."""
        if not (self._left or self._came):
            return []
        came = [event for events in self._came.values() for event in events]
        told = sorted([*self._left, *came], key=lambda event: event.time)
        self._left, self._came = [], {}
        return told
