"""From facts to signs: what is reported without asking the network, and how grave it is."""

from typing import Final

from mqtt_ids.alerts import Attack, Severity
from mqtt_ids.facts import Fact, FactKind
from mqtt_ids.habits import RHYTHM_GAPS, STEADY
from mqtt_ids.incidents import Sign
from mqtt_ids.reasons import from_fact
from mqtt_ids.subjects import ClientSubject
from mqtt_ids.tally import Tally

NEW_AFTER: Final = 600.0  # seconds of watching before an unknown client is news
SILENT_TIMES: Final = 3.0  # times its own interval without a publish
KEEP_ALIVE_GRACE: Final = 1.5
LISTENED_EVERY: Final = 10  # ticks between two looks for silence

_KINDS: Final[dict[FactKind, tuple[Attack, Severity]]] = {
    FactKind.IDS_TOPIC: ("spoofing", "high"),
    FactKind.TAKEOVER: ("takeover", "medium"),
    FactKind.FOREIGN_TOPIC: ("spoofing", "low"),
    FactKind.FIRST_WIDE_FILTER: ("enumeration", "info"),
    FactKind.NEW_CLIENT: ("new-client", "info"),
    FactKind.SILENCE: ("silence", "info"),
    FactKind.STALE_PASSWORD: ("login-failing", "info"),
}


def sign(fact: Fact) -> Sign:
    """A fact as a sign of an incident. It is certain: a packet proves it."""
    attack, severity = _KINDS[fact.kind]
    return Sign(
        time=fact.time,
        first_seen=fact.time,
        attack=attack,
        severity=severity,
        confidence=1.0,
        address=fact.address,
        client_id=fact.client_id,
        username=fact.username,
        clients=() if fact.client_id is None else (fact.client_id,),
        whole_host=fact.client_id is None,
        reasons=(from_fact(fact),),
    )


class Notes:
    """Facts of the last second, and the two that show by waiting: new clients and silence."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._ticks = 0
        self._silent: dict[str, None] = {}

    def watched(self, now: float) -> float:
        """For how many seconds there was somebody to tell."""
        return 0.0 if self._since is None else now - self._since

    def have_watched(self, seconds: float, now: float) -> None:
        """Somebody else had watched until `now`, and knew who is no newcomer."""
        self._since = now - seconds

    def told_silent(self, client: ClientSubject) -> bool:
        """Whether it was told that this client is silent, and it still is."""
        return client.id in self._silent

    def tick(self, tally: Tally, now: float) -> list[Fact]:
        """All facts since the last call; the tally's list is emptied."""
        if self._since is None:
            self._since = now
        facts, tally.facts = tally.facts, []
        newcomers, tally.newcomers = tally.newcomers, []
        if now - self._since >= NEW_AFTER:
            facts += [_new_client(client, now) for client in newcomers]
        self._ticks += 1
        if self._ticks % LISTENED_EVERY == 0:
            facts += self._silences(tally, now)
        return facts

    def _silences(self, tally: Tally, now: float) -> list[Fact]:
        facts = []
        for client in tally.clients:
            if not _is_silent(client, now):
                self._silent.pop(client.id, None)
            elif client.id not in self._silent:
                self._silent[client.id] = None
                facts.append(_silence(client, now))
        for client_id in [c for c in self._silent if tally.clients.get(c) is None]:
            del self._silent[client_id]
        return facts


def _is_silent(client: ClientSubject, now: float) -> bool:
    if client.last_publish is None or client.gaps < RHYTHM_GAPS:
        return False
    if client.gap_spread > STEADY * client.gap:
        return False
    longest = max(SILENT_TIMES * client.gap, KEEP_ALIVE_GRACE * client.keep_alive)
    return now - client.last_publish > longest


def _silence(client: ClientSubject, now: float) -> Fact:
    quiet = now - (client.last_publish or now)
    return Fact(
        kind=FactKind.SILENCE,
        time=now,
        address=client.host.address,
        client_id=client.id,
        username=client.username,
        text=f"has published nothing for {quiet:.0f} s, usually every {client.gap:.0f} s",
        observed=round(quiet, 1),
        usual=round(client.gap, 1),
        unit="s",
    )


def _new_client(client: ClientSubject, now: float) -> Fact:
    return Fact(
        kind=FactKind.NEW_CLIENT,
        time=now,
        address=client.host.address,
        client_id=client.id,
        username=client.username,
        text="has never been seen here before",
    )
