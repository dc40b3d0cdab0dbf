"""Whose a PUBLISH line is, and what it tells: the hot path of a debug log.

    ID (d0, q1, r0, m7, 'TOPIC', ... (5 bytes))

ID and TOPIC are what a client chose, and either may read like the rest of such a line. So the id
is the longest of those connected that begins the line and leaves a whole rest.
"""

import re
from typing import Final

from mqtt_ids.events import Published
from mqtt_ids.sensors.mosquitto.lines import KEY
from mqtt_ids.sensors.mosquitto.links import MARK, Link, Links

_PART: Final = rb" \(d[01], q([0-3]), r([01]), m\d{1,5}, '(.*)"
_REST: Final = re.compile(_PART + rb"', \.\.\. \((\d{1,10}) bytes\)\)", re.DOTALL)
_CUT_REST: Final = re.compile(_PART, re.DOTALL)

Rest = re.Match[bytes]


def sender(line: bytes, links: Links, *, cut: bool) -> tuple[Link, Rest | None] | None:
    """Who sent the PUBLISH, and the rest of the line, of which a cut may have left nothing."""
    if not links.posing:
        at = line.find(MARK)
        link = links.by_id.get(line[:at] if 0 <= at <= KEY else line[:KEY])
        if link is None:
            return None
        found = (_CUT_REST if cut else _REST).fullmatch(line, at) if at >= 0 else None
        return (link, found) if found is not None or cut else None
    return _sender_among_posing(line, links, cut=cut)


def _sender_among_posing(
    line: bytes, links: Links, *, cut: bool
) -> tuple[Link, Rest | None] | None:
    pattern = _CUT_REST if cut else _REST
    at = line.rfind(MARK)
    while at >= 0:
        link = links.by_id.get(line[: min(at, KEY)])
        if link is not None:
            found = pattern.fullmatch(line, at)
            if found is not None:
                return link, found
        at = line.rfind(MARK, 0, at)
    if not cut:
        return None
    first = line.find(MARK)
    link = links.by_id.get(line[: min(first, KEY)] if first >= 0 else line[:KEY])
    return None if link is None else (link, None)


def stranger(line: bytes) -> tuple[bytes, Rest] | None:
    """The same where nobody we know has sent it: the shortest id that leaves a whole rest."""
    at = line.find(MARK)
    while at >= 0:
        found = _REST.fullmatch(line, at)
        if found is not None:
            return line[:at], found
        at = line.find(MARK, at + 1)
    return None


def published(link: Link, rest: Rest | None, now: float) -> Published:
    """The event. Of a line that was cut, the topic is what is left of it, and the size 0."""
    if rest is None:
        return event(link, now, "", 0, qos=0)
    qos, retain, topic, *size = rest.groups()
    text = topic.decode("utf-8", "replace")
    return event(link, now, text, int(size[0]) if size else 0, qos=int(qos), retain=retain == b"1")


def event(
    link: Link, now: float, topic: str, size: int, *, qos: int, retain: bool = False
) -> Published:
    """The event of what `link` has published. A message that is passed on keeps no retain flag."""
    return Published(
        time=now,
        connection=link.number,
        address=link.address,
        port=link.end[1],
        client_id=link.client_id,
        topic=topic,
        size=size,
        qos=qos,
        retain=retain,
    )
