"""What the log's lines say: as 2.0.11 writes them, as 2.1 does, and as nobody would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.sensors.mosquitto import records as log
from mqtt_ids.sensors.mosquitto.lines import MOST_READINGS, parse, parse_cut
from mqtt_ids.sensors.mosquitto.stamps import PATIENCE, Stamps

V4 = log.Reading(b"abc", b"2", clean_session=True, keep_alive=60)
ANY_ID = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40)
BROKEN = b"used disallowed feature (QoS too high, retain not supported, or bad AUTH method)"

OLD: list[tuple[bytes, log.AnyRecord]] = [
    (b"mosquitto version 2.0.11 starting", log.Started(old=True)),
    (b"New connection from 127.0.0.1:34050 on port 1883.", log.Opening(b"127.0.0.1", 34050)),
    (b"New connection from ::1:7 on port 1883.", log.Opening(b"::1", 7)),
    (
        b"New client connected from 127.0.0.1:34050 as abc (p2, c1, k60).",
        log.Accepted(b"127.0.0.1", 34050, (V4,)),
    ),
    (
        b"New client connected from 1.2.3.4:5 as a b (p5, c0, k65535, u'o'neil').",
        log.Accepted(b"1.2.3.4", 5, (log.Reading(b"a b", b"5", False, 65535, b"o'neil"),)),  # noqa: FBT003
    ),
    (b"No will message specified.", log.Will(topic_follows=False)),
    (b"Will message specified (4 bytes) (r0, q0).", log.Will(topic_follows=True)),
    (b"\twill/t", log.Indented(b"will/t")),
    (b"Sending CONNACK to abc (0, 0)", log.Answered(b"abc", 0)),
    (b"Sending CONNACK to q, y (0, 5) (0, 0)", log.Answered(b"q, y (0, 5)", 0)),
    (b"Sending CONNACK to 127.0.0.1 (0, 135)", log.Answered(b"127.0.0.1", 135)),
    (b"Received SUBSCRIBE from a b", log.Said(b"SUBSCRIBE", b"a b")),
    (b"Received PINGREQ from abc", log.Said(b"PINGREQ", b"abc")),
    (b"Received DISCONNECT from abc", log.Said(b"DISCONNECT", b"abc")),
    (b"Received PUBREL from abc (Mid: 5)", log.Noise(debug=True)),
    (b"Sending SUBACK to abc", log.Acknowledged()),
    (b"Sending UNSUBACK to abc", log.Acknowledged()),
    (b"Sending PUBLISH to abc (d0, q0, r0, m0, 'a', ... (5 bytes))", log.Noise(debug=True)),
    (
        b"Received PUBLISH from abc (d0, q0, r1, m0, 'a/1', ... (5 bytes))",
        log.Sent(b"abc (d0, q0, r1, m0, 'a/1', ... (5 bytes))"),
    ),
    (
        b"Denied PUBLISH from mal (d0, q0, r0, m0, '$SYS/x', ... (1 bytes))",
        log.Sent(b"mal (d0, q0, r0, m0, '$SYS/x', ... (1 bytes))"),
    ),
    (b"Client abc disconnected.", log.Ended(b"abc", b"")),
    (
        b"Client abc closed its connection. closed its connection.",
        log.Ended(b"abc closed its connection.", b"connection closed by client"),
    ),
    (b"Client ka has exceeded timeout, disconnecting.", log.Ended(b"ka", b"exceeded timeout")),
    (b"Client <unknown> disconnected, not authorised.", log.Ended(b"<unknown>", b"not authorised")),
    (b"Client mal disconnected due to malformed packet.", log.Ended(b"mal", b"malformed packet")),
    (b"Client a b disconnected: Broken pipe.", log.Ended(b"a b", b"Broken pipe")),
    (b"Client tk already connected, closing old connection.", log.TakenOver(b"tk")),
    (b"Client a negotiated TLSv1.3 cipher X", log.Noise()),
    (
        b"Bad socket read/write on client mal: Invalid function arguments provided.",
        log.Ended(b"mal", b"Invalid function arguments provided"),
    ),
    (b"Bad client sec sending multiple CONNECT messages.", log.Fault(b"second CONNECT")),
    (b"Invalid protocol version 9 in CONNECT from 127.0.0.1.", log.Fault(b"protocol version")),
    (b'Invalid protocol "MQXX" in CONNECT from 127.0.0.1.', log.Fault(b"bad protocol name")),
    (b"Invalid QoS in PUBLISH from mal, disconnecting.", log.Fault(b"Invalid QoS in PUBLISH")),
    (
        b"Client connection from 10.0.0.9 denied: max_connections exceeded.",
        log.TurnedAway(b"10.0.0.9"),
    ),
]
NEW: list[tuple[bytes, log.AnyRecord]] = [
    (b"mosquitto version 2.1.2 starting", log.Started(old=False)),
    (
        b"New client connected from 1.2.3.4:5 as abc (p4, c1, k60).",
        log.Accepted(b"1.2.3.4", 5, (log.Reading(b"abc", b"4"),)),
    ),
    (
        b"Client wp [1.2.3.4:5] disconnected: not authorised.",
        log.Ended(b"wp [1.2.3.4:5]", b"not authorised", b"wp", b"1.2.3.4", 5),
    ),
    (
        b"Client a [9.9.9.9:9] disconnected. [1.2.3.4:5] disconnected.",
        log.Ended(
            b"a [9.9.9.9:9] disconnected. [1.2.3.4:5]",
            b"",
            b"a [9.9.9.9:9] disconnected.",
            b"1.2.3.4",
            5,
        ),
    ),
    (
        b"Client x [::1:5] disconnected: " + BROKEN + b".",
        log.Ended(b"x [::1:5]", BROKEN, b"x", b"::1", 5),
    ),
    (
        b"Protocol error from mal: SUBSCRIBE packet with invalid properties.",
        log.Fault(b"SUBSCRIBE packet with invalid properties"),
    ),
    (b"\tfilter (denied)", log.Indented(b"filter (denied)")),
]


@pytest.mark.parametrize(("text", "record"), [*OLD, *NEW])
def test_each_line_says_what_the_broker_meant(text: bytes, record: log.AnyRecord) -> None:
    assert parse(text) == record


@pytest.mark.parametrize(("text", "record"), [*OLD, *NEW])
def test_no_beginning_of_a_line_raises(text: bytes, record: log.AnyRecord) -> None:
    for size in range(len(text)):
        parse(text[:size])
        parse_cut(text[:size])


@given(st.binary(max_size=300))
def test_no_bytes_raise(text: bytes) -> None:
    parse(text)
    parse_cut(text)
    Stamps().strip(text)


@given(st.sampled_from([text for text, _ in OLD]), st.binary(max_size=80), st.integers(0, 80))
def test_no_bytes_within_a_line_raise(text: bytes, more: bytes, at: int) -> None:
    parse(text[:at] + more + text[at:])
    parse_cut(text[:at] + more + text[at:])


@given(ANY_ID, st.none() | ANY_ID)
def test_the_true_reading_of_a_connect_line_is_among_those_it_may_have(
    client_id: str, username: str | None
) -> None:
    who = f", u'{username}'" if username is not None else ""
    text = f"New client connected from 1.2.3.4:5 as {client_id} (p2, c0, k7{who}).".encode()
    record = parse(text)
    assert isinstance(record, log.Accepted)
    user = None if username is None else username.encode()
    assert log.Reading(client_id.encode(), b"2", False, 7, user) in record.readings  # noqa: FBT003


def test_a_connect_line_has_the_longest_id_first_and_few_readings() -> None:
    poser = b"victim (p2, c1, k60, u'x"
    record = parse(b"New client connected from 1.2.3.4:5 as " + poser + b" (p2, c1, k9, u'me').")
    assert isinstance(record, log.Accepted)
    assert [each.name for each in record.readings] == [poser, b"victim"]
    record = parse(b"New client connected from 1.2.3.4:5 as " + b"a (p2, c1, k60, u'" * 40 + b"').")
    assert isinstance(record, log.Accepted)
    assert len(record.readings) == MOST_READINGS


def test_ids_that_were_cut_are_told_by_their_beginning() -> None:
    name = b"a" * 900
    assert parse_cut(b"Sending CONNACK to " + name) == log.Answered(name, 0)
    assert parse_cut(b"Client " + name) == log.Ended(name, b"connection closed by client")
    record = parse_cut(b"New client connected from 1.2.3.4:5 as " + name)
    assert record == log.Accepted(b"1.2.3.4", 5, (log.Reading(name),))


# --- stamps --------------------------------------------------------------------------------------

OPENING = b"New connection from 1.2.3.4:5 on port 1883."
STAMPS = [
    (b"1795466419: ", b"1795466420: "),
    (b"2026-11-23T20:42:02: ", b"2026-11-24T00:00:00: "),
    (b"2026-11-23T20:42:02+0100: ", b"2027-01-01T00:00:00-0100: "),
    (b"Mon Nov 23 20:42:02 2026: ", b"Tue Dec  1 00:00:00 2026: "),
    (b"[23.11. 08:42:02 PM]: ", b"[01.12. 12:00:00 AM]: "),
    (b"time: 20:42: ", b"time: 20:43: "),
    (b"", b""),
]


@pytest.mark.parametrize(("first", "second"), STAMPS)
def test_a_stamp_of_any_form_is_taken_off(first: bytes, second: bytes) -> None:
    stamps = Stamps()
    assert stamps.strip(first + OPENING) == OPENING
    assert stamps.strip(second + b"abc 1 a/#") == b"abc 1 a/#"
    assert stamps.strip(second + b"anything: else") == b"anything: else"


def test_no_client_writes_a_stamp_where_the_log_has_none() -> None:
    """An `M` line begins with the id, and the id with a stamp."""
    forged = b"1795466419: " + OPENING
    stamps = Stamps()
    stamps.strip(b"1795466419: New client connected from 1.2.3.4:5 as 1 (p2, c1, k60).")
    assert stamps.strip(OPENING) == OPENING
    assert stamps.strip(forged) == forged


def test_a_form_that_was_changed_is_learned_again() -> None:
    stamps = Stamps()
    assert stamps.strip(b"1795466419: " + OPENING) == OPENING
    later = b"2026-11-23: " + OPENING
    for _ in range(PATIENCE):
        assert stamps.strip(later) == later
        stamps.recognised(known=False)
    assert stamps.strip(later) == OPENING
    assert stamps.strip(OPENING) == OPENING  # without any: known by itself
