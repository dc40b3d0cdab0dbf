"""The features, one row each: the only place that fixes their names, order, caps and words.

A cap is physical and fixed, about one and a half times what busy homes reach; it is never taken
from training data, so that a value means the same in every home and more is never less.
"""

import enum
from typing import Final

import msgspec

from mqtt_ids.counters import Client as C
from mqtt_ids.counters import Gauge as G
from mqtt_ids.counters import Host as H
from mqtt_ids.events import Sees


class Role(enum.Enum):
    """Whom a vector describes."""

    CLIENT = "client"
    HOST = "host"


class Shape(enum.Enum):
    """How a count becomes a feature."""

    LOG = "log"  # log1p(n) / log1p(cap): common things
    LINEAR = "linear"  # n / cap: rare things, of which each one matters
    STEEP = "steep"  # n / cap beyond the cap too: what no home comes near
    SHARE = "share"  # part of the publishes, 0..1
    MEAN = "mean"  # log of the mean per publish
    UNLIKE = "unlike"  # log-ratio to the subject's own normal; 0.5 is as usual
    UNLIKE_LONG = "unlike-long"  # the same; between forty times and 1,600 times no more
    UNLIKE_STEEP = "unlike-steep"  # the same, and steeper where no home comes near
    UNLIKE_MEAN = "unlike-mean"  # the same for a mean per publish


_LEARNED: Final = frozenset(
    {Shape.UNLIKE, Shape.UNLIKE_LONG, Shape.UNLIKE_STEEP, Shape.UNLIKE_MEAN}
)


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature.

    `counter` is a column of the role's counters, or of its gauges where `window` is None.
    `window` is the half-life in seconds. `cap` is in counts (or bytes). `phrase` has one {} for
    the observed figure, which is in `unit`: counts fading with the window, or their mean rate.
    """

    name: str
    role: Role
    shape: Shape
    counter: int
    window: float | None
    cap: float
    unit: str
    phrase: str
    why: str
    needs: Sees = Sees.CONNECTIONS

    @property
    def learned(self) -> bool:
        """Whether the feature compares the subject with its own normal."""
        return self.shape in _LEARNED

    @property
    def is_rate(self) -> bool:
        """Whether the observed figure is a mean rate per second and not a count."""
        return self.unit.endswith("/s")


_LABELS: Final = {2.0: "2s", 10.0: "10s", 60.0: "1m", 600.0: "10m"}
_SPANS: Final = {2.0: "2 s", 10.0: "10 s", 60.0: "a minute", 600.0: "10 minutes"}


def _rows(  # noqa: PLR0913, PLR0917 - one call is one block of the table
    role: Role,
    name: str,
    shape: Shape,
    counter: int,
    caps: dict[float, float],
    unit: str,
    phrase: str,
    why: str,
    needs: Sees,
) -> list[Feature]:
    """One feature per window in `caps`; a count's phrase ends with the span it is counted in."""
    rate = unit.endswith("/s")
    return [
        Feature(
            name=f"{name}_{_LABELS[window]}",
            role=role,
            shape=shape,
            counter=counter,
            window=window,
            cap=cap,
            unit=unit if rate else f"{unit} in {_SPANS[window]}",
            phrase=phrase if rate else f"{phrase} in {_SPANS[window]}",
            why=why,
            needs=needs,
        )
        for window, cap in caps.items()
    ]


def _one(  # noqa: PLR0913, PLR0917 - one call is one row of the table
    role: Role,
    name: str,
    shape: Shape,
    counter: int,
    window: float | None,
    cap: float,
    unit: str,
    phrase: str,
    why: str,
    needs: Sees,
) -> Feature:
    return Feature(
        name=name,
        role=role,
        shape=shape,
        counter=counter,
        window=window,
        cap=cap,
        unit=unit,
        phrase=phrase,
        why=why,
        needs=needs,
    )


_CLIENT, _HOST = Role.CLIENT, Role.HOST
_LOG, _LINEAR, _STEEP = Shape.LOG, Shape.LINEAR, Shape.STEEP
_SHARE, _MEAN = Shape.SHARE, Shape.MEAN
_UNLIKE, _UNLIKE_LONG, _UNLIKE_STEEP = Shape.UNLIKE, Shape.UNLIKE_LONG, Shape.UNLIKE_STEEP
_UNLIKE_MEAN = Shape.UNLIKE_MEAN
_PUB, _SIZE, _CON = Sees.PUBLISHES, Sees.SIZES, Sees.CONNECTIONS
_SUB, _BAD, _KEEP = Sees.SUBSCRIPTIONS, Sees.MALFORMED, Sees.KEEP_ALIVE
_REF, _CRED, _PING, _BYE = Sees.REFUSALS, Sees.CREDENTIALS, Sees.PINGS, Sees.DISCONNECTS
_MESSAGES, _BYTES = "publishes {} messages/s", "publishes {} bytes/s"
_REPEATS = "publishes {} messages/s on one topic"

# fmt: off
FEATURES: Final[tuple[Feature, ...]] = (
    # --- a client: its own accepted traffic ------------------------------------------------
    *_rows(_CLIENT, "publish_rate", _LOG, C.PUBLISHES, {10: 700, 60: 4_000, 600: 40_000},
           "1/s", _MESSAGES, "a flood, or a device that turned", _PUB),
    *_rows(_CLIENT, "byte_rate", _LOG, C.BYTES, {10: 1.5e7, 600: 8e8},
           "B/s", _BYTES, "few but huge messages load a gateway too", _PUB | _SIZE),
    *_rows(_CLIENT, "repeat_rate", _LOG, C.REPEATS, {2: 130, 10: 500},
           "1/s", _REPEATS, "a flood says one thing; a start-up many", _PUB),
    *_rows(_CLIENT, "connects", _LOG, C.CONNECTS, {10: 30, 600: 600},
           "connects", "connects {} times", "flapping, or a fight over an id", _CON),
    *_rows(_CLIENT, "new_topics", _LOG, C.NEW_TOPICS, {10: 500, 600: 2_000},
           "topics", "uses {} topics it never used", "scanning, spraying, a fuzzer", _PUB),
    *_rows(_CLIENT, "sprayed", _STEEP, C.SPRAYED, {2: 300, 10: 350},
           "messages", "asks acknowledgement of {} messages, each on a topic of its own",
           "load tools number their topics", _PUB),
    *_rows(_CLIENT, "foreign_topics", _LINEAR, C.FOREIGN_TOPICS, {60: 6, 600: 8},
           "topics", "publishes on {} topics of others", "spoofed reports and commands", _PUB),
    *_rows(_CLIENT, "odd_topics", _LINEAR, C.ODD_TOPICS, {10: 5, 60: 6, 600: 8},
           "messages", "publishes {} messages on odd topics ($, //, .., very long)",
           "fuzzers write topics that no device uses", _PUB),
    *_rows(_CLIENT, "takeovers", _LINEAR, C.TAKEOVERS, {600: 8},
           "take-overs", "changes its address {} times while connected",
           "two addresses fight over one id", _CON),
    *_rows(_CLIENT, "abrupt_closes", _LOG, C.ABRUPT, {60: 100, 600: 600},
           "closes", "drops its connection {} times without DISCONNECT",
           "tools and fuzzers do not say goodbye", _CON | _BYE),
    *_rows(_CLIENT, "filters", _LOG, C.FILTERS, {10: 1_500, 600: 3_000},
           "filters", "subscribes to {} filters", "reading everything there is", _SUB),
    *_rows(_CLIENT, "wide_filters", _LOG, C.WIDE_FILTERS, {600: 40},
           "filters", "subscribes {} times to everything", "reading everything there is", _SUB),
    *_rows(_CLIENT, "ping_rate", _LOG, C.PINGS, {10: 40, 600: 1_200},
           "1/s", "sends {} pings/s", "a flood of cheap packets", _PING),
    *_rows(_CLIENT, "malformed", _LINEAR, C.MALFORMED, {10: 5, 60: 5, 600: 6},
           "packets", "sends {} malformed packets", "a fuzzer, or an exploit", _BAD),
    _one(_CLIENT, "retained_share", _SHARE, C.RETAINED, 600.0, 1.0, "of messages",
         "retains {} of its messages", "with the rate, tells bridges from floods", _PUB),
    _one(_CLIENT, "acknowledged_share", _SHARE, C.ACKNOWLEDGED, 600.0, 1.0, "of messages",
         "asks an acknowledgement for {} of its messages", "load tools like QoS 1 and 2", _PUB),
    _one(_CLIENT, "payload_mean", _MEAN, C.BYTES, 60.0, 5e5, "B",
         "sends {} bytes a message", "with the rate, tells cameras from floods", _PUB | _SIZE),
    *_rows(_CLIENT, "unlike_publish_rate", _UNLIKE, C.PUBLISHES, {10: 0},
           "1/s", _MESSAGES, "a device that changed its pace", _PUB),
    *_rows(_CLIENT, "unlike_publish_rate", _UNLIKE_LONG, C.PUBLISHES, {60: 0, 600: 0},
           "1/s", _MESSAGES, "a device that changed its pace; an update does too", _PUB),
    *_rows(_CLIENT, "unlike_repeat_rate", _UNLIKE_STEEP, C.REPEATS, {10: 0},
           "1/s", _REPEATS, "a device that turned says one thing; a start-up many", _PUB),
    *_rows(_CLIENT, "unlike_repeat_rate", _UNLIKE_LONG, C.REPEATS, {60: 0, 600: 0},
           "1/s", _REPEATS, "a device that turned says one thing; an update does too", _PUB),
    *_rows(_CLIENT, "unlike_byte_rate", _UNLIKE, C.BYTES, {60: 0, 600: 0},
           "B/s", _BYTES, "a device that changed its load", _PUB | _SIZE),
    *_rows(_CLIENT, "unlike_connects", _UNLIKE, C.CONNECTS, {600: 0},
           "connects", "connects {} times", "a device that changed its habit", _CON),
    *_rows(_CLIENT, "unlike_filters", _UNLIKE, C.FILTERS, {600: 0},
           "filters", "subscribes to {} filters", "a device that begins to listen", _SUB),
    *_rows(_CLIENT, "unlike_new_topics", _UNLIKE, C.NEW_TOPICS, {600: 0},
           "topics", "uses {} topics it never used", "a device that begins to scan", _PUB),
    _one(_CLIENT, "unlike_payload_mean", _UNLIKE_MEAN, C.BYTES, 60.0, 0, "B",
         "sends {} bytes a message", "a device whose messages changed", _PUB | _SIZE),
    # --- a host: its connections, and the load of all its clients --------------------------
    *_rows(_HOST, "host_opens", _LOG, H.OPENS, {10: 150, 60: 250, 600: 600},
           "connections", "opens {} connections", "connection storms, scanners, guessers", _CON),
    *_rows(_HOST, "host_connects", _LOG, H.CONNECTS, {10: 150, 600: 600},
           "connects", "gets {} CONNECTs accepted", "many clients from one place", _CON),
    *_rows(_HOST, "host_new_ids", _LOG, H.NEW_IDS, {10: 100, 60: 150, 600: 250},
           "ids", "brings {} client ids never seen", "tools make up their ids", _CON),
    *_rows(_HOST, "host_empty_ids", _LOG, H.EMPTY_IDS, {600: 60},
           "connects", "connects {} times with an empty client id", "fuzzers do", _KEEP),
    *_rows(_HOST, "host_guesses", _LINEAR, H.GUESSES, {10: 5, 60: 6, 600: 5},
           "logins", "is refused {} logins with different passwords", "password guessing",
           _REF | _CRED),
    _one(_HOST, "host_tries", _LINEAR, G.TRIES, None, 2, "logins",
         "is refused {} times in a row with changing logins, and was never let in",
         "a stranger who guesses", _REF | _CRED),
    *_rows(_HOST, "host_retries", _LOG, H.RETRIES, {60: 90, 600: 600},
           "logins", "is refused {} logins with the same password", "a stale password",
           _REF | _CRED),
    *_rows(_HOST, "host_refused", _LOG, H.REFUSED, {60: 90, 600: 600},
           "connects", "is refused {} times for its protocol version or id", "scanners, old tools",
           _REF),
    *_rows(_HOST, "host_early_closes", _LINEAR, H.EARLY, {2: 8, 10: 10, 60: 20, 600: 150},
           "connections", "closes {} connections before CONNECT", "port scanners, half-open tools",
           _CON),
    *_rows(_HOST, "host_extreme_keep_alives", _LINEAR, H.EXTREME, {10: 8, 600: 15},
           "connects", "connects {} times with a keep-alive of 0 or of hours",
           "SlowITe holds connections for ever", _KEEP),
    *_rows(_HOST, "host_short_lives", _LOG, H.SHORT, {60: 60, 600: 400},
           "connections", "has {} connections that live under 2 s", "tools come and go", _CON),
    *_rows(_HOST, "host_abrupt_closes", _LOG, H.ABRUPT, {60: 100, 600: 250},
           "closes", "drops {} connections without DISCONNECT", "tools do not say goodbye",
           _CON | _BYE),
    *_rows(_HOST, "host_malformed", _LINEAR, H.MALFORMED, {10: 5, 60: 5, 600: 6},
           "packets", "sends {} malformed packets", "a fuzzer, or an exploit", _BAD),
    *_rows(_HOST, "host_publish_rate", _LOG, H.PUBLISHES, {10: 1_200, 60: 12_000, 600: 100_000},
           "1/s", _MESSAGES, "load on the broker, from however many ids", _PUB),
    *_rows(_HOST, "host_byte_rate", _LOG, H.BYTES, {10: 3e7, 600: 1.5e9},
           "B/s", _BYTES, "load on the broker in bytes", _PUB | _SIZE),
    *_rows(_HOST, "host_odd_names", _LINEAR, H.ODD_NAMES, {2: 4, 10: 5, 60: 6, 600: 8},
           "names", "uses {} odd topics or client ids ($, //, .., very long)",
           "fuzzers write names that no device uses", _PUB),
    *_rows(_HOST, "host_new_topics", _LOG, H.NEW_TOPICS, {10: 500, 600: 3_000},
           "topics", "uses {} topics never used by its clients", "scanning, spraying", _PUB),
    *_rows(_HOST, "host_sprayed", _STEEP, H.SPRAYED, {2: 300, 10: 350},
           "messages", "asks acknowledgement of {} messages, each on a topic of its own",
           "load tools number their topics", _PUB),
    *_rows(_HOST, "host_foreign_topics", _LINEAR, H.FOREIGN_TOPICS, {600: 12},
           "topics", "publishes on {} topics of others", "spoofed reports and commands", _PUB),
    *_rows(_HOST, "host_filters", _LOG, H.FILTERS, {10: 2_000, 600: 5_000},
           "filters", "subscribes to {} filters", "reading everything there is", _SUB),
    *_rows(_HOST, "host_wide_filters", _LOG, H.WIDE_FILTERS, {600: 60},
           "filters", "subscribes {} times to everything", "reading everything there is", _SUB),
    *_rows(_HOST, "host_ping_rate", _LOG, H.PINGS, {60: 1_000},
           "1/s", "sends {} pings/s", "a flood of cheap packets", _PING),
    _one(_HOST, "host_acknowledged_share", _SHARE, H.ACKNOWLEDGED, 600.0, 1.0, "of messages",
         "asks an acknowledgement for {} of its messages", "load tools like QoS 1 and 2", _PUB),
    _one(_HOST, "host_payload_mean", _MEAN, H.BYTES, 60.0, 5e5, "B",
         "sends {} bytes a message", "with the rate, tells cameras from floods", _PUB | _SIZE),
    _one(_HOST, "host_connections", _LOG, G.CONNECTIONS, None, 300, "connections",
         "holds {} connections", "holding the broker's places", _CON),
    _one(_HOST, "host_half_open", _STEEP, G.HALF_OPEN, None, 8, "connections",
         "holds {} connections that never finished CONNECT", "SlowITe's half-open form", _CON),
    _one(_HOST, "host_extreme_held", _LINEAR, G.EXTREME, None, 12, "connections",
         "holds {} connections with a keep-alive of 0 or of hours",
         "SlowITe holds connections for ever", _KEEP),
    _one(_HOST, "host_silent", _LINEAR, G.SILENT, None, 30, "connections",
         "holds {} connections that said nothing since CONNECT", "SlowITe with any keep-alive",
         _CON),
    *_rows(_HOST, "unlike_host_opens", _UNLIKE, H.OPENS, {60: 0, 600: 0},
           "connections", "opens {} connections", "a place that changed its habit", _CON),
    *_rows(_HOST, "unlike_host_publish_rate", _UNLIKE, H.PUBLISHES, {10: 0},
           "1/s", _MESSAGES, "a place that changed its pace", _PUB),
    *_rows(_HOST, "unlike_host_publish_rate", _UNLIKE_LONG, H.PUBLISHES, {60: 0, 600: 0},
           "1/s", _MESSAGES, "a place that changed its pace", _PUB),
    *_rows(_HOST, "unlike_host_byte_rate", _UNLIKE, H.BYTES, {600: 0},
           "B/s", _BYTES, "a place that changed its load", _PUB | _SIZE),
    *_rows(_HOST, "unlike_host_new_topics", _UNLIKE, H.NEW_TOPICS, {600: 0},
           "topics", "uses {} topics never used by its clients", "a place that scans", _PUB),
)
# fmt: on

NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
CONTEXT: Final[tuple[str, ...]] = ("is_host", "age", "has_normal")
