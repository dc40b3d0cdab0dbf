"""Every kind of event, seen at a real broker, with its true peer."""

import asyncio
from pathlib import Path

import pytest
from plugin_tools import DISCONNECT, PASSWORD, PINGREQ, Home, home

from mqtt_ids.bans import Handle
from mqtt_ids.events import (
    Closed,
    Connected,
    Disconnected,
    Malformed,
    Opened,
    Pinged,
    Published,
    Refused,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish
from mqtt_ids.names import LONGEST

pytestmark = pytest.mark.broker

ANN, BOB = "127.0.0.11", "127.0.0.12"


def test_a_whole_life_is_seen_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            client = await here.connected(
                Connect("cam", username="ann", password="right", keep_alive=33, will_topic="gone"),
                ANN,
            )
            await client.subscribe("a/#", "b")
            await client.send(wire.unsubscribe(("b",), 8))
            await client.publish("t/1", size=12, qos=1)
            await client.send(PINGREQ + DISCONNECT)
            await here.sees(Closed)
            told = here.recorder.events
            assert [type(event) for event in told] == [
                Opened,
                Connected,
                Subscribed,
                Unsubscribed,
                Published,
                Pinged,
                Disconnected,
                Closed,
            ]
            assert {(event.address, event.port, event.connection) for event in told} == {
                (ANN, client.port, told[0].connection)
            }
            assert [event.client_id for event in told] == [None] + ["cam"] * 7
            connected = here.recorder.of(Connected)[0]
            assert connected.username == "ann"
            assert connected.keep_alive == 33
            assert connected.will_topic == "gone"
            assert connected.clean_session
            assert here.recorder.of(Subscribed)[0].filters == ("a/#", "b")
            assert here.recorder.of(Unsubscribed)[0].filters == ("b",)
            published = here.recorder.of(Published)[0]
            assert (published.topic, published.size, published.qos) == ("t/1", 12, 1)
            assert here.recorder.of(Closed)[0].by == "client"
            assert "right" not in repr(told)

    asyncio.run(scenario())


def test_the_id_in_force_is_told_where_the_broker_makes_it_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            await here.connected(Connect(""))
            connected = here.recorder.of(Connected)[0]
            assert connected.id_was_empty
            assert connected.client_id in here.broker.sessions

    asyncio.run(scenario())


def test_refused_logins_tell_equal_credentials_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            for secret in ("one", "two", "one"):
                client = await here.client(BOB)
                assert await client.connect(Connect("x", username="ann", password=secret)) == 5
                assert await client.is_cut()
            first, second, third = await here.sees(Refused, 3)
            assert (first.code, first.client_id, first.username) == (5, "x", "ann")
            assert first.address == BOB
            assert first.credential == third.credential != second.credential
            await here.until(lambda: not here.broker.sessions)  # no session is left behind

    asyncio.run(scenario())


def test_a_login_without_credentials_is_the_same_one_each_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            here.recorder.bans.add(Handle("client_id", "x"))
            for user in (None, None, "ann"):
                client = await here.client(BOB)
                assert await client.connect(Connect("x", username=user)) == 5
            first, second, third = await here.sees(Refused, 3)
            assert first.credential is not None
            assert first.credential == second.credential != third.credential

    asyncio.run(scenario())


def test_names_without_end_are_bounded_and_still_told_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            ids = ["x" * 30_000 + end for end in "ab"]
            one = await here.connected(Connect(ids[0], username="u" * 30_000, password=PASSWORD))
            other = await here.connected(Connect(ids[1]), BOB)
            first, second = await here.sees(Connected, 2)
            assert first.client_id is not None
            assert first.username is not None
            assert {len(first.client_id), len(first.username)} == {LONGEST}
            assert first.client_id != second.client_id
            hand = here.recorder.actuator
            assert hand.disconnect(Handle("client_id", first.client_id)) == 1
            assert await one.is_cut()
            assert await other.is_alive()
            again = await here.connected(Connect(ids[1]), BOB)  # takes over from `other`
            assert await other.is_cut()
            assert hand.disconnect(Handle("client_id", second.client_id or "")) == 1
            assert await again.is_cut()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not-connect-first"),
        (b"\x10\xff\xff\xff\xff\xff", "remaining-length"),
        (b"\x10\xff\xff\xff\x7f", "too-large"),
        (b"\x10\x81\x80\x04", "too-large"),  # 65,537 bytes
        (wire.connect(Connect("x"), protocol="HTTP"), "protocol-name"),
        (wire.connect(Connect("x"), more_flags=1), "bad-flags"),
    ],
)
def test_a_broken_connect_is_told_and_closed(tmp_path: Path, data: bytes, reason: str) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            client = await here.client(BOB)
            await client.send(data)
            assert await client.is_cut()
            malformed = (await here.sees(Malformed))[0]
            assert (malformed.reason, malformed.address) == (reason, BOB)
            assert (await here.sees(Closed))[0].by == "ids"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wire.broken_publish("a/#", 3), "wildcard-topic"),
        (wire.broken_publish(b"\xff\xfe", 3), "bad-utf8"),
        (wire.broken_publish("a", 3, 3), "bad-qos"),
        (wire.subscribe(("a",), 0, 1, first=0x80), "bad-flags"),
        (wire.connect(Connect("x")), "second-connect"),
        (b"\xf0\x00", "reserved-type"),
        (b"\x30\xff\xff\xff\xff\x01", "remaining-length"),
        (wire.packet(0xC0, b"abc"), "bad-length"),
        (b"\x30\xff\xff\xff\x7f\x00\x01a", "too-large"),
    ],
)
def test_a_broken_packet_is_told_and_closed(tmp_path: Path, data: bytes, reason: str) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            calm = await here.connected(Connect("calm"), ANN)
            client = await here.connected(Connect("bad"), BOB)
            await client.send(data + PINGREQ)
            assert await client.is_cut()
            malformed = (await here.sees(Malformed))[0]
            assert (malformed.reason, malformed.client_id) == (reason, "bad")
            assert (await here.sees(Closed))[0].by == "ids"
            assert await calm.is_alive()
            await here.until(lambda: not _connected(here, "bad"))

    asyncio.run(scenario())


def _connected(here: Home, client_id: str) -> bool:
    entry = here.broker.sessions.get(client_id)
    return entry is not None and bool(entry[0].transitions.is_connected())


def test_half_open_shows_as_opened_and_ends_in_time_though_it_drips(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path, max_connections=1) as here:
            here.plugin.hurry(1.0)
            slow = await here.client(BOB)
            drip = asyncio.create_task(_drip(slow.writer, wire.connect(Connect("slow-poke"))))
            await here.sees(Opened)
            calm = await here.connected(Connect("calm"), ANN)  # takes the broker's only slot
            assert await slow.is_cut(within=3)
            drip.cancel()
            closed = (await here.sees(Closed))[0]
            assert (closed.by, closed.client_id, closed.address) == ("ids", None, BOB)
            assert here.recorder.of(Malformed)[0].reason == "truncated"
            assert await calm.is_alive()

    asyncio.run(scenario())


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.3)


def test_a_packet_cut_anywhere_is_one_packet(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            listener = await here.connected(Connect("ear"))
            await listener.subscribe("t")
            client = await here.connected(Connect("drip"))
            data = wire.publish(Publish("t", 200))
            for byte in data:
                await client.send(bytes([byte]))
                await asyncio.sleep(0.001)
            assert len(await listener.receive(len(data))) == len(data)
            assert (await here.sees(Published))[0].size == 200

    asyncio.run(scenario())


def test_a_header_outlives_the_wait_that_the_broker_gives_up(tmp_path: Path) -> None:
    """amqtt gives up its read after the keep-alive, and would lose half a header."""

    async def scenario() -> None:
        async with home(tmp_path) as here:
            client = await here.connected(Connect("slow", keep_alive=2))
            await client.send(PINGREQ[:1])
            await asyncio.sleep(2.3)
            await client.send(PINGREQ[1:])
            assert await client.receive(2) == b"\xd0\x00"

    asyncio.run(scenario())


def test_a_silent_client_is_closed_after_its_keep_alive(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            silent = await here.connected(Connect("silent", keep_alive=1), BOB)
            calm = await here.connected(Connect("calm", keep_alive=0), ANN)
            assert await silent.is_cut(within=5)
            closed = (await here.sees(Closed))[0]
            assert (closed.client_id, closed.by) == ("silent", "ids")
            assert await calm.is_alive()

    asyncio.run(scenario())


def test_a_resumed_session_has_its_true_peer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            first = await here.connected(
                Connect("cam", username="u", password="right", clean=False)
            )
            await first.close()
            await here.sees(Closed)
            await here.connected(Connect("cam", username="u", password="right", clean=False), BOB)
            assert [event.address for event in here.recorder.of(Connected)] == ["127.0.0.1", BOB]

    asyncio.run(scenario())


def test_a_client_that_vanishes_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            client = await here.connected(Connect("cam"), BOB)
            client.writer.transport.abort()
            closed = (await here.sees(Closed))[0]
            assert (closed.by, closed.client_id) == ("client", "cam")
            assert not here.recorder.of(Disconnected)

    asyncio.run(scenario())


def test_who_says_goodbye_and_leaves_at_once_leaves_no_will(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            ear = await here.connected(Connect("ear"))
            await ear.subscribe("#")
            hello = wire.connect(Connect("hasty", keep_alive=0, will_topic="will"))
            told = wire.publish(Publish("t", 5))
            for _ in range(10):
                client = await here.client()
                await client.send(hello)
                await client.receive(4)
                await client.send(told + DISCONNECT)
                await client.close()
            assert await ear.receive(10 * len(told)) == 10 * told
            await here.sees(Closed, 10)
            assert {closed.by for closed in here.recorder.of(Closed)} == {"client"}
            assert await ear.is_alive()  # and no will is heard before the answer

    asyncio.run(scenario())


def test_what_is_wrong_with_us_does_not_reach_the_broker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            here.recorder.broken = True
            client = await here.connected(Connect("cam"))
            await client.subscribe("t")
            await client.publish("t")
            assert await client.receive(6) == wire.publish(Publish("t", 1))

    asyncio.run(scenario())
