"""Acts on offenders: carries out what policy decides, by the sensor's hands.

Everything that was done is written to the log of actions and can be lifted by hand. A ban that a
person has lifted is not put again by the same incident.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from mqtt_ids.alerts import Alert, iso
from mqtt_ids.changes import Entry, What
from mqtt_ids.errors import ControlError
from mqtt_ids.names import bounded, canonical, is_address, short
from mqtt_ids.policy import (
    Ban,
    Bans,
    Decision,
    Handle,
    HandleKind,
    Neighbours,
    Scene,
    decide,
    settled,
)
from mqtt_ids.responders.bars import Actuator, Bars
from mqtt_ids.settings import Settings
from mqtt_ids.store import Store

log = logging.getLogger(__name__)

__all__ = ["Actuator", "Responder"]

REMEMBERED = 5000  # incidents whose decision, or pardon, is kept in mind
FAILURES = 5000  # handles of incidents that turned out not to work
LONGEST = 365 * 86_400.0  # seconds of a ban by hand


class Responder:
    """One policy and one set of bans, for one sensor. `failed` is told what its hand could not."""

    def __init__(
        self,
        settings: Settings,
        actuator: Actuator,
        store: Store,
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._failed = failed
        self._settings = settings
        self._actuator = actuator
        self._store = store
        self._bars = Bars(actuator, store, failed)
        self._decisions: dict[str, Decision] = {}
        self._pardoned: dict[str, None] = {}
        self._failures: dict[tuple[str, Handle], str] = {}  # incident and handle: why
        self._undone: set[str] = set()  # incidents of which an alert told a ban that is none
        self._now = 0.0  # wall time of the last round
        self.bans = Bans(displaced=self._displaced)
        actuator.on_failure = self.could_not

    def restore(self, stored: Iterable[Ban], now: float) -> None:
        """Put stored bans in force again, once, at the start.

        Where policy may not ban any more (observe mode, dry run) its bans are lifted: who
        switches protection off wants to be rid of them. Bans by hand stay.
        """
        settings = self._settings
        acting = settings.mode == "protect" and not settings.protect.dry_run
        why = "observe mode" if settings.mode == "observe" else "dry run"
        self._now = now
        for ban in stored:
            if ban.by == "hand" or acting:
                self.bans.add(ban)
            else:
                self._bars.end(ban.handle, urgent=True)
                self._note("lifted", "policy", now, ban.handle, why=why)
        self.expire(now)
        for ban in list(self.bans):  # a hand may refuse one at once
            self._bars.go_on(ban)

    def respond(self, alert: Alert, neighbours: Neighbours, scene: Scene, now: float) -> Alert:
        """Decide about `alert` at wall time `now`, act, and say on the alert what was done."""
        if alert.id in self._pardoned and alert.state != "closed":
            decision = Decision(action="none", reason="lifted by hand for this incident")
        else:
            decision = decide(
                alert,
                neighbours,
                self.offers,
                self._settings,
                self.bans,
                now,
                scene,
                lambda handle: self._obstacle(alert.id, handle),
            )
            self._carry_out(alert, decision, now)
        decision = settled(self._decisions.get(alert.id), decision, now)
        self._keep_in_mind(alert, decision)
        return msgspec.structs.replace(
            alert,
            action=decision.action,
            action_reason=decision.reason,
            action_until=decision.until,
            mode=self._settings.mode,
        )

    @property
    def offers(self) -> frozenset[HandleKind]:
        """By what the sensor can take an offender."""
        return self._actuator.offers

    def expire(self, now: float) -> None:
        """Let bans end that have lasted until wall time `now`."""
        self._now = now
        for ban in self.bans.expire(now):
            self._bars.end(ban.handle, urgent=False)
            self._note("expired", ban.by, now, ban.handle, incident=ban.incident)

    def could_not(self, handle: Handle, why: str) -> None:
        """The hand has learned that a ban could not be put in force: it counts as none.

        Its incident is decided upon again, and policy leaves that handle of it alone.
        """
        ban = self.bans.lift(handle)
        if ban is None:
            return
        self._store.drop_ban(handle, urgent=True)
        self._note("failed", ban.by, self._now, handle, why=why, incident=ban.incident)
        if ban.incident is not None:
            self._decisions.pop(ban.incident, None)
            self._undone.add(ban.incident)
            self._failures[ban.incident, handle] = why
            if len(self._failures) > FAILURES:
                del self._failures[next(iter(self._failures))]

    def take_undone(self) -> set[str]:
        """The incidents, since this was last asked, whose ban turned out to be none."""
        undone, self._undone = self._undone, set()
        return undone

    def let_everybody_in(self) -> None:
        """We are about to stop. What still lasts at the next start comes back with it."""
        for ban in list(self.bans):
            self._bars.pause(ban.handle)

    # By hand.

    def impose(self, handle: Handle, seconds: float | None, why: str, now: float) -> Ban:
        """Ban by hand and close what is open. Raises ControlError."""
        handle = self._checked(handle)
        length = self._settings.protect.ban if seconds is None else seconds
        if not 1 <= length <= LONGEST:
            raise ControlError("a ban lasts from 1s to 365d")
        ban = Ban(handle=handle, until=now + length, seconds=length, why=why[:256], by="hand")
        if self.bans.add(ban) is None:
            raise ControlError("there are too many bans; lift some first")
        self._bars.begin(ban)
        self._note("ban", "hand", now, handle, why=ban.why)
        self._cut_off(handle)
        return ban

    def lift(self, handle: Handle, now: float) -> Ban:
        """Lift one ban by hand. Raises ControlError where there is none."""
        handle = _spelled(handle)
        ban = self.bans.lift(handle)
        if ban is None:
            raise ControlError(f"there is no ban on {handle.kind} {handle.value}")
        self._lifted(ban)
        self._note("unban", "hand", now, handle, incident=ban.incident)
        return ban

    def pardon(self, incident: str, now: float) -> int:
        """Lift all bans of one incident by hand, and leave it alone from now on; how many."""
        bans = [ban for ban in self.bans if ban.incident == incident]
        for ban in bans:
            self.lift(ban.handle, now)
        self._pardoned[incident] = None
        _bound(self._pardoned)
        return len(bans)

    def release(self, now: float) -> int:
        """Lift all bans by hand, and leave the incidents behind them alone; how many."""
        bans = list(self.bans)
        for ban in bans:
            self.bans.lift(ban.handle)
            self._lifted(ban)
        self._note("release", "hand", now, why=f"{len(bans)} bans")
        return len(bans)

    def _displaced(self, ban: Ban) -> None:
        """A newer ban has taken its place."""
        self._bars.end(ban.handle, urgent=False)
        self._note("lifted", "policy", self._now, ban.handle, why="too many bans")

    def _lifted(self, ban: Ban) -> None:
        self._bars.end(ban.handle, urgent=True)
        if ban.incident is not None:
            self._decisions.pop(ban.incident, None)
            self._pardoned[ban.incident] = None
            _bound(self._pardoned)

    def _checked(self, handle: Handle) -> Handle:
        offered = sorted(self.offers - {"connection"})
        if handle.kind not in offered:
            able = f"it can ban by {', '.join(offered)}" if offered else "it can only watch"
            raise ControlError(f"this sensor cannot ban by {handle.kind}; {able}")
        if not handle.value:
            raise ControlError(f"which {handle.kind}? It is empty")
        if handle.kind == "address" and not is_address(handle.value):
            raise ControlError(f"{short(handle.value)!r} is no IP address")
        handle = _spelled(handle)
        obstacle = self._actuator.obstacle(handle)
        if obstacle is not None:
            raise ControlError(obstacle)
        return handle

    def _obstacle(self, incident: str, handle: Handle) -> str | None:
        return self._failures.get((incident, handle)) or self._actuator.obstacle(handle)

    def _carry_out(self, alert: Alert, decision: Decision, now: float) -> None:
        fresh: Sequence[Handle] = ()
        if decision.action == "banned":
            fresh = [
                handle
                for handle in decision.handles
                if handle.kind != "connection" and self.bans.find(handle, now) is None
            ]
        for place, handle in enumerate(fresh):
            ban = Ban(
                handle=handle,
                until=now + self._settings.protect.ban,
                seconds=self._settings.protect.ban,
                why=f"{alert.attack}, severity {alert.severity}",
                incident=alert.id,
                # All handles of one incident together keep these clients out.
                clients=decision.clients if place == 0 else 0,
            )
            if self.bans.add(ban) is ban:
                self._bars.begin(ban)
                self._note("ban", "policy", now, handle, why=ban.why, incident=alert.id)
        for handle in decision.handles:
            if self._cut_off(handle) and handle not in fresh:
                self._note("disconnect", "policy", now, handle, incident=alert.id)

    def _cut_off(self, handle: Handle) -> int:
        """How many connections are being closed. Where that fails, the ban stands all the same."""
        try:
            return self._actuator.disconnect(handle)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the sensor's hand
            self._failed("disconnecting", error)
            return 0

    def _keep_in_mind(self, alert: Alert, decision: Decision) -> None:
        """What was done about an incident is told until it is closed, then forgotten."""
        if alert.state == "closed":
            self._decisions.pop(alert.id, None)
            self._pardoned.pop(alert.id, None)
        elif decision.action != "none":
            self._decisions[alert.id] = decision
            _bound(self._decisions)

    def _note(
        self,
        what: What,
        by: Literal["policy", "hand"],
        now: float,
        handle: Handle | None = None,
        *,
        why: str | None = None,
        incident: str | None = None,
    ) -> None:
        # An attacker chose the id: !r keeps line breaks and terminal codes out of the log.
        named = "" if handle is None else f" {handle.kind} {short(handle.value)!r}"
        level = logging.WARNING if what == "failed" else logging.INFO
        log.log(level, "%s by %s:%s%s", what, by, named, "" if why is None else f" ({why})")
        entry = Entry(at=iso(now), what=what, by=by, handle=handle, why=why, incident=incident)
        self._store.log(entry)


def _spelled(handle: Handle) -> Handle:
    spell = canonical if handle.kind == "address" else bounded
    return Handle(handle.kind, spell(handle.value))


def _bound(remembered: dict[str, Decision] | dict[str, None]) -> None:
    if len(remembered) > REMEMBERED:
        del remembered[next(iter(remembered))]
