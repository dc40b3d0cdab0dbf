"""What a detector shows of its work: its clients, and each round of judging."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.subjects import ClientSubject
from mqtt_ids.verdicts import Verdicts
from mqtt_ids.watch import AnyBatch
from mqtt_ids.windows import Floats


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """One client, for people. Times are on the sensor's clock, in seconds."""

    client_id: str
    address: str | None
    username: str | None
    connected: bool
    since: float
    last: float
    verdict: str
    score: float | None
    learned: bool


def views_of(
    clients: Sequence[ClientSubject], learned: Iterable[bool], verdicts: Verdicts
) -> list[ClientView]:
    """These clients, for people; `learned` tells who has a normal."""
    return [
        ClientView(
            client_id=client.id,
            address=client.host.address,
            username=client.username,
            connected=client.connected,
            since=client.since,
            last=client.last,
            verdict=verdicts.verdict(client.row).name.lower(),
            score=verdicts.score(client.row),
            learned=bool(earned),
        )
        for client, earned in zip(clients, learned, strict=True)
    ]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One round of judging, row by row: whom, by which score, and held against what.

    `fresh` tells who did something since the last round: others add no evidence.
    """

    time: float
    batch: AnyBatch
    scores: Floats
    thresholds: NDArray[np.float64]
    fresh: NDArray[np.bool_]
