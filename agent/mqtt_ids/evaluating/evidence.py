"""What the vectors of an attack show, beside what was told of it: ROC, int8 and float, curves."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from mqtt_ids.alerts import Alert
from mqtt_ids.evaluating.results import Agreement, Curve
from mqtt_ids.evaluating.rivals import Components
from mqtt_ids.evaluating.spread import Spread
from mqtt_ids.evaluating.watching import accuses
from mqtt_ids.lab.actions import Truth
from mqtt_ids.scanning.curves import MOST_SUBJECTS, Curves
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.views import Judged
from mqtt_ids_model import Model, network_inputs, reconstruction_error

BEFORE: Final = 600.0  # seconds of calm that a curve shows


class Evidence:
    """Sees the rounds of judging while an attack goes on.

    `ours` and `pca` count the vectors of the attacker's own clients and addresses; `agreement`
    is about those of everybody, and None where the model does not keep its float weights.
    """

    def __init__(self, model: Model, components: Components, truth: Truth) -> None:
        self.ours, self.pca = Spread(), Spread()
        self._model, self._components, self._truth = model, components, truth
        self._int8 = self._floats = self._both = 0

    def judge(self, judged: Judged) -> None:
        """Take in one round."""
        truth = self._truth
        if not truth.start < judged.time <= truth.end:
            return
        self._agree(judged)
        mine = [involves(subject, truth) for subject in judged.batch.subjects]
        if any(mine):
            vectors, state = judged.batch.vectors, judged.batch.state
            scores = self._components.scores(
                vectors.x[mine], vectors.seen[mine], vectors.context[mine]
            )
            held = self._components.thresholds_of(judged.batch.role, state.earned[mine])
            self.pca.add(scores / held)
            self.ours.add(judged.scores[mine] / judged.thresholds[mine])

    @property
    def agreement(self) -> Agreement | None:
        """How int8 and float agree."""
        if self._model.net is None:
            return None
        return Agreement(int8=self._int8, floats=self._floats, both=self._both)

    def _agree(self, judged: Judged) -> None:
        if self._model.net is None:
            return
        vectors = judged.batch.vectors
        back = self._model.net.forward(network_inputs(vectors.x, vectors.seen, vectors.context))
        floats = reconstruction_error(vectors.x, back, vectors.seen)[0] > judged.thresholds
        int8 = judged.scores > judged.thresholds
        self._int8 += int(np.count_nonzero(int8))
        self._floats += int(np.count_nonzero(floats))
        self._both += int(np.count_nonzero(int8 & floats))


def involves(subject: ClientSubject | HostSubject, truth: Truth) -> bool:
    """Whether it is one of the attacker's clients, or one of its addresses."""
    if isinstance(subject, ClientSubject):
        return subject.id in truth.client_ids
    return subject.address in truth.addresses


def curve(curves: Curves, alerts: Iterable[Alert], truth: Truth, title: str) -> Curve | None:
    """The scores of the attacker's most striking subject; None where it was never judged.

    Times count from the attack's start. `alerts` are the detector's.
    """
    names = {f"client {one}" for one in truth.client_ids}
    names |= {f"host {one}" for one in truth.addresses}
    mine = [one for one in curves.highest(MOST_SUBJECTS) if one.name in names]
    if not mine:
        return None
    top = max(mine, key=lambda one: one.top)
    points = [
        (time - truth.start, ratio)
        for time, ratio in zip(top.times, top.ratios, strict=True)
        if time >= truth.start - BEFORE
    ]
    return Curve(
        title=f"{title}, {top.name.partition(' ')[0]}",
        times=tuple(time for time, _ in points),
        ratios=tuple(ratio for _, ratio in points),
        incidents=_incidents(alerts, truth, points[-1][0]),
    )


def _incidents(
    alerts: Iterable[Alert], truth: Truth, end: float
) -> tuple[tuple[float, float, str], ...]:
    """The incidents above info of the attacker: from when on it was told, until when, its name."""
    spans: dict[str, tuple[float, float, str]] = {}
    for alert in alerts:
        if alert.severity != "info" and accuses(alert, truth)[0]:
            now = alert.time - truth.start
            since = spans[alert.id][0] if alert.id in spans else now
            spans[alert.id] = (since, now if alert.state == "closed" else end, alert.attack)
    return tuple(spans.values())
