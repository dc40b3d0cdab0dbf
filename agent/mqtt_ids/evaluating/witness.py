"""What the detector says of attackers, sign by sign, and the vectors that it was read from."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.evaluating.classifier import inputs
from mqtt_ids.evaluating.watching import completing
from mqtt_ids.events import SEES_ALL, AnyEvent, Sees
from mqtt_ids.feature_table import NAMES, Role
from mqtt_ids.incidents import Incidents, Sign
from mqtt_ids.lab.actions import Truth
from mqtt_ids.names import bounded
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.views import Judged
from mqtt_ids.watch import AnyBatch
from mqtt_ids.windows import Floats
from mqtt_ids_model import Model

PAST_THE_END = 5  # seconds of ticks after the last event
MOST_SIGNS = 20  # of a round that are kept: facts, hosts, and then the strongest clients


class Accused(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of attackers in one round: signs, and the row of each among the vectors.

    A fact has no row: the network was not asked.
    """

    time: float
    signs: tuple[Sign, ...]
    rows: tuple[int | None, ...]


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """All that was said of the attackers of one trial, and the vectors it was said of.

    `name` is the true one. `rows` (n, inputs) are for a classifier, `errors` (n, F) squared.
    """

    name: str
    source: str
    rounds: tuple[Accused, ...]
    rows: Floats
    errors: Floats


def collect_events(
    events: Iterable[AnyEvent],
    truth: Truth,
    *,
    name: str,
    source: str,
    model: Model,
    sees: Sees = SEES_ALL,
) -> Collected:
    """Watch any stream of events; `name` is what the attack in it should be called.

    `truth` may be filled while the events are drawn.
    """
    witness = Witness(model, sees, truth)
    due: float | None = None
    for event in completing(events, truth):
        due = event.time + 1.0 if due is None else due
        while event.time >= due:
            witness.tick(due)
            due += 1.0
        witness.feed(event)
    if due is not None:
        for second in range(PAST_THE_END):
            witness.tick(due + second)
    return witness.collected(name, source)


class Witness(Detector):
    """The detector as it is shipped, that keeps what it says of the attackers."""

    def __init__(self, model: Model, sees: Sees, truth: Truth) -> None:
        super().__init__(model, sees=sees, judged=self._look)
        self._incidents = _Listening(self._hear)
        self._truth = truth
        self._seen: list[Judged] = []  # of the latest round
        self._rounds: list[Accused] = []
        none = np.empty((0, len(NAMES)), np.float32)
        self._rows = [inputs(none, none.astype(bool), none, [])]
        self._errors = [none]
        self._count = 0

    def collected(self, name: str, source: str) -> Collected:
        """What was kept."""
        return Collected(
            name=name,
            source=source,
            rounds=tuple(self._rounds),
            rows=np.concatenate(self._rows),
            errors=np.concatenate(self._errors),
        )

    def _look(self, judged: Judged) -> None:
        if self._seen and self._seen[0].time != judged.time:
            self._seen.clear()
        self._seen.append(judged)

    def _hear(self, signs: Sequence[Sign], now: float) -> None:
        """Keep the signs of attackers, and the vectors that they were read from."""
        if now <= self._truth.start:
            return
        mine = sorted(self._of_attackers(signs), key=_importance)[:MOST_SIGNS]
        if not mine:
            return
        rows: dict[int, int] = {}
        for judged in self._seen:
            if judged.time == now:
                self._keep(judged.batch, mine, rows)
        accused = Accused(
            time=now,
            signs=tuple(msgspec.structs.replace(sign, reasons=()) for sign in mine),
            rows=tuple(rows.get(number) for number in range(len(mine))),
        )
        self._rounds.append(accused)

    def _of_attackers(self, signs: Sequence[Sign]) -> Iterator[Sign]:
        addresses = self._truth.addresses
        guilty = {bounded(one) for one in self._truth.client_ids} if signs else set()
        for sign in signs:
            if sign.address in addresses if sign.whole_host else guilty & set(sign.clients):
                yield sign

    def _keep(self, batch: AnyBatch, signs: Sequence[Sign], rows: dict[int, int]) -> None:
        """Keep what of this batch `signs` were read from; `rows` gets the row of each sign."""
        is_host = batch.role is Role.HOST
        wanted = {
            sign.address if is_host else sign.clients[0]: number
            for number, sign in enumerate(signs)
            if sign.score is not None and sign.whole_host is is_host
        }
        found = []
        subjects: Sequence[ClientSubject | HostSubject] = batch.subjects
        for place, subject in enumerate(subjects):
            whom = subject.address if isinstance(subject, HostSubject) else subject.id
            if whom in wanted:
                found.append((place, wanted[whom]))
        if not found:
            return
        places = np.array([place for place, _ in found])
        vectors = batch.vectors
        x, seen = vectors.x[places], vectors.seen[places]
        errors = self._model.score(x, seen, vectors.context[places]).errors
        clients = [len(signs[number].clients) for _, number in found]
        self._rows.append(inputs(x, seen, errors, clients))
        self._errors.append(errors)
        for _, number in found:
            rows[number] = self._count
            self._count += 1


class _Listening(Incidents):
    """Incidents that tell which signs they get."""

    def __init__(self, hear: Callable[[Sequence[Sign], float], None]) -> None:
        super().__init__(map(str, itertools.count()).__next__)
        self._hear = hear

    def tick(self, signs: Iterable[Sign], now: float) -> list[Alert]:
        """The same as ever."""
        heard = list(signs)
        self._hear(heard, now)
        return super().tick(heard, now)


def ratio(sign: Sign) -> float:
    """Its score in thresholds; 0 for a fact."""
    if sign.score is None or sign.threshold is None:
        return 0.0
    return sign.score / sign.threshold


def _importance(sign: Sign) -> tuple[bool, bool, float]:
    """Facts first, then hosts, then the strongest."""
    return (sign.score is not None, not sign.whole_host, -ratio(sign))
