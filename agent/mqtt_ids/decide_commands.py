"""`mqtt-ids accept` and `mqtt-ids forget`: what people decide about a client."""

from pathlib import Path

import click

from mqtt_ids import control
from mqtt_ids import readers as read
from mqtt_ids.agent_command import reading
from mqtt_ids.options import json_option, json_or, state_option
from mqtt_ids.show import show_acceptance, show_accepted, show_undone
from mqtt_ids.tables import line


@click.command()
@click.argument("incident", metavar="[ID]", required=False)
@click.option(
    "--for",
    "seconds",
    callback=reading(read.seconds),
    metavar="DURATION",
    help="How long: 24h, 7d. By default for good.",
)
@click.option("--undo", is_flag=True, help="Accept it no longer.")
@state_option
@json_option
def accept(
    incident: str | None, seconds: float | None, state: Path, *, undo: bool, as_json: bool
) -> None:
    """Say that an incident is normal for this client; or list what was accepted.

    It widens what is normal for that client and for what the incident's reasons name, and for
    nobody and nothing else. What it kept out is let in again.

    \b
      mqtt-ids accept 01JDK3V8Q2M4YXN0Z7C5RT9WBE --for 7d
      mqtt-ids accept
      mqtt-ids accept 01JDK3V8Q2M4YXN0Z7C5RT9WBE --undo
    """  # noqa: D301 - \b is click's, and no escape for a reader
    if incident is None:
        if undo or seconds is not None:
            raise click.UsageError("which incident? mqtt-ids incidents lists them")
        json_or(as_json, control.ask(state, control.Accepted()), show_accepted)
        return
    result = control.ask(state, control.Accept(incident, seconds, undo))
    json_or(as_json, result, show_undone if undo else show_acceptance)


@click.command()
@click.argument("client")
@state_option
def forget(client: str, state: Path) -> None:
    """Drop what is normal for a client: it is a newcomer again.

    For a device that was replaced, or that was attacked while it was learned. What was accepted
    of it is accepted no longer.
    """
    result = control.ask(state, control.Forget(client))
    line(f"forgot what is normal for {client}")
    for incident in result["no_longer_accepted"]:
        line(f"no longer accepted: incident {incident}")
