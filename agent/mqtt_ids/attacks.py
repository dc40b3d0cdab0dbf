"""The name of an attack: a transparent rule over the features that carry the error.

A name never decides whether there is an anomaly; it is given after that. The rules read how the
excess error is shared among families of features, and how the load is spread over clients.
"""

from typing import Final

import numpy as np

from mqtt_ids.alerts import Attack, Severity
from mqtt_ids.feature_table import FEATURES
from mqtt_ids.windows import Floats

MITRE: Final[dict[Attack, tuple[str, ...]]] = {
    "dos": ("T0814",),
    "flood": ("T0814",),
    "slowite": ("T0814",),
    "malformed": ("T0814",),
    "brute-force": ("T1110", "T0812"),
    "enumeration": ("T0861",),
    "takeover": ("T0855",),
    "spoofing": ("T0856", "T0855"),
}
SEVERITY: Final[dict[Attack, Severity]] = {
    "dos": "high",
    "flood": "high",
    "slowite": "high",
    "brute-force": "high",
    "malformed": "medium",
    "enumeration": "medium",
    "takeover": "medium",
    "spoofing": "medium",
    "unusual": "low",
    "silence": "info",
    "login-failing": "info",
    "new-client": "info",
}
CRITICAL_SCORE: Final = 1000.0  # times the threshold
STRONG_SCORE: Final = 16.0  # times the threshold: `unusual` becomes medium
MANY_CLIENTS: Final = 100
SOLE_PUBLISHER: Final = 0.8  # share of a host's publishes that makes it one client's flood
FEW_OPENS: Final = 6.0  # connections in a minute that one flooding client may need
LOUD_MESSAGES: Final = 20.0  # messages/s in the last 10 s that load a broker at all
LOUD_BYTES: Final = 1e6  # bytes/s, likewise
HELD: Final = 6.0  # held half-open connections, or with extreme keep-alives, that no home has
WITHOUT_CONNECT: Final = 0.1  # CONNECTs per connection below which connections are merely held
CROWD_OPENS: Final = 250.0  # connections in a minute by which even one client loads a broker
RETURNS: Final = 5.0  # connects in ten minutes after which subscribing again is no curiosity
FEWEST_GUESSES: Final = 2.5  # different passwords, fading over ten minutes
FEWEST_TRIES: Final = 3  # of a stranger, in a row

_FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "guess": ("host_guesses", "host_tries"),
    "hold": ("host_half_open", "host_extreme", "host_silent"),
    "bad": (
        "malformed",
        "odd_topics",
        "host_malformed",
        "host_odd_names",
        "host_empty_ids",
        "host_refused",
        "host_early_closes",
        "abrupt_closes",
    ),
    "foreign": ("foreign_topics", "host_foreign_topics"),
    "listen": ("filters", "wide_filters", "host_filters", "host_wide_filters", "unlike_filters"),
    "turns": ("takeovers",),
    "crowd": (
        "host_opens",
        "host_connects",
        "host_connections",
        "host_new_ids",
        "host_short_lives",
        "host_abrupt_closes",
        "host_retries",
        "unlike_host_opens",
        "connects",
        "unlike_connects",
    ),
    "load": (
        "publish_rate",
        "repeat_rate",
        "byte_rate",
        "ping_rate",
        "payload_mean",
        "new_topics",
        "sprayed",
        "acknowledged_share",
        "host_publish_rate",
        "host_byte_rate",
        "host_ping_rate",
        "host_payload_mean",
        "host_new_topics",
        "host_sprayed",
        "host_acknowledged_share",
        "unlike_publish_rate",
        "unlike_repeat_rate",
        "unlike_byte_rate",
        "unlike_new_topics",
        "unlike_payload_mean",
        "unlike_host_publish_rate",
        "unlike_host_byte_rate",
        "unlike_host_new_topics",
    ),
}
_MASKS: Final = {
    family: np.array([feature.name.startswith(stems) for feature in FEATURES])
    for family, stems in _FAMILIES.items()
}
_PLACE: Final = {feature.name: place for place, feature in enumerate(FEATURES)}
_RULES: Final[tuple[tuple[str, float, Attack], ...]] = (
    ("hold", 0.3, "slowite"),
    ("bad", 0.3, "malformed"),
    ("foreign", 0.3, "spoofing"),
    ("turns", 0.3, "takeover"),
    ("listen", 0.4, "enumeration"),
)


def in_excess(errors: Floats, x: Floats, reconstruction: Floats) -> Floats:
    """The errors where the subject did more than expected, else 0.

    The three arrays have one value per feature; `errors` are squared and 0 where masked.
    """
    excess: Floats = np.where(x > reconstruction, errors, 0.0)
    return excess


def shares(excess: Floats) -> dict[str, float]:
    """How the excess error of one vector is shared among families."""
    whole = max(float(excess.sum()), 1e-12)
    return {family: float(excess[mask].sum()) / whole for family, mask in _MASKS.items()}


def name(
    family_shares: dict[str, float],
    observed: Floats,
    *,
    is_host: bool,
    clients: int,
    sole_share: float,
) -> tuple[Attack, float]:
    """The attack's name, and which part of the error speaks for it (0..1).

    `observed` are the vector's figures in units; `clients` how many ids take part; `sole_share`
    the loudest client's part of its host's publishes.
    """
    guessed = is_host and (
        observed[_PLACE["host_guesses_10m"]] >= FEWEST_GUESSES
        or observed[_PLACE["host_tries"]] >= FEWEST_TRIES
    )
    if guessed and family_shares["guess"] >= 0.2:  # noqa: PLR2004 - a rule
        return "brute-force", family_shares["guess"]
    load, crowd = family_shares["load"], family_shares["crowd"]
    loud = _is_loud(observed, is_host=is_host)
    if is_host and family_shares["hold"] + crowd >= 0.1 and _are_held(observed):  # noqa: PLR2004 - a rule
        return "slowite", family_shares["hold"] + crowd
    for family, least, attack in _RULES:
        if family_shares[family] >= least and not (
            (family == "foreign" and loud and load >= family_shares[family])
            or (family == "listen" and _comes_back(observed, is_host=is_host))
        ):
            return attack, family_shares[family]
    if load + crowd < 0.5 or (load >= crowd and not loud):  # noqa: PLR2004 - the better half
        return "unusual", load + crowd
    if not is_host:
        return ("flood", load) if load >= crowd else ("unusual", crowd)
    return _of_load(load, crowd, observed, clients, sole_share)


def _of_load(
    load: float, crowd: float, observed: Floats, clients: int, sole_share: float
) -> tuple[Attack, float]:
    """The name of what loads a broker from one host."""
    one = sole_share >= SOLE_PUBLISHER and clients <= 1
    opens = float(observed[_PLACE["host_opens_1m"]])
    few = opens - float(observed[_PLACE["host_early_closes_1m"]]) <= FEW_OPENS
    if one and few and load >= crowd:
        return "flood", load
    if crowd > load and clients == 1 and opens < CROWD_OPENS:
        return "unusual", load + crowd  # one client comes back again and again
    return "dos", load + crowd


def _is_loud(observed: Floats, *, is_host: bool) -> bool:
    """Whether there is load in absolute terms, and not only more than usual."""
    prefix = "host_" if is_host else ""
    messages = float(observed[_PLACE[f"{prefix}publish_rate_10s"]])
    size = float(observed[_PLACE[f"{prefix}byte_rate_10s"]])
    return messages >= LOUD_MESSAGES or size >= LOUD_BYTES


def _are_held(observed: Floats) -> bool:
    """Whether connections are held that never finished CONNECT, or hardly ever began it."""
    held = observed[_PLACE["host_half_open"]] + observed[_PLACE["host_extreme_held"]]
    if float(held) >= HELD:
        return True
    opens = float(observed[_PLACE["host_opens_10s"]])
    connects = float(observed[_PLACE["host_connects_10s"]])
    kept = float(observed[_PLACE["host_connections"]])
    return min(opens, kept) >= LOUD_MESSAGES and connects < WITHOUT_CONNECT * opens


def _comes_back(observed: Floats, *, is_host: bool) -> bool:
    """Whether it connects so often that it only asks again for what it always asks for."""
    connects = float(observed[_PLACE["host_connects_10m" if is_host else "connects_10m"]])
    return connects >= RETURNS


def severity(attack: Attack, ratio: float, clients: int) -> Severity:
    """How bad it is: by kind, raised by the score (in thresholds) and the spread."""
    usual = SEVERITY[attack]
    if usual == "high" and (ratio >= CRITICAL_SCORE or clients >= MANY_CLIENTS):
        return "critical"
    if attack == "unusual" and ratio >= STRONG_SCORE:
        return "medium"
    return usual
