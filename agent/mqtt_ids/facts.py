"""Facts: the closed list of what needs no model, because a single packet proves it.

A fact is raised where it is seen; whether and how it is alerted is decided elsewhere.
"""

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from mqtt_ids.events import Connected, Event, Published, Refused, Subscribed
from mqtt_ids.subjects import ClientSubject

OWN_TOPICS: Final = "$ids/"
FIGHT_WITHIN: Final = 300.0  # seconds


class FactKind(enum.Enum):
    """Everything that is reported without asking the network. Nothing else may be added here."""

    IDS_TOPIC = "ids-topic"  # a will or publish on $ids/...
    TAKEOVER = "takeover"  # one client id fought over by two addresses
    FIRST_WIDE_FILTER = "first-wide-filter"  # subscribes to everything, and never did (info)
    FOREIGN_TOPIC = "foreign-topic"  # publishes where another client has long been alone (low)
    NEW_CLIENT = "new-client"  # never seen before (info)
    SILENCE = "silence"  # three times its own interval, and longer than its keep-alive (info)
    STALE_PASSWORD = "login-failing"  # noqa: S105 - one credential, again and again (info)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact about one client or host.

    `observed` and `usual` are figures in `unit` where the fact has any; `text` says it in words.
    """

    kind: FactKind
    time: float
    address: str
    client_id: str | None
    username: str | None = None
    text: str
    observed: float | None = None
    usual: float | None = None
    unit: str = ""


def first_wide_filter(event: Subscribed, client: ClientSubject, filters: int) -> Fact:
    """`client` subscribes to everything, by so many `filters`, and never did."""
    return Fact(
        kind=FactKind.FIRST_WIDE_FILTER,
        time=event.time,
        address=event.address,
        client_id=client.id,
        username=client.username,
        text="subscribes to everything, for the first time",
        observed=float(filters),
        usual=0.0,
        unit="filters",
    )


def takeover(event: Connected, client: ClientSubject, rivals: Sequence[str]) -> Fact:
    """`client` was taken over by these addresses, one after the other, within `FIGHT_WITHIN`.

    The fact is about the latest intruder: not about the client's home, which takes back its own.
    """
    intruders = [address for address in rivals if address != client.home]
    return Fact(
        kind=FactKind.TAKEOVER,
        time=event.time,
        address=intruders[-1] if intruders else event.address,
        client_id=client.id,
        username=client.username,
        text=f"is fought over by {' and '.join(sorted(set(rivals))[:3])}",
        observed=float(len(rivals)),
        usual=0.0,
        unit=f"take-overs in {FIGHT_WITHIN:.0f} s",
    )


def on_ids_topic(event: Event, client_id: str | None, username: str | None, what: str) -> Fact:
    """Someone does `what` on a topic of ours."""
    return Fact(
        kind=FactKind.IDS_TOPIC,
        time=event.time,
        address=event.address,
        client_id=client_id,
        username=username,
        text=f"{what} on {OWN_TOPICS}…, where only the detector speaks",
    )


def on_foreign_topic(event: Published, client: ClientSubject, alone_for: int) -> Fact:
    """`client` publishes where another had been alone for so many messages."""
    return Fact(
        kind=FactKind.FOREIGN_TOPIC,
        time=event.time,
        address=event.address,
        client_id=client.id,
        username=client.username,
        text=f"publishes on a topic that another client had to itself for {alone_for} messages",
        observed=1.0,
        usual=0.0,
        unit="topics",
    )


def stale_password(event: Refused) -> Fact:
    """A login is refused with the very credential that was refused before."""
    return Fact(
        kind=FactKind.STALE_PASSWORD,
        time=event.time,
        address=event.address,
        client_id=event.client_id,
        username=event.username,
        text="is refused again and again with one and the same password",
    )
