"""What live clients are told to be and have done: addresses on the loopback, and deeds."""

from collections.abc import Mapping
from typing import Final

import msgspec

from mqtt_ids.lab.actions import Action, Disconnect, Ping, Publish, Subscribe, Unsubscribe

_FIRST_HOST: Final = 2
_HOSTS: Final = 250  # of each 127.0.x
KINDS: Final[Mapping[type[Action], str]] = {
    Publish: "published",
    Subscribe: "subscribed",
    Unsubscribe: "unsubscribed",
    Ping: "pinged",
    Disconnect: "disconnected",
}


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What a client did: `kind` as the events call it, at `time` on the scripts' clock."""

    time: float
    actor: str
    kind: str
    address: str
    client_id: str | None
    topic: str | None = None
    size: int | None = None


class Loopback:
    """Gives each address of the scripts one of its own in 127.0.0.0/16, the same each time."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, address: str) -> str:
        """The loopback address that stands for this one."""
        if address not in self._known:
            net, host = divmod(len(self._known), _HOSTS)
            self._known[address] = f"127.0.{net}.{host + _FIRST_HOST}"
        return self._known[address]
