"""Addresses kept out by nftables, in network namespaces that the tests make."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hands_tools import Agent
from live_broker import until
from mosquitto_broker import PROGRAM, SYSTEM, needs_mosquitto
from namespaces import BROKER, CLIENTS, CONNACK, Wire, needs_namespaces

from mqtt_ids.hands.ruleset import Ruleset

PORT = 1883
BAD, GOOD, THIRD, BAD6, GOOD6 = CLIENTS
TABLE = f"mqtt_ids_{PORT}"

needs_nft = pytest.mark.skipif(shutil.which("nft", path=SYSTEM) is None, reason="no nft here")
pytestmark = [
    pytest.mark.broker,
    needs_mosquitto,
    needs_namespaces,
    needs_nft,
    pytest.mark.timeout(90),
]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """With a broker at one end."""
    config = tmp_path_factory.mktemp("broker") / "mosquitto.conf"
    config.write_text(f"user root\nlistener {PORT}\nallow_anonymous true\n")
    with Wire() as wire:
        command = ["ip", "netns", "exec", wire.broker, str(PROGRAM), "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            until(lambda: str(PORT) in wire.inside("ss", "-Hltn"), 10.0, failing="no broker")
            yield wire
            process.kill()


@pytest.fixture
def agent(wire: Wire, tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path / "state", BROKER[0], PORT, namespace=wire.broker) as agent:
        agent.ready("address")
        yield agent
        agent.stop()
    assert TABLE not in wire.inside("nft", "list", "tables"), "a stop takes the table away"


def client(wire: Wire, source: str) -> socket.socket:
    one = wire.connect(source, PORT)
    assert one.recv(4) == CONNACK
    return one


def stands(one: socket.socket) -> bool:
    one.sendall(b"\xc0\x00")  # PINGREQ
    return one.recv(2) == b"\xd0\x00"


def cut(one: socket.socket) -> bool:
    """Whether the connection has ended, without a word of ours."""
    one.settimeout(2.0)
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def refused(wire: Wire, source: str) -> bool:
    try:
        wire.connect(source, PORT).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(("bad", "good"), [(BAD, GOOD), (BAD6, GOOD6), (f"::ffff:{BAD}", GOOD)])
def test_who_is_banned_is_cut_and_refused_and_the_other_stands(
    wire: Wire, agent: Agent, bad: str, good: str
) -> None:
    source = bad.removeprefix("::ffff:")
    offender, half_open = client(wire, source), wire.connect(source, PORT, b"")
    with client(wire, good) as neighbour, offender, half_open:
        agent.do("ban", kind="address", value=bad, seconds=300)
        assert cut(offender)
        assert cut(half_open)
        assert refused(wire, source)
        assert stands(neighbour)
        assert not refused(wire, good)
        assert source not in wire.inside("ss", "-Htn", "state", "established")
        agent.do("lift", kind="address", value=bad)
        until(lambda: not refused(wire, source), 5.0, failing="not let in")


def test_an_alert_is_acted_upon_within_two_seconds(wire: Wire, agent: Agent) -> None:
    with client(wire, BAD) as offender:
        told = agent.do("alert", clients=["x"], near=[], address=BAD)
        assert (told["action"], told["reason"]) == ("banned", f"banned address {BAD} for 10m")
        assert cut(offender)
        told = agent.do("alert", clients=["y"], near=[], address="?y")
        assert told["action"] == "none"
        assert "its address is not known" in told["reason"]


def test_the_kernel_ends_a_ban_though_the_agent_is_dead(wire: Wire, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Agent(state, BROKER[0], PORT, namespace=wire.broker) as agent:
        agent.ready("address")
        agent.do("ban", kind="address", value=BAD, seconds=4)
        agent.do("ban", kind="address", value=GOOD, seconds=300)
        until(lambda: refused(wire, BAD) and refused(wire, GOOD), 5.0, failing="not banned")
        agent.kill()
    assert refused(wire, BAD)
    until(lambda: not refused(wire, BAD), 10.0, failing="locked out for good")
    assert refused(wire, GOOD)
    with Agent(state, BROKER[0], PORT, namespace=wire.broker) as agent:
        agent.ready("address")
        assert agent.do("state")["bans"] == [GOOD]
        agent.do("release")
        until(lambda: not refused(wire, GOOD), 5.0, failing="not let in")
        agent.do("ban", kind="address", value=BAD, seconds=300)
        until(lambda: refused(wire, BAD), 5.0, failing="not banned")
        agent.stop()
    assert not refused(wire, BAD)
    with Agent(state, BROKER[0], PORT, namespace=wire.broker) as agent:
        until(lambda: refused(wire, BAD), 5.0, failing="the next start does not keep it out again")
        agent.stop()


def test_our_own_addresses_are_never_banned(wire: Wire, agent: Agent) -> None:
    for address in ("127.0.0.1", "127.0.0.9", "::1", *BROKER, "0.0.0.0", "224.0.0.1"):
        told = agent.do("ban", kind="address", value=address, seconds=60)
        assert told == {"error": f"address {address} is this machine's own"}
    assert TABLE not in wire.inside("nft", "list", "tables"), "the firewall is touched by bans only"


def test_a_ban_put_again_gets_its_new_end(wire: Wire, agent: Agent) -> None:
    def left() -> int:
        told = json.loads(wire.inside("nft", "-j", "list", "set", "inet", TABLE, "banned4"))
        return int(told["nftables"][1]["set"]["elem"][0]["elem"]["timeout"])

    agent.do("ban", kind="address", value=BAD, seconds=300)
    until(lambda: refused(wire, BAD), 5.0, failing="not banned")
    agent.do("ban", kind="address", value=BAD, seconds=30)
    until(lambda: left() <= 30, 5.0, failing="the old end stands")


def test_a_table_that_somebody_takes_away_comes_back(wire: Wire, tmp_path: Path) -> None:
    code = f"""
import asyncio, time
from mqtt_ids.bans import Ban, Handle
from mqtt_ids.hands.nftables import Nftables
async def main():
    hand = Nftables("localhost", [{PORT}], lambda *why: print("failed", why), time.time)
    await hand.start()
    handle = Handle("address", "{BAD}")
    hand.keep_out(Ban(handle=handle, until=time.time() + 300, seconds=300, why="test"))
    await hand._idle.wait()
    print("first", await hand._stands())
    await (await asyncio.create_subprocess_exec("nft", "flush", "ruleset")).wait()
    for now in (0, 61):
        hand.pass_time(now)
    await hand._idle.wait()
    print("again", await hand._stands())
    await hand.stop()
    print("after", await hand._stands())
asyncio.run(main())
"""
    told = wire.inside(sys.executable, "-c", code)
    assert told.split() == ["first", "True", "again", "True", "after", "False"]


def test_two_agents_beside_one_broker_do_not_take_each_others_bans_away(
    wire: Wire, agent: Agent, tmp_path: Path
) -> None:
    agent.do("ban", kind="address", value=BAD, seconds=300)
    with Agent(tmp_path / "second", BROKER[0], PORT, namespace=wire.broker) as second:
        second.ready("address")
        second.do("ban", kind="address", value=THIRD, seconds=300)
        until(lambda: refused(wire, BAD) and refused(wire, THIRD), 5.0, failing="not banned")
        second.stop()
    assert refused(wire, BAD)
    assert not refused(wire, THIRD)


def test_what_stands_in_the_way_is_said(wire: Wire, tmp_path: Path) -> None:
    with Agent(tmp_path / "far", CLIENTS[0], PORT, namespace=wire.broker) as agent:
        state = agent.do("state")
        assert state["offers"] == []
        far = f"nftables: {CLIENTS[0]} is another machine, whose firewall is not ours"
        assert state["reasons"][1] == far
        told = agent.do("alert", clients=["x"], near=[], address=BAD)
        assert far in told["reason"]


def test_without_the_capability_it_is_not_offered(wire: Wire) -> None:
    code = (
        "import asyncio, time; from mqtt_ids.hands.nftables import Nftables;"
        f"hand = Nftables('localhost', [{PORT}], print, time.time);"
        "asyncio.run(hand.start()); print(hand.reason)"
    )
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    told = wire.inside(*as_nobody, sys.executable, "-c", code)
    why = "nftables: not permitted; the service needs AmbientCapabilities=CAP_NET_ADMIN"
    assert told.strip() == why


def test_the_capability_alone_is_enough(wire: Wire) -> None:
    code = f"""
import asyncio, time
from mqtt_ids.bans import Ban, Handle
from mqtt_ids.hands.nftables import Nftables
async def main():
    hand = Nftables("localhost", [{PORT}, 8883, 9001], print, time.time)
    await hand.start()
    handle = Handle("address", "{BAD}")
    hand.keep_out(Ban(handle=handle, until=time.time() + 300, seconds=300, why="test"))
    await hand._idle.wait()
    print("banned", await hand._stands())
    await hand.stop()
asyncio.run(main())
"""
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    ambient = ["--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    with client(wire, BAD) as offender:
        told = wire.inside(*as_nobody, *ambient, sys.executable, "-c", code)
        assert told.split() == ["banned", "True"]
        assert cut(offender)


def test_it_is_tried_again_once_it_may_work(wire: Wire) -> None:
    code = f"""
import asyncio, time
from mqtt_ids.hands import nftables
async def main():
    hand = nftables.Nftables("localhost", [{PORT}, 8883], print, time.time)
    find, nftables.find = nftables.find, lambda program: None
    await hand.start()
    print(hand.reason)
    nftables.find = find
    for now in (0, 301):
        hand.pass_time(now)
    await hand._trying
    print(hand.reason)
    await hand.stop()
asyncio.run(main())
"""
    told = wire.inside(sys.executable, "-c", code).splitlines()
    assert told == ["nftables: nft is not installed (apt install nftables)", "None"]


def test_no_more_than_an_address_reaches_the_program() -> None:
    rules = Ruleset([PORT])
    for name in ("?cam", "10.0.0.1 }; flush ruleset", "10.0.0.0/8", "fe80::1%eth0; x", ""):
        with pytest.raises(ValueError, match=r"does not appear to be|has a scope"):
            rules.change({name: 60.0}, ())
