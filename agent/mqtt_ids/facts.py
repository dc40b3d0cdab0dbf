"""Facts: the closed list of what needs no model, because a single packet proves it.

A fact is raised where it is seen; whether and how it is alerted is decided elsewhere.
"""

import enum

import msgspec


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
