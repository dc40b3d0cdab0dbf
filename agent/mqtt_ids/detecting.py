"""What the engine needs of a detector, and what a detector tells of a client."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from mqtt_ids.alerts import Alert, iso
from mqtt_ids.events import AnyEvent
from mqtt_ids.habits import words
from mqtt_ids.names import known_address
from mqtt_ids.policy import Neighbours

if TYPE_CHECKING:
    from mqtt_ids.accepted import Accepted
    from mqtt_ids.habits import Habit
    from mqtt_ids.memory import Memory
    from mqtt_ids.standings import Standings

CLIENTS: Final = "clients"


class ClientView(Protocol):
    """What a detector tells of one client. Times are on the sensor's clock."""

    @property
    def client_id(self) -> str:
        """Its client id."""

    @property
    def address(self) -> str | None:
        """Where it is, or was last."""

    @property
    def username(self) -> str | None:
        """By which user name it was accepted."""

    @property
    def connected(self) -> bool:
        """Whether it is connected now."""

    @property
    def since(self) -> float:
        """When it was first seen, or came back."""

    @property
    def last(self) -> float:
        """When it last did something."""

    @property
    def verdict(self) -> str:
        """calm, odd or attack."""

    @property
    def score(self) -> float | None:
        """Its last reconstruction error; None before the first."""

    @property
    def learned(self) -> bool:
        """Whether it has a normal of its own."""


def client_rows(
    views: Sequence[ClientView], habits: Mapping[str, "Habit"], wall_offset: float
) -> list[dict[str, Any]]:
    """The clients for `mqtt-ids clients`, with their habits by client id.

    `wall_offset` is wall time minus the sensor's, in s.
    """
    return [
        {
            "client_id": view.client_id,
            "address": known_address(view.address),
            "username": view.username,
            "connected": view.connected,
            "since": iso(view.since + wall_offset),
            "last": iso(view.last + wall_offset),
            "verdict": view.verdict,
            "score": view.score,
            "learned": view.learned,
            **_of_habit(habits.get(view.client_id)),
        }
        for view in views
    ]


def _of_habit(habit: "Habit | None") -> dict[str, Any]:
    if habit is None:
        return {"normal": None, "normal_in_words": None}
    return {"normal": habit, "normal_in_words": words(habit)}


class Detecting(Protocol):
    """What the engine needs of a detector. `accepted` may be replaced between ticks."""

    accepted: "Accepted"

    @property
    def skipped(self) -> int:
        """What was beyond its bounds, and so was not judged."""

    @property
    def memories(self) -> "Mapping[str, Memory]":
        """What is to survive a restart, by name; that of the clients as `CLIENTS`."""

    def feed(self, event: AnyEvent) -> None:
        """Take in one event. O(1)."""

    def tick(self, now: float) -> list[Alert]:
        """Judge everybody at `now`, and tell what has changed."""

    def end(self, now: float) -> list[Alert]:
        """Close all incidents, for nobody watches any more."""

    def clients(self) -> Sequence[ClientView]:
        """All clients that are known."""

    def standings(self, most: int, now: float) -> "Standings":
        """The oddest clients, at most so many, as they are now."""

    def goes_on(self, incident_id: str) -> bool:
        """Whether an open incident had a sign in the last few seconds."""

    def neighbours(self, incident_id: str) -> Neighbours:
        """The calm clients near an incident."""
