"""What an evaluation found. These structures are its JSON, and what its report is made from.

Times are in seconds. A method is one of METHODS: the detector as it is shipped, the same without
one of its parts, or a rival that sees the same events or vectors.
"""

from typing import Final

import msgspec

OURS: Final = "ours"
NO_FACTS: Final = "no facts"  # what the network finds alone
CONSTANT: Final = "constant score"  # the same detector, told the same score of everybody
MEAN_STD: Final = "mean + std"  # the paper's threshold in place of the budget's
PCA: Final = "PCA"
COUNTERS: Final = "three counters"
METHODS: Final = (OURS, NO_FACTS, CONSTANT, MEAN_STD, PCA, COUNTERS)

HOME: Final = "home"  # where a trial comes from: a test-family home after its start,
START: Final = "start"  # the first minutes of such a home,
MQTTSET: Final = "MQTTset"  # its captures, as they are or mixed,
CAPTURE: Final = "capture"  # or what the user gave
PLACES: Final = (HOME, START, MQTTSET, CAPTURE)


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm above info. `ratio` is its score in thresholds; `case` the kind of lab client."""

    time: float  # since the trial's start
    attack: str | None
    severity: str | None
    client_id: str | None
    address: str | None
    ratio: float | None
    reasons: tuple[str, ...] = ()
    case: str | None = None


class Calm(msgspec.Struct, frozen=True, kw_only=True):
    """A stream without an attack: a simulated home, or a capture said to be calm.

    `vectors` were judged and `above` of them were above their threshold; `highest` is the highest
    score in thresholds. `notes` counts incidents of severity info by name. `actions` is how many
    times the policy would have cut somebody off in mode protect. `watched` tells of the methods
    that watched only the first part of it for how long.
    """

    source: str  # "home 70001" or a file's name
    style: str
    clients: int
    duration: float
    events: int
    cases: tuple[str, ...]
    vectors: int
    above: int
    highest: float
    alarms: dict[str, tuple[Alarm, ...]]  # by method
    notes: dict[str, int]
    actions: int
    cpu: float  # seconds of one core, everything included
    place: str = HOME  # one of PLACES
    watched: dict[str, float] = {}  # by method


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one method made of one attack: when it first accused the attacker, and by which names.

    `after` counts from the attack's start; None where it was never found. `others` are alarms
    above info on anybody else from the attack's start on.
    """

    after: float | None
    first_name: str | None = None
    last_name: str | None = None
    others: int = 0


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Of the vectors of one trial: above the threshold by int8, by float, and by both."""

    int8: int = 0
    floats: int = 0
    both: int = 0


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One attack, played or mixed into calm. `form` tells which of the plan's; `name` is true.

    `right` are names that are right for it besides `name`. `within` is the time that its bar
    allows, or None where no bar is set. `identity` is one of the lab's (new, address, client,
    many), or "own" for an attack of a capture as it was recorded. `in_prelude` tells that OURS
    found it before the moment that its time counts from: its `after` is 0.0 then.
    """

    form: str
    name: str
    source: str
    identity: str
    clients: int
    found: dict[str, Found]  # by method
    agreement: Agreement | None = None
    place: str = HOME  # one of PLACES, and never START
    right: tuple[str, ...] = ()
    within: float | None = None
    in_prelude: bool = False


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One feature alone far out of range, in `trials` calm vectors of its role.

    `drivable` tells whether an attack can drive it that far; `found` how often the score was so
    high that it becomes an alarm when it lasts, `at_once` that one vector is an alarm.
    """

    feature: str
    role: str
    drivable: bool
    trials: int
    found: int
    at_once: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of a flood that grows: the highest score, in thresholds, at `rate` messages/s."""

    rate: float
    by: str  # "new client", "known client" or "host"
    int8: float
    floats: float
    verdict: str  # the gravest: calm, odd or attack
    afterwards: str | None = None  # the mildest after the first attack; None where there was none


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One subject's score over time in thresholds, for a picture; `incidents` are (from, to)."""

    title: str
    times: tuple[float, ...]
    ratios: tuple[float, ...]
    incidents: tuple[tuple[float, float, str], ...]  # from, to, name


class Roc(msgspec.Struct, frozen=True, kw_only=True):
    """True against false positive rates of single vectors, for one method."""

    method: str
    false: tuple[float, ...]
    true: tuple[float, ...]
    area: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Names given, one row per true name: `counts[true][given]`, by "rules" or "classifier"."""

    by: str
    counts: dict[str, dict[str, int]]
    explained: str  # how it explains itself, in a sentence


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must be reached: what, how much, what was measured, whether it holds.

    `trials` is how many the figure stands on; `interval` its 95 % interval in words.
    """

    what: str
    required: str
    measured: str
    holds: bool
    trials: int
    interval: str | None = None


class Results(msgspec.Struct, kw_only=True):
    """All of an evaluation."""

    schema: str = "mqtt-ids/evaluation/1"
    model: str  # its name or folder
    fingerprint: str  # of the model's file
    trained: dict[str, str]
    short: bool
    seconds: float = 0.0
    calm: list[Calm] = []
    attacks: list[Attack] = []
    probes: list[Probe] = []
    steps: list[Step] = []
    curves: list[Curve] = []
    rocs: list[Roc] = []
    confusions: list[Confusion] = []
    better_names: str = ""  # which of the two names better, in a sentence
    shares: dict[str, dict[str, float]] = {}  # by attack: the features that carried the error
    bars: list[Bar] = []
    left_out: list[str] = []  # what could not be tried, and why
