"""Who owns which topic: the first client that publishes there, until it is shared or forgotten.

Bounded: per host and in all. Topics are kept as hashes keyed by the process, so an
attacker can neither collide with one nor make us hold long strings. For the next process each
has a digest, which costs more: it is made once, and asked for only while what was restored has
not come back.
"""

import hashlib
import math
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

ALIVE_FOR = 900.0  # seconds without a publish after which an owner is no longer defended
OWNED_AFTER = 900.0  # seconds after which ownership counts
EXPIRES_AFTER = 7 * 86_400.0  # seconds without a publish after which a topic is forgotten
SETTLED_PUBLISHES = 20  # before which an owner is easily forgotten, and its loss is no fact
_FEWEST = 64
_SEARCHED = 64  # how many are looked at for one to forget: O(1)
_SIEVE_BITS = 1024
_SIEVE_PROBES = 2
_DIGEST = 8  # bytes
_DIGEST_KEY = 16  # bytes


class Owner:
    """One owned topic. `client` is the owner's key; `count` its publishes there."""

    __slots__ = ("client", "count", "digest", "host", "last", "shared", "since")

    def __init__(self, client: str, host: str, now: float, digest: int = 0) -> None:
        self.client = client
        self.host = host
        self.digest = digest
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
        self._awaited: dict[int, Owner] = {}  # by digest: restored, and not seen since
        self._per_host: dict[str, int] = {}
        self.digest_key = secrets.token_bytes(_DIGEST_KEY)

    def __len__(self) -> int:
        return len(self._owners) + len(self._awaited)

    def __iter__(self) -> Iterator[Owner]:
        yield from self._awaited.values()
        yield from self._owners.values()

    def owner(self, topic: str) -> Owner | None:
        """Who owns `topic`, if anyone."""
        found = self._owners.get(hash(topic))
        if found is None and self._awaited:
            found = self._awaited.pop(self._digest(topic), None)
            if found is not None:
                self._owners[hash(topic)] = found
        return found

    def claim(self, topic: str, client: str, host: str, now: float) -> None:
        """Make `client` the owner of `topic`; a host may own a quarter of all at most."""
        owned = self._per_host.get(host, 0)
        if owned >= max(_FEWEST, self._limit // 4):
            return
        if len(self) >= self._limit:
            self._make_room()
        self._owners[hash(topic)] = Owner(client, host, now, self._digest(topic))
        self._per_host[host] = owned + 1

    def put_back(self, owner: Owner) -> None:
        """Know an owner of before, whose digest is of the key of before."""
        if len(self) < self._limit and owner.digest not in self._awaited:
            self._awaited[owner.digest] = owner
            self._per_host[owner.host] = self._per_host.get(owner.host, 0) + 1

    def expire(self, now: float) -> None:
        """Forget topics that nobody has published to for a week. Looks at each of them."""
        self._forget_where(lambda owner: now - owner.last >= EXPIRES_AFTER)

    def disown(self, client: str) -> None:
        """Forget what `client` owns. Looks at each topic."""
        self._forget_where(lambda owner: owner.client == client)

    def _forget_where(self, gone: Callable[[Owner], bool]) -> None:
        for key in [key for key, owner in self._owners.items() if gone(owner)]:
            self._uncount(self._owners.pop(key))
        for digest in [digest for digest, owner in self._awaited.items() if gone(owner)]:
            self._uncount(self._awaited.pop(digest))

    def _digest(self, topic: str) -> int:
        text = topic.encode("utf-8", "replace")
        digest = hashlib.blake2b(text, key=self.digest_key, digest_size=_DIGEST)
        return int.from_bytes(digest.digest(), "little")

    def _make_room(self) -> None:
        if not self._owners:
            self._uncount(self._awaited.pop(next(iter(self._awaited))))
            return
        for _ in range(_SEARCHED):
            key, owner = next(iter(self._owners.items()))
            if owner.count < SETTLED_PUBLISHES:
                break
            self._owners.move_to_end(key)
        self._uncount(self._owners.pop(next(iter(self._owners))))

    def _uncount(self, owner: Owner) -> None:
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

    @property
    def bits(self) -> bytes:
        """All it remembers."""
        return bytes(self._bits)

    @classmethod
    def of(cls, bits: bytes) -> "Sieve":
        """One that remembers these `bits`."""
        sieve = cls()
        sieve._bits[:] = bits
        return sieve

    def __len__(self) -> int:
        """About how many topics it remembers: exact for a few, less and less so for many."""
        left = 1.0 - int.from_bytes(self._bits).bit_count() / _SIEVE_BITS
        return round(-_SIEVE_BITS / _SIEVE_PROBES * math.log(max(left, 1.0 / _SIEVE_BITS)))

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
