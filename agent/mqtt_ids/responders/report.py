"""The way of an alert out of the detector: act on it, store it, publish it, keep count."""

from collections.abc import Callable

import msgspec

from mqtt_ids.alerts import Alert, encode
from mqtt_ids.faults import Faults
from mqtt_ids.policy import Neighbours, Scene, is_grave
from mqtt_ids.responders.act import Responder
from mqtt_ids.responders.publish import Publisher
from mqtt_ids.settings import Mode
from mqtt_ids.store import Store

OPEN_LIMIT = 10_000  # open incidents that are counted
AT_LARGE_LIMIT = 100  # open incidents without a ban, or with one, that are decided upon again
AGAIN_AT_ONCE = 10  # of them in one round

Surroundings = Callable[[Alert], tuple[Neighbours, Scene]]


class Reporter:
    """Takes each alert to the responders. One that fails does not stop the others."""

    def __init__(
        self, mode: Mode, responder: Responder, store: Store, publisher: Publisher, faults: Faults
    ) -> None:
        self._mode = mode
        self._responder = responder
        self._store = store
        self._publisher = publisher
        self._faults = faults
        self._open: dict[str, bool] = {}  # incident id: whether it is above info
        self._at_large: dict[str, Alert] = {}  # open alarms without a ban, as last told
        self._banned: dict[str, Alert] = {}  # the same, with one

    @property
    def open_incidents(self) -> int:
        """How many incidents are open, notes (info) included."""
        return len(self._open)

    @property
    def active(self) -> int:
        """How many incidents above info are open."""
        return sum(self._open.values())

    def report(self, alert: Alert, surroundings: Surroundings, now: float, wall: float) -> None:
        """Act, store and publish, at sensor time `now` and wall time `wall`."""
        alert = self._acted_upon(alert, surroundings, now, wall)
        self._count(alert)
        self._tell(alert, now, wall)

    def reconsider(
        self,
        goes_on: Callable[[str], bool],
        surroundings: Surroundings,
        now: float,
        wall: float,
    ) -> None:
        """Decide again about alarms without a ban that go on: a handle may have turned up since.

        Connections that were just opened cannot be told from a calm client's at once; and who was
        disconnected may be back. A ban that turned out to be none is told of.
        """
        if self._mode == "observe":
            return
        for name in self._responder.take_undone() & self._banned.keys():
            self._at_large[name] = self._banned.pop(name)
        for name in [name for name in self._at_large if goes_on(name)][:AGAIN_AT_ONCE]:
            before = self._at_large.pop(name)
            alert = self._acted_upon(
                msgspec.structs.replace(before, state="update", time=now, active=self.active > 0),
                surroundings,
                now,
                wall,
            )
            if before.action != "banned" and alert.action in {before.action, "none"}:
                self._at_large[name] = before  # at the end: the others have their turn
            else:
                self._count(alert)
                self._tell(alert, now, wall)

    def _acted_upon(
        self, alert: Alert, surroundings: Surroundings, now: float, wall: float
    ) -> Alert:
        try:
            return self._responder.respond(alert, *surroundings(alert), wall)
        except Exception as error:  # noqa: BLE001 - an alert goes out whatever becomes of the action
            self._faults.caught("the response", error, now)
            reason = "the response failed; the log tells more"
            return msgspec.structs.replace(alert, action_reason=reason, mode=self._mode)

    def _tell(self, alert: Alert, now: float, wall: float) -> None:
        try:
            data = encode(alert, wall - now)
            is_open, urgent = alert.state != "closed", alert.state != "update"
            self._store.put_incident(alert.id, data, is_open=is_open, urgent=urgent)
            self._publisher.alert(data)
        except Exception as error:  # noqa: BLE001 - the next alert may be fine
            self._faults.caught("an alert", error, now)

    def close_left_open(self) -> None:
        """Close the incidents that a former process left open: nobody remembers them.

        Whoever was told that one is open is told that it is closed.
        """
        for name, stored in self._store.left_open():
            body = msgspec.json.decode(stored, type=dict[str, object])
            data = msgspec.json.encode({**body, "state": "closed", "active": False})
            self._store.put_incident(name, data, is_open=False, urgent=True)
            self._publisher.alert(data)

    def _count(self, alert: Alert) -> None:
        if alert.state == "closed":
            self._open.pop(alert.id, None)
        elif alert.id in self._open or len(self._open) < OPEN_LIMIT:
            self._open[alert.id] = alert.severity != "info"
        held = self._banned if alert.action == "banned" else self._at_large
        for one in (self._at_large, self._banned):
            one.pop(alert.id, None)
        if alert.state != "closed" and is_grave(alert.severity) and len(held) < AT_LARGE_LIMIT:
            held[alert.id] = alert
