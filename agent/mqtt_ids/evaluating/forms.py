"""The forms of attack that are tried: the lab's own, at several intensities."""

from typing import Final, Literal

import msgspec

from mqtt_ids.lab.attackers import Attack, Attacker, Identity
from mqtt_ids.lab.household import Home, Resident

Maker = Literal[
    "flood",
    "dos",
    "slowite",
    "malformed",
    "brute_force",
    "enumeration",
    "takeover",
    "spoofing",
    "turn",
    "silence",
]
Victim = Literal["any", "slow", "steady"]

SLOW: Final = 1 / 120  # messages/s at most of a client that is `slow`, like a door sensor
STEADY: Final = 1 / 120  # messages/s at least of one whose silence could be noticed


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One form of attack, by each of `identities`, for `duration` seconds.

    `maker` is a method of the lab's Attacker, called with `settings`. `name` is its true name, and
    `right` are the others that are right as well. `within` is by when it must be found, in seconds,
    where a bar says so. `notes` are names under which an alert of severity info counts as found:
    the facts that are never more than a note. `in_scores` is False where a fact alone tells of it,
    so that its vectors are those of calm. `victim` is whom it strikes or imitates.
    """

    id: str
    name: str
    maker: Maker
    settings: dict[str, float | str] = {}
    identities: tuple[Identity, ...] = ("new", "address", "client")
    duration: float = 60.0
    within: float | None = None
    right: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    in_scores: bool = True
    victim: Victim = "any"

    def attack(
        self, home: Home, seed: int, start: float, identity: Identity, victim: Resident | None
    ) -> Attack:
        """The attack on `home` at `start`; `victim` None leaves the choice to the attacker."""
        attacker = Attacker(
            home, seed, start=start, duration=self.duration, identity=identity, victim=victim
        )
        attack: Attack = getattr(attacker, self.maker)(**self.settings)
        return attack


_NEW: Final[tuple[Identity, ...]] = ("new",)
_OWN: Final[tuple[Identity, ...]] = ("new", "client")
_CLIENT: Final[tuple[Identity, ...]] = ("client",)
_MANY: Final[tuple[Identity, ...]] = ("many",)
_ELSE: Final = ("unusual",)

# The bar of 2 s is for floods like MQTTset's, of thousands of messages a second. Slower ones are
# as fast as a bridge that repeats all it knows: they take longer, and the report says how long.
_FLOODS: Final = (
    Form(
        id="flood 2/s", name="flood", maker="flood", settings={"rate": 2.0}, identities=_OWN,
        duration=300.0, right=_ELSE,
    ),
    Form(
        id="flood 20/s", name="flood", maker="flood", settings={"rate": 20.0}, identities=_OWN,
        right=_ELSE,
    ),
    Form(
        id="flood 100/s", name="flood", maker="flood", settings={"rate": 100.0}, identities=_OWN,
        duration=30.0,
    ),
    Form(
        id="flood 200/s", name="flood", maker="flood", settings={"rate": 200.0}, duration=30.0,
    ),
    Form(
        id="flood 2,000/s", name="flood", maker="flood", settings={"rate": 2000.0}, duration=15.0,
        within=2.0,
    ),
    Form(
        id="flood 20,000/s", name="flood", maker="flood", settings={"rate": 20_000.0},
        identities=_OWN, duration=4.0, within=2.0,
    ),
)  # fmt: skip

_DOS: Final = (
    Form(
        id="dos 100 x 10/s", name="dos", maker="dos", duration=15.0, within=4.0,
        settings={"connections": 100, "rate": 10.0},
    ),
    Form(
        id="dos 10 x 70/s", name="dos", maker="dos", duration=15.0, within=4.0,
        settings={"connections": 10, "rate": 70.0},
    ),
    Form(
        id="dos 20 x 1/s", name="dos", maker="dos", identities=_OWN,
        settings={"connections": 20, "rate": 1.0}, right=_ELSE,
    ),
    Form(
        id="dos storm, 40 connections/s", name="dos", maker="dos", duration=30.0, within=4.0,
        settings={"connections": 20, "rate": 2.0, "mode": "storm"},
    ),
    Form(
        id="dos of many addresses", name="dos", maker="dos", identities=_MANY, duration=15.0,
        settings={"connections": 100, "rate": 10.0, "each": 5}, right=("flood", *_ELSE),
    ),
)  # fmt: skip

_SLOW: Final = (
    Form(
        id="slowite, keep-alive 65535", name="slowite", maker="slowite", within=2.0, duration=30.0,
        settings={"connections": 100},
    ),
    Form(
        id="slowite, keep-alive 0", name="slowite", maker="slowite", within=2.0, duration=30.0,
        identities=_OWN, settings={"connections": 100, "keep_alive": 0},
    ),
    Form(
        id="slowite, half-open", name="slowite", maker="slowite", within=2.0, duration=30.0,
        settings={"connections": 50, "mode": "half-open"},
    ),
    Form(
        id="slowite, not one byte", name="slowite", maker="slowite", within=2.0, duration=30.0,
        identities=_OWN, settings={"connections": 50, "mode": "empty"},
    ),
    Form(
        id="slowite, a byte each 5 s", name="slowite", maker="slowite", within=2.0, duration=30.0,
        identities=_OWN, settings={"connections": 50, "mode": "drip"},
    ),
    Form(
        id="slowite, 30 in a minute", name="slowite", maker="slowite", duration=120.0,
        identities=_OWN, settings={"connections": 30, "opens_in": 60.0},
    ),
    Form(
        id="slowite of many addresses", name="slowite", maker="slowite", identities=_MANY,
        settings={"connections": 100, "each": 5}, right=_ELSE,
    ),
)  # fmt: skip

_MALFORMED: Final = (
    Form(id="malformed 3/s", name="malformed", maker="malformed", within=10.0),
    Form(
        id="malformed 10/s", name="malformed", maker="malformed", settings={"rate": 10.0},
        identities=_OWN, duration=30.0, within=10.0,
    ),
    Form(
        id="malformed 1/s", name="malformed", maker="malformed", settings={"rate": 1.0},
        identities=_OWN,
    ),
    Form(
        id="malformed of many addresses", name="malformed", maker="malformed", identities=_MANY,
        settings={"rate": 10.0}, right=_ELSE,
    ),
)  # fmt: skip

_GUESSES: Final = (
    Form(
        id="guess each 1.5 s", name="brute-force", maker="brute_force", settings={"gap": 1.5},
        within=12.0,
    ),
    Form(
        id="guess each 10 s", name="brute-force", maker="brute_force", settings={"gap": 10.0},
        duration=180.0, within=90.0,
    ),
    Form(
        id="guess each 60 s", name="brute-force", maker="brute_force", settings={"gap": 60.0},
        duration=1200.0, within=900.0,
    ),
    Form(
        id="guess each 1.5 s, 50 users", name="brute-force", maker="brute_force", identities=_OWN,
        settings={"gap": 1.5, "users": 50, "ids": "same"}, within=12.0,
    ),
    Form(
        id="guesses of many addresses", name="brute-force", maker="brute_force", identities=_MANY,
        settings={"gap": 1.0}, duration=120.0, right=_ELSE,
    ),
)  # fmt: skip

_OTHERS: Final = (
    Form(
        id="turn 20/s", name="unusual", maker="turn", settings={"rate": 20.0}, identities=_CLIENT,
        right=("flood",), victim="slow",
    ),
    Form(
        id="turn 1/s", name="unusual", maker="turn", settings={"rate": 1.0}, identities=_CLIENT,
        duration=300.0, right=("flood",), victim="slow",
    ),
    Form(
        id="turn 0.1/s", name="unusual", maker="turn", settings={"rate": 0.1}, identities=_CLIENT,
        duration=900.0, right=("flood",), victim="slow",
    ),
    Form(
        id="50 topics of others", name="spoofing", maker="spoofing", duration=120.0,
        settings={"topics": 50, "gap": 1.0},
    ),
    Form(
        id="3 topics of others", name="spoofing", maker="spoofing", duration=120.0,
        settings={"topics": 3, "gap": 10.0}, in_scores=False,
    ),
    Form(
        id="publishes on $ids/…", name="spoofing", maker="spoofing", duration=30.0,
        settings={"mode": "alert"}, in_scores=False,
    ),
    Form(
        id="will on $ids/…", name="spoofing", maker="spoofing", identities=_NEW, duration=30.0,
        settings={"mode": "will"}, in_scores=False,
    ),
    Form(
        id="take-over each 3 s", name="takeover", maker="takeover", identities=_NEW,
        settings={"patience": 3.0},
    ),
    Form(
        id="take-over each 30 s", name="takeover", maker="takeover", identities=_NEW,
        settings={"patience": 30.0}, duration=300.0,
    ),
    Form(
        id="subscribes # and $SYS/#", name="enumeration", maker="enumeration",
        settings={"mode": "all"}, notes=("enumeration",), in_scores=False,
    ),
    Form(
        id="subscribes #", name="enumeration", maker="enumeration", identities=_OWN,
        settings={"mode": "hash"}, notes=("enumeration",), in_scores=False,
    ),
    Form(
        id="subscribes 50 filters", name="enumeration", maker="enumeration",
        settings={"mode": "many", "filters": 50}, right=_ELSE,
    ),
    Form(
        id="silence", name="silence", maker="silence", identities=_CLIENT, duration=900.0,
        notes=("silence",), in_scores=False, victim="steady",
    ),
)  # fmt: skip

FORMS: Final = (*_FLOODS, *_DOS, *_SLOW, *_MALFORMED, *_GUESSES, *_OTHERS)
BY_ID: Final = {form.id: form for form in FORMS}
FIVE: Final = frozenset({"flood", "dos", "slowite", "malformed", "brute-force"})  # of MQTTset
