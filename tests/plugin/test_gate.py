"""Who is let in, who is put out, and that nobody else notices."""

import asyncio
from pathlib import Path

import pytest
from amqtt.session import Session
from plugin_tools import Home, home

from mqtt_ids.bans import Handle, HandleKind
from mqtt_ids.events import Closed, Connected, Opened, Published, Refused
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish

pytestmark = pytest.mark.broker

ANN, BOB = "127.0.0.11", "127.0.0.12"
CAM = Connect("cam", username="ann", password="right", clean=False, will_topic="cam/state")


def test_a_banned_address_is_closed_before_connect_and_not_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path, max_connections=1) as here:
            here.recorder.bans.add(Handle("address", BOB))
            for _ in range(5):
                client = await here.client(BOB)
                assert await client.is_cut()
            assert not here.recorder.events
            assert here.plugin.kept_out == 5
            calm = await here.connected(Connect("calm"), ANN)  # the broker's only slot is free
            assert await calm.is_alive()

    asyncio.run(scenario())


@pytest.mark.parametrize("handle", [Handle("client_id", "bad"), Handle("username", "eve")])
def test_a_banned_name_is_refused(tmp_path: Path, handle: Handle) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            here.recorder.bans.add(handle)
            client = await here.client(BOB)
            assert await client.connect(Connect("bad", username="eve", password="right")) == 5
            assert await client.is_cut()
            assert (await here.sees(Refused))[0].code == 5
            assert not here.broker.sessions

    asyncio.run(scenario())


def test_authenticate_refuses_the_banned_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            here.recorder.bans.add(Handle("client_id", "bad"))
            session = Session()
            session.client_id = "bad"
            assert await here.plugin.authenticate(session=session) is False
            session.client_id = "good"
            assert await here.plugin.authenticate(session=session) is None

    asyncio.run(scenario())


@pytest.mark.parametrize("topic", ["$ids/alerts", "$ids/status", "$SYS/x"])
def test_a_will_on_a_reserved_topic_is_refused(tmp_path: Path, topic: str) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            ear = await here.connected(Connect("ear"), ANN)
            await ear.subscribe("$ids/#", "$SYS/#")
            client = await here.client(BOB)
            assert await client.connect(Connect("bad", will_topic=topic)) == 5
            assert await client.is_cut()
            refused = (await here.sees(Refused))[0]
            assert (refused.will_topic, refused.client_id, refused.code) == (topic, "bad", 5)
            assert await ear.is_alive()  # and the answer is the first that it hears

    asyncio.run(scenario())


@pytest.mark.parametrize("topic", ["$ids/alerts", "$SYS/uptime", "own/alerts"])
def test_who_publishes_on_a_reserved_topic_is_told_and_closed(tmp_path: Path, topic: str) -> None:
    async def scenario() -> None:
        async with home(tmp_path, topics={"alerts": "own/alerts"}) as here:
            ear = await here.connected(Connect("ear"), ANN)
            await ear.subscribe("$ids/#", "$SYS/#", "own/#", "left")
            client = await here.connected(Connect("bad", will_topic="left"), BOB)
            await client.publish(topic)
            assert await client.is_cut()
            assert (await here.sees(Published))[0].topic == topic
            closed = (await here.sees(Closed))[0]
            assert (closed.client_id, closed.by) == ("bad", "ids")
            will = wire.publish(Publish("left", 7)).replace(b"0" * 7, b"offline")
            assert await ear.receive(len(will)) == will  # the only thing that arrives
            assert await ear.is_alive()
            await here.until(lambda: not _is_connected(here, "bad"))

    asyncio.run(scenario())


def _is_connected(here: Home, client_id: str) -> bool:
    entry = here.broker.sessions.get(client_id)
    return entry is not None and bool(entry[0].transitions.is_connected())


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_bad_credentials_do_not_take_over(tmp_path: Path, clean: bool, count: int) -> None:  # noqa: FBT001
    async def scenario() -> None:
        async with home(tmp_path) as here:
            cam = await here.connected(CAM, ANN)
            await cam.subscribe("cam/set")
            thief = Connect("cam", username="ann", password="wrong", clean=clean)
            thieves = [await here.client(BOB) for _ in range(count)]
            assert await asyncio.gather(*(one.connect(thief) for one in thieves)) == [5] * count
            refused = await here.sees(Refused, count)
            assert {event.address for event in refused} == {BOB}
            ear = await here.connected(Connect("ear"))
            await ear.publish("cam/set")
            assert await cam.receive(12) == wire.publish(Publish("cam/set", 1))
            assert await cam.is_alive()

    asyncio.run(scenario())


@pytest.mark.parametrize("clean", [True, False])
def test_bad_credentials_do_not_delete_a_stored_session(tmp_path: Path, clean: bool) -> None:  # noqa: FBT001
    async def scenario() -> None:
        async with home(tmp_path) as here:
            cam = await here.connected(CAM, ANN)
            await cam.subscribe("cam/set")
            await cam.close()
            await here.sees(Closed)
            thief = await here.client(BOB)
            wrong = Connect("cam", username="ann", password="wrong", clean=clean)
            assert await thief.connect(wrong) == 5
            back = await here.connected(CAM, ANN)
            ear = await here.connected(Connect("ear"))
            await ear.publish("cam/set")
            assert await back.receive(12) == wire.publish(Publish("cam/set", 1))

    asyncio.run(scenario())


@pytest.mark.parametrize("clean", [True, False])
def test_the_owner_takes_over_his_own_id(tmp_path: Path, clean: bool) -> None:  # noqa: FBT001
    """The old connection ends only after the new one is accepted, as far as the engine knows."""

    async def scenario() -> None:
        async with home(tmp_path) as here:
            connect = Connect("cam", username="ann", password="right", clean=clean)
            old = await here.connected(connect, ANN)
            new = await here.connected(connect, BOB)
            assert await old.is_cut()
            told = [
                (type(event), event.address)
                for event in here.recorder.events
                if type(event) in {Connected, Closed}
            ]
            assert told == [(Connected, ANN), (Connected, BOB), (Closed, ANN)]
            await asyncio.sleep(1.2)  # the broker's own look at sessions
            await new.subscribe("t")
            await new.publish("t")
            assert await new.receive(6) == wire.publish(Publish("t", 1))

    asyncio.run(scenario())


def test_nobody_is_put_out_because_others_subscribe_as_he_comes_back(tmp_path: Path) -> None:
    """Going through all subscriptions for him, the broker waits at each retained message."""

    async def scenario() -> None:
        async with home(tmp_path) as here:
            other = await here.connected(Connect("other"), ANN)
            for number in range(20):
                await other.send(wire.publish(Publish(f"kept/{number}", 1, retain=True), 1))
                await other.subscribe(f"kept/{number}")
            for number in range(10):
                connect = Connect(f"back-{number}", clean=False)
                client = await here.connected(connect, BOB)
                await client.subscribe(*(f"kept/{number}" for number in range(20)))
                await client.close()
            await here.sees(Closed, 10)
            clients = [await here.client(BOB) for _ in range(10)]
            for number, client in enumerate(clients):
                await client.send(wire.connect(Connect(f"back-{number}", clean=False)))
                await here.sees(Connected, 11 + number + 1)
                for place in range(5):
                    await other.send(wire.subscribe((f"more/{number}/{place}",), 0, 1))
                    await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert len(here.recorder.of(Closed)) == 10

    asyncio.run(scenario())


def test_packets_that_are_never_finished_do_not_eat_up_the_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            here.plugin.spare(most_held=250_000)
            calm = await here.connected(Connect("calm"), ANN)
            await calm.send(
                b"\x30\xff\xff\x03\x00\x01t" + bytes(30_000)
            )  # 65,535 bytes, on their way
            bad = [await here.connected(Connect(f"bad-{n}", keep_alive=0), BOB) for n in range(3)]
            for number, client in enumerate(bad):
                # a PUBLISH of 16,000,000 bytes, of which there never come more than these
                await client.send(b"\x30\x80\xc8\xd0\x07\x00\x01t" + bytes(100_000 + number))
            assert await bad[2].is_cut()
            ended = (await here.sees(Closed))[0]
            assert (ended.client_id, ended.by) == ("bad-2", "ids")
            await calm.send(bytes(35_532))
            assert await calm.is_alive()

    asyncio.run(scenario())


def test_what_is_retained_goes_only_to_who_subscribed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            other = await here.connected(Connect("other"), ANN)
            await other.send(wire.publish(Publish("kept", 1, retain=True), 1))
            await other.subscribe("kept")
            client = await here.connected(Connect("cam", clean=False), BOB)
            assert await client.is_alive()  # nothing came before the answer
            kept = wire.publish(Publish("kept", 1, retain=True), 1)
            await client.subscribe("kept")
            assert await client.receive(len(kept)) == kept
            await client.close()
            back = await here.connected(Connect("cam", clean=False), BOB)
            assert await back.receive(len(kept)) == kept

    asyncio.run(scenario())


def test_twenty_claims_of_one_id_at_once_leave_one_owner(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            clients = [await here.client(ANN) for _ in range(20)]
            codes = await asyncio.gather(
                *(
                    client.connect(
                        Connect("cam", username="ann", password="right" if n % 2 else "wrong")
                    )
                    for n, client in enumerate(clients)
                )
            )
            assert codes == [5, 0] * 10
            await here.sees(Closed, 19)
            await here.until(lambda: len(here.plugin._table) == 1)
            assert not here.plugin._gate._claims

    asyncio.run(scenario())


def test_an_unknown_protocol_version_is_refused_with_code_1(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            client = await here.client(BOB)
            five = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc"
            await client.send(five)
            assert await client.receive(4) == b"\x20\x02\x00\x01"
            assert (await here.sees(Refused))[0].code == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["connection", "client_id", "username", "address"])
def test_each_handle_cuts_off_the_offender_alone(tmp_path: Path, kind: HandleKind) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            calm = await here.connected(Connect("calm"), ANN)
            bad = await here.connected(Connect("bad", username="eve", password="right"), BOB)
            number = here.recorder.of(Connected)[1].connection
            value = {"connection": str(number), "client_id": "bad", "username": "eve"}
            handle = Handle(kind, value.get(kind, BOB))
            assert here.recorder.actuator.disconnect(handle) == 1
            assert await bad.is_cut(within=1)
            assert (await here.sees(Closed))[0].by == "ids"
            assert here.recorder.actuator.disconnect(handle) == 0
            assert await calm.is_alive()
            await here.until(lambda: not _is_connected(here, "bad"))

    asyncio.run(scenario())


def test_half_open_connections_and_peers_that_do_not_read_are_cut_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            half = [await here.client(BOB) for _ in range(3)]
            await half[0].send(b"\x10\x20\x00\x04M")
            deaf = await here.connected(Connect("deaf"), BOB)
            await deaf.subscribe("big")
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            loud = await here.connected(Connect("loud"), ANN)
            for _ in range(20):
                await loud.publish("big", size=500_000)
            await here.until(lambda: here.plugin._access.backlog > 5)
            assert here.recorder.actuator.disconnect(Handle("address", BOB)) == 4
            await here.sees(Closed, 4)
            await here.until(lambda: len(here.plugin._table) == 1)
            assert await loud.is_alive()

    asyncio.run(scenario())


def test_too_many_half_open_connections_make_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path, limits={"max_clients": 1}) as here:
            clients = [await here.client(BOB) for _ in range(70)]
            await here.until(lambda: len(here.recorder.of(Opened)) == 70)
            assert len(await here.sees(Closed, 6)) == 6  # 64 may wait
            assert await clients[0].is_cut()
            calm = await here.connected(Connect("calm"), ANN)
            assert await calm.is_alive()

    asyncio.run(scenario())


def test_alerts_and_retained_topics_reach_subscribers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            ear = await here.connected(Connect("ear"))
            await ear.subscribe("$ids/#")
            publish = here.recorder.publish
            publish("$ids/alerts", b"{}", False)  # noqa: FBT003
            alert = wire.packet(0x30, wire.text("$ids/alerts") + b"{}")
            assert await ear.receive(len(alert)) == alert
            publish("$ids/status", b"online", True)  # noqa: FBT003
            status = wire.packet(0x30, wire.text("$ids/status") + b"online")
            assert await ear.receive(len(status)) == status
            late = await here.connected(Connect("late"))
            await late.send(wire.subscribe(("$ids/status",), 0, 1))
            kept = await late.receive(5 + len(status))
            assert wire.text("$ids/status") + b"online" in kept

    asyncio.run(scenario())


def test_offline_is_told_before_the_broker_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            ear = await here.connected(Connect("ear"))
            await ear.subscribe("$ids/status")
        status = wire.packet(0x30, wire.text("$ids/status") + b"offline")
        assert await ear.receive(len(status)) == status

    asyncio.run(scenario())


def test_the_outbox_keeps_the_newest_and_never_blocks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            for number in range(3_000):  # the loop has no turn in between
                here.recorder.publish("$ids/alerts", str(number).encode(), False)  # noqa: FBT003
                here.recorder.publish("$ids/summary", str(number).encode(), True)  # noqa: FBT003
            outbox = here.plugin._outbox
            assert outbox.dropped == 2_000
            assert outbox._alerts[0] == ("$ids/alerts", b"2000")
            assert outbox._retained == {"$ids/summary": b"2999"}

    asyncio.run(scenario())
