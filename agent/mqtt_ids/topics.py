"""Who owns which topic: the first client that publishes there, until it is shared or forgotten.

Bounded: per host and in all. Topics are kept as hashes keyed by the process, so an
attacker can neither collide with one nor make us hold long strings.
"""

import zlib
from collections import OrderedDict

ALIVE_FOR = 900.0  # seconds without a publish after which an owner is no longer defended
OWNED_AFTER = 900.0  # seconds after which ownership counts
EXPIRES_AFTER = 7 * 86_400.0  # seconds without a publish after which a topic is forgotten
SETTLED_PUBLISHES = 20  # before which an owner is easily forgotten, and its loss is no fact
_FEWEST = 64
_SEARCHED = 64  # how many are looked at for one to forget: O(1)
_SIEVE_BITS = 1024


class Owner:
    """One owned topic. `client` is the owner's key; `count` its publishes there."""

    __slots__ = ("client", "count", "host", "last", "shared", "since")

    def __init__(self, client: str, host: str, now: float) -> None:
        self.client = client
        self.host = host
        self.since = now
        self.last = now
        self.count = 1
        self.shared = False

    def defended(self, now: float) -> bool:
        """Whether a publish by another is worth a word: an exclusive, settled, living owner."""
        return (
            not self.shared
            and now - self.since >= OWNED_AFTER
            and now - self.last <= max(ALIVE_FOR, 3.0 * (self.last - self.since) / self.count)
        )


class Topics:
    """The owned topics. When there are too many, one that was little used makes room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owners: OrderedDict[int, Owner] = OrderedDict()
        self._per_host: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def owner(self, topic: str) -> Owner | None:
        """Who owns `topic`, if anyone."""
        return self._owners.get(hash(topic))

    def claim(self, topic: str, client: str, host: str, now: float) -> None:
        """Make `client` the owner of `topic`; a host may own a quarter of all at most."""
        owned = self._per_host.get(host, 0)
        if owned >= max(_FEWEST, self._limit // 4):
            return
        if len(self._owners) >= self._limit:
            self._make_room()
        self._owners[hash(topic)] = Owner(client, host, now)
        self._per_host[host] = owned + 1

    def expire(self, now: float) -> None:
        """Forget topics that nobody has published to for a week. Looks at each of them."""
        for key in [k for k, o in self._owners.items() if now - o.last >= EXPIRES_AFTER]:
            self._forget(key)

    def _make_room(self) -> None:
        for _ in range(_SEARCHED):
            key, owner = next(iter(self._owners.items()))
            if owner.count < SETTLED_PUBLISHES:
                break
            self._owners.move_to_end(key)
        self._forget(next(iter(self._owners)))

    def _forget(self, key: int) -> None:
        owner = self._owners.pop(key)
        left = self._per_host[owner.host] - 1
        if left:
            self._per_host[owner.host] = left
        else:
            del self._per_host[owner.host]


class Sieve:
    """Which topics one client has used: a Bloom filter of 128 bytes, so it can only over-know.

    Used where ownership does not answer: topics of others, and topics beyond the bounds.
    """

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray(_SIEVE_BITS // 8)

    def add(self, topic: str) -> bool:
        """Remember `topic`; True if it was certainly not known before."""
        place = zlib.crc32(topic.encode("utf-8", "replace"))
        new = False
        for bit in (place % _SIEVE_BITS, (place >> 16) % _SIEVE_BITS):
            byte, mask = bit >> 3, 1 << (bit & 7)
            if not self._bits[byte] & mask:
                self._bits[byte] |= mask
                new = True
        return new
