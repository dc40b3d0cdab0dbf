"""Event logs: what is written is read again, exactly; what is damaged says where."""

import errno
import io
import json
import os
import string
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent, Sees
from mqtt_ids.names import LONGEST, bounded
from mqtt_ids.sources.event_log import CREDENTIALS_KEPT, SCHEMA, Header, Writer, read_lines
from mqtt_ids.sources.source import open_events

FORMS = ("log.jsonl", "log.parquet")

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_maybe = st.none() | _text
_seen = {
    "connection": st.integers(0, 2**40),
    "address": st.sampled_from(("192.0.2.1", "2001:db8::1")),
    "port": st.integers(0, 65_535),
    "client_id": _maybe,
}
_claims = {"username": _maybe, "will_topic": _maybe}
_KINDS: dict[type[ev.Event], dict[str, st.SearchStrategy[object]]] = {
    ev.Opened: {},
    ev.Connected: {
        **_claims,
        "keep_alive": st.integers(0, 65_535),
        "clean_session": st.booleans(),
        "version": st.sampled_from((3, 4, 5)),
        "id_was_empty": st.booleans(),
    },
    ev.Refused: {**_claims, "code": st.integers(1, 255), "credential": st.none()},
    ev.Published: {
        "topic": _text,
        "size": st.integers(0, 2**28),
        "qos": st.integers(0, 2),
        "retain": st.booleans(),
    },
    ev.Subscribed: {"filters": st.lists(_text, max_size=3).map(tuple)},
    ev.Unsubscribed: {"filters": st.lists(_text, max_size=3).map(tuple)},
    ev.Pinged: {},
    ev.Malformed: {"reason": _text},
    ev.Disconnected: {"reason": st.integers(0, 255)},
    ev.Closed: {"by": st.sampled_from(("client", "broker", "ids"))},
}


@st.composite
def lives(draw: st.DrawFn) -> list[AnyEvent]:
    """Any events, each at its time or later than the one before."""
    kinds = draw(st.lists(st.sampled_from(list(_KINDS)), max_size=30))
    now, events = draw(st.floats(0.0, 2e9)), list[AnyEvent]()
    for kind in kinds:
        now += draw(st.floats(0.0, 1e4))
        fields = st.fixed_dictionaries({**_seen, **_KINDS[kind]})
        events.append(msgspec.convert({"time": now, **draw(fields)}, kind))  # type: ignore[arg-type]
    return events


def written(path: Path, events: Sequence[AnyEvent], **how: object) -> Path:
    with Writer(path, **how) as log:  # type: ignore[arg-type]
        for event in events:
            log.write(event)
    return path


def read(path: Path) -> list[AnyEvent]:
    return list(open_events(str(path)).events)


def published(time: float, topic: str = "t", **more: object) -> AnyEvent:
    fields = {"connection": 1, "address": "192.0.2.1", "topic": topic, "size": 3, **more}
    return ev.Published(time=time, **fields)  # type: ignore[arg-type]


def refused(time: float, credential: int | None) -> AnyEvent:
    return ev.Refused(time=time, connection=1, address="192.0.2.1", code=5, credential=credential)


def test_every_kind_of_event_is_tried() -> None:
    assert set(_KINDS) == set(AnyEvent.__args__)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60)
@given(events=lives())
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, form: str, events: list[AnyEvent]
) -> None:
    path = tmp_path_factory.mktemp("log") / form
    assert read(written(path, events)) == events


@pytest.mark.parametrize("form", FORMS)
def test_a_log_of_many_row_groups_is_whole(tmp_path: Path, form: str) -> None:
    events = [published(float(number), f"t/{number % 7}") for number in range(20_000)]
    assert read(written(tmp_path / form, events)) == events


@pytest.mark.parametrize("form", FORMS)
def test_the_header_tells_what_was_seen_and_the_wall_time(tmp_path: Path, form: str) -> None:
    sees = Sees.PUBLISHES | Sees.SIZES
    path = written(tmp_path / form, [published(10.0)], sees=sees, wall=lambda time: time + 1e9)
    source = open_events(str(path))
    assert source.sees == sees
    assert source.wall(10.0) == 1e9 + 10.0


@pytest.mark.parametrize("form", FORMS)
def test_credentials_become_numbers_that_tell_only_whether_they_are_the_same(
    tmp_path: Path, form: str
) -> None:
    hashes = [2**63 + 11, 2**64 - 1, 2**63 + 11, None, 5]
    path = written(tmp_path / form, [refused(float(i), h) for i, h in enumerate(hashes)])
    back = [event.credential for event in read(path) if isinstance(event, ev.Refused)]
    assert back == [1, 2, 1, None, 3]
    assert str(2**63 + 11).encode() not in path.read_bytes()


def test_the_numbers_of_credentials_are_bounded(tmp_path: Path) -> None:
    with Writer(tmp_path / FORMS[0]) as log:
        for number in range(CREDENTIALS_KEPT + 10):
            log.write(refused(0.0, number))
        assert len(log._numbers._known) == CREDENTIALS_KEPT


@pytest.mark.parametrize("form", FORMS)
def test_topics_are_bounded(tmp_path: Path, form: str) -> None:
    long = "a/" * 30_000
    events = [
        published(1.0, long),
        ev.Subscribed(time=2.0, connection=1, address="192.0.2.1", filters=(long, "b")),
        ev.Connected(time=3.0, connection=1, address="192.0.2.1", will_topic=long),
    ]
    path = written(tmp_path / form, events)
    first, second, third = read(path)
    assert isinstance(first, ev.Published)
    assert isinstance(second, ev.Subscribed)
    assert isinstance(third, ev.Connected)
    assert (first.topic, third.will_topic) == (bounded(long), bounded(long))
    assert second.filters == (bounded(long), "b")
    assert len(first.topic) == LONGEST


@pytest.mark.parametrize("form", FORMS)
def test_a_log_has_its_name_once_it_is_whole(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    path.write_text("the one before")
    with Writer(path) as log:
        log.write(published(1.0))
        assert path.read_text() == "the one before"
    assert len(read(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMS)
def test_a_log_that_failed_leaves_nothing_behind(tmp_path: Path, form: str) -> None:
    def fail() -> None:
        with Writer(tmp_path / form) as log:
            log.write(published(1.0))
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


class Full(io.RawIOBase):
    """A file on a disk that is full."""

    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 50_000])  # found at the end, and on the way
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, form: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> io.BufferedWriter:
        path.touch()
        return io.BufferedWriter(Full(), 1 << 16)

    monkeypatch.setattr(Path, "open", full)
    written_so_far = 0

    def fill() -> None:
        nonlocal written_so_far
        with Writer(tmp_path / form) as log:
            for number in range(count):
                log.write(published(float(number), f"{number * 7919:x}"))
                written_so_far += 1

    with pytest.raises(CaptureError, match=r"cannot be written \(No space left on device\)"):
        fill()
    assert (written_so_far == count) == (count == 1)
    assert list(tmp_path.iterdir()) == []


def test_a_table_may_have_any_name_that_a_file_may_have(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / os.fsdecode(b"\xff.parquet")
    assert read(written(path, [published(1.0)])) == [published(1.0)]


def test_what_a_terminal_would_obey_is_escaped_in_lines(tmp_path: Path) -> None:
    evil = "\x1b[2J\x7f\x9b31m\u202e\u2028\U000e0001 é漢😀"
    path = written(tmp_path / FORMS[0], [published(1.0, evil)])
    assert read(path) == [published(1.0, evil)]
    text = path.read_text()
    assert {char for char in text if not char.isprintable()} == {"\n"}
    assert " é漢😀" in text


@pytest.mark.parametrize("form", FORMS)
def test_a_log_without_events_is_a_log(tmp_path: Path, form: str) -> None:
    assert read(written(tmp_path / form, [])) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_log_that_cannot_be_written_says_so_at_once(tmp_path: Path, form: str) -> None:
    with pytest.raises(CaptureError, match="cannot be written"):
        Writer(tmp_path / "no such folder" / form)
    (tmp_path / form).mkdir()
    with pytest.raises(CaptureError, match="is a folder"):
        Writer(tmp_path / form)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"kind":"published","time":3.0}\n', "line 3 is damaged .*missing required field"),
        (b'{"kind":"telepathy","time":3.0}\n', "line 3 is damaged .*telepathy"),
        (b"\xff\xfe\n", "line 3 is damaged"),
        (b'{"kind":"pinged","time":3.0,"conn', "line 3 is damaged .cut off"),
        (
            b'{"kind":"pinged","time":0.5,"connection":1,"address":"a"}\n',
            "line 3 .*before the last",
        ),
        (b'{"kind":"pinged","time":1e999,"connection":1,"address":"a"}\n', "line 3"),
        (
            b'{"kind":"pinged","time":1e300,"connection":1,"address":"a"}\n',
            "line 3 .*out of range",
        ),
        (b'"' + b"a" * (1 << 21) + b'"\n', "line 3 is damaged"),
    ],
)
def test_a_damaged_line_is_named_after_what_could_be_read(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = written(tmp_path / FORMS[0], [published(1.0)])
    data = path.read_bytes() + line
    header, events = read_lines(io.BytesIO(data), "night.jsonl")
    assert header.schema == SCHEMA
    assert next(events) == published(1.0)
    with pytest.raises(CaptureError, match=rf"^night\.jsonl: {why}"):
        next(events)


def test_every_prefix_of_a_log_keeps_what_is_whole(tmp_path: Path) -> None:
    events = [published(float(number), string.printable) for number in range(3)]
    path = written(tmp_path / FORMS[0], events)
    data = path.read_bytes()
    ends = [place for place, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(ends[0] + 1, len(data)):
        _, back = read_lines(io.BytesIO(data[:cut]), "log")
        read_before: list[AnyEvent] = []
        try:
            read_before.extend(back)
        except CaptureError:
            assert cut - 1 not in ends
        # A line that lacks nothing but its end can be read all the same.
        assert read_before == events[: sum(end <= cut for end in ends) - 1]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}\n",
        b'{"a": 1}\n',
        b'{"schema": "mqtt-ids/events/9", "sees": []}\n',
        b'{"schema": "mqtt-ids/events/1", "sees": ["THOUGHTS"]}\n',
    ],
)
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(CaptureError, match="not an event log"):
        read_lines(io.BytesIO(header + b'{"kind":"pinged"}\n'), "x")


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "other.parquet"
    parquet.write_table(arrow.table({"kind": ["published"]}), path)
    with pytest.raises(CaptureError, match="not an event log of mqtt-ids"):
        open_events(str(path))


def test_a_parquet_file_with_our_header_and_other_columns_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    header = msgspec.json.encode(Header(schema=SCHEMA, sees=()))
    table = arrow.table({"kind": [["published"]]}).replace_schema_metadata({"mqtt-ids": header})
    parquet.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(CaptureError, match="not an event log of mqtt-ids"):
        open_events(str(tmp_path / "other.parquet"))


def test_a_row_that_is_damaged_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / FORMS[1]
    log = Writer(path)
    with log:
        log.write(published(1.0))
        assert log._form is not None
        log._form.write(published(0.5))  # _tidy keeps no order: the reader has to
    source = open_events(str(path))
    assert list(source.events) == [published(1.0)]
    assert source.faults() == [f"{path}: row 2 is damaged (its time is before the last)"]


def test_parquet_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / FORMS[1], [published(1.0)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CaptureError, match="not a whole Parquet file"):
        open_events(str(path))


def test_without_pyarrow_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CaptureError, match=r"pip install 'mqtt-ids\[parquet\]'"):
        Writer(tmp_path / FORMS[1])
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_json_that_other_programs_read(tmp_path: Path) -> None:
    path = written(tmp_path / FORMS[0], [published(1.5, "home/door", client_id="door")])
    header, event = map(json.loads, path.read_text().splitlines())
    assert header["schema"] == "mqtt-ids/events/1"
    assert "PUBLISHES" in header["sees"]
    assert (event["kind"], event["topic"], event["client_id"]) == ("published", "home/door", "door")
