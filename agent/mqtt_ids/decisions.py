"""What people have decided about incidents: kept, put in force, undone, and ended in time."""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from mqtt_ids.acceptance import Acceptance
from mqtt_ids.accepted import Accepted, facts, levels, words
from mqtt_ids.alerts import iso
from mqtt_ids.changes import Entry, What
from mqtt_ids.errors import ControlError
from mqtt_ids.names import is_address, short
from mqtt_ids.store import Store

log = logging.getLogger(__name__)

MOST: Final = 1000  # acceptances in force
LONGEST: Final = 3660 * 86_400.0  # seconds of one that ends
LEAST_SHARE: Final = 0.05  # of the error that a reason must carry to be accepted with it
DROPPED_AFTER: Final = 30 * 86_400.0  # seconds after its end; a clock may have been ahead

Written = Callable[[], None]


class _Told(msgspec.Struct):
    """What is needed of a stored alert; it holds more."""

    id: str
    attack: str
    client_id: str | None
    address: str | None
    reasons: list[dict[str, object]]


class Decisions:
    """All acceptances. `accepted` are those in force; `changed` is told when others are.

    Times are wall time.
    """

    def __init__(self, store: Store, changed: Callable[[Accepted], None]) -> None:
        self._store = store
        self._changed = changed
        self._all: dict[str, Acceptance] = {}
        self._next_end = float("inf")
        self.accepted = Accepted()

    def restore(self, now: float) -> None:
        """Put in force what was stored. Once, at the start."""
        for one in self._store.accepted():
            if one.until is not None and now - one.until > DROPPED_AFTER:
                self._store.put_accepted(one.incident, None, lambda: None)
            else:
                self._all[one.incident] = one
        self._put_in_force(now)

    def expire(self, now: float) -> None:
        """Let end what has lasted until now. O(1) while nothing does."""
        if now >= self._next_end:
            self._put_in_force(now)

    def listed(self, now: float) -> list[dict[str, object]]:
        """What is in force, the latest first, for people."""
        held = sorted(self._all.values(), key=lambda one: -one.at)
        return [_shown(one) for one in held if one.holds(now)]

    def of_client(self, client_id: str) -> list[str]:
        """The incidents that were accepted of one client."""
        return [one.incident for one in self._all.values() if one.client_id == client_id]

    def accept(
        self, stored: bytes, seconds: float | None, now: float, written: Written
    ) -> dict[str, object]:
        """Take what a stored alert tells for normal. Raises ControlError where that is nothing.

        `written` is called, from another thread, once no SIGKILL can undo it.
        """
        told = msgspec.json.decode(stored, type=_Told)
        if seconds is not None and not 1 <= seconds <= LONGEST:
            raise ControlError("something is accepted for 1s to 3660d, or without --for")
        if len(self._all) >= MOST and told.id not in self._all:
            raise ControlError(f"{MOST} incidents are accepted; undo some first, with --undo")
        one = _acceptance(told, None if seconds is None else now + seconds, now)
        self._all[told.id] = one
        self._store.put_accepted(told.id, one, written)
        self._log("accept", one, now)
        self._put_in_force(now)
        return _shown(one)

    def undo(self, incident: str, now: float, written: Written = lambda: None) -> dict[str, object]:
        """Accept it no longer. Raises ControlError where it was not accepted."""
        one = self._all.pop(incident, None)
        if one is None:
            raise ControlError(
                "no such incident was accepted; mqtt-ids accept lists those that were"
            )
        self._store.put_accepted(incident, None, written)
        self._log("unaccept", one, now)
        self._put_in_force(now)
        return _shown(one)

    def _put_in_force(self, now: float) -> None:
        held = [one for one in self._all.values() if one.holds(now)]
        self._next_end = min((one.until for one in held if one.until is not None), default=1e18)
        self.accepted = Accepted(held)
        self._changed(self.accepted)

    def _log(self, what: What, one: Acceptance, now: float) -> None:
        whom = one.client_id if one.client_id is not None else one.address
        log.info("%s by hand: %s of %r", what, one.attack, short(whom or "?"))
        why = f"{one.attack} of {whom}"[:256]
        self._store.log(Entry(at=iso(now), what=what, by="hand", why=why, incident=one.incident))


def _acceptance(told: _Told, until: float | None, now: float) -> Acceptance:
    names, observed = [], []
    for reason in told.reasons:
        name, figure, share = (reason.get(key) for key in ("feature", "observed", "share"))
        if not isinstance(name, str):
            continue
        names.append(name)
        if isinstance(figure, float) and isinstance(share, float) and share >= LEAST_SHARE:
            observed.append((name, figure))
    address = told.address if told.address is not None and is_address(told.address) else None
    one = Acceptance(
        incident=told.id,
        attack=told.attack,
        at=now,
        until=until,
        client_id=told.client_id,
        address=address,
        levels=levels(observed),
        facts=facts(names),
    )
    if not one.levels and not one.facts:
        raise ControlError("this incident tells of no feature that could be accepted")
    if one.client_id is None and one.address is None:
        raise ControlError("nobody in particular did this: there is no client to accept it of")
    return one


def _shown(one: Acceptance) -> dict[str, object]:
    return {
        "incident": one.incident,
        "attack": one.attack,
        "client_id": one.client_id,
        "address": one.address,
        "at": iso(one.at),
        "until": None if one.until is None else iso(one.until),
        "up_to": words(one.levels, one.facts),
        "levels": one.levels,
        "facts": list(one.facts),
    }
