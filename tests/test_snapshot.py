"""The file of normals: whole, or refused in words. Never half, and never a traceback."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.snapshot import (
    VERSION,
    Learned,
    OwnedTopics,
    Snapshot,
    Subjects,
    UnusableSnapshot,
    decode,
    encode,
    packed,
    unpacked,
)

NOBODY = Subjects(keys=[], words={}, counters=[], columns={})
SMALL = Snapshot(
    wall=1.5,
    parts={
        "clients": Learned(
            watched=1.0,
            turn=2.0,
            clients=Subjects(
                keys=["door\n\x1b"], words={"home": [None]}, counters=["A"], columns={"a": b"12"}
            ),
            hosts=NOBODY,
            topics=OwnedTopics(digest_key=b"k" * 16, count=0, columns={}),
        )
    },
)
DATA = encode(SMALL)


def test_what_was_encoded_is_decoded() -> None:
    assert decode(DATA) == SMALL


def test_it_says_in_words_what_it_is() -> None:
    assert DATA.partition(b"\n")[0].decode() == (
        "mqtt-ids normals 1 -- keep it, or delete it to learn anew"
    )


def test_every_truncated_prefix_is_refused() -> None:
    for length in range(len(DATA)):
        with pytest.raises(UnusableSnapshot):
            decode(DATA[:length])


def test_a_byte_that_changed_anywhere_is_noticed() -> None:
    """But in the words of the first line, which the digest covers as well."""
    for place in range(len(DATA)):
        for change in (0x01, 0x20, 0x80):
            broken = bytearray(DATA)
            broken[place] ^= change
            with pytest.raises(UnusableSnapshot):
                decode(bytes(broken))


@given(st.binary(max_size=200))
def test_what_is_not_ours_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableSnapshot, match="no snapshot of ours"):
        decode(data)
    with pytest.raises(UnusableSnapshot):
        decode(DATA + data if data else DATA[:-1])


def test_a_newer_version_is_named() -> None:
    newer = DATA.replace(b"normals %d" % VERSION, b"normals %d" % (VERSION + 1), 1)
    with pytest.raises(UnusableSnapshot, match=re.escape("newer version (snapshot 2, known is 1)")):
        decode(newer)


@pytest.mark.parametrize("dtype", ["f4", "u1", "u2", "u4", "u8", "?"])
@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_columns_round_trip(dtype: str, width: int, rows: int) -> None:
    rng = np.random.default_rng(rows * 10 + width)
    shape = (rows, width) if width else (rows,)
    column = rng.integers(0, 2 if dtype == "?" else 200, shape).astype(dtype)
    spec = {"c": (dtype, width)}
    again = unpacked(packed({"c": column}, spec), spec, rows)["c"]
    assert again.dtype == column.dtype
    np.testing.assert_array_equal(again, column)


def test_a_column_of_another_length_is_refused() -> None:
    spec = {"c": ("f4", 2)}
    columns = packed({"c": np.ones((3, 2), np.float32)}, spec)
    for rows in (2, 4):
        with pytest.raises(UnusableSnapshot):
            unpacked(columns, spec, rows)
    with pytest.raises(UnusableSnapshot):
        unpacked({}, spec, 3)
