"""What may be done against an offender: pure decisions.

The ladder of protect mode is alert, disconnect, ban for a while. `decide` picks the narrowest
handle that stops the attack, that the sensor offers and that no calm client shares. Where there
is none it does nothing and says why. Times here are wall time, in seconds since the epoch: a ban
outlives a restart, and the monotonic clock does not.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from mqtt_ids.alerts import SEVERITIES, Action, Alert, Severity
from mqtt_ids.allowlist import allowed
from mqtt_ids.bans import Ban, Bans, Handle, HandleKind
from mqtt_ids.names import canonical, is_address, short
from mqtt_ids.readers import spell
from mqtt_ids.settings import Settings

__all__ = [
    "Ban",
    "Bans",
    "Decision",
    "Handle",
    "HandleKind",
    "Neighbours",
    "Obstacle",
    "Scene",
    "decide",
    "is_grave",
    "settled",
]


_LEAST_GRAVE: Final = SEVERITIES.index("medium")

# Why this handle cannot be used, in words, although its kind may be offered; None where it can.
Obstacle = Callable[[Handle], str | None]


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """The calm clients near an incident, whom an action would hit by mistake.

    `address` and `username` hold the ids of calm clients on the same address and with the same
    user name; `connected` counts all calm clients that are connected. `topics` are those that
    the incident is about.
    """

    address: tuple[str, ...] = ()
    username: tuple[str, ...] = ()
    connected: int = 0
    topics: tuple[str, ...] = ()


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner knows beside the incident.

    `own_ids` are client ids of our own. `established` are those of the alert's clients that have
    been here for some time: cutting one off by mistake would hurt. `waiting` are the connections
    from the offender's address on which no CONNECT was accepted for some seconds.
    """

    own_ids: frozenset[str] = frozenset()
    established: frozenset[str] = frozenset()
    waiting: tuple[int, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an incident. `handles` are cut off, and kept out where it is a ban."""

    action: Action
    reason: str
    handles: tuple[Handle, ...] = ()
    until: float | None = None
    clients: int = 0


def is_grave(severity: Severity) -> bool:
    """Whether something may be done about an incident of this severity."""
    return SEVERITIES.index(severity) >= _LEAST_GRAVE


def decide(
    alert: Alert,
    neighbours: Neighbours,
    offers: frozenset[HandleKind],
    settings: Settings,
    bans: Bans,
    now: float,
    scene: Scene | None = None,
    obstacle: Obstacle = lambda _: None,
) -> Decision:
    """What to do about `alert` at wall time `now`, given what the sensor `offers`.

    A decision to ban names handles that may be banned already: an incident that goes on gets the
    same answer again, and a ban in force is not made longer. A handle with an obstacle is skipped.
    """
    scene = Scene() if scene is None else scene
    spared = _spared(alert, neighbours, settings, scene)
    if spared is not None:
        return Decision(action="none", reason=spared)
    choice = _choose(alert, neighbours, offers, scene, obstacle)
    if not choice.handles:
        return choice
    if all(bans.find(handle, now) is not None for handle in choice.handles):
        choice = msgspec.structs.replace(choice, clients=0)  # cut off already, and counted then
    refused = _beyond_share(choice, neighbours, settings.protect.max_share, bans)
    if refused is not None:
        return Decision(action="none", reason=refused)
    return _worded(choice, settings, bans, now)


def settled(before: Decision | None, decision: Decision, now: float) -> Decision:
    """What an alert reports: a ban that was put on its incident is told of while it lasts."""
    lasting = before is not None and before.until is not None and now < before.until
    if before is not None and lasting and decision.action != "banned":
        return msgspec.structs.replace(before, handles=())
    return decision


def _spared(alert: Alert, neighbours: Neighbours, settings: Settings, scene: Scene) -> str | None:
    """Why this incident is left alone whatever handles there are; None where it is not."""
    if settings.mode == "observe":
        return "observe mode"
    if alert.state == "closed":
        return "calm again"
    if not is_grave(alert.severity):
        return f"severity {alert.severity} is never acted upon, only medium and above"
    ours = sorted(_ids(alert) & scene.own_ids)
    if ours:
        return f"client {short(ours[0])} is our own"
    # Whoever guesses passwords may go by any name; only what the broker has accepted counts.
    proven = alert.attack not in _GUESSING
    return allowed(
        settings.allow,
        client_ids=sorted(_ids(alert)) if proven else (),
        username=alert.username if proven else None,
        address=alert.address,
        topics=neighbours.topics,
    )


def _choose(
    alert: Alert,
    neighbours: Neighbours,
    offers: frozenset[HandleKind],
    scene: Scene,
    obstacle: Obstacle,
) -> Decision:
    """The narrowest handles that stop the attack and hit no calm client, not yet in words."""
    claims = _ids_are_claims(alert)
    offenders = set() if claims else _ids(alert)
    established = len(offenders & scene.established)
    sharing = sorted(set(neighbours.address) - offenders)
    address = _address(alert)
    if "address" in offers and address is not None and not sharing and obstacle(address) is None:
        # An address of its own is one device, whatever ids it goes by.
        hit = min(established, 1)
        return Decision(action="banned", reason="", handles=(address,), clients=hit)
    narrower = () if claims else _narrower(alert, neighbours, offers, obstacle)
    waiting = scene.waiting if "connection" in offers else ()
    handles = narrower + tuple(Handle("connection", str(number)) for number in waiting)
    if narrower:
        return Decision(action="banned", reason="", handles=handles, clients=established)
    if handles:
        return Decision(action="disconnected", reason="", handles=handles)
    return Decision(action="none", reason=_no_handle(alert, neighbours, offers, obstacle))


def _address(alert: Alert) -> Handle | None:
    """The address as a handle, unless it is only a stand-in for one that nobody has seen."""
    if alert.address is None or not is_address(alert.address):
        return None
    return Handle("address", canonical(alert.address))


def _narrower(
    alert: Alert, neighbours: Neighbours, offers: frozenset[HandleKind], obstacle: Obstacle
) -> tuple[Handle, ...]:
    """Handles narrower than the address: the accepted clients' ids, or their user name."""
    calm = {*neighbours.address, *neighbours.username}
    named = sorted(_ids(alert) - calm) if "client_id" in offers else []
    ids = tuple(Handle("client_id", name) for name in named)
    ids = tuple(handle for handle in ids if obstacle(handle) is None)
    if ids and alert.client_count <= len(ids):
        return ids
    # More ids than an alert can name: their common user name stops them all, if it is theirs.
    user = None if alert.username is None else Handle("username", alert.username)
    others = set(neighbours.username) - _ids(alert)
    if "username" in offers and user is not None and not others and obstacle(user) is None:
        return (user,)
    return ids


_GUESSING = frozenset({"brute-force", "login-failing"})
_CLAIMING = _GUESSING | {"takeover"}


def _ids_are_claims(alert: Alert) -> bool:
    """Whether the alert's client ids and user name may be somebody else's.

    Who guesses a password or fights over an id uses the victim's names: to ban those would shut
    the victim out.
    """
    return alert.attack in _CLAIMING or not _CLAIMING.isdisjoint(alert.also)


def _no_handle(
    alert: Alert, neighbours: Neighbours, offers: frozenset[HandleKind], obstacle: Obstacle
) -> str:
    """Why nothing can be done, handle by handle: what a person could change stands in it."""
    found = [_against_address(alert, neighbours, offers, obstacle)]
    if _ids_are_claims(alert):
        found.append("its ids and user name may be somebody else's")
    else:
        found += [obstacle(Handle("client_id", name)) for name in sorted(_ids(alert))[:1]]
        found.append(_against_username(alert, neighbours, offers, obstacle))
    reasons = [reason for reason in found if reason is not None]
    if not offers and not reasons:
        return "this sensor can only watch"
    offered = f"this sensor offers {', '.join(sorted(offers)) or 'none'}"
    return f"no handle on it: {'; '.join(reasons) or offered}"


def _against_address(
    alert: Alert, neighbours: Neighbours, offers: frozenset[HandleKind], obstacle: Obstacle
) -> str | None:
    address = _address(alert)
    if address is None:
        return "its address is not known" if "address" in offers else None
    sharing = set(neighbours.address) - (set() if _ids_are_claims(alert) else _ids(alert))
    if "address" in offers and sharing:
        return _shared(f"address {address.value}", sharing)
    return obstacle(address)


def _against_username(
    alert: Alert, neighbours: Neighbours, offers: frozenset[HandleKind], obstacle: Obstacle
) -> str | None:
    if alert.username is None:
        return "it gave no user name" if "username" in offers else None
    sharing = set(neighbours.username) - _ids(alert)
    if "username" in offers and sharing:
        return _shared(f"user {short(alert.username)}", sharing)
    return obstacle(Handle("username", alert.username))


def _beyond_share(
    choice: Decision, neighbours: Neighbours, max_share: float, bans: Bans
) -> str | None:
    """Why this would cut off too many at once; None where it would not.

    Only established clients count: they are what a mistake would hurt, and an intruder must not
    be able to use up the share with newcomers. One is always allowed unless `max_share` is 0.
    """
    if choice.clients == 0:
        return None
    cut_off = bans.clients + choice.clients
    everybody = neighbours.connected + cut_off
    most = 0 if max_share == 0 else max(1, int(max_share * everybody))
    if cut_off <= most:
        return None
    return f"it would cut off {cut_off} of {everybody} clients at once (max_share {max_share:g})"


def _worded(choice: Decision, settings: Settings, bans: Bans, now: float) -> Decision:
    """The choice with its reason in words, its end, and as a mere plan in a dry run."""
    length = settings.protect.ban
    banned = choice.action == "banned"
    handles = [one for one in choice.handles if not banned or one.kind != "connection"]
    what = _listed([f"{_KIND[one.kind]} {short(one.value)}" for one in handles])
    if not banned:
        doing, did, until = f"disconnect {what}", f"disconnected {what}", None
    else:
        found = (bans.find(handle, now) for handle in choice.handles)
        until = max((ban.until for ban in found if ban is not None), default=now + length)
        doing, did = f"ban {what} for {spell(length)}", f"banned {what} for {spell(length)}"
    if settings.protect.dry_run:
        return Decision(action="none", reason=f"dry run: would {doing}")
    return msgspec.structs.replace(choice, reason=did, until=until)


_KIND: dict[HandleKind, str] = {
    "connection": "connection",
    "client_id": "client",
    "username": "user",
    "address": "address",
}


def _ids(alert: Alert) -> set[str]:
    """The client ids that the alert names."""
    return {*alert.clients} if alert.client_id is None else {alert.client_id, *alert.clients}


def _shared(what: str, sharing: Iterable[str]) -> str:
    names = _listed([short(name) for name in sorted(sharing)])
    return f"{what} is shared with calm clients ({names})"


def _listed(names: list[str]) -> str:
    """The first three, and how many more."""
    first = ", ".join(names[:3])
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"  # noqa: PLR2004
