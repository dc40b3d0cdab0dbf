"""Ids, topics and logins of attackers, drawn the way homes draw theirs."""

import random
from collections.abc import Callable

from mqtt_ids.lab.actions import Connect
from mqtt_ids.lab.fuzz import word
from mqtt_ids.lab.household import Home, Resident


class Names:
    """What somebody who knows this home, and one client of it well, would call things."""

    def __init__(self, home: Home, rng: random.Random, victim: Resident) -> None:
        self.home, self.rng, self.victim = home, rng, victim

    def client_id(self) -> str:
        """An id such as a home, a tool or a library would use."""
        rng = self.rng
        if rng.random() < 0.4:  # noqa: PLR2004 - often like a known one with other digits
            known = rng.choice(self.home.residents).client_id or word(rng, 6, 20)
            cut = rng.randint(0, len(known) - 1)
            return known[:cut] + word(rng, 2, max(2, len(known) - cut))
        return rng.choice(
            (
                f"mqttjs_{rng.getrandbits(32):08x}", f"mosq-{word(rng, 18, 18)}", word(rng, 6, 23),
                f"{word(rng, 3, 8)}-{rng.randint(1, 9999)}", f"paho{rng.getrandbits(60)}",
                f"{word(rng, 3, 9)}_{word(rng, 2, 6)}",
            )
        )  # fmt: skip

    def topic_source(self, kind: str) -> Callable[[], str]:
        """A function that gives a topic: always `one`, `random` ones, or the victim's `own`."""
        rng = self.rng
        topics = self.victim.topics
        if kind == "own" and topics:
            return lambda: rng.choice(topics)
        known = [topic for resident in self.home.residents for topic in resident.topics]

        def fresh() -> str:
            parts = (rng.choice(known) if known else word(rng)).split("/")
            parts[rng.randrange(len(parts))] = word(rng, 2, 10)
            return "/".join(parts).strip("/") or word(rng)

        if kind == "random":
            return fresh
        one = fresh()
        return lambda: one

    def connect(self) -> Connect:
        """A CONNECT with good credentials and an id of its own."""
        victim = self.victim
        return Connect(self.client_id(), victim.username, victim.password)
