"""What a Mosquitto shows, from up to three sources, told once.

The log file and the log's topics hold the same lines (the topics without the debug ones), so one
of them is read: the file while it speaks, else the topics. Neither tells who has published what
unless the file has debug lines; then a plain subscription to everything shows how much is
published, by nobody in particular, or by whom where the broker's `add-properties` names them.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from mqtt_ids.events import SENSORS, AnyEvent, Sees
from mqtt_ids.sensors.mosquitto.reader import Reader
from mqtt_ids.sidecar.crowd import crowd_publish
from mqtt_ids.sidecar.lately import Lately, is_for_topics
from mqtt_ids.sidecar.meanwhile import Meanwhile
from mqtt_ids.sidecar.thinning import Thinning
from mqtt_ids.uplink.session import Received
from mqtt_ids.uplink.subscriptions import EVERYTHING

LOG_TOPICS: Final = "$SYS/broker/log/"
UPTIME: Final = "$SYS/broker/uptime"  # retained: `123 seconds`
LONGEST_UPTIME: Final = 12  # digits
HELD: Final = 2.0  # seconds in which the file would have had the line of a topic
SETTLED: Final = 10.0  # seconds after which the log has told of our own connection
SOON: Final = 0.5  # seconds in which a file that lives has it, unless there is too much
MOST_HELD: Final = 10_000
NAMED_FOR: Final = 600.0  # seconds after a named publisher in which there may be others

_ATTRIBUTED: Final = Sees.PUBLISHES | Sees.SIZES


class _Line(NamedTuple):
    time: float
    level: str
    text: bytes


class Sources:
    """Lines and messages in, events out to `feed`. `follows_file` tells whether there is a file.

    `look` is called when something else is seen than before, ahead of the events that tell it.

    Times are the sensor's monotonic clock, in seconds.
    """

    def __init__(
        self,
        feed: Callable[[AnyEvent], None],
        *,
        client_id: str,
        own_topics: Sequence[str],
        is_ours: Callable[[str, bytes], bool],
        somebody_else: Callable[[str], None],
        follows_file: bool,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.file_speaks = False
        self.topics_speak = False
        self.repeated = 0  # lines of the file that its topics had told before
        self.not_held = 0  # lines of topics that were too many to wait for a file that is dead
        self.names_publishers = False
        self.thinning = Thinning()
        self._seen = Sees(0)
        self._look = look
        self._feed = feed
        self._client_id = client_id
        self._own_topics = tuple(own_topics)
        self._is_ours = is_ours
        self._somebody_else = somebody_else
        self._by_topics = not follows_file  # which of the two is read
        self._held: deque[_Line] = deque()
        self._not_held = 0  # while the file may still live
        self._lately = Lately()  # of the source that is read
        self._file_spoke = self._topics_spoke = 0.0  # when
        self._meanwhile = Meanwhile()
        self._since: float | None = None  # when the broker last let us in
        self._before: float | None = None  # ... and the time before that
        self._end: tuple[str, int] | None = None
        self._named_at = 0.0
        self._broker_names: bool | None = None  # whether each message has its publisher's id
        self._reader = Reader()
        self._reader.leave_out(client_id)

    @property
    def has_debug_lines(self) -> bool:
        """Whether the log that is read has every packet."""
        by_file = self.file_speaks and not self._by_topics
        return by_file and self._reader.sensor == "debug-log"

    @property
    def shows_subscriptions(self) -> bool:
        """Whether the log has shown a SUBSCRIBE."""
        return self._reader.shows_subscriptions

    @property
    def sees(self) -> Sees:
        """What can be seen of clients, as far as the sources have shown."""
        if not (self.file_speaks or self.topics_speak):
            return _ATTRIBUTED if self.names_publishers else Sees(0)
        if self.has_debug_lines:
            return self._reader.sees
        seen = SENSORS["log"]
        return seen | _ATTRIBUTED if self.names_publishers else seen

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to. Everything only where the log does not tell of it."""
        wanted = [f"{LOG_TOPICS}#", *self._own_topics]
        if self._by_topics:
            wanted.append(UPTIME)
        if not self.has_debug_lines:
            wanted.append(EVERYTHING)
        return tuple(wanted)

    @property
    def unknown(self) -> int:
        """Lines that nothing could be made of."""
        return self._reader.unknown + self._reader.unplaced

    @property
    def skipped(self) -> int:
        """What was too much."""
        return self._reader.skipped + self.not_held + self.thinning.skipped

    def online(self, end: tuple[str, int] | None, now: float) -> None:
        """We are connected, from this end where that is known: nothing is told of it.

        Behind a proxy the broker sees another end; so our id counts alone for a moment.
        """
        self._before, self._since, self._end = self._since, now, end
        self._broker_names = None
        self._reader.leave_out(self._client_id, end, elsewhere=True)

    def away(self, client_id: str) -> None:
        """We are no longer connected, and will come back under this id."""
        self._reader.leave_out(self._client_id)  # lines of it may be on their way
        self._client_id = client_id
        self.topics_speak = False
        self._end = None
        self._reader.leave_out(self._client_id)

    def lines(self, lines: list[bytes], now: float, behind: int = 0, *, old: bool = False) -> None:
        """New lines of the file, which has so many more bytes. `old`: they were long there."""
        self.file_speaks, self._file_spoke = True, now
        if self._by_topics:
            lines, old = self._untold(lines, now, behind), False
        self._pair(lines)
        events = self._reader.read(self.thinning.thin(lines), now)
        if old:
            self._meanwhile.gather(events)
        else:
            self._tell(events)

    def message(self, message: Received, now: float) -> None:
        """What a subscription has brought."""
        topic, payload = message.topic, message.payload
        if topic.startswith(LOG_TOPICS):
            self.topics_speak, self._topics_spoke = True, now
            self._topic_line(_Line(now, topic[len(LOG_TOPICS) :], payload))
        elif topic == UPTIME:
            self._uptime(payload, now)
        elif topic.startswith("$SYS") or message.retain:
            return  # a figure of the broker's, or what was kept
        elif self._is_ours(topic, payload):
            self._heard_ourselves(message)
        else:
            if topic in self._own_topics:
                self._somebody_else(topic)
            self._published(message, now)

    def file_is_gone(self) -> None:
        """The file cannot be read any more."""
        self.file_speaks = False

    def pass_time(self, now: float) -> None:
        """What waiting alone brings about. To be called every second."""
        self._lately.pass_time(now)
        if self._end is not None and self._since is not None and now - self._since >= SETTLED:
            self._reader.leave_out(self._client_id, self._end)
        while self._held and now - self._held[0].time >= HELD:
            if self._file_spoke < self._held[0].time + SOON:
                self._take_to_topics()
            else:
                self._held.popleft()  # the file will have it, or had it long ago
        self._tell(self._reader.pass_time(now))
        if now - self._named_at > NAMED_FOR:
            self.names_publishers = False

    def _pair(self, lines: list[bytes]) -> None:
        """What the topics have told of these lines waits no longer for the file."""
        held = Counter(line.text for line in self._held)
        for line in filter(is_for_topics, lines):
            if held.get(line):
                held[line] -= 1
            else:
                self._lately.add(line)
        if self._held:
            left = (line for line in reversed(self._held) if _took(held, line.text))
            self._held = deque(reversed(list(left)))
        self._not_held = 0

    def _take_to_topics(self) -> None:
        """The file does not say what a topic has said, nor anything else: it is dead."""
        self._by_topics, self.file_speaks = True, False
        self.not_held += self._not_held
        while self._held:
            self._read_topic(self._held.popleft())

    def _untold(self, lines: list[bytes], now: float, behind: int) -> list[bytes]:
        """The file speaks again: what of these lines the topics have not told.

        Once it has been read to its end, it is the one that is read.
        """
        theirs = list(filter(is_for_topics, lines))
        told = [n for n, line in enumerate(theirs) if self._lately.take(line)]
        untold: list[bytes] = []
        if not behind:
            # Where none was told, the topics are about to tell them, if they still speak.
            speaking = now - self._topics_spoke < HELD
            self._by_topics = bool(theirs and not told and speaking)
            untold = theirs[told[-1] + 1 :] if told else []
            if len(theirs) < len(lines):
                self._reader.expect_packets()
        self.repeated += len(lines) - len(untold)
        return untold

    def _topic_line(self, line: _Line) -> None:
        if self._by_topics:
            self._read_topic(line)
        elif self._lately.take(line.text):
            pass  # the file came first
        elif len(self._held) < MOST_HELD:
            self._held.append(line)
        else:
            self._not_held += 1

    def _read_topic(self, line: _Line) -> None:
        self._lately.add(line.text)
        self._tell(self._reader.read_topic(line.level, line.text, line.time))

    def _uptime(self, payload: bytes, now: float) -> None:
        """What comes first on each connection. The log's topics tell nobody of a restart."""
        before, self._before = self._before, None
        text = payload.partition(b" ")[0]
        if before is None or not self._by_topics or not text.isdigit():
            return
        if len(text) < LONGEST_UPTIME and now - int(text) > before:
            self._tell(self._reader.restarted(now))

    def _published(self, message: Received, now: float) -> None:
        if self.has_debug_lines:
            return  # the log has it
        name = _publisher(message) if self._broker_names else None
        if name == self._client_id:
            return
        if name is not None:
            self.names_publishers, self._named_at = True, now
            topic, size, qos = message.topic, len(message.payload), message.qos
            self._tell(self._reader.published(name, topic, size, now, qos=qos))
        else:
            self._feed(crowd_publish(message, now))

    def _heard_ourselves(self, message: Received) -> None:
        """Where the broker names publishers, it names us too.

        Elsewhere any client may put a name on its messages, and so accuse another. It may repeat
        what we say under our name as well: once we have come back without, no name counts.
        """
        name = _publisher(message)
        if name is None:
            self._broker_names = self.names_publishers = False
        elif name == self._client_id and self._broker_names is None:
            self._broker_names = True

    def _tell(self, events: Iterable[AnyEvent]) -> None:
        sees = self.sees
        if sees != self._seen:  # before anything is told that only this shows
            self._seen = sees
            self._look()
        feed = self._feed
        for event in chain(self._meanwhile.come_to(), events):
            feed(event)


def _publisher(message: Received) -> str | None:
    """The last name on it: a client may have put one there itself, ahead of the broker's."""
    names = [value for key, value in message.user_properties if key == "$clientid"]
    return names[-1] if names else None


def _took(counts: Counter[bytes], text: bytes) -> bool:
    """Whether there is one of these left, which is taken."""
    if not counts[text]:
        return False
    counts[text] -= 1
    return True
