"""The same scripts against a real broker, in real time."""

import asyncio
import collections
import contextlib
import random
import socket
from collections.abc import AsyncIterator

import pytest
from amqtt.broker import Broker
from amqtt.client import MQTTClient

from mqtt_ids.lab.actions import Actor, Clock, Connect, Open, Publish, Script, Subscribe, Woken
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.broker import Rules
from mqtt_ids.lab.client import Profile, client
from mqtt_ids.lab.deeds import Deed, Loopback
from mqtt_ids.lab.habits import Every, Say
from mqtt_ids.lab.homes import cast, make_home
from mqtt_ids.lab.life import Life, Rhythm
from mqtt_ids.lab.live import perform
from mqtt_ids.lab.play import play

pytestmark = pytest.mark.broker


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[int]:
    port = free_port()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    server = Broker(config)
    await server.start()
    try:
        yield port
    finally:
        await server.shutdown()


def device(number: int, period: float, qos: int = 0) -> Actor:
    say = Say(f"dev/{number}", (5, 50), qos=qos, seed=random.Random(number))
    profile = Profile(client_id=f"dev-{number}", filters=(f"dev/{number}/set",), keep_alive=2)
    script = client(profile, (Every(period=period, says=(say,)),), Life("x", Rhythm()))
    return Actor(name=f"dev{number}", address=f"10.0.0.{number}", script=script, seed=str(number))


async def received(port: int, seconds: float, into: collections.Counter[str]) -> None:
    listener = MQTTClient(config={"auto_reconnect": False})
    await listener.connect(f"mqtt://127.0.0.1:{port}/")
    await listener.subscribe([("#", 0)])
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                message = await listener.deliver_message()
                if message is not None:
                    into[str(message.topic)] += 1
    await listener.disconnect()


def virtually(actors: list[Actor], end: float) -> collections.Counter[str]:
    events = play(actors, Rules(), end=end, finish=False)
    return collections.Counter(type(event).__name__.lower() for event in events)


def test_virtual_and_live_agree() -> None:
    lasts = 6.0
    home = make_home(4, style="testbed", size=6)
    attacks = [
        Attacker(home, 1, start=2.0, duration=3.0).flood(rate=30.0),
        Attacker(home, 2, start=1.0, duration=4.0).slowite(connections=20, opens_in=0.5),
        Attacker(home, 3, start=1.0, duration=4.0).malformed(rate=4.0, broken=0.6),
    ]

    def actors() -> list[Actor]:
        return [device(1, 0.2), device(2, 0.5, qos=1), device(3, 100.0)] + [
            actor for attack in attacks for actor in attack.actors
        ]

    async def really() -> tuple[collections.Counter[str], collections.Counter[str]]:
        heard: collections.Counter[str] = collections.Counter()
        async with broker() as port:
            listening = asyncio.create_task(received(port, lasts + 1.5, heard))
            await asyncio.sleep(0.5)
            tally = await perform(actors(), port=port, duration=lasts)
            await listening
        return tally, heard

    done, heard = asyncio.run(really())
    meant = virtually(actors(), lasts)
    for kind in ("opened", "connected", "subscribed", "published", "pinged"):
        assert done[kind] == pytest.approx(meant[kind], rel=0.2, abs=3), kind
    assert done["malformed"] >= 3
    assert heard["dev/1"] == pytest.approx(lasts / 0.2, rel=0.15)
    assert heard["dev/2"] == pytest.approx(lasts / 0.5, rel=0.2)
    assert attacks[1].truth.client_ids


def test_each_host_has_its_own_address_and_a_connack() -> None:
    async def really() -> list[Deed]:
        deeds: list[Deed] = []
        async with broker() as port:
            await perform(
                [device(1, 1.0), device(2, 1.0)], port=port, duration=1.0, note=deeds.append
            )
        return deeds

    deeds = asyncio.run(really())
    connected = [deed for deed in deeds if deed.kind == "connected"]
    assert {deed.client_id for deed in connected} == {"dev-1", "dev-2"}
    assert len({deed.address for deed in connected}) == 2
    assert all(deed.address.startswith("127.0.") for deed in deeds)


def test_a_message_wakes_a_live_script() -> None:
    heard: list[object] = []

    def listening(_: Clock, __: random.Random) -> Script:
        yield Open()
        yield Connect("ears")
        yield Subscribe(("a/#",), ("a/b",))
        heard.append((yield 5.0))

    def speaking(_: Clock, __: random.Random) -> Script:
        yield 0.3
        yield Open()
        yield Connect("mouth")
        yield Publish("a/b", 10, 1)
        yield 0.5

    async def really() -> None:
        async with broker() as port:
            await perform(
                [
                    Actor(name="l", address="1", script=listening, seed="1"),
                    Actor(name="s", address="2", script=speaking, seed="2"),
                ],
                port=port,
                duration=5.0,
            )

    asyncio.run(really())
    assert heard == [Woken("a/b")]


def test_a_whole_home_at_speed() -> None:
    home = make_home(11, size=10, style="mixed")

    async def really() -> collections.Counter[str]:
        async with broker() as port:
            return await perform(cast(home), port=port, duration=300.0, speed=60.0, connections=50)

    done = asyncio.run(really())
    assert done["connected"] >= 8
    assert done["published"] >= 20


def test_no_broker_is_no_error() -> None:
    done = asyncio.run(perform([device(1, 1.0)], port=free_port(), duration=1.0))
    assert not done


def test_loopback_addresses_are_lasting_and_distinct() -> None:
    address_of = Loopback()
    made = [address_of(f"10.1.{number // 250}.{number % 250}") for number in range(1_000)]
    assert len(set(made)) == 1_000
    assert address_of("10.1.0.0") == made[0]
    assert "127.0.0.1" not in made
