"""The modelled broker: whom it accepts, and what a sensor sees of each of its connections."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mqtt_ids.events import Connected, Published, Refused
from mqtt_ids.lab.actions import Connect, Publish

_FIRST_PORT: Final = 32_768
_PORTS: Final = 28_000


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the modelled broker behaves.

    `logins` maps user names to passwords; without `anonymous` only they are accepted.
    `connect_timeout` is how long a connection may stay without CONNECT (None: for ever).
    """

    anonymous: bool = True
    logins: Mapping[str, str] = {}
    connect_timeout: float | None = None
    key: bytes = b"lab"

    def __repr__(self) -> str:
        """Without the passwords."""
        return f"Rules(anonymous={self.anonymous}, logins={len(self.logins)})"

    def accept(self, connect: Connect) -> bool:
        """Whether these credentials are good."""
        if connect.username is None:
            return self.anonymous
        if connect.username in self.logins:
            return self.logins[connect.username] == connect.password
        return self.anonymous and not self.logins

    def credential(self, connect: Connect) -> int:
        """The keyed hash of a user name and password, as a sensor would give it."""
        text = f"{connect.username}\0{connect.password}".encode()
        digest = hashlib.blake2b(text, key=self.key, digest_size=8).digest()
        return int.from_bytes(digest, "big")


class Link:
    """One connection as the broker sees it.

    `client_id` is None until a CONNECT is accepted; `deadline` is when the broker gives it up
    (`patience` seconds after each packet); `partial` tells that bytes of a packet are missing.
    """

    __slots__ = ("address", "client_id", "deadline", "number", "partial", "patience", "port")

    def __init__(self, number: int, address: str, deadline: float) -> None:
        self.number = number
        self.address = address
        self.port = _FIRST_PORT + (number * 7) % _PORTS
        self.client_id: str | None = None
        self.patience = math.inf
        self.deadline = deadline
        self.partial = False

    def seen(self, now: float) -> dict[str, Any]:
        """What every event of this connection tells."""
        return {
            "time": now,
            "connection": self.number,
            "address": self.address,
            "port": self.port,
            "client_id": self.client_id,
        }

    def accept(self, connect: Connect, now: float) -> Connected:
        """From now on it is this client's."""
        self.client_id = connect.client_id or made_up_id(self)
        self.patience = connect.keep_alive * 1.5 if connect.keep_alive else math.inf
        self.deadline = now + self.patience
        return Connected(
            **self.seen(now),
            username=connect.username,
            keep_alive=connect.keep_alive,
            clean_session=connect.clean,
            version=connect.version,
            will_topic=connect.will_topic,
            id_was_empty=not connect.client_id,
        )

    def refuse(self, connect: Connect, code: int, rules: Rules, now: float) -> Refused:
        """The CONNECT is answered with this code."""
        told = self.seen(now) | {"client_id": connect.client_id or None}
        hashed = rules.credential(connect)
        return Refused(**told, code=code, username=connect.username, credential=hashed)

    def publish(self, action: Publish, now: float) -> Published:
        """A PUBLISH came; spelt out, for most events are this one."""
        return Published(
            time=now,
            connection=self.number,
            address=self.address,
            port=self.port,
            client_id=self.client_id,
            topic=action.topic,
            size=action.size,
            qos=action.qos,
            retain=action.retain,
        )


def made_up_id(link: Link) -> str:
    """The id that the broker gives to a client that sent an empty one."""
    return f"auto-{link.number:08X}"
