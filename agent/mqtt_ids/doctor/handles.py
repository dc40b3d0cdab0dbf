"""What could act on an offender: dynamic security, and the firewall of this machine."""

import asyncio
import time
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from mqtt_ids.doctor.findings import Firewall, Security
from mqtt_ids.doctor.visit import Visit
from mqtt_ids.hands.nftables import Nftables

__all__ = ["RESPONSE", "dynamic_security", "firewall"]

REQUEST = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{REQUEST}/response"
ANSWERED = 0.7  # seconds after the request was accepted


class Rights(NamedTuple):
    """What dynamic security answers us; `state` is None where nothing can be told."""

    state: Security | None
    users: int | None = None
    anonymous_group: str | None = None


def dynamic_security(visit: Visit) -> Rights:
    """Whether it answers us, and what. It is asked, and nothing is changed."""
    main, mark = visit.main, f"doctor-{visit.token}"
    questions = ({"command": "listClients", "count": 1}, {"command": "getAnonymousGroup"})
    commands = [{**each, "correlationData": mark} for each in questions]
    granted = main.publish(REQUEST, msgspec.json.encode({"commands": commands}))
    if granted is False:
        return Rights("denied")
    main.until(lambda: bool(_answers(visit, mark)), ANSWERED)
    answers = _answers(visit, mark)
    if not answers:
        return Rights("absent" if granted else None)
    if any("error" in each for each in answers):
        return Rights("denied")
    data: dict[str, Any] = {}
    for each in answers:
        data |= each.get("data", {})
    total = data.get("totalCount")
    group = data.get("group", {}).get("groupname")
    return Rights("answers", total if isinstance(total, int) else None, group or None)


def _answers(visit: Visit, mark: str) -> list[dict[str, Any]]:
    """The answers to our questions: everybody gets those to everybody's."""
    for one in list(visit.main.got):
        if one.topic != RESPONSE:
            continue
        with suppress(msgspec.DecodeError, KeyError, TypeError, AttributeError):
            responses = msgspec.json.decode(one.payload)["responses"]
            ours = [dict(each) for each in responses if each.get("correlationData") == mark]
            if ours:
                return ours
    return []


def firewall(visit: Visit) -> Firewall:
    """Whether protect mode may use nftables: the agent's own check, which changes nothing."""
    return asyncio.run(_firewall(*visit.access.address))


async def _firewall(host: str, port: int) -> Firewall:
    wall = Nftables(host, (port,), lambda _handle, _why: None, time.time)
    await wall.start()
    await wall.stop()
    why = wall.reason
    return Firewall(permitted=why is None, why=why)
