"""Mosquitto's log becomes events: lines in, what each client did out. No clock, no file.

line ─► Stamps ─► parse ─► Record ─► Story ─► Teller ─► events
                                       └─ Links: who is connected, by id and by endpoint
"""

from collections.abc import Iterable
from typing import Final

from mqtt_ids.events import SENSORS, AnyEvent, Sees
from mqtt_ids.sensors.mosquitto import publishes
from mqtt_ids.sensors.mosquitto.lines import CUT, KEY, parse, parse_cut
from mqtt_ids.sensors.mosquitto.records import (
    DEBUG_ONLY,
    SUBSCRIBED,
    AnyRecord,
    Ended,
    Sent,
)
from mqtt_ids.sensors.mosquitto.stamps import Stamps
from mqtt_ids.sensors.mosquitto.story import Story
from mqtt_ids.sensors.mosquitto.teller import Teller

MOST_IDS: Final = 20_000
MOST_WAITING: Final = 20_000


class Reader:
    """Reads one broker's log, either from a file (`read`) or from its topics (`read_topic`).

    `now` is the sensor's monotonic time of arrival. `unknown` counts lines that nothing could be
    made of.
    """

    def __init__(self, *, most_ids: int = MOST_IDS, most_waiting: int = MOST_WAITING) -> None:
        self.unknown = 0
        self._out: list[AnyEvent] = []
        self._teller = Teller(self._out, most_ids, most_waiting)
        self._story = Story(self._teller)
        self._stamps = Stamps()

    @property
    def sensor(self) -> str:
        """Which of `events.SENSORS` this log is, as far as it has shown."""
        return "debug-log" if self._story.debug else "log"

    @property
    def sees(self) -> Sees:
        """What can be seen in this log."""
        return SENSORS[self.sensor]

    @property
    def shows_subscriptions(self) -> bool:
        """Whether a SUBSCRIBE was seen: the broker's default leaves them out."""
        return self._story.shows_subscriptions

    @property
    def unplaced(self) -> int:
        """Lines of somebody we do not know, of which nothing could be told."""
        return self._story.unplaced

    @property
    def skipped(self) -> int:
        """Clients that were too many."""
        return self._teller.skipped

    def leave_out(
        self, client_id: str, end: tuple[str, int] | None = None, *, elsewhere: bool = False
    ) -> None:
        """Tell nothing of this client, which is ourselves.

        `end` is our address and port, where the broker sees the same: then its connection is left
        out from the start, and nobody can hide behind our id. `elsewhere`: it may see another, as
        there may be a proxy between.
        """
        self._teller.leave_out(client_id, end, elsewhere=elsewhere)

    def expect_packets(self) -> None:
        """Lines that were not read have shown that this log has every packet."""
        self._story.debug = True

    def read(self, lines: Iterable[bytes], now: float) -> list[AnyEvent]:
        """The events of whole lines of the log file, without their ends."""
        teller, story, out = self._teller, self._story, self._out
        now, links = teller.at(now), teller.links
        strip, sender = self._stamps.strip, publishes.sender
        for line in lines:
            text = strip(line)
            if story.expected is not None and self._is_expected(text):
                continue
            record = parse(text)
            if type(record) is not Sent or story.telling or not story.debug:
                self._take(record, text, cut=len(line) >= CUT)
                continue
            cut = len(line) >= CUT
            found = sender(record.rest, links, cut=cut)
            if found is None:
                story.strange_publish(record.rest, cut=cut)
            elif not found[0].own:
                out.append(publishes.published(found[0], found[1], now))
        return teller.told()

    def read_topic(self, level: str, payload: bytes, now: float) -> list[AnyEvent]:
        """The events of one message on `$SYS/broker/log/LEVEL`: `N`, `M/subscribe`, ..."""
        self._teller.at(now)
        text = self._stamps.strip(payload)
        if level in {"M/subscribe", "M/unsubscribe"}:
            if not self._story.subscription(text, subscribes=level == "M/subscribe", met=True):
                self._story.unplaced += 1
        else:
            cut = len(payload) >= CUT
            record = parse_cut(text) if cut else parse(text)
            if type(record) not in DEBUG_ONLY:  # which the broker never sends
                self._tell(record)
        return self._teller.told()

    def published(
        self, client_id: str, topic: str, size: int, now: float, *, qos: int
    ) -> list[AnyEvent]:
        """The events of a message that the broker itself says this client has published."""
        self._teller.at(now)
        self._story.published(client_id, topic, size, qos=qos)
        return self._teller.told()

    def restarted(self, now: float) -> list[AnyEvent]:
        """The broker has ended and begun anew, which its topics told to nobody."""
        self._teller.at(now)
        self._story.settle()
        self._teller.all_closed()
        return self._teller.told()

    def pass_time(self, now: float) -> list[AnyEvent]:
        """What waiting alone brings about. To be called every second or so."""
        self._teller.at(now)
        self._story.pass_time()
        return self._teller.told()

    def _take(self, record: AnyRecord | None, text: bytes, *, cut: bool) -> None:
        if not self._story.debug and self._is_subscription(record, text):
            return
        if cut:
            record = parse_cut(text)
            if self._story.joining and type(record) is Ended:
                return  # it tells of TLS
        if type(record) is Sent:
            self._story.sent(record, cut=cut)
        else:
            self._tell(record)

    def _is_subscription(self, record: AnyRecord | None, text: bytes) -> bool:
        """Whether it is an M line, where no debug lines tell what is asked for. It may pose."""
        if SUBSCRIBED.search(text) and self._story.subscription(text, subscribes=True, met=False):
            return True
        return record is None and self._story.subscription(text, subscribes=False, met=False)

    def _is_expected(self, text: bytes) -> bool:
        """Whether it is the M line that a debug line has announced, whatever it looks like."""
        expected = self._story.expected
        if expected is None or not (
            text == expected or (len(text) >= KEY and text[:KEY] == expected[:KEY])
        ):
            return False
        self._story.expected = None
        return True

    def _tell(self, record: AnyRecord | None) -> None:
        self._stamps.recognised(known=record is not None)
        if record is None:
            self.unknown += 1
        else:
            self._story.take(record)
