"""Whatever ids, topics and filters attackers choose, the log tells of others only what they did."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.sensors.mosquitto.reader import Reader

CALM = ("lamp", "hall sensor")
STAMP = "1795466419: "
# What an attacker puts together: parts of lines about others, and what lies between such parts.
PARTS = (
    "lamp",
    "hall sensor",
    " ",
    " 1 ",
    "1",
    "#",
    "'",
    "', ... (5 bytes))",
    " (d0, q0, r0, m0, '",
    "lamp (d0, q0, r0, m0, 'home/0",
    "lamp (d0, q0, r0, m0, 'home/0', ... (5 bytes))",
    "lamp 1 home/0",
    "lamp home/0",
    " (p2, c1, k60).",
    " (QoS 1)",
    " [10.0.0.1:1]",
    "10.0.0.1:1",
    ".",
    ": ",
    STAMP,
    "\u2028",
    "Client ",
    "Client lamp closed its connection.",
    "Client lamp [10.0.0.1:1] disconnected: session taken over.",
    " already connected, closing old connection.",
    " disconnected, not authorised.",
    "New client connected from 10.0.0.9:9 as ",
    "New connection from 10.0.0.1:1 on port 1883.",
    "Received PUBLISH from ",
    "Received SUBSCRIBE from ",
    "Received UNSUBSCRIBE from ",
    "Received PINGREQ from lamp",
    "Received DISCONNECT from lamp",
    "Sending CONNACK to ",
    "Sending PUBLISH to ",
    "Protocol error from lamp: ",
    "mosquitto version 2.0.11 starting",
    "<unknown>",
)
WORDS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)
ATTACKERS = st.lists(
    WORDS.filter(lambda name: name not in CALM), min_size=1, max_size=3, unique=True
)
DEEDS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["publish", "subscribe", "unsubscribe", "ping"]),
        st.integers(0, 4),
        WORDS,
    ),
    max_size=20,
)


class Deed(NamedTuple):
    """What a calm client did."""

    kind: str
    name: str
    about: str


def comes(name: str, port: int) -> list[str]:
    end = f"10.0.0.{port}:{port}"
    return [
        f"New connection from {end} on port 1883.",
        f"New client connected from {end} as {name} (p2, c1, k60).",
        "No will message specified.",
        f"Sending CONNACK to {name} (0, 0)",
    ]


def does(name: str, what: str, about: str) -> list[str]:
    """As 2.0 writes it."""
    match what:
        case "publish":
            return [f"Received PUBLISH from {name} (d0, q0, r0, m0, '{about}', ... (5 bytes))"]
        case "subscribe":
            asked = [f"Received SUBSCRIBE from {name}", f"\t{about} (QoS 1)"]
            return [*asked, f"{name} 1 {about}", f"Sending SUBACK to {name}"]
        case "unsubscribe":
            asked = [f"Received UNSUBSCRIBE from {name}", f"\t{about}"]
            return [*asked, f"{name} {about}", f"Sending UNSUBACK to {name}"]
        case _:
            return [f"Received PINGREQ from {name}", f"Sending PINGRESP to {name}"]


def told_of(event: ev.AnyEvent) -> Deed:
    about = event.topic if isinstance(event, ev.Published) else ""
    if isinstance(event, ev.Subscribed | ev.Unsubscribed):
        (about,) = event.filters
    return Deed(type(event).__name__, event.client_id or "", about)


KINDS = {
    "publish": "Published",
    "subscribe": "Subscribed",
    "unsubscribe": "Unsubscribed",
    "ping": "Pinged",
}


@pytest.mark.parametrize("stamp", ["", STAMP])
@settings(max_examples=800, deadline=None)
@given(attackers=ATTACKERS, deeds=DEEDS)
def test_nobody_is_told_to_have_done_what_another_did(
    stamp: str, attackers: list[str], deeds: list[tuple[int, str, int, str]]
) -> None:
    names = [*CALM, *attackers]
    done = [Deed("Connected", name, "") for name in CALM]
    lines = [line for port, name in enumerate(names, 1) for line in comes(name, port)]
    for who, what, topic, words in deeds:
        name = names[who % len(names)]
        about = f"home/{topic}" if name in CALM else words
        lines += does(name, what, about)
        if name in CALM:
            done.append(Deed(KINDS[what], name, "" if what == "ping" else about))
    reader = Reader()
    told = reader.read([(stamp + line).encode() for line in lines], 1.0)
    told += reader.pass_time(3.0)
    calm = [told_of(event) for event in told if event.client_id in CALM]
    assert calm == done
    by_address = {event.client_id for event in told if event.address in {"10.0.0.1", "10.0.0.2"}}
    assert by_address <= {None, *CALM}
