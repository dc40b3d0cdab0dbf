"""Refused log-ins, told apart by their pace: no log of Mosquitto's shows a password.

A device with an old password tries again at its own slow pace; who is refused faster than that is
held to guess, each time with another one. What goes on slowly is told as failing log-ins, whoever
it is.
"""

from collections import OrderedDict, deque
from typing import Final

import msgspec

from mqtt_ids.alerts import Alert, Reason
from mqtt_ids.events import Refused
from mqtt_ids.tally import LOGIN_CODES

ENOUGH: Final = 5  # refused log-ins from one address ...
HASTE: Final = 8.0  # ... within so many seconds are faster than devices are
MOST: Final = 5000  # addresses

# What the detector says of passwords that it was shown, and what is true here.
_WORDS: Final = {
    "with different passwords": "faster than a device tries again",
    "with changing logins": "faster than a device tries again",
    "with the same password": "at the pace of a device",
    "with one and the same password": "; no log shows with which passwords",
}


class _Series:
    """The latest refused log-ins of an address, and which guess the last of them counts as."""

    __slots__ = ("guess", "times")

    def __init__(self) -> None:
        self.guess = 0
        self.times: deque[float] = deque(maxlen=ENOUGH)


class Guesses:
    """Numbers the credentials of refused log-ins: a new number is a guess, an old one a retry."""

    def __init__(self) -> None:
        self._series: OrderedDict[str, _Series] = OrderedDict()

    def numbered(self, event: Refused) -> Refused:
        """The event with a credential, where it is a log-in that was refused. O(1)."""
        if event.code not in LOGIN_CODES:
            return event
        series = self._series.setdefault(event.address, _Series())
        self._series.move_to_end(event.address)
        if len(self._series) > MOST:
            self._series.popitem(last=False)
        times = series.times
        times.append(event.time)
        if len(times) == ENOUGH and event.time - times[0] <= HASTE:
            series.guess += 1
        return msgspec.structs.replace(event, credential=series.guess)


def reworded(alert: Alert) -> Alert:
    """The alert without words on passwords that nobody has seen."""
    return msgspec.structs.replace(alert, reasons=tuple(map(_reworded, alert.reasons)))


def _reworded(reason: Reason) -> Reason:
    for words, instead in _WORDS.items():
        if words in reason.text:
            text = reason.text.replace(words, instead).replace(" ;", ";")
            return msgspec.structs.replace(reason, text=text)
    return reason
