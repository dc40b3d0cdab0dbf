"""What the detector has learned of everybody, as bytes that survive a restart.

A file is one line of text, a digest of what follows, and that: MessagePack, compressed.

    mqtt-ids normals 1 -- keep it, or delete it to learn anew
    32 bytes of BLAKE2b
    zlib(MessagePack(Snapshot))

Times are ages in seconds at the moment it was taken: a monotonic clock ends with its machine.
Numbers lie in columns, least significant bytes first and side by side, which compresses best.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1
LONGEST: Final = 64 * 1024 * 1024  # bytes of a snapshot, packed or not
_HEAD: Final = b"mqtt-ids normals %d -- keep it, or delete it to learn anew\n"
_KNOWN_HEAD: Final = re.compile(rb"mqtt-ids normals ([0-9]{1,6})\b[^\n]{0,80}\n")
_DIGEST: Final = 32  # bytes
_LEVEL: Final = 6  # of zlib: a home in under a millisecond

Column = NDArray[Any]
Columns = dict[str, Column]
Spec = dict[str, tuple[str, int]]
"""The numbers of a subject: by name, of which numpy kind, and how many (0: just one)."""


class UnusableSnapshot(Exception):  # noqa: N818 - a snapshot and no program is at fault
    """These bytes cannot be taken over; the message says why, and goes behind the file's name."""


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """All clients, or all hosts, the longest unseen first.

    `keys` are client ids or addresses. `words` are further names of each, by what they are;
    `columns` are numbers, by name: see `packed`. `counters` names the columns of the normals.
    """

    keys: list[str]
    words: dict[str, list[str | None]]
    counters: list[str]
    columns: dict[str, bytes]


class OwnedTopics(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns which topic, a row each.

    `digest_key` belongs to the digests of the topics; the column `client` holds places in the keys
    of the clients.
    """

    digest_key: bytes
    count: int
    columns: dict[str, bytes]


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector knows. `watched` is for how long it has, `turn` when its slot ends."""

    watched: float
    turn: float
    clients: Subjects
    hosts: Subjects
    topics: OwnedTopics


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What all detectors behind one sensor know, by their names, at `wall` time."""

    wall: float
    parts: dict[str, Learned]


def packed(columns: Mapping[str, Column | Sequence[float]], spec: Spec) -> dict[str, bytes]:
    """The numbers of rows, as `spec` has them; byte by byte, all first ones first."""
    return {name: _packed(np.asarray(columns[name], kind)) for name, (kind, _) in spec.items()}


def unpacked(columns: Mapping[str, bytes], spec: Spec, rows: int) -> Columns:
    """What was packed, for so many rows. Raises UnusableSnapshot where it does not fit."""
    return {
        name: _unpacked(columns.get(name, b""), np.dtype(kind), rows, width)
        for name, (kind, width) in spec.items()
    }


def _packed(column: Column) -> bytes:
    flat = np.ascontiguousarray(column.T).reshape(-1)
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).reshape(-1, flat.dtype.itemsize).T.tobytes()


def _unpacked(data: bytes, kind: np.dtype[Any], rows: int, width: int) -> Column:
    across = max(width, 1)
    if len(data) != rows * across * kind.itemsize:
        raise UnusableSnapshot("is damaged")
    planes = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1)
    little = np.ascontiguousarray(planes.T).reshape(-1).view(kind.newbyteorder("<"))
    flat: Column = little.astype(kind)
    if kind.kind == "f" and not np.isfinite(flat).all():
        raise UnusableSnapshot("holds what is no number")
    return np.ascontiguousarray(flat.reshape(across, rows).T) if width else flat


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as the content of a file."""
    body = zlib.compress(msgspec.msgpack.encode(snapshot), _LEVEL)
    head = _HEAD % VERSION
    return head + _digest(head, body) + body


def decode(data: bytes) -> Snapshot:
    """What `encode` has made. Raises UnusableSnapshot."""
    found = _KNOWN_HEAD.match(data)
    if found is None:
        raise UnusableSnapshot("is no snapshot of ours")
    version = int(found[1])
    if version > VERSION:
        raise UnusableSnapshot(
            f"was written by a newer version (snapshot {version}, known is {VERSION})"
        )
    body = data[found.end() + _DIGEST :]
    if data[found.end() : found.end() + _DIGEST] != _digest(found[0], body):
        raise UnusableSnapshot("is damaged")
    try:
        plain = zlib.decompressobj()
        content = plain.decompress(body, LONGEST)
        if not plain.eof:
            raise UnusableSnapshot("is damaged")
        return msgspec.msgpack.decode(content, type=Snapshot)
    except (zlib.error, msgspec.DecodeError):  # its ValidationError is one
        raise UnusableSnapshot("is damaged") from None


def _digest(head: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(head + body, digest_size=_DIGEST).digest()
