"""What is counted about a client and about a host: the columns of their fading windows."""

from typing import Final


class Client:
    """Columns of a client's counters: its own accepted traffic only."""

    PUBLISHES: Final = 0
    BYTES: Final = 1
    RETAINED: Final = 2
    ACKNOWLEDGED: Final = 3  # publishes at QoS 1 or 2
    NEW_TOPICS: Final = 4
    FOREIGN_TOPICS: Final = 5
    ODD_TOPICS: Final = 6
    CONNECTS: Final = 7
    TAKEOVERS: Final = 8
    ABRUPT: Final = 9  # closed without DISCONNECT
    FILTERS: Final = 10
    WIDE_FILTERS: Final = 11
    PINGS: Final = 12
    MALFORMED: Final = 13
    REPEATS: Final = 14  # publishes on the same topic as the one before
    SPRAYED: Final = 15  # publishes at QoS 1 or 2, not retained, on a topic it never used
    COUNT: Final = 16
    EVENTS: Final = (PUBLISHES, CONNECTS, FILTERS, PINGS)


class Host:
    """Columns of a host's counters: its connections, and the load of all its clients."""

    OPENS: Final = 0
    CONNECTS: Final = 1
    NEW_IDS: Final = 2
    EMPTY_IDS: Final = 3
    GUESSES: Final = 4  # refused with a credential not tried before from here
    RETRIES: Final = 5  # refused with a credential tried before from here
    REFUSED: Final = 6  # refused otherwise: version, id, a credential that the sensor cannot see
    EARLY: Final = 7  # closed before a CONNECT was answered
    EXTREME: Final = 8  # CONNECTs with keep-alive 0 or of hours
    ABRUPT: Final = 9
    MALFORMED: Final = 10
    PUBLISHES: Final = 11
    BYTES: Final = 12
    ODD_NAMES: Final = 13  # topics and client ids that no device uses
    NEW_TOPICS: Final = 14
    FOREIGN_TOPICS: Final = 15
    FILTERS: Final = 16
    WIDE_FILTERS: Final = 17
    PINGS: Final = 18
    SHORT: Final = 19  # accepted connections that ended within 2 s
    ACKNOWLEDGED: Final = 20
    SPRAYED: Final = 21
    COUNT: Final = 22
    EVENTS: Final = (OPENS, PUBLISHES, FILTERS, PINGS)


class Gauge:
    """Columns of a host's gauges: how many there are now."""

    CONNECTIONS: Final = 0
    HALF_OPEN: Final = 1  # open for over a second, no CONNECT answered
    EXTREME: Final = 2  # accepted with keep-alive 0 or of hours, still open
    SILENT: Final = 3  # accepted over ten seconds ago, nothing sent since CONNECT
    TRIES: Final = 4  # refused log-ins in a row of a stranger who changes the credential
    COUNT: Final = 5
