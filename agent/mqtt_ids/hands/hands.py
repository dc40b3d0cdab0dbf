"""The hands of the sidecar: dynamic security for users, nftables for addresses."""

import time
from collections.abc import Callable, Sequence

from mqtt_ids.bans import Ban, Handle, HandleKind
from mqtt_ids.hands.dialogue import ANSWERS
from mqtt_ids.hands.dynamic_security import DynamicSecurity
from mqtt_ids.hands.nftables import Nftables


class Hands:
    """What the sidecar does to an offender. Everything is called in one event loop.

    `publish(topic, payload)` sends to the broker at `host`, which listens on `ports`; what it sends
    to `filters` is given to `take`. At quality of service 0: what a lost connection has swallowed
    is asked again, and nothing stale is sent later.
    """

    filters = (ANSWERS,)

    def __init__(
        self,
        *,
        publish: Callable[[str, bytes], None],
        own_username: str | None,
        host: str = "localhost",
        ports: Sequence[int] = (1883,),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.on_failure: Callable[[Handle, str], None] = lambda _handle, _why: None
        self._users = DynamicSecurity(publish, own_username, self._failed, wall)
        self._addresses = Nftables(host, ports, self._failed, wall)

    @property
    def offers(self) -> frozenset[HandleKind]:
        """By what an offender can be taken now."""
        kinds: list[HandleKind] = []
        if self._users.reason is None:
            kinds.append("username")
        if self._addresses.reason is None:
            kinds.append("address")
        return frozenset(kinds)

    @property
    def reasons(self) -> tuple[str, ...]:
        """For each hand that is not there, why."""
        found = (self._users.reason, self._addresses.reason)
        return tuple(reason for reason in found if reason is not None)

    async def start(self) -> None:
        """See what is permitted; the broker is asked once we are `online`."""
        await self._addresses.start()
        await self._users.start()

    async def stop(self) -> None:
        """Finish what was asked, within some seconds, and take away what is ours."""
        await self._users.stop()
        await self._addresses.stop()

    def online(self) -> None:
        """We are connected to the broker."""
        self._users.online()

    def away(self) -> None:
        """We are no longer."""
        self._users.away()

    def take(self, topic: str, payload: bytes) -> bool:
        """Look at a message from the broker; whether it was for us."""
        if topic != ANSWERS:
            return False
        self._users.take(payload)
        return True

    def pass_time(self, now: float) -> None:
        """Each second, at monotonic time `now`."""
        self._users.pass_time(now)
        self._addresses.pass_time(now)

    def obstacle(self, handle: Handle) -> str | None:
        """Why this handle cannot be used."""
        match handle.kind:
            case "username":
                return self._users.obstacle(handle.value)
            case "address":
                return self._addresses.obstacle(handle.value)
            case _:
                return None

    def disconnect(self, handle: Handle) -> int:  # noqa: ARG002 - the protocol's
        """None: who is kept out is cut off by that, and there is no other way."""
        return 0

    def keep_out(self, ban: Ban) -> None:
        """Put a ban in force, and cut off whom it meets."""
        match ban.handle.kind:
            case "username":
                self._users.keep_out(ban)
            case "address":
                self._addresses.keep_out(ban)
            case kind:
                self._failed(ban.handle, f"this sensor cannot ban by {kind}")

    def let_in(self, handle: Handle) -> None:
        """Take a ban out of force."""
        if handle.kind == "username":
            self._users.let_in(handle.value)
        elif handle.kind == "address":
            self._addresses.let_in(handle.value)

    def _failed(self, handle: Handle, why: str) -> None:
        self.on_failure(handle, why)
