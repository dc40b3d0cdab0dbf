"""What each command on the control socket does inside the running agent."""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable

import msgspec

from mqtt_ids import control
from mqtt_ids.alerts import iso
from mqtt_ids.changes import Entry
from mqtt_ids.decisions import Decisions
from mqtt_ids.errors import ControlError
from mqtt_ids.names import bounded, short
from mqtt_ids.policy import Handle
from mqtt_ids.responders.act import Responder
from mqtt_ids.responders.overview import Overview
from mqtt_ids.responders.publish import Publisher
from mqtt_ids.store import Store

ACTIONS_SHOWN = 10
INCIDENTS_SHOWN = 1000  # at most, in one answer
STORED_WITHIN = 3.0  # seconds; the disk may be full
TOP_CLIENTS = 200  # at most, in one answer
TOP_LOOKS_AT = 20  # incidents, for those that are open
TOP_INCIDENTS = 5
TOP_ACTIONS = 3
TOP_KEYS = ("id", "attack", "severity", "client_id", "address", "first_seen", "action")


class Desk:
    """Answers requests. `forget` drops a client's normal; False where it is not known."""

    def __init__(
        self,
        *,
        responder: Responder,
        store: Store,
        publisher: Publisher,
        wall: Callable[[], float],
        overview: Overview,
        decisions: Decisions,
        forget: Callable[[str], bool],
    ) -> None:
        self._responder = responder
        self._store = store
        self._publisher = publisher
        self._wall = wall
        self._overview = overview
        self._decisions = decisions
        self._forget_client = forget

    async def answer(self, request: control.Request) -> object:
        """The result of a request, ready for JSON. Raises ControlError where it is refused."""
        match request:
            case control.Status():
                return await self._status()
            case control.Clients():
                return self._overview.clients()
            case control.Incidents():
                return await self._incidents(request)
            case control.Accepted():
                return self._decisions.listed(self._wall())
            case control.Top(most):
                return await self._top(most)
            case _:
                return await self._do(request, self._wall())

    async def _do(self, request: control.Order, now: float) -> object:
        match request:
            case control.Impose(kind, value, seconds, why):
                return self._responder.impose(Handle(kind, value), seconds, why, now)
            case control.Lift(kind, value):
                return self._responder.lift(Handle(kind, value), now)
            case control.Release():
                self._publisher.clear()
                return {"lifted": self._responder.release(now)}
            case control.Accept():
                return await self._accept(request, now)
            case control.Forget(client_id):
                return self._forget(bounded(client_id), now)

    async def _status(self) -> dict[str, object]:
        actions = await asyncio.to_thread(self._store.audit, ACTIONS_SHOWN)
        bans = sorted(self._responder.bans, key=lambda ban: ban.until)
        return {**self._overview.status(), "pid": os.getpid(), "bans": bans, "actions": actions}

    async def _accept(self, request: control.Accept, now: float) -> dict[str, object]:
        """Answers only when no SIGKILL can undo it, or says that it may be lost."""
        done, decisions = _Written(), self._decisions
        if request.undo:
            shown = decisions.undo(request.id, now, done)
        else:
            stored = await asyncio.to_thread(self._store.incident, request.id)
            if stored is None:
                raise _unknown(request.id)
            shown = decisions.accept(stored, request.seconds, now, done)
            shown["lifted"] = self._responder.pardon(request.id, now)
        return {**shown, "stored": await done.within(STORED_WITHIN)}

    def _forget(self, client_id: str, now: float) -> dict[str, object]:
        if not self._forget_client(client_id):
            raise ControlError(
                f"there is no client {short(client_id)!r}; mqtt-ids clients lists all"
            )
        undone = self._decisions.of_client(client_id)
        for incident in undone:
            self._decisions.undo(incident, now)
        self._store.log(Entry(at=iso(now), what="forget", by="hand", why=client_id[:256]))
        return {"client_id": client_id, "no_longer_accepted": undone}

    async def _top(self, most: int) -> dict[str, object]:
        stored = await asyncio.to_thread(self._store.incidents, TOP_LOOKS_AT)
        actions = await asyncio.to_thread(self._store.audit, TOP_ACTIONS)
        alerts = [msgspec.json.decode(alert) for alert in stored]
        going_on = [alert for alert in alerts if alert["state"] != "closed"]
        going_on.sort(key=lambda alert: alert["severity"] == "info")
        return {
            **self._overview.top(min(max(most, 1), TOP_CLIENTS)),
            "incidents": [{key: one[key] for key in TOP_KEYS} for one in going_on[:TOP_INCIDENTS]],
            "actions": actions,
        }

    async def _incidents(self, request: control.Incidents) -> object:
        if request.id is None:
            limit = min(max(request.limit, 1), INCIDENTS_SHOWN)
            alerts = await asyncio.to_thread(self._store.incidents, limit)
            return [msgspec.Raw(alert) for alert in alerts]
        found = await asyncio.to_thread(self._store.incident, request.id)
        if found is None:
            raise _unknown(request.id)
        history = await asyncio.to_thread(self._store.history, request.id)
        actions = await asyncio.to_thread(self._store.audit_of, request.id)
        alert = msgspec.json.decode(found, type=dict[str, object])
        return {**alert, "timeline": history, "actions": actions}


class _Written:
    """Told by the store's thread that a change is on the disk."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def __call__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def within(self, seconds: float) -> bool:
        """Whether it is there in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


def _unknown(incident: str) -> ControlError:
    # An id on a terminal comes from a person; it is shown back only if it looks like one.
    known = incident if re.fullmatch(r"[\w-]{1,64}", incident) else "of this id"
    return ControlError(f"there is no incident {known}")
