"""Keeps users out through Mosquitto's dynamic security, which disables a user and all that it has.

What is wanted is kept, and settled one user after the other while the broker is there: what was
asked while it was away is done once it is back. What a person has disabled or enabled stays so.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from mqtt_ids.bans import Ban, Handle
from mqtt_ids.hands.dialogue import Answer, Command, Dialogue, Unanswered
from mqtt_ids.hands.users import Powers, User, ends, mark, powers, user
from mqtt_ids.names import short

log = logging.getLogger(__name__)

LIST_EVERY: Final = 300.0  # seconds
LIST_AGAIN: Final = 30.0  # seconds after which a user that is not known is looked for again
PAGE: Final = 50  # entries of a list in one answer
MOST: Final = 10_000  # entries of a list that are looked at
LAST_WORDS: Final = 3.0  # seconds that stopping may take
AWAY: Final = "dynamic security: not connected to the broker"
HINT: Final = (
    "the broker does not have it, or our user may not publish on $CONTROL/dynamic-security/v1"
)


class DynamicSecurity:
    """`failed` is told what could not be done; `wall` is wall time in seconds."""

    def __init__(
        self,
        publish: Callable[[str, bytes], None],
        own_username: str | None,
        failed: Callable[[Handle, str], None],
        wall: Callable[[], float],
    ) -> None:
        self.reason: str | None = AWAY  # why it cannot be used; None where it can
        self._dialogue = Dialogue(publish)
        self._own = own_username
        self._failed = failed
        self._wall = wall
        self._online = False
        self._users: dict[str, User] = {}
        self._powers = Powers(frozenset(), frozenset())
        self._wanted: dict[str, Ban] = {}
        self._held: set[str] = set()  # of these, whom we know to be disabled
        self._todo: dict[str, None] = {}
        self._listing = False  # whether to see who there is
        self._due = 0.0  # when to do so next, monotonic
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to settle what is wanted."""
        self._task = asyncio.create_task(self._run(), name="mqtt-ids-dynamic-security")

    async def stop(self) -> None:
        """Let in whom there still is to let in, if that is quick."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._idle.wait()
        if self._todo:
            names = ", ".join(repr(short(name)) for name in [*self._todo][:10])
            log.warning("still disabled: %s; see mosquitto_ctrl dynsec enableClient", names)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def online(self) -> None:
        """Connected: see who there is, and what is to be done."""
        self._online = self._listing = True
        self._rouse()

    def away(self) -> None:
        """No longer connected."""
        self._online, self.reason = False, AWAY
        self._dialogue.broken()
        self._idle.set()

    def take(self, payload: bytes) -> None:
        """An answer."""
        self._dialogue.take(payload)

    def pass_time(self, now: float) -> None:
        """List again when it is time (monotonic)."""
        if now >= self._due and not self._listing:
            self._listing = True
            self._rouse()

    def obstacle(self, name: str) -> str | None:
        """Why this user cannot be disabled, as far as is known now."""
        if self.reason is not None:
            return self.reason
        known = self._users.get(name)
        if known is None:
            self._due = min(self._due, time.monotonic() + LIST_AGAIN)
        elif known.disabled and name not in self._wanted:
            return f"user {short(name)} is disabled in the broker already"
        return self._against(name, known)

    def keep_out(self, ban: Ban) -> None:
        """Disable the user, now or once the broker is there."""
        self._wanted[ban.handle.value] = ban
        self._ask_for(ban.handle.value)

    def let_in(self, name: str) -> None:
        """Enable the user again, if it was an agent that has disabled it."""
        self._wanted.pop(name, None)
        self._held.discard(name)
        self._ask_for(name)

    def _ask_for(self, name: str) -> None:
        self._todo.pop(name, None)
        self._todo[name] = None
        if len(self._todo) > MOST:
            del self._todo[next(iter(self._todo))]
        self._rouse()

    def _rouse(self) -> None:
        if self._online:
            self._idle.clear()
            self._wake.set()

    def _against(self, name: str, known: User | None) -> str | None:
        if name == self._own:
            return f"user {short(name)} is our own"
        if known is None:
            return f"dynamic security knows no user {short(name)}"
        if known.administers:
            return f"user {short(name)} administers the broker"
        return None

    # In the task.

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._settle_all()
            except Unanswered as error:
                self._unanswered(error)
            except Exception:
                log.exception("dynamic security: a command failed")
            if not self._wake.is_set():
                self._idle.set()

    async def _settle_all(self) -> None:
        if self._online and self._listing:
            await self._list()
        while self._online and self.reason is None and self._todo:
            name = next(iter(self._todo))
            del self._todo[name]
            try:
                await self._settle(name)
            except Unanswered:
                self._in_doubt(name)
                raise

    def _unanswered(self, error: Unanswered) -> None:
        if self._online:
            self.reason = f"dynamic security: {error}; {HINT}"
            self._listing = False
            self._due = time.monotonic() + LIST_EVERY

    def _in_doubt(self, name: str) -> None:
        """It may have been done or not: settled anew once we are answered."""
        self._todo.setdefault(name)
        if self._online:
            self._give_up(name, "dynamic security did not answer")

    def _give_up(self, name: str, why: str) -> None:
        """Tell that a ban is not in force, so that nobody relies on it."""
        self._held.discard(name)
        if self._wanted.pop(name, None) is not None:
            self._failed(Handle("username", name), why)

    async def _list(self) -> None:
        """See who there is. Raises Unanswered."""
        clients = await self._pages("listClients", "clients")
        roles = await self._pages("listRoles", "roles")
        groups = await self._pages("listGroups", "groups")
        self._powers = powers(roles, groups)
        found = (user(told, self._powers) for told in clients)
        self._users = {each.name: each for each in found}
        if self.reason is not None:
            log.info("dynamic security answers: %d users", len(self._users))
        self.reason = None
        for name in (*self._wanted,):
            if name in self._held:
                self._respect(name)
            else:
                self._todo.setdefault(name)
        self._listing = False
        self._due = time.monotonic() + self._run_out()

    def _respect(self, name: str) -> None:
        """Whom a person has enabled, or taken away, while we kept it out is none of ours."""
        known = self._users.get(name)
        if known is None or not known.disabled:
            self._give_up(name, "somebody has changed it in the broker")
            self._todo.setdefault(name)

    def _run_out(self) -> float:
        """Let in whom no agent has let in at its time; seconds until there is to look again."""
        now, wait = self._wall(), LIST_EVERY
        for each in self._users.values():
            if each.marks and each.name not in self._wanted:
                left = max(map(ends, each.marks)) - now
                if left <= 0:
                    self._todo.setdefault(each.name)
                else:
                    wait = min(wait, left + 1)
        return wait

    async def _settle(self, name: str) -> None:
        """Make it so as it is wanted. Raises Unanswered."""
        (answer,) = await self._dialogue.ask({"command": "getClient", "username": name})
        told = answer.data.get("client")
        known = None if told is None else user(told, self._powers)
        ban = self._wanted.get(name)
        if ban is None:
            await self._enable(known)
            return
        why = self._against(name, known)
        if known is not None and why is None:
            if known.disabled and not known.marks:
                why = f"user {short(name)} was disabled in the broker already"
            elif known.marks and not known.disabled:
                why = f"somebody has enabled user {short(name)} in the broker"
            else:
                why = await self._disable(known, ban)
        if why is not None:
            self._give_up(name, why)
            await self._enable(known)
        elif self._wanted.get(name) is ban:
            self._held.add(name)

    async def _disable(self, known: User, ban: Ban) -> str | None:
        """Mark and disable a user, in one go; why it did not work."""
        role, name = mark(known.name, ban.until), known.name
        if known.disabled and known.marks == (role,):
            return None
        commands: list[Command] = [
            {"command": "createRole", "rolename": role},
            {"command": "addClientRole", "username": name, "rolename": role},
            {"command": "disableClient", "username": name},
            *({"command": "deleteRole", "rolename": old} for old in known.marks if old != role),
        ]
        _, marked, disabled, *_ = await self._dialogue.ask(*commands)
        error = marked.error or disabled.error
        if error is not None:  # without a mark nobody would know that it is we who have disabled it
            await self._dialogue.ask(
                {"command": "deleteRole", "rolename": role},
                {"command": "enableClient", "username": name},
            )
            return f"the broker does not disable user {short(name)}: {error}"
        self._users[name] = known._replace(disabled=True, marks=(role,))
        return None

    async def _enable(self, known: User | None) -> None:
        """Take our marks away, and enable whom we have disabled."""
        if known is None or not known.marks:
            return
        commands: list[Command] = [
            {"command": "deleteRole", "rolename": each} for each in known.marks
        ]
        if known.disabled:
            commands.append({"command": "enableClient", "username": known.name})
        answers = await self._dialogue.ask(*commands)
        if known.disabled and answers[-1].error is not None:
            log.warning("user %r cannot be enabled: %s", known.name, answers[-1].error)
        self._users[known.name] = known._replace(disabled=False, marks=())

    async def _pages(self, command: str, what: str) -> list[object]:
        """All entries of a list, verbose. Raises Unanswered."""
        found: list[object] = []
        while len(found) < MOST:
            answer = await self._page(command, len(found))
            page = answer.data.get(what)
            if answer.error is not None:
                raise Unanswered(f"{command}: {answer.error}")
            if not isinstance(page, list) or not page:
                break
            found += page
            total = answer.data.get("totalCount")
            if not isinstance(total, int) or len(found) >= total:
                break
        return found

    async def _page(self, command: str, offset: int) -> Answer:
        (answer,) = await self._dialogue.ask(
            {"command": command, "verbose": True, "count": PAGE, "offset": offset}
        )
        return answer
