"""What a detector knows of its subjects, taken out of it and put back into another.

Kept is what takes long to learn: who is known, normals, rhythms, topics. The fading windows and
the verdicts are not: what goes on is soon seen again. Whoever is odd at that moment has the running
slot of its normal kept out of it, as it would have without the restart.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from mqtt_ids.counters import Client, Host
from mqtt_ids.feature_table import Role
from mqtt_ids.habits import RHYTHM_GAPS, STEADY, Habit
from mqtt_ids.normal import HALF_LIFE, SLOT
from mqtt_ids.notes import Notes
from mqtt_ids.snapshot import (
    Column,
    Columns,
    Learned,
    OwnedTopics,
    Spec,
    Subjects,
    UnusableSnapshot,
    packed,
    unpacked,
)
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.topics import Owner, Sieve
from mqtt_ids.verdicts import Verdict, Verdicts
from mqtt_ids.watch import Watch

_COUNTERS: Final = {
    Role.CLIENT: [name for name in vars(Client) if name.isupper()][: Client.COUNT],
    Role.HOST: [name for name in vars(Host) if name.isupper()][: Host.COUNT],
}
_SIEVE_BYTES: Final = len(Sieve().bits)
_MOST: Final = 2**32 - 1  # of a count
_CLIENT: Final[Spec] = {
    "since": ("f4", 0),
    "last": ("f4", 0),
    "arrived": ("f4", 0),
    "keep_alive": ("u2", 0),
    "wide": ("?", 0),
    "gaps": ("u4", 0),
    "gap": ("f4", 0),
    "gap_spread": ("f4", 0),
    "quiet": ("?", 0),
    "sieve": ("u1", _SIEVE_BYTES),
}
_WORDS: Final = ("username", "address", "home")
_HOST: Final[Spec] = {"since": ("f4", 0), "last": ("f4", 0), "welcome": ("?", 0)}
_OWNER: Final[Spec] = {
    "digest": ("u8", 0),
    "client": ("u4", 0),
    "since": ("f4", 0),
    "last": ("f4", 0),
    "count": ("u4", 0),
    "shared": ("?", 0),
}


def _normal(counters: int) -> Spec:
    amounts = dict.fromkeys(("total", "waiting", "slot"), ("f4", counters))
    return {**amounts, "seconds": ("f4", 3), "odd": ("?", 2), "slot_age": ("f4", 0)}


class Memory:
    """The long-run knowledge of one detector."""

    def __init__(self, watch: Watch, verdicts: Mapping[Role, Verdicts], notes: Notes) -> None:
        self._watch = watch
        self._verdicts = verdicts
        self._notes = notes

    def take(self, now: float) -> Learned:
        """All of it, as it is at `now`; nothing in it changes any more."""
        watch = self._watch
        watch.fold(now)
        watch.settle_newcomers()
        clients, hosts = list(watch.tally.clients), list(watch.tally.hosts)
        return Learned(
            watched=self._notes.watched(now),
            turn=watch.slot_left(now),
            clients=Subjects(
                keys=[one.id for one in clients],
                words=_client_words(clients),
                counters=_COUNTERS[Role.CLIENT],
                columns=packed(_client_columns(clients, self._notes, now), _CLIENT)
                | self._normals(Role.CLIENT, clients, now),
            ),
            hosts=Subjects(
                keys=[one.address for one in hosts],
                words={},
                counters=_COUNTERS[Role.HOST],
                columns=packed(_host_columns(hosts, now), _HOST)
                | self._normals(Role.HOST, hosts, now),
            ),
            topics=self._owned(clients, now),
        )

    def put_back(self, learned: Learned, now: float, gone: float) -> None:
        """Know all of `learned`, after having been away for `gone` seconds; once, and at first.

        Slots go on where they were. Nobody was absent while we were: only how long ago something
        was changes with `gone`. Raises UnusableSnapshot; then nothing has changed.
        """
        watch = self._watch
        clients, hosts = _Known(Role.CLIENT, learned.clients), _Known(Role.HOST, learned.hosts)
        owners = unpacked(learned.topics.columns, _OWNER, learned.topics.count)
        if owners["client"].max(initial=0) >= max(len(clients.keys), 1):
            raise UnusableSnapshot("is damaged")
        watch.begin(now, min(max(learned.turn, 0.0), SLOT))
        self._notes.have_watched(learned.watched, now)
        then = now - gone
        clients.keep_latest(watch.tally.clients.limit)
        hosts.keep_latest(watch.tally.hosts.limit)
        found_hosts = _put_hosts(watch, hosts, then)
        found = _put_clients(watch, clients, then, now)
        watch.settle_newcomers()
        watch.tally.newcomers.clear()
        for known, subjects in ((clients, found), (hosts, found_hosts)):
            if known.normals is not None:
                rows = np.array([one.row for one in subjects], np.intp)
                watch.normal(known.role).put_back(rows, known.normals, now)
        self._put_topics(learned, owners, then)

    def forget(self, client_id: str, now: float) -> bool:
        """Make this client a newcomer, and its host if it is alone there; False: not known."""
        tally = self._watch.tally
        client = tally.clients.get(client_id)
        if client is None:
            return False
        self._watch.settle_newcomers()
        host = client.host
        if host.tracked and host.clients == 1:
            self._watch.normal(Role.HOST).start(host.row, now)
        tally.topics.disown(client_id)
        if client.connected:
            self._watch.start_again(client, now)
            self._verdicts[Role.CLIENT].start(client.row)
        else:
            tally.clients.remove(client_id)
        return True

    def habits(self, now: float) -> dict[str, Habit]:
        """What is normal for each client."""
        self._watch.settle_newcomers()
        clients = list(self._watch.tally.clients)
        rows = np.array([one.row for one in clients], np.intp)
        normal = self._watch.normal(Role.CLIENT)
        rates, calm = normal.rates(rows).tolist(), normal.calm_seconds(rows).tolist()
        earned = normal.earned(rows).tolist()
        return {
            one.id: _habit(one, own, now, calm=seconds, earned=is_earned)
            for one, own, seconds, is_earned in zip(clients, rates, calm, earned, strict=True)
        }

    def _normals(
        self, role: Role, subjects: Sequence[ClientSubject | HostSubject], now: float
    ) -> dict[str, bytes]:
        rows = np.array([one.row for one in subjects], np.intp)
        known = self._watch.normal(role).taken(rows, now)
        verdicts = self._verdicts[role]
        odd = [verdicts.verdict(one.row) is not Verdict.CALM for one in subjects]
        known["odd"][:, 0] = np.logical_or(known["odd"][:, 0], odd)
        return packed(known, _normal(len(_COUNTERS[role])))

    def _owned(self, clients: Sequence[ClientSubject], now: float) -> OwnedTopics:
        """The topics that were used again: the others are as good as new."""
        topics = self._watch.tally.topics
        places = {one.id: place for place, one in enumerate(clients)}
        owners = [one for one in topics if one.client in places and (one.count > 1 or one.shared)]
        columns: dict[str, Sequence[float]] = {
            "digest": [one.digest for one in owners],
            "client": [places[one.client] for one in owners],
            "since": [now - one.since for one in owners],
            "last": [now - one.last for one in owners],
            "count": [min(one.count, _MOST) for one in owners],
            "shared": [one.shared for one in owners],
        }
        return OwnedTopics(
            digest_key=topics.digest_key, count=len(owners), columns=packed(columns, _OWNER)
        )

    def _put_topics(self, learned: Learned, owners: Columns, then: float) -> None:
        tally = self._watch.tally
        tally.topics.digest_key = learned.topics.digest_key
        for place, number in enumerate(owners["client"].tolist()):
            client = tally.clients.get(learned.clients.keys[number])
            if client is None:
                continue
            since = then - float(owners["since"][place])
            digest = int(owners["digest"][place])
            owner = Owner(client.id, client.host.address, since, digest)
            owner.last = then - float(owners["last"][place])
            owner.count = int(owners["count"][place])
            owner.shared = bool(owners["shared"][place])
            tally.topics.put_back(owner)


class _Known:
    """Subjects as they were kept, checked. `normals` is None where they count something else."""

    def __init__(self, role: Role, kept: Subjects) -> None:
        counters = _COUNTERS[role]
        rows = len(kept.keys)
        self.role = role
        self.keys = kept.keys
        self.words = kept.words
        named = _WORDS if role is Role.CLIENT else ()
        if any(len(kept.words.get(name, ())) != rows for name in named):
            raise UnusableSnapshot("is damaged")
        self.columns = unpacked(kept.columns, _CLIENT if role is Role.CLIENT else _HOST, rows)
        self.normals: Columns | None = None
        if kept.counters == counters:
            self.normals = unpacked(kept.columns, _normal(len(counters)), rows)

    def keep_latest(self, most: int) -> None:
        """Forget those that were unseen for longest, where they are more than `most`."""
        self.keys = self.keys[-most:]
        self.words = {name: words[-most:] for name, words in self.words.items()}
        self.columns = {name: column[-most:] for name, column in self.columns.items()}
        if self.normals is not None:
            self.normals = {name: column[-most:] for name, column in self.normals.items()}


def _habit(
    client: ClientSubject, rates: list[float], now: float, *, calm: float, earned: bool
) -> Habit:
    publishes = rates[Client.PUBLISHES]
    steady = client.gaps >= RHYTHM_GAPS and client.gap_spread <= STEADY * client.gap
    return Habit(
        publishes=publishes,
        every=client.gap if steady else None,
        topics=0 if client.sieve is None else len(client.sieve),
        size=rates[Client.BYTES] / publishes if publishes else None,
        connects=rates[Client.CONNECTS],
        subscriptions=rates[Client.FILTERS],
        pings=rates[Client.PINGS],
        known=now - client.since,
        share=min(calm / HALF_LIFE, 1.0),
        earned=earned,
    )


def _client_words(clients: Sequence[ClientSubject]) -> dict[str, list[str | None]]:
    return {
        "username": [one.username for one in clients],
        "address": [one.host.address for one in clients],
        "home": [None if one.home == one.host.address else one.home for one in clients],
    }


def _client_columns(
    clients: Sequence[ClientSubject], notes: Notes, now: float
) -> dict[str, Column | list[float]]:
    none = bytes(_SIEVE_BYTES)
    sieves = b"".join(none if one.sieve is None else one.sieve.bits for one in clients)
    return {
        "since": [now - one.since for one in clients],
        "last": [now - one.last for one in clients],
        "arrived": [now - one.arrived for one in clients],
        "keep_alive": [one.keep_alive for one in clients],
        "wide": [one.wide for one in clients],
        "gaps": [min(one.gaps, _MOST) for one in clients],
        "gap": [one.gap for one in clients],
        "gap_spread": [one.gap_spread for one in clients],
        "quiet": [one.last_publish is None or notes.told_silent(one) for one in clients],
        "sieve": np.frombuffer(sieves, np.uint8).reshape(-1, _SIEVE_BYTES),
    }


def _host_columns(hosts: Sequence[HostSubject], now: float) -> dict[str, Column | list[float]]:
    return {
        "since": [now - one.since for one in hosts],
        "last": [now - one.last for one in hosts],
        "welcome": [one.welcome for one in hosts],
    }


def _put_hosts(watch: Watch, known: _Known, then: float) -> list[HostSubject]:
    columns = {name: column.tolist() for name, column in known.columns.items()}
    found = []
    for place, address in enumerate(known.keys):
        host = watch.tally.meet_host(address, then - columns["since"][place])
        host.last = then - columns["last"][place]
        host.welcome = columns["welcome"][place]
        found.append(host)
    return found


def _put_clients(watch: Watch, known: _Known, then: float, now: float) -> list[ClientSubject]:
    columns = {name: column.tolist() for name, column in known.columns.items() if name != "sieve"}
    usernames, addresses, homes = (known.words[name] for name in _WORDS)
    found = []
    for place, client_id in enumerate(known.keys):
        address = addresses[place] or ""
        client = watch.tally.meet_client(client_id, address, then - columns["since"][place])
        client.username = usernames[place]
        client.home = homes[place] or address
        client.last = then - columns["last"][place]
        client.arrived = then - columns["arrived"][place]
        for name in ("keep_alive", "wide", "gaps", "gap", "gap_spread"):
            setattr(client, name, columns[name][place])
        # From now on it may be silent so long; who was silent before is not told of again.
        client.last_publish = None if columns["quiet"][place] else now
        sieve = known.columns["sieve"][place]
        client.sieve = Sieve.of(sieve.tobytes()) if sieve.any() else None
        found.append(client)
    return found
