"""Finds out what a broker shows: a few short connections of our own, and what is told of them.

Nothing is left behind: nothing that we publish is retained.
"""

import secrets
from collections.abc import Callable

import msgspec

from mqtt_ids.doctor.call import SOON, call
from mqtt_ids.doctor.findings import Findings, Sight
from mqtt_ids.doctor.handles import RESPONSE, dynamic_security, firewall
from mqtt_ids.doctor.installed import CONFIGURATION, configured_log
from mqtt_ids.doctor.rights import rights
from mqtt_ids.doctor.visit import Visit
from mqtt_ids.doctor.watch import LOG, FileWatch, TopicWatch
from mqtt_ids.errors import BrokerError
from mqtt_ids.settings import Settings
from mqtt_ids.uplink.access import Access

__all__ = ["examine"]

VERSION = "$SYS/broker/version"
SHOWN = 1.0  # seconds for what the broker has acknowledged to show in the log
LONGEST = 64  # characters of the version

Progress = Callable[[str], None]


def examine(settings: Settings, progress: Progress) -> Findings:
    """All findings, within ten seconds or so. Raises BrokerError where we do not get in."""
    access = Access.of(
        settings.broker or "", password_file=settings.password_file, tls=settings.tls
    )
    progress(f"connecting to {access!r}")
    token = secrets.token_hex(4)
    with call(access, f"mqtt-ids-doctor-{token}") as main:
        visit = Visit(settings, access, main, token)
        topics = settings.topics
        # The version last: what is retained comes in this order, and that is what we wait for.
        main.subscribe([topics.status, topics.alerts, visit.topic, RESPONSE, f"{LOG}#", VERSION])
        findings = _greeted(visit)
        progress("looking for ourselves in the log")
        findings = _logged(visit, findings)
        if main.lost:
            raise BrokerError(
                "the broker ends our first connection as a second one comes: does it let a user"
                " connect only once (use_username_as_clientid)? Ask it as another user"
            )
        progress("trying who may publish and read alerts")
        anonymous, alerts = rights(visit, agent_online=findings.agent_online is True)
        progress("asking what could act")
        security = dynamic_security(visit)
        wall = firewall(visit)
    return msgspec.structs.replace(
        findings,
        anonymous=anonymous,
        alerts=alerts,
        dynamic_security=security.state,
        users=security.users,
        anonymous_group=security.anonymous_group,
        firewall=wall,
    )


def _greeted(visit: Visit) -> Findings:
    """What the broker says by itself, in retained messages."""
    main, access = visit.main, visit.access
    main.until(lambda: any(one.topic == VERSION for one in list(main.got)), SOON)
    version = status = None
    for one in list(main.got):
        if one.topic == VERSION:
            version = one.payload.decode("utf-8", "replace")[:LONGEST]
        elif one.topic == visit.settings.topics.status:
            status = one.payload
    return Findings(
        broker=repr(access),
        address=access.address,
        username=access.username,
        mode=visit.settings.mode,
        mqtt=main.version,
        version=version,
        system_topics=version is not None,
        configured_log=configured_log(CONFIGURATION, access.address),
        agent_online=status == b"online",
    )


def _logged(visit: Visit, findings: Findings) -> Findings:
    """Come, subscribe, publish and go, and see which of it is told."""
    main, path, name = visit.main, visit.settings.log, visit.name("probe")
    topics = TopicWatch(name)
    file = None if path is None else FileWatch(path, name)
    with call(visit.access, name) as probe:
        probe.subscribe([VERSION])
        probe.publish(visit.topic, b"probe")
    taken = 0

    def shown() -> bool:
        nonlocal taken
        new = list(main.got)[taken:]
        taken += len(new)
        by_topics = topics.look(new)
        by_file = Sight(packets=True) if file is None else file.look()
        both = by_topics | by_file
        return by_topics.connects and both.packets and both.subscriptions

    main.until(shown, SHOWN)
    named = [one.publisher for one in list(main.got) if one.topic == visit.topic]
    return msgspec.structs.replace(
        findings,
        topics=topics.look(()),
        log=None if file is None else file.close(),
        properties=(name in named) if named else None,
    )
