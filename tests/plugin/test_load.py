"""A client that sends without pause, a peer that never reads: the broker's memory stays bounded."""

import asyncio
import random
from pathlib import Path

import pytest
from plugin_tools import PINGREQ, PINGRESP, Client, Home, home

from mqtt_ids.events import Closed, Malformed, Published
from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Connect, Publish
from mqtt_ids_plugin.pressure import ALL, BURST, OWN

pytestmark = pytest.mark.broker

ANN, BOB = "127.0.0.11", "127.0.0.12"


class Watch:
    """The longest queues that were seen at any turn of the loop."""

    def __init__(self, here: Home) -> None:
        self.here = here
        self.backlog = self.unserved = 0

    async def run(self) -> None:
        while True:
            sessions = [session for session, _ in self.here.broker.sessions.values()]
            waiting = [session.delivered_message_queue.qsize() for session in sessions]
            self.unserved = max(self.unserved, *waiting, 0)
            self.backlog = max(self.backlog, self.here.plugin._access.backlog)
            await asyncio.sleep(0)


async def pour(client: Client, data: bytes, times: int) -> None:
    for _ in range(times):
        await client.send(data)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_flood_is_read_no_faster_than_it_is_passed_on(tmp_path: Path, qos: int) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            calm = await here.connected(Connect("calm"), ANN)
            ear = await here.connected(Connect("ear"), ANN)
            await ear.subscribe("t/#")
            loud = await here.connected(Connect("loud", keep_alive=0), BOB)
            watch = Watch(here)
            watching = asyncio.create_task(watch.run())
            count = 20_000 if qos == 0 else 4_000
            one = wire.publish(Publish("t/1", 64, qos=qos))
            heard = wire.publish(Publish("t/1", 64))
            pouring = asyncio.create_task(pour(loud, one * 100, count // 100))
            acks = asyncio.create_task(loud.reader.read(-1))
            hearing = asyncio.create_task(ear.receive(len(heard) * count, within=60))
            while not hearing.done():
                assert await calm.is_alive()
                await asyncio.sleep(0.05)
            await pouring
            assert (await hearing) == heard * count
            await here.until(lambda: len(here.recorder.of(Published)) == count)
            watching.cancel()
            acks.cancel()
            assert 0 < watch.unserved <= OWN + BURST
            assert watch.backlog <= ALL + OWN + BURST

    asyncio.run(scenario())


def test_a_subscriber_that_does_not_read_is_cut_when_others_wait_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with home(tmp_path) as here:
            deaf = await here.connected(Connect("deaf"), BOB)
            await deaf.subscribe("#")
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            calm = await here.connected(Connect("calm"), ANN)
            # Who is kept waiting is not silent.
            loud = await here.connected(Connect("loud", keep_alive=1), ANN)
            watch = Watch(here)
            watching = asyncio.create_task(watch.run())
            one = wire.publish(Publish("t/1", 3_000))
            pouring = asyncio.create_task(pour(loud, one * 10, 700))
            closed = (await here.sees(Closed, within=30))[0]
            assert (closed.client_id, closed.by) == ("deaf", "ids")
            await pouring
            assert await calm.is_alive()
            await here.until(lambda: len(here.recorder.of(Published)) == 7_000, within=20)
            watching.cancel()
            assert watch.backlog <= ALL + OWN + BURST
            assert len(here.recorder.of(Closed)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_sent_the_answer_is_right_or_the_connection_closed(
    tmp_path: Path, seed: int
) -> None:
    """No zombies: after any bytes a client is closed, or its ping is answered."""
    rng = random.Random(seed)
    sound = [
        wire.publish(Publish("a/b", 20)),
        wire.publish(Publish("a/b", 20, qos=1), 3),
        wire.publish(Publish("a/b", 20, qos=2), 4),
        wire.ack(0x62, 4),
        wire.ack(0x40, 9),
        wire.subscribe(("x/+", "y"), 1, 5),
        wire.unsubscribe(("y",), 6),
        PINGREQ,
    ]

    def broken() -> bytes:
        data = bytearray(b"".join(rng.choices(sound, k=rng.randrange(1, 4))))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)

    async def one(here: Home, number: int) -> str:
        client = await here.connected(Connect(f"c{number}"), BOB)
        data = broken()
        for start in range(0, len(data), 7):
            client.writer.write(data[start : start + 7])
            await asyncio.sleep(0)
        client.writer.write(PINGREQ * 40)  # fills up most packets that they may fall into
        try:
            async with asyncio.timeout(0.5):
                return await _outcome(client)
        except TimeoutError:
            await client.close()
            await here.until(lambda: here.recorder.of(Malformed)[-1].reason == "truncated")
            return "inside a packet"
        finally:
            await client.close()

    async def scenario() -> None:
        async with home(tmp_path) as here:
            calm = await here.connected(Connect("calm"), ANN)
            outcomes = [await one(here, number) for number in range(60)]
            assert {"closed", "answered"} <= set(outcomes)
            assert await calm.is_alive()
            await here.until(lambda: len(here.plugin._table) == 1)

    asyncio.run(scenario())


async def _outcome(client: Client) -> str:
    heard = b""
    try:
        while data := await client.reader.read(65536):
            heard += data
            if heard.endswith(PINGRESP):
                return "answered"
    except ConnectionError:
        return "closed"
    return "closed"
