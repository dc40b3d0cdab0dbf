"""Keeps addresses out with nftables, and resets what they have open.

The kernel itself ends each ban, so that an agent that is dead locks nobody out.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.hands.programs import ProgramFailed, find, run
from mqtt_ids.hands.ruleset import Ruleset
from mqtt_ids.names import is_address

log = logging.getLogger(__name__)

AT_ONCE: Final = 200  # addresses in one change
LOOK_EVERY: Final = 60.0  # seconds; a firewall that is loaded anew takes our table with it
TRY_EVERY: Final = 300.0  # seconds; somebody may install it, or a slow start be over
LAST_WORDS: Final = 3.0  # seconds that stopping may take
NOT_TRIED: Final = "nftables: not tried yet"
NAMED_WITHIN: Final = 5.0  # seconds to find out where the broker is


class Nftables:
    """`failed` is told what could not be done; `wall` is wall time in seconds.

    For a broker on this machine only, by the ports on which it listens.
    """

    def __init__(
        self,
        host: str,
        ports: Sequence[int],
        failed: Callable[[Handle, str], None],
        wall: Callable[[], float],
    ) -> None:
        self.reason: str | None = NOT_TRIED  # why it cannot be used; None where it can
        self._host = host
        self._ports = ports
        self._rules = Ruleset(ports)
        self._failed = failed
        self._wall = wall
        self._nft = "nft"
        self._ss: str | None = None
        self._made = False
        self._wanted: dict[str, Ban] = {}
        self._todo: dict[str, None] = {}
        self._look = False  # whether to see if the table still stands
        self._look_at: float | None = None  # when to do so next, monotonic
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[None] | None = None
        self._try_at: float | None = None  # when to do so next, monotonic

    async def start(self) -> None:
        """Find out whether it can be used, without a change to the firewall."""
        self.reason = await self._trial()
        if self.reason is None:
            self._ss = find("ss")
            self._task = asyncio.create_task(self._run(), name="mqtt-ids-nftables")
            if self._todo:
                self._rouse()
            return
        for address in [*self._wanted]:
            self._give_up(address, self.reason)

    async def stop(self) -> None:
        """Do what waits if that is quick, and take our table away unless it holds another's."""
        if self._trying is not None:
            self._trying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._trying
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._idle.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if self._made:
            try:
                await self._remove()
            except ProgramFailed as error:
                log.warning("nftables: table %s stays: %s", self._rules.table, error)

    def pass_time(self, now: float) -> None:
        """See from time to time (monotonic) whether our table stands, or a trial works by now."""
        if self._task is None:
            self._try_again(now)
        elif not self._wanted:
            self._look_at = None
        elif self._look_at is None:
            self._look_at = now + LOOK_EVERY
        elif now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._look = True
            self._rouse()

    def obstacle(self, address: str) -> str | None:
        """Why this address cannot be banned."""
        if self.reason is not None:
            return self.reason
        if not _is_plain(address):
            return f"nftables cannot ban {address[:64]!r}"
        return f"address {address} is this machine's own" if _own(address) else None

    def keep_out(self, ban: Ban) -> None:
        """Ban an address until the ban's end, and reset what it has open."""
        address = ban.handle.value
        if self.reason not in {None, NOT_TRIED}:
            self._failed(ban.handle, str(self.reason))
            return
        if not _is_plain(address) or _own(address):
            self._failed(ban.handle, f"nftables cannot ban {address[:64]!r}")
            return
        self._wanted[address] = ban
        self._todo[address] = None
        self._rouse()

    def let_in(self, address: str) -> None:
        """Ban it no more."""
        self._wanted.pop(address, None)
        if _is_plain(address):
            self._todo[address] = None
            self._rouse()

    def _try_again(self, now: float) -> None:
        if self._try_at is None:
            self._try_at = now + TRY_EVERY
        elif now >= self._try_at:
            self._try_at = now + TRY_EVERY
            self._trying = asyncio.create_task(self.start(), name="mqtt-ids-nftables-trial")

    def _rouse(self) -> None:
        if self.reason is None:
            self._idle.clear()
            self._wake.set()

    def _give_up(self, address: str, why: str) -> None:
        if self._wanted.pop(address, None) is not None:
            self._failed(Handle("address", address), why)

    # In the task.

    async def _trial(self) -> str | None:
        """Why it cannot be used."""
        nft = find("nft")
        if nft is None:
            return "nftables: nft is not installed (apt install nftables)"
        self._nft = nft
        if not await _is_here(self._host):
            return f"nftables: {self._host} is another machine, whose firewall is not ours"
        try:
            await run(nft, ["--check", "--file", "-"], self._rules.make())
        except ProgramFailed as error:
            if "not permitted" in str(error):
                return (
                    "nftables: not permitted; the service needs AmbientCapabilities=CAP_NET_ADMIN"
                )
            return f"nftables: {error}"
        return None

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._settle_all()
            except Exception:
                log.exception("nftables: a change failed")
            if not self._wake.is_set():
                self._idle.set()

    async def _settle_all(self) -> None:
        if self._look:
            self._look = False
            if not await self._stands():
                log.warning("nftables: somebody has taken table %s away", self._rules.table)
                self._made = False
                self._todo.update(dict.fromkeys(self._wanted))
        while self._todo:
            await self._settle([*self._todo][:AT_ONCE])

    async def _settle(self, addresses: list[str]) -> None:
        for address in addresses:
            del self._todo[address]
        now = self._wall()
        bans = {each: self._wanted[each].until - now for each in addresses if each in self._wanted}
        lifted = [each for each in addresses if each not in bans]
        try:
            if not self._made and not bans and not await self._stands():
                return
            make = "" if self._made else self._rules.make()
            await run(self._nft, ["--file", "-"], make + self._rules.change(bans, lifted))
            self._made = True
        except ProgramFailed as error:
            self._made = False
            for address in bans:
                self._give_up(address, f"nftables: {error}")
            if lifted:
                log.warning("nftables: %d bans end by themselves: %s", len(lifted), error)
            return
        for address in bans:
            await self._reset(address)

    async def _reset(self, address: str) -> None:
        """Reset what it has open. Without, the firewall does so at its next packet."""
        if self._ss is None:
            return
        ports = " or ".join(f"sport = :{port}" for port in self._ports).split()
        try:
            await run(self._ss, ["-K", "-H", "-t", "-n", "dst", f"[{address}]", "(", *ports, ")"])
        except ProgramFailed as error:
            log.info("ss: open connections of %s wait for their next packet: %s", address, error)

    async def _stands(self) -> bool:
        """Whether our table is there."""
        try:
            await run(self._nft, ["list", "chain", "inet", self._rules.table, "input"])
        except ProgramFailed:
            return False
        return True

    async def _remove(self) -> None:
        """Our addresses gone, and the table if nobody else has any there. Raises ProgramFailed."""
        ours = [*self._wanted]
        for start in range(0, len(ours), AT_ONCE):
            lifted = ours[start : start + AT_ONCE]
            await run(self._nft, ["--file", "-"], self._rules.change({}, lifted))
        left = await run(self._nft, ["-j", "list", "table", "inet", self._rules.table])
        if '"elem"' not in left:
            await run(self._nft, ["--file", "-"], self._rules.remove())


def _is_plain(address: str) -> bool:
    """Whether it is an address without a scope, which only its own machine understands."""
    return is_address(address) and "%" not in address


async def _is_here(host: str) -> bool:
    """Whether this name means our own machine."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(NAMED_WITHIN):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return False
    return any(_own(str(address[0]).partition("%")[0]) for *_, address in found)


def _own(address: str) -> bool:
    """Whether this address is ours: nobody else's can be taken for a socket."""
    parsed = ip_address(address)
    if parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast:
        return True
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
