"""A flood that grows from a hundred to a million messages/s, rung by rung, in int8 and float.

Each rung is a home of its own time: calm at first, so that its clients have a normal, then the
flood, every message of it an event. Its score should only grow with it.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec
import numpy as np

from mqtt_ids.evaluating.results import Step
from mqtt_ids.evaluating.watching import Watcher, completing
from mqtt_ids.feature_table import Role
from mqtt_ids.lab.actions import Truth
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.verdicts import Verdict, Verdicts
from mqtt_ids.views import Judged
from mqtt_ids_model import Autoencoder, Model, ModelError, network_inputs, reconstruction_error

CALM: Final = 3000.0  # seconds before the flood
LASTS: Final = 10.0  # seconds of a flood,
LASTS_LOUDEST: Final = 3.0  # and of one that is louder than
LOUD: Final = 10**5.75  # messages/s
RATES: Final = tuple(round(10 ** (half / 2)) for half in range(4, 13))  # 10^2, 10^2.5, .. 10^6
FEW_RATES: Final = RATES[:5:2]
HOME: Final = 75_000  # of the whole form,
SHORT_HOME: Final = 9_600  # and of the short one: anybody may look at it while developing
IDENTITIES: Final[tuple["Identity", ...]] = ("new", "client")
EVENING: Final = 18.5 * 3600.0  # of a Monday

Identity = Literal["new", "client"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One rung: a flood of `rate` messages/s in the home of this seed, by a new or known client."""

    rate: int
    identity: Identity
    seed: int
    model: str = DEFAULT


def jobs(*, short: bool, model: str = DEFAULT) -> list[Job]:
    """All rungs, the loudest first: they take longest."""
    rates, seed = (FEW_RATES, SHORT_HOME) if short else (RATES, HOME)
    return [
        Job(rate=rate, identity=identity, seed=seed, model=model)
        for rate in sorted(rates, reverse=True)
        for identity in IDENTITIES
    ]


def climb(job: Job) -> list[Step]:
    """What the rung makes of the flooding client, and of its host.

    Raises ModelError for a model without its float weights.
    """
    model = open_model(job.model)
    if model.net is None:
        raise ModelError(f"{job.model}: has no float weights to compare with")
    home = make_home(job.seed, family="test")
    lasts = LASTS if job.rate < LOUD else LASTS_LOUDEST
    begin = EVENING + CALM
    attacker = Attacker(home, job.seed, start=begin, duration=lasts, identity=job.identity)
    attack = attacker.flood(rate=float(job.rate))
    gauge = _Gauge(model, model.net, attack.truth)
    watcher = Watcher(model, start=EVENING, observers=(gauge.see,))
    events = record(home, [attack], start=EVENING, duration=CALM + lasts)
    watcher.take(completing(events, attack.truth))
    watcher.run_to(begin + lasts + 1.0)
    return list(gauge.steps(job))


class _Gauge:
    """The highest scores and the verdicts on the flooding client and its host."""

    def __init__(self, model: Model, net: Autoencoder, truth: Truth) -> None:
        self._model = model
        self._net = net
        self._truth = truth
        self._verdicts = {role: Verdicts() for role in Role}
        self._highest = {role: np.zeros(2) for role in Role}  # int8, float; in thresholds
        self._gravest = dict.fromkeys(Role, Verdict.CALM)
        self._mildest: dict[Role, Verdict] = {}  # after the first attack, while the flood lasts
        for verdicts in self._verdicts.values():
            verdicts.start(0)

    def see(self, judged: Judged) -> None:
        """Take in one round of judging."""
        if judged.time <= self._truth.start:
            return
        subjects = judged.batch.subjects
        for row in range(len(subjects)):
            if self._is_meant(subjects[row]):
                self._judge(judged, row)

    def steps(self, job: Job) -> Iterator[Step]:
        """The rung: the client, then the host."""
        whose = "new client" if job.identity == "new" else "known client"
        for role, by in ((Role.CLIENT, whose), (Role.HOST, f"host of a {whose}")):
            int8, floats = self._highest[role].tolist()
            mildest = self._mildest.get(role)
            yield Step(
                rate=float(job.rate),
                by=by,
                int8=int8,
                floats=floats,
                verdict=self._gravest[role].name.lower(),
                afterwards=None if mildest is None else mildest.name.lower(),
            )

    def _is_meant(self, subject: ClientSubject | HostSubject) -> bool:
        if isinstance(subject, ClientSubject):
            return subject.id in self._truth.client_ids
        return subject.address in self._truth.addresses

    def _judge(self, judged: Judged, row: int) -> None:
        role, vectors = judged.batch.role, judged.batch.vectors
        x, seen, context = vectors.x[[row]], vectors.seen[[row]], vectors.context[[row]]
        out = self._net.forward(network_inputs(x, seen, context))
        score, threshold = judged.scores[[row]], judged.thresholds[[row]]
        floats = reconstruction_error(x, out, seen)[0]
        ratios = np.concatenate((score, floats)) / threshold
        self._highest[role] = np.maximum(self._highest[role], ratios)
        first = np.zeros(1, np.intp)
        fresh = judged.fresh[[row]]
        judgement = self._verdicts[role].judge(first, score, threshold, fresh, judged.time)
        verdict = Verdict(int(judgement[0]))
        self._gravest[role] = max(self._gravest[role], verdict)
        if self._gravest[role] is Verdict.ATTACK and judged.time <= self._truth.end:
            self._mildest[role] = min(self._mildest.get(role, verdict), verdict)
