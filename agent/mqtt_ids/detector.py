"""The detector: events in, alerts out. It knows no clock, no socket and no broker."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from ulid import ULID

from mqtt_ids import attacks, notes, reasons
from mqtt_ids.accepted import Accepted, forgiven
from mqtt_ids.alerts import Alert
from mqtt_ids.counters import Gauge as G
from mqtt_ids.counters import Host as H
from mqtt_ids.detecting import CLIENTS
from mqtt_ids.events import Event, Sees
from mqtt_ids.feature_table import Role
from mqtt_ids.incidents import Incidents, Sign
from mqtt_ids.mask_classes import Threshold, mask_class, thresholds
from mqtt_ids.memory import Memory
from mqtt_ids.parties import Loud, by_host, party
from mqtt_ids.policy import Neighbours
from mqtt_ids.standings import Standings, standings
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.verdicts import Verdict, Verdicts
from mqtt_ids.views import ClientView, Judged, views_of
from mqtt_ids.watch import RESTS_AFTER, AnyBatch, Batch, Watch
from mqtt_ids.windows import Floats
from mqtt_ids_model import Model, Scores

HELD_IS_FRESH = 5  # so many held connections are a sign each second, without a new packet
GOES_ON = 3.0  # seconds without a sign after which an incident pauses
JOINED_WITH = 5.0  # seconds before the first sign from which on a new id belongs to an attack


class Detector:
    """Watches, scores, judges, and tells incidents. `tick` once a second.

    `threshold` is which of the card's thresholds decides, or a number for all; `thresholds` and
    `accepted` may be replaced between ticks. `facts` can be switched off to see what the network
    finds alone. `judged` gets each round's scores. Raises ModelError where the card lacks a
    threshold.
    """

    def __init__(
        self,
        model: Model,
        *,
        sees: Sees,
        threshold: Threshold = "budget",
        max_clients: int = 5000,
        facts: bool = True,
        new_id: Callable[[], str] = lambda: str(ULID()),
        judged: Callable[[Judged], None] | None = None,
    ) -> None:
        self.watch = Watch(sees=sees, max_clients=max_clients, rests_after=RESTS_AFTER)
        self._model = model
        self.thresholds = thresholds(model.card, sees, threshold)
        self._verdicts = {Role.CLIENT: Verdicts(), Role.HOST: Verdicts()}
        self._incidents = Incidents(new_id)
        self._notes = notes.Notes()
        self.memories = {CLIENTS: Memory(self.watch, self._verdicts, self._notes)}
        self.accepted = Accepted()
        self._facts = facts
        self._judged = judged
        self._last_tick = -np.inf

    @property
    def skipped(self) -> int:
        """What was beyond the bounds, and so was not judged: events, facts, signs."""
        return self.watch.tally.skipped + self._incidents.skipped

    def feed(self, event: Event) -> None:
        """Count one event. O(1)."""
        self.watch.feed(event)

    def tick(self, now: float) -> list[Alert]:
        """Judge whoever is due at `now`; the alerts that tell what changed."""
        clients, hosts = self.watch.due(now)
        for role, verdicts in self._verdicts.items():
            for row in self.watch.started(role):
                verdicts.start(row)
        batches = [batch for batch in (clients, hosts) if batch is not None]
        signs: list[Sign] = []
        for batch, scores in zip(batches, self._scored(batches), strict=True):
            signs += self._judge(batch, scores, now, clients)
        facts = self._notes.tick(self.watch.tally, now)
        if self._facts:
            signs += [notes.sign(fact) for fact in facts if not self.accepted.covers(fact)]
        self._last_tick = now
        return self._incidents.tick(signs, now)

    def end(self, now: float) -> list[Alert]:
        """Close all incidents, for nobody watches any more."""
        return self._incidents.end(now)

    def clients(self) -> list[ClientView]:
        """All tracked clients, for people."""
        self.watch.settle_newcomers()
        clients = list(self.watch.tally.clients)
        return views_of(clients, self.watch.earned(clients), self._verdicts[Role.CLIENT])

    def standings(self, most: int, now: float) -> Standings:
        """The oddest clients, at most so many, as they are now."""
        return standings(self.watch, self._verdicts[Role.CLIENT], self.thresholds, most, now)

    def goes_on(self, incident_id: str) -> bool:
        """Whether an open incident had a sign in the last few seconds."""
        incident = self._incidents.get(incident_id)
        return incident is not None and self._last_tick - incident.last < GOES_ON

    def neighbours(self, incident_id: str) -> Neighbours:
        """The calm clients that share the incident's address or user name.

        An id that appeared with the incident is no neighbour: an attacker makes up many. One that
        is fought over is a neighbour of itself at home: it only takes back its own.
        """
        incident = self._incidents.get(incident_id)
        if incident is None:
            return Neighbours()
        verdicts = self._verdicts[Role.CLIENT]
        settled = incident.first_seen - JOINED_WITH
        calm = [
            client
            for client in self.watch.tally.clients
            if client.id not in incident.clients
            and client.since < settled
            and verdicts.verdict(client.row) is Verdict.CALM
        ]
        user = incident.sign.username
        here = [client.id for client in calm if client.host.address == incident.address]
        if "takeover" in (incident.sign.attack, *incident.also):
            fought_over = map(self.watch.tally.clients.get, incident.clients)
            here += [c.id for c in fought_over if c is not None and c.home == incident.address]
        return Neighbours(
            address=tuple(here),
            username=tuple(c.id for c in calm if user is not None and c.username == user),
            connected=sum(client.connected for client in calm),
        )

    # --- judging ---------------------------------------------------------------------------

    def _scored(self, batches: Sequence[AnyBatch]) -> Iterator[Scores]:
        """The scores of each batch. Both roles go through the network in one call."""
        if not batches:
            return
        vectors = [batch.vectors for batch in batches]
        scores = self._model.score(
            np.concatenate([each.x for each in vectors]),
            np.concatenate([each.seen for each in vectors]),
            np.concatenate([each.context for each in vectors]),
        )
        start = 0
        for batch in batches:
            mine = slice(start, start + len(batch.subjects))
            start = mine.stop
            yield Scores(*(part[mine] for part in scores))

    def _judge(
        self,
        batch: AnyBatch,
        scores: Scores,
        now: float,
        clients: Batch[ClientSubject] | None,
    ) -> Iterable[Sign]:
        verdicts = self._verdicts[batch.role]
        thresholds = self._thresholds_of(batch)
        if self.accepted:
            figures = partial(self.watch.figures, batch)
            scores = forgiven(self.accepted, batch, scores, thresholds, figures)
        rows = np.array([subject.row for subject in batch.subjects], np.intp)
        calm = not (scores.score > thresholds).any()
        if calm and self._judged is None:
            verdicts.calm(rows, scores.score)
            return []
        fresh = np.array([self._is_fresh(subject) for subject in batch.subjects])
        if self._judged is not None:
            judged = Judged(
                time=now, batch=batch, scores=scores.score, thresholds=thresholds, fresh=fresh
            )
            self._judged(judged)
        if calm:
            verdicts.calm(rows, scores.score)
            return []
        verdict = verdicts.judge(rows, scores.score, thresholds, fresh, now)
        odd = rows[verdict != Verdict.CALM]
        if len(odd):
            self.watch.taint(batch.role, odd)
        attack = verdict == Verdict.ATTACK
        if batch.role is Role.HOST and clients is not None:
            attack |= fresh & (verdict == Verdict.ODD) & self._harbours(batch.subjects, clients)
        places = np.flatnonzero(attack)
        if not len(places):
            return []
        return self._signs(batch, places, scores, thresholds, now, clients)

    def _harbours(
        self, hosts: Sequence[ClientSubject | HostSubject], clients: Batch[ClientSubject]
    ) -> NDArray[np.bool_]:
        """Which hosts have a client that attacks now: being odd, they are part of the attack."""
        verdicts = self._verdicts[Role.CLIENT]
        attacked_from = {
            client.host
            for client in clients.subjects
            if verdicts.verdict(client.row) is Verdict.ATTACK
        }
        return np.array([host in attacked_from for host in hosts])

    def _thresholds_of(self, batch: AnyBatch) -> NDArray[np.float64]:
        new = self.thresholds[mask_class(batch.role, earned=False)]
        learned = self.thresholds[mask_class(batch.role, earned=True)]
        return np.where(batch.state.earned, learned, new)

    def _is_fresh(self, subject: ClientSubject | HostSubject) -> bool:
        if subject.last >= self._last_tick:  # an event may come at the very time of a tick
            return True
        if isinstance(subject, ClientSubject):
            return False
        gauges = subject.gauges
        return gauges[G.HALF_OPEN] + gauges[G.EXTREME] + gauges[G.SILENT] >= HELD_IS_FRESH

    def _signs(
        self,
        batch: AnyBatch,
        places: NDArray[np.intp],
        scores: Scores,
        thresholds: NDArray[np.float64],
        now: float,
        clients: Batch[ClientSubject] | None,
    ) -> Iterable[Sign]:
        figures = self.watch.figures(batch, places)
        at_host = by_host(clients) if batch.role is Role.HOST else {}
        for number, place in enumerate(places):
            subject = batch.subjects[place]
            verdicts = self._verdicts[batch.role]
            began = verdicts.began(subject.row)
            part, sole = self._party(subject, began, now, at_host, batch.state.rates[place])
            errors = scores.errors[place]
            excess = attacks.in_excess(errors, batch.vectors.x[place], scores.reconstruction[place])
            observed = figures.observed[number]
            name, clear = attacks.name(
                attacks.shares(excess),
                observed,
                is_host=batch.role is Role.HOST,
                clients=len(part),
                sole_share=sole,
            )
            if name != "dos" and verdicts.verdict(subject.row) is Verdict.ODD:
                continue  # the one client's own sign says more
            score, threshold = float(scores.score[place]), float(thresholds[place])
            only = part[0] if len(part) == 1 else None
            yield Sign(
                time=now,
                first_seen=began,
                attack=name,
                severity=attacks.severity(name, score / threshold, len(part)),
                confidence=(1.0 - 0.5 * threshold / score) * (0.5 + 0.5 * clear),
                address=_address(subject),
                client_id=None if only is None else only.id,
                username=None if only is None else only.username,
                clients=tuple(client.id for client in part),
                whole_host=batch.role is Role.HOST,
                reasons=reasons.reasons(
                    errors,
                    excess,
                    observed,
                    figures.usual[number],
                    self._model.card.typical,
                ),
                score=score,
                threshold=threshold,
            )

    def _party(
        self,
        subject: ClientSubject | HostSubject,
        began: float,
        now: float,
        at_host: Mapping[HostSubject, Sequence[Loud]],
        rates: Floats,
    ) -> tuple[list[ClientSubject], float]:
        """The clients behind a sign, the loudest first, and its part of the host's publishes."""
        if isinstance(subject, ClientSubject):
            return [subject], 1.0
        since = began - JOINED_WITH
        verdicts = self._verdicts[Role.CLIENT]
        return party(
            at_host.get(subject, ()),
            lambda row: verdicts.verdict(row) is Verdict.CALM,
            since,
            usual=float(rates[H.NEW_IDS]) * (now - since),
        )


def _address(subject: ClientSubject | HostSubject) -> str:
    return subject.host.address if isinstance(subject, ClientSubject) else subject.address
