"""One stream of events past several methods at once: the detector, its ablations, and rivals.

The clock is that of the events: each detector is ticked once a second of it. No method is told
what the truth is; `found` and `alarms` hold their alerts against it afterwards.
"""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np

from mqtt_ids.alerts import SEVERITIES, Alert
from mqtt_ids.detector import Detector
from mqtt_ids.evaluating.results import CONSTANT, MEAN_STD, NO_FACTS, OURS, Alarm, Found
from mqtt_ids.events import SEES_ALL, AnyEvent, Connected, Event, Sees
from mqtt_ids.lab.actions import Truth
from mqtt_ids.names import bounded
from mqtt_ids.views import Judged
from mqtt_ids_model import Model, Scores
from mqtt_ids_model.arrays import Flags, Floats

TICK: Final = 1.0  # seconds
PAST_THE_END: Final = 30.0  # seconds for which the clock runs on after a stream's end
OWN: Final = (OURS, NO_FACTS, CONSTANT, MEAN_STD)  # methods that give names
GRACE: Final = 30.0  # seconds after an attack in which it may still be found
_CALM: Final = 0.5  # of the lowest threshold: what a score is held constant at

Told = dict[str, list[Alert]]  # by method, in order of time; notes and closings are among them


class Rival(Protocol):
    """A method beside the detector, on the very same stream."""

    method: str

    def alerts(self) -> list[Alert]:
        """All that it has told of the stream."""


class EventRival(Rival, Protocol):
    """A rival that looks at events."""

    def feed(self, event: Event) -> None:
        """Take in one event."""


class VectorRival(Rival, Protocol):
    """A rival that looks at the vectors of our detector, as each round judges them."""

    def judge(self, judged: Judged) -> None:
        """Take in one round. Its arrays are the caller's: what is kept must be copied."""


class Watcher:
    """Detectors and rivals that watch one stream. `take` its parts one after the other.

    OURS always watches; `also` names further detectors, of OWN. Rivals are `eager` for events or
    `judges` of vectors; `observers` see OURS' rounds of judging as the latter do. `heeds` is told
    each alert of OURS, and the detector. The clock ticks from `start` on.
    """

    def __init__(
        self,
        model: Model,
        *,
        start: float,
        also: Collection[str] = (),
        eager: Sequence[EventRival] = (),
        judges: Sequence[VectorRival] = (),
        observers: Sequence[Callable[[Judged], None]] = (),
        heeds: Callable[[Alert, Detector], None] | None = None,
        sees: Sees = SEES_ALL,
    ) -> None:
        self._eager = eager
        self._judges = judges
        self._rounds = _Rounds([*(rival.judge for rival in judges), *observers])
        self._models: list[Model] = []
        self.events = 0
        self._heeds = heeds
        self._due = start + TICK
        self._last = start
        self._told: Told = {}
        self._detectors: dict[str, Detector] = {}
        for method in dict.fromkeys((OURS, *also)):
            self._told[method] = []
            self._detectors[method] = self._detector(method, model, sees)

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Watch these events, which are later than all before."""
        first, *rest = [detector.feed for detector in self._detectors.values()]
        rest += [rival.feed for rival in self._eager]
        due, count, last = self._due, 0, self._last
        for event in events:
            if event.time >= due:
                due = self.run_to(event.time)
            first(event)
            for feed in rest:
                feed(event)
            last = event.time
            count += 1
        self._last = last
        self.events += count

    def run_to(self, time: float) -> float:
        """Tick up to `time`; when the next tick is due."""
        while self._due <= time:
            now = self._due
            for method, detector in self._detectors.items():
                alerts = detector.tick(now)
                if alerts:
                    self._told[method] += alerts
                    if self._heeds is not None and method == OURS:
                        for alert in alerts:
                            self._heeds(alert, detector)
            self._due = now + TICK
        return self._due

    def finish(self) -> None:
        """Let the clock run on past the last event. That all are silent then is no news."""
        end = self._last
        self.run_to(end + PAST_THE_END)
        for method, alerts in self._told.items():
            late = {a.id for a in alerts if a.attack == "silence" and a.first_seen > end}
            self._told[method] = [alert for alert in alerts if alert.id not in late]

    def observe(self, observer: Callable[[Judged], None]) -> None:
        """From now on this one sees OURS' rounds of judging too."""
        self._rounds.observers.append(observer)

    def fork(self, methods: Collection[str]) -> "Watcher":
        """Another that knows the same so far, with these of the detectors. Models are shared."""
        kept = [method for method in self._detectors if method in methods]
        memo: dict[int, object] = {id(model): model for model in self._models}
        memo[id(self._detectors)] = {m: copy.deepcopy(self._detectors[m], memo) for m in kept}
        memo[id(self._told)] = {method: [*self._told[method]] for method in kept}
        return copy.deepcopy(self, memo)

    def told(self) -> Told:
        """What each method has told so far."""
        return self._told | {
            rival.method: rival.alerts() for rival in (*self._eager, *self._judges)
        }

    def _detector(self, method: str, model: Model, sees: Sees) -> Detector:
        if method == CONSTANT:
            model = Unmoved(model.card, model.scorer, model.net)
        self._models.append(model)
        return Detector(
            model,
            sees=sees,
            threshold="mean-std" if method == MEAN_STD else "budget",
            facts=method != NO_FACTS,
            judged=self._rounds if method == OURS else None,
        )


class _Rounds:
    """Hands each round of judging to all who want to see it."""

    def __init__(self, observers: list[Callable[[Judged], None]]) -> None:
        self.observers = observers

    def __call__(self, judged: Judged) -> None:
        for observe in self.observers:
            observe(judged)


def watch(watcher: Watcher, events: Iterable[AnyEvent], truth: Truth | None = None) -> Told:
    """What each method tells of a whole stream, and for a while past its end.

    `truth` is completed on the way with ids that a broker made up, and shown to nobody.
    """
    watcher.take(events if truth is None else completing(events, truth))
    watcher.finish()
    return watcher.told()


def completing(events: Iterable[AnyEvent], truth: Truth) -> Iterator[AnyEvent]:
    """The same events; the ids that the attacker's connections get are added to `truth`."""
    connections, ids = truth.connections, truth.client_ids
    for event in events:
        if type(event) is Connected and event.connection in connections:
            ids.add(event.client_id or "")
        yield event


# --- holding alerts against the truth ------------------------------------------------------


def found(alerts: Iterable[Alert], truth: Truth, *, notes: Collection[str] = ()) -> Found:
    """What these alerts of one method make of one attack.

    An alert accuses the attacker where it names one of the attacker's ids, or nobody but one of
    its addresses. It accuses somebody else by any other id that it names, on a shared address
    too, and by any other address. Notes count only where they bear one of the names in `notes`.
    What was told by the start is no finding, until its name or severity is another; nor is what
    is first told of the attacker later than GRACE after the end.
    """
    before: dict[str, tuple[str, str]] = {}  # the last word on each incident
    hits: list[Alert] = []
    hit: set[str] = set()
    innocent: set[str] = set()
    for alert in alerts:
        word = (alert.attack, alert.severity)
        if alert.time <= truth.start:  # a tick at the very start has judged only what was before
            before[alert.id] = word
            continue
        is_note = alert.severity == "info"
        if alert.state == "closed" or (is_note and alert.attack not in notes):
            continue
        attacker, others = accuses(alert, truth)
        is_new = before.get(alert.id) != word and alert.time <= truth.end + GRACE
        if attacker and (is_new or alert.id in hit):
            hit.add(alert.id)
            hits.append(alert)
        if others and not is_note and alert.id not in before:
            innocent.add(alert.id)
    if not hits:
        return Found(after=None, others=len(innocent))
    words = {alert.id: alert for alert in hits}  # the last one on each incident
    gravest = max(words.values(), key=lambda alert: SEVERITIES.index(alert.severity))
    return Found(
        after=hits[0].time - truth.start,
        first_name=hits[0].attack,
        last_name=gravest.attack,
        others=len(innocent),
    )


def accuses(alert: Alert, truth: Truth) -> tuple[bool, bool]:
    """Whether the alert accuses the attacker, and whether it accuses anybody else."""
    named = {*alert.clients, alert.client_id} - {None}
    guilty = {bounded(client_id) for client_id in truth.client_ids}
    attacker = bool(named & guilty) or (not named and alert.address in truth.addresses)
    return attacker, bool(named - guilty) or not attacker


def alarms(
    alerts: Iterable[Alert],
    method: str,
    start: float,
    case: Callable[[Alert], str | None] = lambda _: None,
) -> tuple[Alarm, ...]:
    """The incidents above info: when each was told first, and the last word on it."""
    opened: dict[str, float] = {}
    words: dict[str, Alert] = {}
    for alert in alerts:
        if alert.severity != "info":
            opened.setdefault(alert.id, alert.time)
            words[alert.id] = alert
    return tuple(
        Alarm(
            time=opened[alert.id] - start,
            attack=alert.attack if method in OWN else None,
            severity=alert.severity if method in OWN else None,
            client_id=alert.client_id,
            address=alert.address,
            ratio=ratio(alert),
            reasons=tuple(reason.text for reason in alert.reasons),
            case=case(alert),
        )
        for alert in words.values()
    )


def noted(alerts: Iterable[Alert]) -> dict[str, int]:
    """How many incidents of severity info there were, by name."""
    notes = {alert.id: alert.attack for alert in alerts if alert.severity == "info"}
    return dict(Counter(notes.values()))


def ratio(alert: Alert) -> float | None:
    """Its score in thresholds; None for a fact."""
    if alert.score is None or alert.threshold is None:
        return None
    return alert.score / alert.threshold


class Unmoved(Model):
    """A model that gives every vector the same score: half of its lowest threshold."""

    def score(self, x: Floats, seen: Flags, context: Floats) -> Scores:
        """As a model scores, but for the score."""
        found = super().score(x, seen, context)
        lowest = min(value for each in self.card.thresholds.values() for value in each.values())
        calm = np.full_like(found.score, _CALM * lowest)
        return Scores(calm, found.errors, found.reconstruction)
