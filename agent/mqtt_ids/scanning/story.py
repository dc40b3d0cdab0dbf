"""What a scan has found, told for people: where and when, each incident, and the notes in short.

Client ids, user names and file names are others' words; the teller makes them harmless. Times are
local, and the zone is named once.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Final

from mqtt_ids.alerts import Alert, Attack
from mqtt_ids.names import short
from mqtt_ids.scanning.findings import NAMES_KEPT, Findings, Found, Noted
from mqtt_ids.scanning.scan import Scan
from mqtt_ids.scanning.teller import Teller, counted, dated, length, listed
from mqtt_ids.sources.source import Source

TOLD: Final = 30  # incidents in full, the gravest; the others are counted
NAMES: Final = 5  # of clients, in one line
PACKETS: Final = 4  # kinds of packet that are counted by name
COLUMN: Final = 10  # for the severity

_COLOURS: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_NOTES: Final[dict[Attack, tuple[str, str]]] = {
    "new-client": ("new client", "new clients"),
    "silence": ("client gone silent", "clients gone silent"),
    "login-failing": ("login that fails again and again", "logins that fail again and again"),
    "enumeration": ("first subscription to everything", "first subscriptions to everything"),
}


class Story:
    """Tells one scan of `source`. `wall` turns the detector's seconds into wall time."""

    def __init__(
        self, teller: Teller, scan: Scan, source: Source, wall: Callable[[float], float]
    ) -> None:
        self._teller = teller
        self._scan = scan
        self._source = source
        self._wall = wall
        self._day: dt.date | None = None  # the one that the reader knows of

    def opening(self, alert: Alert) -> None:
        """An incident as it opens, while the capture is still being written."""
        why = alert.reasons[0].text if alert.reasons else "no reason is known"
        when = self._moment(alert.first_seen)
        text = f"{when}  {alert.attack} by {who(alert)}: {why}"
        self._headed(alert, text)

    def tell(self) -> None:
        """The whole story."""
        findings = self._scan.findings
        self._day = None
        self._header()
        for one in _in_order(findings):
            self._teller.line()
            self._incident(one)
        self._others(findings)
        self._notes(findings)
        self._teller.line()
        self._end(findings)

    # --- the parts -------------------------------------------------------------------------

    def _header(self) -> None:
        source, census, line = self._source, self._scan.census, self._teller.line
        frames = "" if source.frames is None else f", {counted(source.frames, 'frame')}"
        line(f"{source.name}{frames}")
        span = source.span
        if span is None and census.first is not None and census.last is not None:
            span = (self._wall(census.first), self._wall(census.last))
        if span is not None:
            first, last = map(self._shown, span)
            lasted, put_back = self._lasted(span)
            line(f"{first} to {last} {_local(span[1]):%Z} ({length(lasted)}){put_back}")
        what = _packets(source.packets) or counted(census.events, "event")
        where = counted(census.addresses, "address", "addresses")
        line(f"{what}; {counted(census.clients, 'client')} at {where}")
        if self._scan.judgements:
            line(_judged(self._scan.odd, self._scan.judgements))
        for note in source.notes():
            line(note)
        if self._scan.lesson:
            lesson = self._scan.lesson
            line(f"learned from {length(lesson.length)} of calm: {lesson.in_words()}")

    def _lasted(self, span: tuple[float, float]) -> tuple[float, str]:
        """How long the span was in seconds; the clock may have been put back on the way."""
        shown, census = span[1] - span[0], self._scan.census
        passed = 0.0 if census.first is None or census.last is None else census.last - census.first
        return (shown, "") if passed < shown + 1.0 else (passed, "; the clock was put back")

    def _incident(self, one: Found) -> None:
        alert, line = one.alert, self._teller.line
        self._headed(alert, f"{alert.attack} by {who(alert)}")
        since = self._moment(alert.first_seen)
        span = f"{since}, for {length(one.last - alert.first_seen)}"
        if self._scan.findings.goes_on(one):
            span += ", to the end"
        also = f"; also looks like {', '.join(alert.also)}" if alert.also else ""
        line(f"{span}{also}", indent=COLUMN)
        if alert.client_count > 1:
            names = listed([short(name) for name in alert.clients], NAMES, alert.client_count)
            line(f"{counted(alert.client_count, 'client')}: {names}", indent=COLUMN)
        for reason in alert.reasons:
            self._teller.item(reason.text, indent=COLUMN)

    def _others(self, findings: Findings) -> None:
        others = findings.untold + Counter(one.alert.attack for one in findings.gravest()[TOLD:])
        if others:
            kinds = ", ".join(f"{count:,} {attack}" for attack, count in others.most_common())
            self._teller.line()
            self._teller.line(f"and {counted(others.total(), 'incident')} more: {kinds}")

    def _notes(self, findings: Findings) -> None:
        if findings.in_calm or findings.notes:
            self._teller.line()
        for one in findings.in_calm.values():
            alert = one.alert
            when = self._moment(alert.first_seen)
            text = f"in the calm part: {alert.attack} by {who(alert)}, {when}"
            self._teller.line(text, word="note", indent=COLUMN)
        for attack, noted in findings.notes.items():
            self._teller.line(_note(attack, noted), word="note", indent=COLUMN)

    def _end(self, findings: Findings) -> None:
        if findings.count:
            self._teller.line(f"{counted(findings.count, 'incident')} found.")
        elif self._scan.census.events:
            self._teller.line("Nothing out of the ordinary.")
        else:
            self._teller.line("No MQTT was seen.")

    def _headed(self, alert: Alert, text: str) -> None:
        style = _COLOURS.get(alert.severity, "")
        self._teller.line(text, word=alert.severity.upper(), style=style, indent=COLUMN)

    # --- words -----------------------------------------------------------------------------

    def _moment(self, time: float) -> str:
        """The wall time of the detector's `time`, for people."""
        return self._shown(self._wall(time))

    def _shown(self, wall: float) -> str:
        """A time of day, with the date where it is another than that of the last one told."""
        local = _local(wall)
        told, self._day = self._day, local.date()
        return f"{local:%H:%M:%S}" if told == self._day else f"{local:%d %b %Y %H:%M:%S}"


def _local(wall: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(dated(wall), tz=dt.UTC).astimezone()


def who(alert: Alert) -> str:
    """Who is meant: a client where there is one, and where."""
    where = alert.address or "an unknown address"
    if alert.client_id is None:
        return where
    user = "" if alert.username is None else f" (user {short(alert.username)})"
    return f"{short(alert.client_id)}{user} at {where}"


def _in_order(findings: Findings) -> list[Found]:
    """Those that are told, in the order of time."""
    return sorted(findings.gravest()[:TOLD], key=lambda one: one.alert.first_seen)


def _packets(packets: Counter[str]) -> str:
    if not packets:
        return ""
    common = packets.most_common(PACKETS)
    kinds = [f"{count:,} {kind}" for kind, count in common]
    rest = packets.total() - sum(count for _, count in common)
    kinds += [f"{rest:,} others"] if rest else []
    return f"{counted(packets.total(), 'MQTT packet')} ({', '.join(kinds)})"


def _judged(odd: int, judgements: int) -> str:
    if not odd:
        return f"all {judgements:,} judgements below the threshold"
    return f"{odd:,} of {judgements:,} judgements above the threshold"


def _note(attack: Attack, noted: Noted) -> str:
    one, many = _NOTES.get(attack, (attack, attack))
    count = len(noted.names) if len(noted.names) < NAMES_KEPT else noted.count
    names = listed([short(name) for name in noted.names], NAMES, count)
    return f"{counted(count, one, many)}: {names}"
