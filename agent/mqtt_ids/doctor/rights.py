"""Who may publish alerts and read them: tried by ourselves, and by somebody without a name.

What is published where alerts are is one short message each, not retained: of an alert's keys it
has only the severity that is never an alarm. Whoever reads alerts by their keys finds nothing in
it. An empty message would be worse, for many take that for an error. While an agent is at work
nothing is published there at all: the agent would take it for a forgery, and be right.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from mqtt_ids.doctor.call import Call, call, stranger
from mqtt_ids.doctor.findings import Alerts
from mqtt_ids.doctor.visit import Visit, arrives
from mqtt_ids.errors import BrokerError

__all__ = ["PROBE", "rights"]

PROBE = "mqtt-ids/probe/1"  # the schema


def rights(visit: Visit, *, agent_online: bool) -> tuple[bool, Alerts]:
    """Whether clients without a name are let in, and who may do what."""
    nameless = visit.access.username is None and visit.access.tls.cert is None
    alerts = Alerts(topic=visit.settings.topics.alerts, bound=_bound(visit))
    with _stranger(visit) as other:
        anonymous = nameless or other is not None
        if agent_online:
            return anonymous, alerts
        if other is not None:
            other.subscribe([alerts.topic])
        ours = _message(visit, "agent")
        alerts = _own(visit, alerts, ours)
        if nameless:
            publish, read = alerts.published, alerts.read_back
        elif other is None:
            publish, read = False, False
        else:
            read = arrives(other, alerts.topic, ours) if alerts.published else None
            publish = _may_publish(visit, alerts, other)
    return anonymous, msgspec.structs.replace(
        alerts, strangers_publish=publish, strangers_read=read
    )


def _bound(visit: Visit) -> bool:
    """Whether there are topics that our user may not use."""
    payload = b"bound"
    granted = visit.main.publish(visit.topic, payload)
    return not granted or not visit.comes_back(visit.topic, payload)


def _own(visit: Visit, alerts: Alerts, message: bytes) -> Alerts:
    granted = visit.main.publish(alerts.topic, message)
    if granted is False:
        return msgspec.structs.replace(alerts, published=False)
    # A broker that says nothing to it has most likely stopped listening to us.
    came = visit.comes_back(alerts.topic, message) if granted else False
    # Before MQTT 5 the broker accepts what it throws away.
    sent = True if came or (granted and visit.main.version == "5") else None
    return msgspec.structs.replace(alerts, published=sent, read_back=came)


def _may_publish(visit: Visit, alerts: Alerts, other: Call) -> bool | None:
    message = _message(visit, "stranger")
    granted = other.publish(alerts.topic, message)
    if granted is False:
        return False
    if alerts.read_back:
        return visit.comes_back(alerts.topic, message)
    return True if granted and other.version == "5" else None


def _message(visit: Visit, role: str) -> bytes:
    return msgspec.json.encode({"schema": PROBE, "severity": "info", "from": visit.name(role)})


@contextmanager
def _stranger(visit: Visit) -> Iterator[Call | None]:
    """A connection without a user, if there can be one and we are not nameless ourselves."""
    access = visit.access
    if access.username is None and access.tls.cert is None:
        yield None
        return
    try:
        line = call(stranger(access), visit.name("stranger"))
        other = line.__enter__()
    except BrokerError:
        yield None
        return
    try:
        yield other
    finally:
        line.__exit__(None, None, None)
