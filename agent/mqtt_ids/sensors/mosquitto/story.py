"""What the lines of one broker's log tell together: records in, events out.

The broker has one thread, so lines that belong together follow each other: a connect line, its
will and its CONNACK; a SUBSCRIBE, its filters and its SUBACK. Whatever else comes ends such a
series. No line holds a password, or a user name that was refused: `Refused.credential` is None.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from mqtt_ids.sensors.mosquitto import publishes, reasons
from mqtt_ids.sensors.mosquitto import records as log
from mqtt_ids.sensors.mosquitto.lines import KEY, NEW_PROTOCOLS, OLD_PROTOCOLS, VERSION
from mqtt_ids.sensors.mosquitto.links import UNKNOWN, End, Link
from mqtt_ids.sensors.mosquitto.series import Asking, Joining
from mqtt_ids.sensors.mosquitto.teller import Teller

WAITS: Final = 300.0  # seconds after which a connection without CONNECT is gone: its end was lost
SETTLES: Final = 1.0  # seconds that a series may take
UNSUPPORTED: Final = 1  # the code of a CONNACK: protocol version
NOBODY: Final = frozenset({UNKNOWN, b"(null)"})  # how the broker calls one without an id

Tell = Callable[[Any], None]

_ADDRESS: Final = re.compile(rb"[0-9A-Fa-f:]*[.:][0-9A-Fa-f.:]+")
# After which the line that ends a connection still belongs to what was said before.
_BEFORE_AN_END: Final = frozenset({log.Ended, log.Answered, log.Fault, log.Noise})


class Story:
    """Takes the records in their order and has `teller` tell what they mean.

    `debug` tells that the log has every packet, `unplaced` counts lines of somebody unknown.
    """

    def __init__(self, teller: Teller) -> None:
        self.debug = self.shows_subscriptions = False
        self.unplaced = 0
        self._teller = teller
        self._links = teller.links
        self._old: bool | None = None  # whether it is 2.0; None: not known yet
        self._joining: Joining | None = None
        self._asking: Asking | None = None
        self.expected: bytes | None = None  # the M line that has to follow a filter
        self._answered: Link | None = None  # whose CONNECT was just refused
        self._code: int | None = None  # ... with which code, where the line named nobody we know
        self._fault = b""
        self._guessed: tuple[End, Link] | None = (
            None  # whose end was told, and who it may have been
        )
        self._tell: dict[type, Tell] = {
            log.Started: self._started,
            log.Opening: self._opening,
            log.Accepted: self._accepted,
            log.Ended: self._ended,
            log.TakenOver: self._taken_over,
            log.TurnedAway: self._turned_away,
            log.Fault: self._faulty,
            log.Answered: self._was_answered,
            log.Said: self._said,
            log.Will: self._will,
            log.Indented: self._indented,
            log.Acknowledged: self._acknowledged,
            log.Noise: self._noise,
        }

    @property
    def telling(self) -> bool:
        """Whether a series of lines has begun that any other ends."""
        return self._joining is not None or self._asking is not None

    @property
    def joining(self) -> bool:
        """Whether that series is one of a CONNECT."""
        return self._joining is not None

    def take(self, record: log.AnyRecord) -> None:
        """The next line, of any kind but a PUBLISH."""
        kind = type(record)
        if kind not in _BEFORE_AN_END:
            self._fault, self._code, self._answered = b"", None, None
        if kind in log.DEBUG_ONLY:
            self.debug = True
        self._tell[kind](record)

    def pass_time(self) -> None:
        """What waiting alone brings about."""
        now = self._teller.now
        while (link := self._links.oldest()) and now - link.opened > WAITS:
            self._teller.closed(link, "broker")
        series = self._joining or self._asking
        if series is None or now - series.since > SETTLES:
            self.settle()
            self._teller.leave()

    def settle(self) -> None:
        """The series that was being told has ended, whole or not."""
        joining, asking = self._joining, self._asking
        self._joining = self._asking = self.expected = None
        if joining is not None:
            if not joining.will_told:
                self.debug = False  # it was, and is no more
            self._teller.joined(joining.link, joining.reading(None), joining.will_topic)
        if asking is not None and asking.filters:
            self._teller.asked(asking.link, asking.filters, subscribes=asking.subscribes)

    def _started(self, line: log.Started) -> None:
        self.settle()
        self._teller.all_closed()
        self._old = line.old

    # --- connections -------------------------------------------------------------------------

    def _opening(self, line: log.Opening) -> None:
        self.settle()
        self._teller.opened(line.address, line.port)

    def _turned_away(self, line: log.TurnedAway) -> None:
        self.settle()
        self._teller.turned_away(line.address)

    def _accepted(self, line: log.Accepted) -> None:
        self.settle()
        protocol = line.readings[0].protocol
        if protocol in OLD_PROTOCOLS:
            self._old = True
        elif protocol in NEW_PROTOCOLS:
            self._old = False
        link = self._links.taken(line.address, line.port)
        if link is None:  # WebSocket with libwebsockets, or behind the PROXY protocol
            link = self._teller.met_at(line.address, line.port)
            guessed, self._guessed = self._guessed, None
            if guessed is not None and guessed[0] == link.end and guessed[1].client_id is None:
                self._teller.closed(guessed[1], "client")
        if self.debug:
            self._joining = Joining(link, line.readings, self._teller.now)
        else:
            self._teller.joined(link, line.readings[0], None)

    def _will(self, line: log.Will) -> None:
        if self._joining is not None:
            self._joining.will(topic_follows=line.topic_follows)

    def _was_answered(self, line: log.Answered) -> None:
        joining = self._joining
        if line.code:
            self.settle()
            self._refused(line)
        elif joining is not None:
            self._joining = None
            self._teller.joined(joining.link, joining.reading(line.name), joining.will_topic)

    def _refused(self, line: log.Answered) -> None:
        """2.0 names the address here and nobody later, 2.1 the id here and all of it later."""
        self._code = line.code
        if self._old is False:
            return
        link = self._links.waiting_from(line.name)
        if link is None and self._old and _ADDRESS.fullmatch(line.name):
            link = self._teller.met_at(line.name, 0)  # WebSocket: no line says that it ends
            self._teller.refused(link, line.code)
            self._teller.closed(link, "broker")
        elif link is not None:
            self._teller.refused(link, line.code)
        self._answered = link

    def _taken_over(self, line: log.TakenOver) -> None:
        self.settle()
        link = self._links.by_id.get(line.name[:KEY])
        if link is not None:
            self._teller.leaves(link)

    def _faulty(self, line: log.Fault) -> None:
        self.settle()
        self._fault = line.reason

    def _ended(self, line: log.Ended) -> None:
        self.settle()
        link = self._links.ended(line, old=self._old)
        if link is None and line.whole == UNKNOWN:
            link = self._answered or self._guess(line.reason)
        if link is None:
            self.unplaced += 1
        elif line.reason == reasons.TAKEN_OVER:
            self._teller.leaves(link)
        elif not link.gone:
            self._finish(link, line)
        self._fault, self._code, self._answered = b"", None, None

    def _guess(self, reason: bytes) -> Link | None:
        """Whom 2.0 calls `<unknown>`: the latest, or after a time-out the oldest that waits.

        If the latest then goes on, it was the one before it.
        """
        if reason == reasons.TIMEOUT:
            return self._links.oldest()
        link, rival = self._links.latest()
        self._guessed = None if link is None or rival is None else (link.end, rival)
        return link

    def _finish(self, link: Link, line: log.Ended) -> None:
        teller, reason = self._teller, line.reason
        if link.client_id is not None:
            if reason in reasons.MALFORMED:
                teller.malformed(link, self._fault or reason)
            elif reason == reasons.SAID_GOODBYE and not link.goodbye:
                teller.said_goodbye(link)
        elif not link.refused:
            code = self._code or reasons.REFUSED.get(reason)
            if self._fault == VERSION:
                code = UNSUPPORTED
            if code:
                claim = None if line.name == line.address else line.name
                teller.refused(link, code, claim)
            elif reason in reasons.MALFORMED:
                teller.malformed(link, self._fault or reason)
        teller.closed(link, reasons.ended_by(reason))

    # --- what clients say --------------------------------------------------------------------

    def _said(self, line: log.Said) -> None:
        self.settle()
        link = self._links.by_id.get(line.name[:KEY])
        if link is None:
            link = self._met(line.name)
        if link is None:
            self.unplaced += 1
        elif line.packet == b"PINGREQ":
            self._teller.pinged(link)
        elif line.packet == b"DISCONNECT":
            self._teller.said_goodbye(link)
        else:
            now, subscribes = self._teller.now, line.packet == b"SUBSCRIBE"
            self._asking = Asking(link, line.name, now, subscribes=subscribes)

    def _met(self, name: bytes) -> Link | None:
        """One that was connected before we began to read."""
        if not name or name in NOBODY or len(name) >= KEY:  # the last may have lost its end
            return None
        return self._teller.met(name)

    def sent(self, line: log.Sent, *, cut: bool) -> None:
        """A PUBLISH came. Most do not come here, but straight from the reader's loop."""
        self.settle()
        self.debug = True
        found = publishes.sender(line.rest, self._links, cut=cut)
        if found is None:
            self.strange_publish(line.rest, cut=cut)
        elif not found[0].own:
            self._teller.tell(publishes.published(found[0], found[1], self._teller.now))

    def strange_publish(self, rest: bytes, *, cut: bool) -> None:
        """A PUBLISH came from nobody we know."""
        found = None if cut else publishes.stranger(rest)
        link = None if found is None else self._met(found[0])
        if found is None or link is None:
            self.unplaced += 1
        elif not link.own:
            self._teller.tell(publishes.published(link, found[1], self._teller.now))

    def published(self, client_id: str, topic: str, size: int, *, qos: int) -> None:
        """The broker says, elsewhere than in its log, that this client has published."""
        name = client_id.encode("utf-8", "replace")
        link = self._links.by_id.get(name[:KEY]) or self._met(name)
        if link is None:
            self.unplaced += 1
        elif not link.own:
            self._teller.tell(publishes.event(link, self._teller.now, topic, size, qos=qos))

    def _indented(self, line: log.Indented) -> None:
        if self._joining is not None and self._joining.topic_follows:
            self._joining.topic(line.text)
        elif self._asking is not None:
            self.shows_subscriptions = True
            self.expected = self._asking.filter(line.text)

    def _acknowledged(self, _: log.Acknowledged) -> None:
        self.settle()

    def _noise(self, line: log.Noise) -> None:
        if line.debug:
            self.debug = True

    def subscription(self, text: bytes, *, subscribes: bool, met: bool) -> bool:
        """`ID QOS FILTER` or `ID FILTER`; `met`: it is certain to be such. Whether it was told."""
        found = self._links.subscriber(text) if subscribes else self._links.unsubscriber(text)
        if found is None and met and subscribes:
            name, *rest = log.SUBSCRIBED.split(text)
            link = self._met(name) if len(rest) == 1 else None  # else there are other readings
            found = None if link is None else (link, rest[0])
        if found is None:
            return False
        self.shows_subscriptions = self.shows_subscriptions or subscribes
        self._teller.asked(found[0], [found[1].decode("utf-8", "replace")], subscribes=subscribes)
        return True
