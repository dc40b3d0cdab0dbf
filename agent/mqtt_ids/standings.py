"""Who is odd just now: the clients nearest to their thresholds, for people who watch."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from mqtt_ids.counters import Client as C
from mqtt_ids.feature_table import Role
from mqtt_ids.mask_classes import mask_class
from mqtt_ids.names import known_address
from mqtt_ids.normal import HALF_LIFE
from mqtt_ids.verdicts import Verdicts
from mqtt_ids.watch import Watch
from mqtt_ids.windows import HALF_LIVES, weight

_WINDOW = HALF_LIVES.index(10.0)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One client now. `rate` is of its publishes per second, in the last ten seconds or so.

    `ratio` is its score in thresholds; None before the first. `learned` is how much of a day of
    calm is behind its normal, 0..1.
    """

    client_id: str
    address: str | None
    connected: bool
    verdict: str
    rate: float
    score: float | None
    ratio: float | None
    learned: float


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """The oddest clients, the oddest first, and how many there are of all."""

    clients: int
    connected: int
    learned: int
    oddest: Sequence[Standing]


def standings(
    watch: Watch,
    verdicts: Verdicts,
    thresholds: Mapping[str, float],
    most: int,
    now: float,
) -> Standings:
    """The `most` oddest clients. Looks at all of them in one sweep, and closely at these only."""
    watch.settle_newcomers()
    clients = list(watch.tally.clients)
    rows = np.array([client.row for client in clients], np.intp)
    normal = watch.normal(Role.CLIENT)
    earned = normal.earned(rows)
    scores = np.array([verdicts.score(client.row) or 0.0 for client in clients])
    limits = [thresholds[mask_class(Role.CLIENT, earned=each)] for each in (False, True)]
    ratios = scores / np.array(limits)[earned.astype(np.intp)]
    first = np.argsort(-ratios, kind="stable")[:most]
    counts = watch.read(Role.CLIENT, rows[first], now)[:, C.PUBLISHES, _WINDOW]
    rates = counts / weight(HALF_LIVES[_WINDOW])
    calm = np.minimum(normal.calm_seconds(rows[first]) / HALF_LIFE, 1.0)
    oddest = []
    for number, place in enumerate(first.tolist()):
        client = clients[place]
        score = verdicts.score(client.row)
        oddest.append(
            Standing(
                client_id=client.id,
                address=known_address(client.host.address),
                connected=client.connected,
                verdict=verdicts.verdict(client.row).name.lower(),
                rate=round(float(rates[number]), 3),
                score=score,
                ratio=None if score is None else round(float(ratios[place]), 4),
                learned=round(float(calm[number]), 3),
            )
        )
    return Standings(
        clients=len(clients),
        connected=sum(client.connected for client in clients),
        learned=int(earned.sum()),
        oddest=oddest,
    )
