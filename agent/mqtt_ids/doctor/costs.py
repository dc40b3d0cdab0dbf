"""What each source sees, and what is missed where a source shows less.

The same words stand in the documentation. A name that a line does not mention is found as with
everything in sight.
"""

from typing import Final

from mqtt_ids.doctor.findings import Findings, Sight

__all__ = ["ALWAYS", "SOURCES", "costs"]

# From the richest to the poorest: what it is, what it shows.
SOURCES: Final[tuple[tuple[str, str], ...]] = (
    ("log file with `log_type all`", "who connects, is refused, subscribes, publishes and goes"),
    ("log file as it is by default", "who connects, is refused and goes"),
    ("log topics", "who connects, is refused and goes; with `log_type all` who subscribes"),
    ("messages with `add-properties`", "who publishes what, where we may read; Mosquitto 2.1"),
    ("plain subscription", "how much is published on which topics; nobody's name"),
)
# Passwords are in no log.
ALWAYS: Final = (
    "no log shows which password was tried: the pace tells brute-force from login-failing, and"
    " slow guesses are told as the latter"
)

_CONNECTS: Final = (
    "dos by connections, slowite, brute-force, malformed and takeover are not found",
    "new clients are not noticed",
)
_SUBSCRIPTIONS: Final = ("enumeration is not found: nobody's subscriptions are seen",)
_PACKETS: Final = (
    "flood and dos by messages are seen as a total at most, without the client that does it",
    "spoofing of another's topic, silence and unusual publishing are not found",
    "nobody is named for spoofing on $ids/…",
)
_OLD_REFUSALS: Final = ("Mosquitto 2.0 tells no address with a refused login: it is guessed",)


def costs(findings: Findings) -> tuple[str, ...]:
    """What is not found with what the logs show; empty where they show everything."""
    sight = findings.sight or Sight()
    lines: tuple[str, ...] = ()
    if not sight.connects:
        lines += _CONNECTS
    if not sight.packets and not findings.properties:
        lines += _PACKETS
    if not sight.subscriptions:
        lines += _SUBSCRIPTIONS
    if sight.connects and not sight.packets and findings.old:
        lines += _OLD_REFUSALS
    return lines
