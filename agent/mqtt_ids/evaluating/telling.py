"""What a rival tells: its verdicts with the detector's persistence, as the detector's incidents.

So one attack is one alarm for each method, and a rival is no better or worse by how it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mqtt_ids.feature_table import Role
from mqtt_ids.incidents import Incidents, Sign
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.verdicts import Verdict, Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mqtt_ids.alerts import Alert
    from mqtt_ids.windows import Floats

Subject = ClientSubject | HostSubject


class Story:
    """Signs as incidents and their alerts, by the rules of the detector's own incidents."""

    def __init__(self) -> None:
        self._number = 0
        self._incidents = Incidents(self._new_id)
        self.alerts: list[Alert] = []

    def tell(self, signs: Sequence[Sign], now: float) -> None:
        """Take in signs of `now`, no earlier than those before."""
        if self._incidents.active:  # what ended by now must not be taken up again
            self.alerts += self._incidents.tick((), now)
        self.alerts += self._incidents.tick(signs, now)

    def _new_id(self) -> str:
        self._number += 1
        return str(self._number)


def sign(now: float, subject: Subject | str, score: float, threshold: float) -> Sign:
    """An alarm on a subject, or on an address. A rival gives no name and no reasons."""
    client = subject if isinstance(subject, ClientSubject) else None
    address = subject if isinstance(subject, str) else _address(subject)
    return Sign(
        time=now,
        first_seen=now,
        attack="unusual",
        severity="medium",
        confidence=0.5,
        address=address,
        client_id=None if client is None else client.id,
        username=None,
        clients=() if client is None else (client.id,),
        whole_host=client is None,
        reasons=(),
        score=score,
        threshold=threshold,
    )


def _address(subject: Subject) -> str:
    return subject.host.address if isinstance(subject, ClientSubject) else subject.address


class Persistence:
    """Verdicts on rounds of judging, with the detector's persistence, as incidents."""

    def __init__(self) -> None:
        self.story = Story()
        self._verdicts = {role: Verdicts() for role in Role}
        self._known: dict[tuple[Role, int], Subject] = {}

    def judge(
        self,
        role: Role,
        subjects: Sequence[Subject],
        scores: Floats,
        thresholds: NDArray[np.float64],
        fresh: NDArray[np.bool_],
        now: float,
    ) -> None:
        """One round. A round in which nothing is above its threshold may be left out."""
        verdicts = self._verdicts[role]
        for subject in subjects:  # rows are given to others when their subjects are forgotten
            if self._known.get((role, subject.row)) is not subject:
                self._known[role, subject.row] = subject
                verdicts.start(subject.row)
        rows = np.array([subject.row for subject in subjects], np.intp)
        verdict = verdicts.judge(rows, scores, thresholds, fresh, now)
        places = np.flatnonzero(verdict == Verdict.ATTACK).tolist()
        if len(places):
            self.story.tell(
                [sign(now, subjects[i], float(scores[i]), float(thresholds[i])) for i in places],
                now,
            )
