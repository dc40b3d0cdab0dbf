"""The findings and gaps for people: coloured on a terminal, plain in a pipe; and as JSON.

Everything that came from the broker is shown with nothing in it that a terminal would obey.
"""

import msgspec
from rich.console import Console
from rich.text import Text

from mqtt_ids.doctor.advice import Gap
from mqtt_ids.doctor.brief import shows
from mqtt_ids.doctor.costs import ALWAYS, SOURCES, costs
from mqtt_ids.doctor.findings import Findings, LogFile
from mqtt_ids.doctor.recipes import Step
from mqtt_ids.tables import safe

__all__ = ["as_json", "show"]

SCHEMA = "mqtt-ids/doctor/1"
_WIDTH = 18


def as_json(findings: Findings, gaps: list[Gap]) -> bytes:
    """Both, as one object."""
    body = {"schema": SCHEMA, "findings": findings, "gaps": gaps}
    return msgspec.json.format(msgspec.json.encode(body), indent=2)


def show(findings: Findings, gaps: list[Gap]) -> None:
    """A line for each finding, then each gap with its costs and how to close it."""
    console = Console(highlight=False, soft_wrap=True)  # it minds NO_COLOR by itself
    for name, value in rows(findings):
        console.print(Text.assemble((name.ljust(_WIDTH), "bold"), safe(value)))
    for number, gap in enumerate(gaps, start=1):
        console.print()
        _gap(console, number, gap)
    if findings.sight is not None and costs(findings):
        console.print()
        console.print(Text("What each source shows", "bold"))
        for source, what in SOURCES:
            console.print(f"   {source:32}{what}", markup=False)
    console.print()
    if gaps:
        console.print(Text(f"{len(gaps)} gap{'' if len(gaps) == 1 else 's'}", "yellow"))
    else:
        console.print(Text("no gap", "green"), Text(f"({ALWAYS})", "dim"))


def rows(findings: Findings) -> list[tuple[str, str]]:
    """What was found, by name; what was not looked at is left out."""
    one = findings
    lines = [
        ("broker", f"{one.broker}, {one.version or 'does not say what it is'}, MQTT {one.mqtt}"),
        ("log topics", None if one.topics is None else shows(one.topics)),
        ("log file", _log(one.log)),
        ("publishers", f"named by the {one.publisher}" if one.publisher else "not named"),
        ("anonymous", None if one.anonymous is None else _are_let_in(in_=one.anonymous)),
        (one.alerts.topic, _alerts(one)),
        ("dynamic security", _security(one)),
        ("firewall", _firewall(one)),
    ]
    return [(name, value) for name, value in lines if value is not None]


def _log(log: LogFile | None) -> str:
    if log is None:
        return "none is named (--log)"
    if log.state == "read":
        kind = {"ram": ", in memory", "card": ", on an SD card"}.get(log.storage or "", "")
        return f"{log.path}{kind}: {shows(log.sight)}"
    return f"{log.path}: {'shows nothing of us' if log.state == 'silent' else log.state}"


def _are_let_in(*, in_: bool) -> str:
    return f"clients without a user are {'let in' if in_ else 'refused'}"


def _alerts(findings: Findings) -> str | None:
    alerts = findings.alerts
    if alerts.published is None and alerts.read_back is None:
        return "not tried: an agent is at work here" if findings.agent_online else None
    ours = {True: "published", False: "refused", None: "perhaps published"}[alerts.published]
    back = {True: ", read back", False: ", not read back", None: ""}[alerts.read_back]
    others = [
        name
        for name, may in (
            ("publish", alerts.strangers_publish),
            ("read", alerts.strangers_read),
        )
        if may
    ]
    rest = "clients without a user may not" if alerts.strangers_publish is False else ""
    if others:
        rest = f"clients without a user may {' and '.join(others)} too"
    return "; ".join(part for part in (ours + back, rest) if part)


def _security(findings: Findings) -> str | None:
    match findings.dynamic_security:
        case "answers":
            return f"answers us, {findings.users} users: protect mode can disable one"
        case "denied":
            return "not loaded, or not for us: protect mode cannot disable a user"
        case "absent":
            return "not loaded: protect mode cannot disable a user"
    return None


def _firewall(findings: Findings) -> str | None:
    wall = findings.firewall
    if wall is None:
        return None
    if wall.permitted:
        return "nftables may be used: protect mode can keep an address out"
    return f"not for us: {wall.why}"


def _gap(console: Console, number: int, gap: Gap) -> None:
    console.print(Text(f"{number}. {safe(gap.text)}", "bold yellow"))
    for place, cost in enumerate(gap.costs):
        console.print(Text(f"   {'' if place else 'costs':5}  {safe(cost)}"))
    for step in gap.closes:
        console.print(Text(f"   {_head(step)}:", "cyan"))
        for line in step.lines:
            console.print(Text(f"       {safe(line)}"))


def _head(step: Step) -> str:
    heads = {"write": "write", "add": "add to", "run": "run", "read": "see"}
    head = heads[step.do] if step.where is None else f"{heads[step.do]} {step.where}"
    return head if step.when is None else f"{step.when}, {head}"
