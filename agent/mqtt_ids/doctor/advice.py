"""From findings to gaps: what each costs, and how to close it. Decides nothing else."""

from typing import Final

import msgspec

from mqtt_ids.doctor import recipes
from mqtt_ids.doctor.costs import costs
from mqtt_ids.doctor.findings import Findings, LogFile, Sight
from mqtt_ids.doctor.recipes import Step

__all__ = ["Gap", "gaps"]

LARGE: Final = 256 << 20  # bytes of a log that nobody seems to rotate


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the broker does not show or allow, in one line."""

    id: str
    text: str
    costs: tuple[str, ...]
    closes: tuple[Step, ...]


def gaps(findings: Findings) -> list[Gap]:
    """All that is known to be missing, what costs most first. What is unknown is no gap."""
    found = (
        _log(findings),
        _disk(findings),
        _alerts(findings),
        _open(findings),
        _hands(findings),
    )
    return [gap for gap in found if gap is not None]


def _log(findings: Findings) -> Gap | None:
    missed = costs(findings)
    if findings.sight is None or not missed:
        return _bad_file(findings, missed) if findings.log is not None else None
    if findings.mosquitto is False and not findings.sight.anything:
        return Gap(
            id="not-mosquitto",
            text="this is not Mosquitto, and it shows no log",
            costs=missed,
            closes=(_elsewhere(),),
        )
    if findings.log is not None:
        return _bad_file(findings, missed) or _short(findings, findings.log, missed)
    if findings.configured_log is not None:
        path = findings.configured_log
        return Gap(
            id="log-unused",
            text=f"the broker logs to {path}, and --log does not name it",
            costs=missed,
            closes=(recipes.rerun(findings, path),),
        )
    text = "no log file is named, and the log topics show "
    shown = findings.topics or Sight()
    text += "no packets" if shown.anything else "nothing"
    return Gap(id="no-log-file", text=text, costs=missed, closes=recipes.log_to_file(findings))


def _bad_file(findings: Findings, missed: tuple[str, ...]) -> Gap | None:
    """The log file cannot be used at all."""
    log = findings.log
    if log is None or log.state == "read":
        return None
    missed = missed or ("nothing as long as the log topics show as much",)
    if log.state == "unreadable":
        return Gap(
            id="log-unreadable",
            text=f"{log.why or log.path + ' may not be read'} ({_rights(log)})",
            costs=missed,
            closes=recipes.readable(log.path, findings),
        )
    text = f"{log.path} is not there"
    if log.state == "silent":
        text = f"what we just did is not in {log.path}: is it this broker's log?"
    other = findings.configured_log
    if other not in {None, log.path}:
        text += f" The broker's configuration names {other}"
    return Gap(
        id=f"log-{log.state}",
        text=text,
        costs=missed,
        closes=recipes.log_to_file(findings, log.path),
    )


def _short(findings: Findings, log: LogFile, missed: tuple[str, ...]) -> Gap:
    """The log file lacks lines."""
    sight = findings.sight or Sight()
    lacks = [
        name
        for name, is_there in (
            ("connections", sight.connects),
            ("subscriptions", sight.subscriptions),
            ("packets (debug lines)", sight.packets),
        )
        if not is_there
    ]
    return Gap(
        id="log-lines",
        text=f"{log.path} has no lines about {' and '.join(lacks) or 'publishers'}",
        costs=missed,
        closes=recipes.every_line(log.path, findings),
    )


def _disk(findings: Findings) -> Gap | None:
    log = findings.log
    if log is None or log.state != "read":
        return None
    steps = recipes.rotated(log.path, findings)
    if log.storage == "card" and log.sight.packets:
        return Gap(
            id="log-on-card",
            text=f"{log.path} lies on an SD card, and has a line for each message",
            costs=("the card wears (about 110 bytes a message), and a flood may fill it",),
            closes=steps,
        )
    if log.size is not None and log.size > LARGE and log.storage != "ram":
        return Gap(
            id="log-large",
            text=f"{log.path} has {log.size >> 20} MB: is it rotated?",
            costs=("a full disk ends the log, and with it what is detected",),
            closes=steps,
        )
    return None


def _alerts(findings: Findings) -> Gap | None:
    alerts = findings.alerts
    user = f"the user {findings.username}" if findings.username else "a client without a user"
    if alerts.read_back or (alerts.published is None and alerts.read_back is None):
        return None
    if alerts.published:
        text = f"{user} may publish on {alerts.topic}, but not read it"
        missed = "the agent cannot check that its alerts get out"
    elif alerts.published is None:
        text = f"what {user} publishes on {alerts.topic} does not come back"
        missed = "most likely alerts reach nobody over MQTT: before MQTT 5 no broker says so"
    else:
        text = f"{user} may not publish on {alerts.topic}"
        missed = "alerts reach nobody over MQTT: Home Assistant stays silent"
    return Gap(id="alerts-refused", text=text, costs=(missed,), closes=_rules(findings))


def _open(findings: Findings) -> Gap | None:
    alerts = findings.alerts
    forged = "whoever may publish there can raise false alerts, or hide true ones among them"
    read = "whoever may read there learns what has been noticed, and what not"
    if alerts.strangers_publish:
        text = f"clients without a user may publish on {alerts.topic}"
        missed = (forged, read) if alerts.strangers_read else (forged,)
    elif alerts.bound is False and findings.username is not None:
        text = f"every user may publish on {alerts.topic}: there are no rules about topics"
        missed = (forged, read)
    elif alerts.strangers_read:
        text = f"clients without a user may read {alerts.topic}"
        missed = (read,)
    else:
        return None
    return Gap(id="alerts-open", text=text, costs=missed, closes=_rules(findings, close=True))


def _rules(findings: Findings, *, close: bool = False) -> tuple[Step, ...]:
    """Who may use $ids/…: we, and with `close` nobody else."""
    if findings.mosquitto is False:
        return (_elsewhere(),)
    dynamic = (recipes.reserved if close else recipes.dynamic_role)(findings)
    match findings.dynamic_security:
        case "answers":
            return dynamic
        case "absent":
            return recipes.access_rules(findings)
    return (*recipes.access_rules(findings), *dynamic)


def _hands(findings: Findings) -> Gap | None:
    firewall = findings.firewall
    if findings.mode != "protect" or firewall is None or firewall.permitted:
        return None
    if findings.dynamic_security == "answers":
        return None
    return Gap(
        id="no-handle",
        text=f"protect mode can act on nobody: no dynamic security, and {firewall.why}",
        costs=("offenders are told of and not stopped",),
        closes=_handles(findings),
    )


def _handles(findings: Findings) -> tuple[Step, ...]:
    unit = ("AmbientCapabilities=CAP_NET_ADMIN", "CapabilityBoundingSet=CAP_NET_ADMIN")
    step = Step(do="add", where="the agent's systemd unit, below [Service]", lines=unit)
    if findings.dynamic_security == "absent":
        return (step,)
    return (step, *recipes.dynamic_role(findings))


def _elsewhere() -> Step:
    return Step(
        do="read",
        lines=(
            "amqtt: load our plugin into it, mqtt_ids_plugin.IDSPlugin (docs/amqtt.md)",
            "others: let Mosquitto take its place, or watch a capture with mqtt-ids scan",
        ),
    )


def _rights(log: LogFile) -> str:
    parts = []
    if log.owner is not None and log.group is not None and log.mode is not None:
        parts.append(f"it belongs to {log.owner}:{log.group}, mode {log.mode:04o}")
    if log.user is not None:
        parts.append(f"we are {log.user}")
    return "; ".join(parts) or "nothing more is told"
