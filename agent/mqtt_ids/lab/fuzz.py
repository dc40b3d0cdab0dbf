"""What a fuzzer sends: packets that break MQTT, and whole ones that no home sends.

Each entry takes random numbers and gives the actions of one attempt on one connection. The fault
named in a `Send` is what a strict decoder of MQTT 3.1.1 says about these bytes.
"""

import random
from collections.abc import Callable, Mapping

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import Action, Connect, Publish, Send, Subscribe

Attempt = tuple[Action, ...]
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def word(rng: random.Random, low: int = 1, high: int = 8) -> str:
    """Random letters and digits."""
    return "".join(rng.choices(_LETTERS, k=rng.randint(low, high)))


def _publish(topic: str | bytes, fault: str) -> Callable[[random.Random], Attempt]:
    return lambda rng: (Send(wire.broken_publish(topic, rng.randint(0, 40)), fault),)


def _half_publish(rng: random.Random) -> Attempt:
    whole = wire.broken_publish(word(rng), rng.randint(4, 300))
    return (Send(whole[: rng.randint(1, len(whole) - 1)]),)


def _half_connect(rng: random.Random) -> Attempt:
    whole = wire.connect(Connect(word(rng, 4, 20)))
    return (Send(whole[: rng.randint(1, len(whole) - 1)]),)


BEFORE_CONNECT: Mapping[str, Callable[[random.Random], Attempt]] = {
    "half CONNECT": _half_connect,
    "PUBLISH first": lambda rng: (
        Send(wire.broken_publish(word(rng), rng.randint(0, 40)), "not-connect-first"),
    ),
    "SUBSCRIBE first": lambda rng: (Send(wire.subscribe((word(rng),), 0, 1), "not-connect-first"),),
    "other protocol": lambda rng: (
        Send(wire.connect(Connect(word(rng)), protocol=word(rng, 4, 4)), "protocol-name"),
    ),
    "password alone": lambda rng: (
        Send(wire.connect(Connect(word(rng)), more_flags=0x40), "password-without-username"),
    ),
    "reserved flag": lambda rng: (
        Send(wire.connect(Connect(word(rng)), more_flags=0x01), "bad-flags"),
    ),
    "endless length": lambda rng: (
        Send(b"\x10" + b"\xff" * rng.randint(4, 8), "remaining-length"),
    ),
}
AFTER_CONNECT: Mapping[str, Callable[[random.Random], Attempt]] = {
    "half PUBLISH": _half_publish,
    "reserved type": lambda rng: (Send(rng.choice((b"\x00\x00", b"\xf0\x00")), "reserved-type"),),
    "endless length": lambda rng: (
        Send(b"\x30" + b"\xff" * rng.randint(4, 8), "remaining-length"),
    ),
    "wrong flags": lambda rng: (Send(wire.subscribe((word(rng),), 0, 1, first=0x80), "bad-flags"),),
    "third QoS": lambda rng: (Send(wire.broken_publish(word(rng), 4, 3), "bad-qos"),),
    "wildcard topic": lambda rng: _publish(f"{word(rng)}/{rng.choice('#+')}", "wildcard-topic")(
        rng
    ),
    "no topic": _publish("", "empty-topic"),
    "no UTF-8": _publish(b"\xc3\x28\xff", "bad-utf8"),
    "bad filter": lambda rng: (
        Send(wire.subscribe((f"{word(rng)}/#/{word(rng)}",), 0, 1), "bad-filter"),
    ),
    "no filter": lambda _: (Send(wire.packet(0x82, b"\x00\x01"), "no-filter"),),
    "packet id 0": lambda rng: (Send(wire.subscribe((word(rng),), 0, 0), "packet-id"),),
    "server's packet": lambda rng: (
        Send(rng.choice((b"\x20\x02\x00\x00", b"\xd0\x00")), "wrong-direction"),
    ),
    "PINGREQ with a body": lambda rng: (
        Send(wire.packet(0xC0, b"x" * rng.randint(1, 30)), "bad-length"),
    ),
    "second CONNECT": lambda rng: (Send(wire.connect(Connect(word(rng))), "second-connect"),),
}
ACCEPTED: Mapping[str, Callable[[random.Random], Attempt]] = {
    "dollar topic": lambda rng: (Publish(f"${word(rng)}/{word(rng)}", rng.randint(0, 60)),),
    "empty levels": lambda rng: (
        Publish("/" * rng.randint(2, 40) + word(rng), rng.randint(0, 60)),
    ),
    "dots": lambda rng: (Publish("../" * rng.randint(1, 12) + word(rng), rng.randint(0, 60)),),
    "long topic": lambda rng: (Publish(word(rng, 300, 12_000), rng.randint(0, 60)),),
    "subscribes all": lambda rng: (Subscribe((rng.choice(("#", "$SYS/#", "+/+/#")),)),),
    "odd filter": lambda rng: (Subscribe(("/" * rng.randint(2, 30) + word(rng),)),),
    "empty payload": lambda rng: (Publish(word(rng), 0, rng.choice((0, 1, 2)), retain=True),),
}
