"""The command `mqtt-ids`, and how it and `mqtt-ids-agent` end.

Exit codes: 0 fine, 1 something was found, 2 usage or configuration, with one line on standard
error. What only some commands need (the broker, numpy) is loaded by these: `mqtt-ids status` is
quick.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from mqtt_ids import control
from mqtt_ids import readers as read
from mqtt_ids.agent_command import CONTEXT, reading
from mqtt_ids.decide_commands import accept, forget
from mqtt_ids.doctor_command import doctor
from mqtt_ids.errors import ControlError, IdsError, StateError
from mqtt_ids.evaluate_command import evaluate
from mqtt_ids.options import json_option, json_or, print_json, state_option
from mqtt_ids.policy import HandleKind
from mqtt_ids.scan_command import PLOTS, ending, scan
from mqtt_ids.settings import Settings
from mqtt_ids.show import show_client_list, show_incident, show_incident_list, show_status
from mqtt_ids.store import FILE, Store
from mqtt_ids.tables import line, safe, table
from mqtt_ids.top_command import top
from mqtt_ids.train_command import train

DEBUG = "MQTT_IDS_DEBUG"  # set to 1: a fault shows its traceback
USAGE = 2
KINDS: dict[str, HandleKind] = {
    "address": "address",
    "client": "client_id",
    "user": "username",
}

_handle = click.argument("kind", type=click.Choice(list(KINDS)))


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="mqtt-ids", message="%(prog)s %(version)s")
def ids() -> None:
    """Watch over an MQTT broker, and command the agent that does.

    \b
    See it work, with a home and five attacks of its own:
      mqtt-ids demo
    What does the broker show, and what is missing?
      mqtt-ids doctor
    What happened in a capture?
      mqtt-ids scan night.pcap
    Ask the agent that runs (start one with mqtt-ids-agent):
      mqtt-ids status
      mqtt-ids incidents
      mqtt-ids clients --json
      mqtt-ids top
    Say that it was no attack:
      mqtt-ids accept 01JDK3V8Q2M4YXN0Z7C5RT9WBE --for 7d
    Keep somebody out, and let them in again:
      mqtt-ids ban address 192.168.1.66 --for 1h
      mqtt-ids unban address 192.168.1.66
    """  # noqa: D301 - \b is click's, and no escape for a reader


@ids.command()
@state_option
@json_option
def status(state: Path, *, as_json: bool) -> None:
    """Show how the agent is, its bans, and what it did last."""
    result = control.ask(state, control.Status())
    json_or(as_json, result, show_status)


@ids.command()
@state_option
@json_option
def clients(state: Path, *, as_json: bool) -> None:
    """List the clients that the agent knows, with its verdicts and what is normal for each."""
    result = control.ask(state, control.Clients())
    json_or(as_json, result, show_client_list)


@ids.command()
@click.argument("incident", metavar="[ID]", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many to list.",
)
@click.option(
    "--plot",
    callback=reading(ending(*PLOTS)),
    metavar="FILE",
    help="Of one incident: draw its score over time, too: .png or .svg.",
)
@state_option
@json_option
def incidents(
    incident: str | None, limit: int, plot: Path | None, state: Path, *, as_json: bool
) -> None:
    """List the newest incidents, or show one with its reasons and its timeline.

    \b
      mqtt-ids incidents
      mqtt-ids incidents 01JDK3V8Q2M4YXN0Z7C5RT9WBE --plot night.png
      mqtt-ids incidents --json | jq '.[] | select(.state != "closed")'
    """  # noqa: D301 - as above
    if plot is not None:
        if incident is None:
            raise click.UsageError("--plot draws one incident; name its ID")
        from mqtt_ids.scanning.plots import needed  # noqa: PLC0415 - an extra

        needed(plot)
    result = control.ask(state, control.Incidents(id=incident, limit=limit))
    json_or(as_json, result, show_incident_list if incident is None else show_incident)
    if plot is not None:
        from mqtt_ids import incident_plot  # noqa: PLC0415 - an extra

        incident_plot.plot(plot, result)


@ids.command()
@_handle
@click.argument("value")
@click.option(
    "--for",
    "seconds",
    callback=reading(read.seconds),
    metavar="DURATION",
    help="How long: 30s, 10m, 24h, 7d. By default as long as protect.ban says.",
)
@click.option("--why", default="by hand", help="A word for the log.")
@state_option
def ban(kind: str, value: str, seconds: float | None, why: str, state: Path) -> None:
    """Cut somebody off and keep them out for a while.

    By address, client (id) or user (name). The allow-list does not count: a person has decided.

    \b
      mqtt-ids ban address 192.168.1.66 --for 1h
      mqtt-ids ban client porch-cam --why "sold it"
    """  # noqa: D301 - as above
    request = control.Impose(KINDS[kind], value, seconds, why)
    result = control.ask(state, request)
    line(f"banned {kind} {value} for {read.spell(result['seconds'])}")


@ids.command()
@_handle
@click.argument("value")
@state_option
def unban(kind: str, value: str, state: Path) -> None:
    """Lift one ban. The same incident does not bring it back."""
    control.ask(state, control.Lift(KINDS[kind], value))
    line(f"lifted the ban on {kind} {value}")


@ids.command()
@state_option
def release(state: Path) -> None:
    """Lift all bans and clear our retained topics.

    Where no agent runs, the bans that the last one stored are lifted, for the next one.
    """
    try:
        lifted = control.ask(state, control.Release())["lifted"]
    except ControlError as error:
        lifted = _release_stored(state)
        if lifted is None:
            raise error from None
        line("no agent runs; its stored bans are lifted")
        if lifted:
            line("whom a Mosquitto or the firewall keeps out, the agent lets in when it runs again")
    line(f"lifted {lifted} ban{'' if lifted == 1 else 's'}")


@ids.command()
@click.option(
    "--model",
    "name",
    default="default",
    show_default=True,
    help="default (the shipped one), or a folder.",
)
@json_option
def model(name: str, *, as_json: bool) -> None:
    """Show a model: layers, thresholds, training, and every feature."""
    from mqtt_ids.feature_table import FEATURES  # noqa: PLC0415 - loads numpy
    from mqtt_ids.models import open_model  # noqa: PLC0415 - loads numpy

    opened = open_model(name)
    card = opened.card
    if as_json:
        print_json({**msgspec.to_builtins(card), "golden": len(card.golden.scores)})
        return
    line(f"layers      {'-'.join(map(str, card.layers))}, scored by {opened.scorer.runtime}")
    for mask, values in card.thresholds.items():
        each = ", ".join(f"{kind} {value:.4g}" for kind, value in sorted(values.items()))
        line(f"threshold   {mask}: {each}")
    for fact, value in card.trained.items():
        line(f"trained     {fact}: {value}")
    rows = [(one.name, one.role.value, one.unit, one.why) for one in FEATURES]
    table(("FEATURE", "OF", "UNIT", "WHY"), rows, "no features")


@ids.command()
def demo() -> int:
    """Run a broker, a home and five attacks, and show what is found. Takes up to 90 seconds.

    Ends with exit code 1 where an attack was missed or a calm client disturbed.
    """
    from mqtt_ids.demo import demo as run_demo  # noqa: PLC0415 - loads the broker

    return run_demo()


ids.add_command(scan)
ids.add_command(train)
ids.add_command(evaluate)
ids.add_command(doctor)
ids.add_command(accept)
ids.add_command(forget)
ids.add_command(top)


def run(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    """Run a command; its exit code. What goes wrong is one line on standard error."""
    try:
        code = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except SystemExit:  # click's answer to a reader that went away: `mqtt-ids clients | head`
        return 0
    except Exception as error:
        if os.environ.get(DEBUG) == "1":
            raise
        click.echo(_complaint(name, error), err=True)
        return USAGE
    return code if isinstance(code, int) else 0


def _complaint(name: str, error: Exception) -> str:
    """What went wrong, in one line; help for who gave no command at all."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    if isinstance(error, click.ClickException):
        message = error.format_message()
    elif isinstance(error, IdsError) or _is_model_error(error):
        message = str(error)
    else:
        fault = f"{type(error).__name__}: {error}"
        message = f"a fault of ours: {fault} ({DEBUG}=1 shows where)"
    return f"{name}: {safe(' '.join(message.split()))}"


def _is_model_error(error: Exception) -> bool:
    from mqtt_ids_model import ModelError  # noqa: PLC0415 - loads numpy

    return isinstance(error, ModelError)


def _release_stored(folder: Path) -> int | None:
    """Lift the bans in a state folder that no agent uses; how many. None where there is none.

    They are ended and not forgotten: what the broker still holds against somebody, the next start
    lets go of.
    """
    try:
        if not (folder / FILE).exists():
            return None
    except OSError:  # nothing is to be had there, and who asked has said why
        return None
    store = Store(folder, incidents_kept=Settings().limits.incidents_kept)
    store.open()
    try:
        bans = [ban for ban in store.bans() if ban.until > 0.0]
        for ban in bans:
            store.put_ban(msgspec.structs.replace(ban, until=0.0))
    finally:
        store.close()
    if store.failures:
        raise StateError(f"{folder}: cannot be written; its bans are still there")
    return len(bans)
