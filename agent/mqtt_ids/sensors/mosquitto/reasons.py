"""Why the broker says that a connection ended, in 2.1's words, and what that makes of it."""

from typing import Final

# Its packets broke the protocol. The last two are how 2.0 and 2.1 call what they have no name for.
MALFORMED: Final = frozenset(
    {
        b"malformed packet",
        b"protocol error",
        b"receive maximum exceeded",
        b"topic alias invalid",
        b"Invalid function arguments provided",
        b"bad socket read/write: Invalid arguments provided",
    }
)

# The CONNECT was refused, by the code of a CONNACK (that of 3.1.1; the log may show another).
REFUSED: Final = {
    b"not authorised": 5,
    b"bad username or password": 4,
    b"client identifier not valid": 2,
    b"server unavailable": 3,
    b"server busy": 3,
    b"client banned": 5,
    b"bad authentication method": 5,
    b"quota exceeded": 3,
    b"connection rate exceeded": 3,
}

TIMEOUT: Final = b"exceeded timeout"
TAKEN_OVER: Final = b"session taken over"
SAID_GOODBYE: Final = b""

# Everything else ended at the client's end of the line: errors of its socket.
_BY_BROKER: Final = (
    MALFORMED
    | REFUSED.keys()
    | {
        TIMEOUT,
        TAKEN_OVER,
        b"administrative action",
        b"oversize packet",
        b"oversize payload",
        b"out of memory",
        b"used disallowed feature",
        b"used disallowed feature (QoS too high, retain not supported, or bad AUTH method)",
        b"implementation specific error",
        b"non-matching http origin",
    }
)


def ended_by(reason: bytes) -> str:
    """Which side ended the connection, as `events.Closed` says it."""
    return "broker" if reason in _BY_BROKER else "client"
