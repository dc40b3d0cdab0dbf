"""What is known of a broker and of what it shows us.

Everything may be unknown (None): the doctor fills in what it tried, a running agent what it has
seen so far.
"""

from typing import Literal

import msgspec

from mqtt_ids.readers import HostPort
from mqtt_ids.settings import Mode

LogState = Literal["read", "silent", "missing", "unreadable"]
Storage = Literal["ram", "card", "disk"]
Security = Literal["answers", "denied", "absent"]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a log showed of a client that we know of."""

    connects: bool = False  # its connection, id and end
    subscriptions: bool = False  # its SUBSCRIBE
    packets: bool = False  # its PUBLISH: debug lines are there

    def __or__(self, other: "Sight") -> "Sight":
        return Sight(
            connects=self.connects or other.connects,
            subscriptions=self.subscriptions or other.subscriptions,
            packets=self.packets or other.packets,
        )

    @property
    def anything(self) -> bool:
        """Whether it showed anything at all."""
        return self.connects or self.subscriptions or self.packets


class LogFile(msgspec.Struct, frozen=True, kw_only=True):
    """The log file. `silent`: it can be read, and what we did is not in it."""

    path: str
    state: LogState
    why: str | None = None  # one line, where it cannot be read
    sight: Sight = Sight()
    owner: str | None = None
    group: str | None = None
    mode: int | None = None  # permission bits
    user: str | None = None  # who we are
    storage: Storage | None = None  # `card`: an SD card or eMMC
    size: int | None = None  # bytes


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """Who may do what on the topic of the alerts.

    `strangers` are clients without a user name. `bound`: access rules hold for our own user; if
    not, they hold for no other either.
    """

    topic: str = "$ids/alerts"
    published: bool | None = None
    read_back: bool | None = None
    strangers_publish: bool | None = None
    strangers_read: bool | None = None
    bound: bool | None = None


class Firewall(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an address can be banned in nftables, and if not, why."""

    permitted: bool
    why: str | None = None


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found out."""

    broker: str  # as it was given, without a password
    address: HostPort = HostPort("localhost", 1883)
    username: str | None = None
    mode: Mode = "observe"
    mqtt: str | None = None  # 5 or 3.1.1
    version: str | None = None  # as the broker has it on $SYS/broker/version
    system_topics: bool | None = None  # whether $SYS can be read
    topics: Sight | None = None  # what the log topics showed
    log: LogFile | None = None  # None: none is named
    configured_log: str | None = None  # the file that the broker's configuration here names
    properties: bool | None = None  # messages name their publisher (add-properties)
    anonymous: bool | None = None  # clients without a user name are let in
    alerts: Alerts = Alerts()
    agent_online: bool | None = None  # an agent says `online`
    dynamic_security: Security | None = None
    users: int | None = None  # that dynamic security knows
    anonymous_group: str | None = None  # its group of those without a user
    firewall: Firewall | None = None

    @property
    def mosquitto(self) -> bool | None:
        """Whether it is Mosquitto; None where it does not say."""
        return None if self.version is None else "mosquitto" in self.version.lower()

    @property
    def old(self) -> bool:
        """Whether it is Mosquitto 2.0 or before, whose lines tell less."""
        return self.version is not None and " 2.0" in self.version

    @property
    def sight(self) -> Sight | None:
        """What all logs together show; None where neither has been looked at."""
        file = None if self.log is None else self.log.sight
        if file is None or self.topics is None:
            return self.topics if file is None else file
        return file | self.topics

    @property
    def publisher(self) -> Literal["debug log", "message properties"] | None:
        """What names the publisher of a message."""
        if self.sight is not None and self.sight.packets:
            return "debug log"
        return "message properties" if self.properties else None
