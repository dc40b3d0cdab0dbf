"""How the command line shows what the agent answers: status, clients, incidents."""

from collections.abc import Sequence
from typing import Any

from mqtt_ids.alerts import iso
from mqtt_ids.readers import spell
from mqtt_ids.tables import line, table
from mqtt_ids.timeline import show_timeline

_KINDS = {"client_id": "client", "username": "user"}


def show_status(status: dict[str, Any]) -> None:
    """The agent's state, its bans and its last actions."""
    learning = status["learning"]
    mode = f"{status['mode']}{' (dry run)' if status['dry_run'] else ''}"
    running = spell(float(int(status["running_for"])))
    line(f"online     {status['sensor']}, mode {mode}, process {status['pid']}, for {running}")
    line(f"clients    {status['clients']} connected, {learning['learned']} with a known normal")
    line(f"incidents  {status['active']} active, {status['open_incidents']} open with notes")
    line(f"events     {status['events']} seen, {status['skipped']} skipped, lag {status['lag']} s")
    line(f"state      {status['state_dir']}")
    if status["errors"]:
        line(f"errors     {status['errors']}, the last: {status['last_error']}")
    if status["unwritten"]:
        line(f"disk       {status['unwritten']} changes could not be written")
    line("")
    bans = [
        (*_handle(ban["handle"]), iso(ban["until"]), ban["by"], ban["why"])
        for ban in status["bans"]
    ]
    table(("BANNED", "WHO", "UNTIL", "BY", "WHY"), bans, "Nobody is banned.")
    actions = [
        (entry["at"], entry["what"], entry["by"], *_handle(entry["handle"]), entry["why"])
        for entry in status["actions"]
    ]
    if actions:
        line("")
        table(("WHEN", "WHAT", "BY", "KIND", "WHO", "WHY"), actions, "")


def show_client_list(clients: Sequence[dict[str, Any]]) -> None:
    """The clients, the suspicious ones first."""
    order = {"attack": 0, "odd": 1}
    rows = [
        (
            one["client_id"],
            one["address"],
            one["username"],
            "yes" if one["connected"] else "no",
            one["verdict"],
            None if one["score"] is None else f"{one['score']:.4g}",
            one["last"],
            one["normal_in_words"],
        )
        for one in sorted(clients, key=lambda one: (order.get(one["verdict"], 2), one["client_id"]))
    ]
    headings = ("CLIENT", "ADDRESS", "USER", "CONNECTED", "VERDICT", "SCORE", "LAST SEEN", "NORMAL")
    table(headings, rows, "No client is known yet.")


def show_incident_list(incidents: Sequence[dict[str, Any]]) -> None:
    """The incidents, the newest first."""
    rows = [
        (
            one["id"],
            one["first_seen"],
            one["severity"],
            one["state"],
            one["attack"],
            one["client_id"],
            one["address"],
            one["action"],
        )
        for one in incidents
    ]
    headings = ("ID", "SINCE", "SEVERITY", "STATE", "ATTACK", "CLIENT", "ADDRESS", "ACTION")
    table(headings, rows, "No incident yet.")


def show_incident(incident: dict[str, Any]) -> None:
    """One incident with its reasons and its timeline."""
    line(f"{incident['attack']}, severity {incident['severity']}, {incident['state']}")
    if incident["also"]:
        line(f"also       {', '.join(incident['also'])}")
    line(f"id         {incident['id']}")
    line(f"seen       {incident['first_seen']} to {incident['time']}")
    line(f"client     {incident['client_id'] or '-'} at {incident['address'] or '-'}")
    if incident["client_count"] > 1:
        line(f"clients    {incident['client_count']}: {', '.join(incident['clients'])}")
    until = f" until {incident['action_until']}" if incident["action_until"] else ""
    line(f"action     {incident['action']}{until} ({incident['action_reason']})")
    for reason in incident["reasons"]:
        share = "" if reason["share"] is None else f" ({reason['share']:.0%} of the error)"
        line(f"because    {reason['text']}{share}")
    show_timeline(incident)


def show_accepted(accepted: Sequence[dict[str, Any]]) -> None:
    """What was accepted, the latest first."""
    rows = [
        (
            one["incident"],
            one["attack"],
            one["client_id"],
            one["address"],
            one["until"] or "for good",
            "; ".join(one["up_to"]),
        )
        for one in accepted
    ]
    headings = ("INCIDENT", "ATTACK", "CLIENT", "ADDRESS", "UNTIL", "NORMAL UP TO")
    table(headings, rows, "Nothing was accepted.")


def show_acceptance(one: dict[str, Any]) -> None:
    """What is accepted from now on."""
    until = f" until {one['until']}" if one["until"] else ""
    line(f"accepted{until}: {one['attack']} of {_whom(one)}")
    for feature in one["up_to"]:
        line(f"normal up to  {feature}")
    if one["lifted"]:
        line(f"lifted        {one['lifted']} ban{'' if one['lifted'] == 1 else 's'}")
    _warn_unstored(one)


def show_undone(one: dict[str, Any]) -> None:
    """What is accepted no longer."""
    line(f"no longer accepted: {one['attack']} of {_whom(one)}")
    _warn_unstored(one)


def _warn_unstored(one: dict[str, Any]) -> None:
    if not one["stored"]:
        line("it holds, but is not on the disk yet: see mqtt-ids status")


def _whom(one: dict[str, Any]) -> str:
    return str(one["client_id"] if one["client_id"] is not None else one["address"])


def _handle(handle: dict[str, str] | None) -> tuple[str | None, str | None]:
    if handle is None:
        return None, None
    return _KINDS.get(handle["kind"], handle["kind"]), handle["value"]
