"""What each command on the control socket does inside the running agent."""

import asyncio
import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mqtt_ids import control
from mqtt_ids.errors import ControlError
from mqtt_ids.policy import Handle
from mqtt_ids.responders.act import Responder
from mqtt_ids.responders.publish import Publisher
from mqtt_ids.store import Store

ACTIONS_SHOWN = 10
INCIDENTS_SHOWN = 1000  # at most, in one answer


class Desk:
    """Answers requests. `overview` and `clients` ask the engine; the rest goes to its parts."""

    def __init__(
        self,
        *,
        responder: Responder,
        store: Store,
        publisher: Publisher,
        wall: Callable[[], float],
        overview: Callable[[], dict[str, Any]],
        clients: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._responder = responder
        self._store = store
        self._publisher = publisher
        self._wall = wall
        self._overview = overview
        self._clients = clients

    async def answer(self, request: control.Request) -> object:
        """The result of a request, ready for JSON. Raises ControlError where it is refused."""
        now = self._wall()
        match request:
            case control.Status():
                return await self._status()
            case control.Clients():
                return self._clients()
            case control.Incidents():
                return await self._incidents(request)
            case control.Impose(kind, value, seconds, why):
                return self._responder.impose(Handle(kind, value), seconds, why, now)
            case control.Lift(kind, value):
                return self._responder.lift(Handle(kind, value), now)
            case control.Release():
                self._publisher.clear()
                return {"lifted": self._responder.release(now)}

    async def _status(self) -> dict[str, object]:
        actions = await asyncio.to_thread(self._store.audit, ACTIONS_SHOWN)
        bans = sorted(self._responder.bans, key=lambda ban: ban.until)
        return {**self._overview(), "pid": os.getpid(), "bans": bans, "actions": actions}

    async def _incidents(self, request: control.Incidents) -> object:
        if request.id is None:
            limit = min(max(request.limit, 1), INCIDENTS_SHOWN)
            alerts = await asyncio.to_thread(self._store.incidents, limit)
            return [msgspec.Raw(alert) for alert in alerts]
        found = await asyncio.to_thread(self._store.incident, request.id)
        if found is None:
            # An id on a terminal comes from a person; it is shown back only if it looks like one.
            known = request.id if re.fullmatch(r"[\w-]{1,64}", request.id) else "of this id"
            raise ControlError(f"there is no incident {known}")
        name = request.id
        history = await asyncio.to_thread(self._store.history, name)
        actions = await asyncio.to_thread(self._store.audit_of, name)
        alert = msgspec.json.decode(found, type=dict[str, object])
        return {**alert, "timeline": history, "actions": actions}
