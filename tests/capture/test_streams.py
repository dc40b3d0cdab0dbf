"""One direction of TCP: whatever the segments do on the way, the stream comes out in order."""

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.sensors.capture import streams
from mqtt_ids.sensors.capture.streams import Piece, Stream, distance

MODULUS = 1 << 32
START = 1000


class Line:
    """A stream that is fed by hand, the sequence numbers counted from `start`."""

    def __init__(self, start: int = START) -> None:
        self.start = start
        self.now = 0.0
        self.stream = Stream()
        self.stream.next = start

    def push(self, at: int, data: bytes, missing: int = 0) -> list[Piece]:
        return list(self.stream.push(self.number(at), data, missing, self.now))

    def ack(self, at: int) -> list[Piece]:
        return list(self.stream.acknowledge(self.number(at), self.now))

    def end(self, at: int) -> None:
        self.stream.finish(self.number(at), self.now)

    def number(self, at: int) -> int:
        return (self.start + at) % MODULUS


def joined(pieces: Iterable[Piece]) -> bytes:
    """What came out; a gap as question marks."""
    return b"".join(piece if isinstance(piece, bytes) else b"?" * piece for piece in pieces)


@pytest.fixture
def line() -> Line:
    return Line()


# --- in order, and not -------------------------------------------------------------------------


def test_segments_in_order_pass_through(line: Line) -> None:
    assert line.push(0, b"abc") + line.push(3, b"def") == [b"abc", b"def"]
    assert line.stream.held == 0


def test_a_stream_begins_with_what_is_seen_first() -> None:
    stream = Stream()
    assert stream.push(77, b"abc", 0, 0.0) == [b"abc"]
    assert stream.push(80, b"d", 0, 0.0) == (b"d",)


def test_a_late_segment_is_waited_for(line: Line) -> None:
    assert line.push(3, b"def") == []
    assert line.stream.held == 3
    assert line.push(0, b"abc") == [b"abc", b"def"]
    assert (line.stream.held, line.stream.gaps) == (0, 0)


def test_numbers_wrap() -> None:
    line = Line(MODULUS - 2)
    assert line.push(3, b"def") == []
    assert line.push(0, b"abc") == [b"abc", b"def"]
    assert line.push(6, b"g") == [b"g"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 5, 5), (5, 0, -5), (MODULUS - 1, 1, 2), (1, MODULUS - 1, -2), (9, 9, 0)],
)
def test_distance_is_the_shorter_way(start: int, end: int, expected: int) -> None:
    assert distance(start, end) == expected


def test_what_was_seen_is_not_given_out_again(line: Line) -> None:
    line.push(0, b"abcdef")
    assert line.push(0, b"abcdef") == []
    assert line.push(2, b"cdefgh") == [b"gh"]


def test_a_keep_alive_probe_is_nothing_new(line: Line) -> None:
    line.push(0, b"abc")
    assert line.push(2, b"\0") == []
    assert line.push(3, b"def") == [b"def"]


def test_the_first_copy_counts_on_both_sides_of_one_that_waits(line: Line) -> None:
    line.push(4, b"44")
    assert line.push(2, b"xxyyzz") == []
    assert joined(line.push(0, b"00")) == b"00xx44zz"


def test_the_first_copy_counts_over_what_fills_the_hole(line: Line) -> None:
    line.push(2, b"22")
    assert joined(line.push(0, b"abcdef")) == b"ab22ef"


# --- holes that stay -----------------------------------------------------------------------------


def test_a_hole_that_is_acknowledged_is_a_gap(line: Line) -> None:
    line.push(0, b"abc")
    line.push(10, b"klm")
    assert line.ack(13) == []  # the two sides may have been captured in the wrong order
    line.now += streams.SETTLED
    assert line.ack(13) == [7, b"klm"]
    assert line.stream.gaps == 1
    assert line.push(13, b"n") == [b"n"]


def test_a_hole_that_is_not_acknowledged_is_waited_for(line: Line) -> None:
    line.ack(0)
    line.push(10, b"klm")
    line.now += 3600
    assert line.ack(10 - 1) == []
    assert line.push(13, b"n") == []
    assert joined(line.push(0, b"abcdefghij")) == b"abcdefghijklmn"


def test_where_nobody_acknowledges_patience_ends(line: Line) -> None:
    line.push(10, b"klm")
    line.now += streams.PATIENCE
    assert line.push(13, b"n") == []
    line.now += 0.1
    assert line.push(14, b"o") == [10, b"klm", b"n", b"o"]


def test_patience_ends_without_another_segment(line: Line) -> None:
    line.push(10, b"klm")
    line.now += streams.PATIENCE + 0.1
    assert list(line.stream.settle(line.now)) == [10, b"klm"]


@pytest.mark.parametrize(("size", "count"), [(1, streams.MOST_SEGMENTS), (5000, 13)])
def test_not_too_much_waits(line: Line, size: int, count: int) -> None:
    for number in range(count):
        assert line.push(10 + number * size, b"x" * size) == []
    assert line.stream.held == size * count <= streams.MOST_WAITING
    assert line.push(10 + count * size, b"x" * size)[:2] == [10, b"x" * size]
    assert line.stream.held == 0


def test_two_holes_are_two_gaps(line: Line) -> None:
    line.push(2, b"c")
    line.push(5, b"f")
    assert list(line.stream.flush()) == [2, b"c", 2, b"f"]


def test_what_the_snapshot_cut_off_is_a_gap_at_once(line: Line) -> None:
    assert line.push(0, b"abc", 7) == [b"abc", 7]
    assert line.push(10, b"k") == [b"k"]


def test_a_cut_segment_that_waits_keeps_its_length(line: Line) -> None:
    line.push(2, b"c", 3)
    assert line.push(0, b"ab") == [b"ab", b"c", 3]
    assert line.push(6, b"g") == [b"g"]


def test_a_stream_goes_back_where_it_leapt_too_far(line: Line) -> None:
    """Nobody may hide what they send behind segments that lie far ahead of it."""
    line.ack(0)
    for number in range(streams.MOST_SEGMENTS + 1):
        line.push(1_000_000 + number, b"x")
    assert line.push(0, b"abc") == []  # taken for old
    pieces = line.ack(3)
    assert pieces == [streams.UNKNOWN]
    assert line.push(3, b"def") == [b"def"]


def test_what_lies_absurdly_far_ahead_is_not_believed(line: Line) -> None:
    line.ack(0)
    assert line.push(streams.FARTHEST + 1, b"x") == []
    assert line.stream.held == 0
    assert line.push(0, b"abc") == [b"abc"]


# --- the end -------------------------------------------------------------------------------------


def test_nothing_counts_behind_the_end(line: Line) -> None:
    line.push(0, b"abc")
    line.end(5)
    done = [line.stream.done]
    assert line.push(3, b"defgh") == [b"de"]
    done.append(line.stream.done)
    assert done == [False, True]
    assert line.push(5, b"f") == []


def test_an_end_whose_way_was_lost_is_reached_when_it_is_acknowledged(line: Line) -> None:
    line.push(0, b"abc")
    line.end(9)
    assert line.ack(5) == []
    assert line.ack(10) == []  # the last of it may come a little later
    line.now += streams.SETTLED
    assert list(line.stream.settle(line.now)) == [6]
    assert line.stream.done


@pytest.mark.parametrize("at", [-5, streams.FARTHEST + 10])
def test_an_absurd_end_is_not_believed(line: Line, at: int) -> None:
    line.push(0, b"abc")
    line.end(at)
    assert line.push(3, b"def") == [b"def"]


# --- properties ----------------------------------------------------------------------------------


@st.composite
def journeys(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, bytes]]]:
    """A stream, where its numbers start, and its segments as they arrive: cut anywhere, some
    twice or overlapping, none farther from its place than a window."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    stream = rng.randbytes(draw(st.integers(1, 400)))
    most = draw(st.sampled_from((1, 7, 60)))
    window = draw(st.sampled_from((0, 1, 4, 12)))
    segments, at = [], 0
    while at < len(stream):
        size = rng.randint(1, most)
        segments.append((at, stream[at : at + size]))
        at += size
        if rng.random() < 0.3:
            begin = rng.randrange(at)
            segments.append((begin, stream[begin : begin + rng.randint(1, 30)]))
    order = sorted(range(len(segments)), key=lambda place: place + rng.uniform(0, window))
    start = draw(st.sampled_from((0, 1000, MODULUS - 100)))
    return stream, start, [segments[place] for place in order]


@given(journeys())
def test_any_journey_gives_the_stream(journey: tuple[bytes, int, list[tuple[int, bytes]]]) -> None:
    stream, start, segments = journey
    line = Line(start)
    out: list[Piece] = []
    for at, data in segments:
        out += line.push(at, data)
    assert joined(out) == stream
    assert line.stream.gaps == 0
    assert line.stream.held == 0


@given(journeys(), st.randoms(use_true_random=False), st.floats(0.05, 0.9))
def test_what_is_lost_is_a_gap_of_its_size(
    journey: tuple[bytes, int, list[tuple[int, bytes]]], rng: random.Random, loss: float
) -> None:
    stream, start, segments = journey
    line = Line(start)
    out: list[Piece] = []
    for at, data in segments:
        line.now += 0.001
        if rng.random() >= loss:
            out += line.push(at, data)
        if rng.random() < 0.2:
            out += line.ack(rng.randrange(at + len(data) + 1))
    out += line.stream.flush()
    assert line.stream.held == 0
    at = 0
    for piece in itertools.takewhile(lambda piece: piece != streams.UNKNOWN, out):
        if isinstance(piece, int):
            at += piece
        else:
            assert piece == stream[at : at + len(piece)]
            at += len(piece)
    assert at <= len(stream)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("push", "ack", "end", "flush")),
            st.one_of(st.integers(-200, 200), st.integers(0, MODULUS - 1)),
            st.integers(0, 40),
            st.integers(0, 9),
        ),
        max_size=200,
    )
)
def test_anything_at_all_stays_bounded(
    steps: list[tuple[str, int, int, int]],
) -> None:
    line = Line(MODULUS - 50)
    for step, at, size, missing in steps:
        line.now += 0.01
        if step == "push":
            line.push(at, bytes(size), missing)
        elif step == "ack":
            line.ack(at)
        elif step == "end":
            line.end(at)
        else:
            list(line.stream.flush())
        waiting = line.stream._waiting
        assert line.stream.held == sum(len(data) for _, data, _ in waiting)
        assert len(waiting) <= streams.MOST_SEGMENTS + 1
