"""Which clients are behind a sign of their host."""

from collections.abc import Callable, Sequence
from typing import Final

from mqtt_ids.counters import Client
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.watch import Batch

EVERYDAY: Final = 3.0  # times as many new ids as usual, that are no sign of anything
FEW: Final = 0.5  # less than one id: where they are rare, each counts

Loud = tuple[float, ClientSubject]  # its publishes in the shortest window


def by_host(clients: Batch[ClientSubject] | None) -> dict[HostSubject, list[Loud]]:
    """The clients that are judged at each host, and how loud they are."""
    at_host: dict[HostSubject, list[Loud]] = {}
    if clients is not None:
        loud = clients.state.counts[:, Client.PUBLISHES, 0].tolist()
        for publishes, client in zip(loud, clients.subjects, strict=True):
            at_host.setdefault(client.host, []).append((publishes, client))
    return at_host


def party(
    here: Sequence[Loud], calm: Callable[[int], bool], since: float, *, usual: float
) -> tuple[list[ClientSubject], float]:
    """Of the clients at a host those that are odd, or have come after `since` with the attack.

    They come the loudest first, and with the first one's part of the host's publishes. `calm` tells
    it of a row, and `usual` is how many new ids come to this host in that time on any other day: a
    script that calls itself differently each time must not be accused of what its neighbour does.
    """
    odd = [one for one in here if not calm(one[1].row)]
    newcomers = [one for one in here if one[1].since >= since and calm(one[1].row)]
    part = [*odd, *newcomers] if len(newcomers) > EVERYDAY * usual + FEW else odd
    part.sort(key=lambda entry: -entry[0])
    whole = sum(loud for loud, _ in here)
    sole = part[0][0] / whole if part and whole > 0.0 else 0.0
    return [client for _, client in part], sole
